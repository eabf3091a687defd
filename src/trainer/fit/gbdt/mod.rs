//! Gradient boosted trees over histograms.
//!
//! Ours, after LightGBM (Ke et al. 2017, <https://papers.nips.cc/paper/6907>) and XGBoost (Chen and Guestrin 2016,
//! <https://arxiv.org/abs/1603.02754>): Newton boosting, leaf-wise trees, a bin of their own for missing values, which learn
//! their direction at each split. The model is the same, byte for byte, for any number of threads.

mod bins;
mod grow;
mod histogram;
pub(crate) mod objective;
mod params;
mod ranks;
mod split;
mod tree;

pub use params::GbdtParams;
pub use ranks::RankTable;
pub use tree::{Node, Tree};

use crate::trainer::data::{Column, Table};

use super::{FitError, Objective, Problem};
use bins::{Binned, Cuts};
use grow::{Buffers, Ground, Grown, grow};
use histogram::{Cell, FixedPoint};
use objective::{Derivatives, Scored, class_of, sigmoid, softmax};

/// Rows that are worked on while they are in the cache.
const BLOCK_ROWS: usize = 4_096;

/// One column that the trees see.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The place of its feature.
    pub feature: usize,
    /// How its levels become numbers, where the feature is categorical.
    pub ranks: Option<RankTable>,
}

/// Boosted trees.
#[derive(Debug, Clone, PartialEq)]
pub struct GbdtModel {
    /// The columns that the trees see. A categorical feature has one; in a multiclass model one a class.
    pub inputs: Vec<Input>,
    /// What is predicted.
    pub objective: Objective,
    /// The scores before the first tree: one, or one a class.
    pub base: Vec<f32>,
    /// The trees, one list a score.
    pub trees: Vec<Vec<Tree>>,
    /// The mean validation loss after each round; empty without validation rows.
    pub validation_losses: Vec<f64>,
}

/// Fits boosted trees. With validation rows and `refit` it fits twice: once to choose the number of rounds, once to all rows
/// with that number. `on_round(done, total)` is called after each round of either fit.
///
/// # Errors
/// [`FitError`] where the rows cannot be learned from.
pub fn fit(
    problem: &Problem<'_>,
    params: &GbdtParams,
    mut on_round: impl FnMut(usize, usize),
) -> Result<GbdtModel, FitError> {
    let chosen = boost(problem, params, &mut on_round)?;
    if !params.refit || chosen.validation_losses.is_empty() {
        return Ok(chosen);
    }
    let (n_trees_max, validation_losses) = (chosen.n_rounds(), chosen.validation_losses);
    let mut rows = [problem.train, problem.validation].concat();
    rows.sort_unstable();
    let whole = Problem { train: &rows, validation: &[], ..*problem };
    let refitted = boost(&whole, &GbdtParams { n_trees_max, ..params.clone() }, &mut on_round)?;
    Ok(GbdtModel { validation_losses, ..refitted })
}

/// Boosts the training rows until the validation rows say that it is enough.
fn boost(
    problem: &Problem<'_>,
    params: &GbdtParams,
    on_round: &mut impl FnMut(usize, usize),
) -> Result<GbdtModel, FitError> {
    problem.check()?;
    let inputs = inputs(problem, params);
    let columns = |rows: &[u32], input: usize| encode(&inputs[input], problem.table, rows);
    let cuts: Vec<Cuts> =
        (0..inputs.len()).map(|input| Cuts::of(&columns(problem.train, input), params.bins_max)).collect();
    let train = Binned::new(&cuts, problem.train.len(), |input| columns(problem.train, input));
    let validation = Binned::new(&cuts, problem.validation.len(), |input| columns(problem.validation, input));
    let monotone: Vec<i8> = inputs.iter().map(|input| problem.monotone[input.feature]).collect();
    let ground = Ground { binned: &train, cuts: &cuts, monotone: &monotone, params, threads: problem.threads };
    let mut boosting = Boosting::new(problem, &ground, &validation);
    for round in 1..=params.n_trees_max {
        if !boosting.round() {
            break;
        }
        on_round(round, params.n_trees_max);
        if boosting.is_over(params.early_stopping_rounds) {
            break;
        }
    }
    let Boosting { base, mut trees, losses, .. } = boosting;
    if let Some(best) = best_round(&losses) {
        trees.iter_mut().for_each(|trees| trees.truncate(best));
    }
    Ok(GbdtModel { inputs, objective: problem.objective, base, trees, validation_losses: losses })
}

/// The columns that the trees see.
fn inputs(problem: &Problem<'_>, params: &GbdtParams) -> Vec<Input> {
    let mut inputs = Vec::new();
    for (feature, column) in problem.table.features.iter().enumerate() {
        let Column::Categorical(categories) = column else {
            inputs.push(Input { feature, ranks: None });
            continue;
        };
        let n_ranks = match problem.objective {
            Objective::Multiclass { n_classes } => n_classes,
            _ => 1,
        };
        for class in 0..n_ranks {
            let target = |place: usize| {
                let row = problem.train[place] as usize;
                let (target, weight) = (problem.table.target[row], f64::from(problem.table.weight(row)));
                match problem.objective {
                    Objective::Multiclass { .. } => (f64::from(u8::from(class_of(target) == class)), weight),
                    _ => (f64::from(target), weight),
                }
            };
            let ranks = RankTable::fit(categories, problem.train, params.category_smoothing, target);
            inputs.push(Input { feature, ranks: Some(ranks) });
        }
    }
    inputs
}

/// The values of `rows` as the trees see them.
fn encode(input: &Input, table: &Table, rows: &[u32]) -> Vec<f32> {
    match (&table.features[input.feature], &input.ranks) {
        (Column::Numeric(values), _) => rows.iter().map(|&row| values[row as usize]).collect(),
        (Column::Categorical(categories), Some(ranks)) => ranks.encode(categories, rows),
        (Column::Categorical(_), None) => vec![f32::NAN; rows.len()],
    }
}

/// The number of rounds with the smallest validation loss; the first of equals.
fn best_round(losses: &[f64]) -> Option<usize> {
    let best = losses.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1));
    best.map(|(place, _)| place + 1)
}

/// A fit under way.
struct Boosting<'a> {
    ground: &'a Ground<'a>,
    validation_bins: &'a Binned,
    train: Scored,
    validation: Scored,
    base: Vec<f32>,
    trees: Vec<Vec<Tree>>,
    losses: Vec<f64>,
    buffers: Buffers,
    cells: Vec<Cell>,
}

impl<'a> Boosting<'a> {
    #[expect(clippy::cast_possible_truncation, reason = "the exported base has 32 bits")]
    fn new(problem: &Problem<'_>, ground: &'a Ground<'a>, validation_bins: &'a Binned) -> Self {
        let scored = |rows: &[u32]| Scored {
            objective: problem.objective,
            scores: Vec::new(),
            target: rows.iter().map(|&row| problem.table.target[row as usize]).collect(),
            weights: rows.iter().map(|&row| problem.table.weight(row as usize)).collect(),
        };
        let (mut train, mut validation) = (scored(problem.train), scored(problem.validation));
        let base: Vec<f32> = train.best_constants().into_iter().map(|constant| constant as f32).collect();
        for &constant in &base {
            for scored in [&mut train, &mut validation] {
                scored.scores.extend(std::iter::repeat_n(f64::from(constant), scored.target.len()));
            }
        }
        let trees = vec![Vec::new(); base.len()];
        let (losses, buffers, cells) = (Vec::new(), Buffers::default(), Vec::new());
        Self { ground, validation_bins, train, validation, base, trees, losses, buffers, cells }
    }

    /// Adds a tree a score; `false` where no tree found a split, so that nothing more can be learned.
    fn round(&mut self) -> bool {
        let mut learned = false;
        // All trees of a round see the scores that the round before left.
        let derivatives: Vec<Vec<Derivatives>> =
            (0..self.base.len()).map(|output| self.train.all_derivatives(output, self.ground.threads)).collect();
        for (output, derivatives) in derivatives.iter().enumerate() {
            let form = fill_cells(&mut self.cells, derivatives);
            let grown = grow(self.ground, &self.cells, form, &mut self.buffers);
            learned |= grown.tree.nodes.len() > 1;
            let n_rows = self.train.target.len();
            add_leaves(&mut self.train.scores[output * n_rows..(output + 1) * n_rows], &grown);
            let n_rows = self.validation.target.len();
            let scores = &mut self.validation.scores[output * n_rows..(output + 1) * n_rows];
            for (row, score) in scores.iter_mut().enumerate() {
                *score += f64::from(grown.tree.leaf_binned(self.validation_bins, row));
            }
            self.trees[output].push(grown.tree);
        }
        if !learned {
            self.trees.iter_mut().for_each(|trees| {
                trees.pop();
            });
            return false;
        }
        if self.validation.total_weight() > 0.0 {
            self.losses.push(self.validation.mean_loss());
        }
        true
    }

    /// Whether the validation loss has not improved for `patience` rounds.
    fn is_over(&self, patience: usize) -> bool {
        let best = best_round(&self.losses).unwrap_or(self.losses.len());
        0 < patience && patience <= self.losses.len() - best
    }
}

fn fill_cells(cells: &mut Vec<Cell>, derivatives: &[Derivatives]) -> FixedPoint {
    let (mut gradient_max, mut hessian_max) = (0.0_f64, 0.0_f64);
    for (gradient, hessian) in derivatives {
        gradient_max = gradient_max.max(gradient.abs());
        hessian_max = hessian_max.max(*hessian);
    }
    let form = FixedPoint::new(derivatives.len(), gradient_max, hessian_max);
    cells.clear();
    cells.extend(derivatives.iter().map(|&(gradient, hessian)| form.cell(gradient, hessian)));
    form
}

fn add_leaves(scores: &mut [f64], grown: &Grown<'_>) {
    for (value, rows) in grown.leaves() {
        let value = f64::from(value);
        for &row in rows {
            scores[row as usize] += value;
        }
    }
}

impl GbdtModel {
    /// Predictions for `rows`, row-major `[n_rows, n_outputs]`: a probability a class, or one value.
    #[expect(clippy::cast_possible_truncation, reason = "predictions have 32 bits")]
    pub fn predict(&self, table: &Table, rows: &[u32]) -> Vec<f32> {
        let mut predictions = Vec::with_capacity(rows.len() * self.objective.n_outputs());
        for block in rows.chunks(BLOCK_ROWS) {
            let columns: Vec<Vec<f32>> = self.inputs.iter().map(|input| encode(input, table, block)).collect();
            for (row, _) in block.iter().enumerate() {
                let score = |(&base, trees): (&f32, &Vec<Tree>)| {
                    let leaves = trees.iter().map(|tree| f64::from(tree.leaf(|input| columns[input][row])));
                    f64::from(base) + leaves.sum::<f64>()
                };
                let mut scores: Vec<f64> = self.base.iter().zip(&self.trees).map(score).collect();
                match self.objective {
                    Objective::Squared => predictions.push(scores[0] as f32),
                    Objective::Binary => {
                        let probability = sigmoid(scores[0]) as f32;
                        predictions.extend([1.0 - probability, probability]);
                    }
                    Objective::Multiclass { .. } => {
                        softmax(&mut scores);
                        predictions.extend(scores.into_iter().map(|score| score as f32));
                    }
                }
            }
        }
        predictions
    }

    /// How many boosting rounds the model has.
    pub fn n_rounds(&self) -> usize {
        self.trees.first().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests;
