//! Linear models: ridge regression, logistic regression, multinomial logistic regression.
//!
//! All have an intercept that is not penalised and an L2 penalty of `l2 / 2` times the squared coefficients on the sum (not
//! the mean) of the losses, so `l2 = 1` is scikit-learn's `C = 1` and `alpha = 1`. Ridge solves the normal equations;
//! logistic regression is Newton's method (IRLS) with halved steps where the loss would rise; the multinomial model takes
//! steps with Böhning's bound on the Hessian (Böhning 1992, Ann. Inst. Stat. Math. 44, 197-200), which needs one Cholesky
//! factor in all and never raises the loss.

mod cholesky;
mod design;

use serde::{Deserialize, Serialize};

use crate::trainer::data::Table;

use super::gbdt::objective::{class_of, sigmoid, softmax};
use super::{FitError, Objective, Problem};
use cholesky::{Cholesky, Symmetric};
use design::Design;

/// `[linear]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinearParams {
    /// The L2 penalty.
    pub l2: f64,
    /// Training rows that a level needs for a coefficient of its own; rarer ones count as unseen.
    pub min_rows_level: usize,
    /// Newton steps at most.
    pub iterations_max: usize,
    /// The fit ends when no coefficient moves by more.
    pub tolerance: f64,
}

impl Default for LinearParams {
    fn default() -> Self {
        Self { l2: 1.0, min_rows_level: 10, iterations_max: 200, tolerance: 1e-6 }
    }
}

impl LinearParams {
    /// The first parameter outside what is accepted: its key, what is accepted, what it is.
    pub(crate) fn problem(&self) -> Option<(&'static str, &'static str, String)> {
        if !(0.0..f64::INFINITY).contains(&self.l2) {
            Some(("linear.l2", "0 or more", self.l2.to_string()))
        } else if !(1..=10_000).contains(&self.iterations_max) {
            Some(("linear.iterations_max", "1 to 10000", self.iterations_max.to_string()))
        } else if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            Some(("linear.tolerance", "between 0 and 1", self.tolerance.to_string()))
        } else {
            None
        }
    }
}

/// How one feature becomes numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Encoding {
    /// `(value - mean) / sd`; a missing value is the median.
    Numeric {
        /// Of the finite training values.
        median: f32,
        /// Of the training values after imputing.
        mean: f32,
        /// Of the training values after imputing; above 0.
        sd: f32,
        /// The place of its coefficient.
        coefficient: usize,
    },
    /// 1 at the level's place; missing, rare and unseen levels are 0 everywhere.
    OneHot {
        /// In the order of their text.
        levels: Vec<String>,
        /// The place of the first level's coefficient.
        coefficient: usize,
    },
}

/// A linear model.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearModel {
    /// What is predicted.
    pub objective: Objective,
    /// How each feature becomes numbers, in the order of the features.
    pub encodings: Vec<Encoding>,
    /// Coefficients, one list a score: one score, or one a class.
    pub coefficients: Vec<Vec<f32>>,
    /// The intercepts, one a score.
    pub intercepts: Vec<f32>,
    /// Newton steps taken.
    pub n_iterations: usize,
}

/// Fits a linear model to the training and the validation rows (it needs none to stop early).
/// `on_step(done, iterations_max)` is called after each step.
///
/// # Errors
/// [`FitError`] where the rows cannot be learned from.
pub fn fit(
    problem: &Problem<'_>,
    params: &LinearParams,
    mut on_step: impl FnMut(usize, usize),
) -> Result<LinearModel, FitError> {
    problem.check()?;
    let mut rows: Vec<u32> = problem.train.iter().chain(problem.validation).copied().collect();
    rows.sort_unstable();
    let mut encodings: Vec<Encoding> = Vec::new();
    let mut width = 0;
    for column in &problem.table.features {
        let encoding = Encoding::fit(column, problem.table, &rows, params, width);
        width += encoding.width();
        encodings.push(encoding);
    }
    let design = Design::new(&encodings, problem.table);
    let fit = Fit { design, table: problem.table, rows: &rows, width, params };
    let mut on_step = |done| on_step(done, params.iterations_max);
    let (beta, n_iterations) = match problem.objective {
        Objective::Squared => (vec![fit.ridge()?], 1),
        Objective::Binary => fit.newton(&mut on_step)?,
        Objective::Multiclass { n_classes } => fit.bounded(n_classes, &mut on_step)?,
    };
    drop(fit);
    Ok(LinearModel::new(problem.objective, encodings, &beta, n_iterations))
}

/// A fit under way. Coefficients are lists of `width + 1` numbers, the intercept last.
struct Fit<'a> {
    design: Design<'a>,
    table: &'a Table,
    rows: &'a [u32],
    width: usize,
    params: &'a LinearParams,
}

impl Fit<'_> {
    /// Calls `each(row, entries, weight, target)` for every row, in order; entries include the intercept's.
    fn each_row(&self, mut each: impl FnMut(&[(usize, f64)], f64, f32)) {
        let mut entries = Vec::new();
        for &row in self.rows {
            self.design.row(row, &mut entries);
            entries.push((self.width, 1.0));
            let weight = f64::from(self.table.weight(row as usize));
            each(&entries, weight, self.table.target[row as usize]);
        }
    }

    /// The penalty's part of the Hessian, with a trace on the intercept against rounding.
    fn penalty(&self) -> Symmetric {
        let mut matrix = Symmetric::zeros(self.width + 1);
        (0..self.width).for_each(|place| matrix.add(place, place, self.params.l2));
        matrix
    }

    fn ridge(&self) -> Result<Vec<f64>, FitError> {
        let (mut matrix, mut right) = (self.penalty(), vec![0.0; self.width + 1]);
        self.each_row(|entries, weight, target| {
            add_outer(&mut matrix, entries, weight);
            entries.iter().for_each(|&(place, value)| right[place] += weight * value * f64::from(target));
        });
        matrix.cholesky().ok_or(FitError::Singular)?.solve(&mut right);
        Ok(right)
    }

    fn newton(&self, on_step: &mut impl FnMut(usize)) -> Result<(Vec<Vec<f64>>, usize), FitError> {
        let mut beta = vec![0.0; self.width + 1];
        let mut loss = self.binary_loss(&beta);
        for iteration in 1..=self.params.iterations_max {
            let (hessian, mut step) = self.binary_derivatives(&beta);
            hessian.cholesky().ok_or(FitError::Singular)?.solve(&mut step);
            let mut share = 1.0;
            let (next, next_loss) = loop {
                let next: Vec<f64> = beta.iter().zip(&step).map(|(beta, step)| beta - share * step).collect();
                let next_loss = self.binary_loss(&next);
                // Rounding may raise a converged loss a little.
                if next_loss <= loss + 1e-12 * loss.abs() || share < 1e-6 {
                    break (next, next_loss);
                }
                share *= 0.5;
            };
            let moved = moved(&beta, &next);
            (beta, loss) = (next, next_loss);
            on_step(iteration);
            if moved < self.params.tolerance {
                return Ok((vec![beta], iteration));
            }
        }
        Ok((vec![beta], self.params.iterations_max))
    }

    fn binary_loss(&self, beta: &[f64]) -> f64 {
        let mut loss = 0.5 * self.params.l2 * beta[..self.width].iter().map(|value| value * value).sum::<f64>();
        self.each_row(|entries, weight, target| {
            let score = dot(entries, beta);
            let signed = if target > 0.5 { -score } else { score };
            loss += weight * (signed.max(0.0) + (-signed.abs()).exp().ln_1p());
        });
        loss
    }

    fn binary_derivatives(&self, beta: &[f64]) -> (Symmetric, Vec<f64>) {
        let mut hessian = self.penalty();
        let mut gradient: Vec<f64> = beta.iter().map(|value| self.params.l2 * value).collect();
        gradient[self.width] = 0.0;
        self.each_row(|entries, weight, target| {
            let probability = sigmoid(dot(entries, beta));
            let slope = weight * (probability - f64::from(target));
            entries.iter().for_each(|&(place, value)| gradient[place] += slope * value);
            add_outer(&mut hessian, entries, weight * (probability * (1.0 - probability)).max(1e-10));
        });
        (hessian, gradient)
    }

    fn bounded(&self, n_classes: usize, on_step: &mut impl FnMut(usize)) -> Result<(Vec<Vec<f64>>, usize), FitError> {
        let factor = self.bound()?;
        let mut beta = vec![vec![0.0; self.width + 1]; n_classes];
        for iteration in 1..=self.params.iterations_max {
            let mut gradients: Vec<Vec<f64>> = beta
                .iter()
                .map(|beta| {
                    let mut gradient: Vec<f64> = beta.iter().map(|value| self.params.l2 * value).collect();
                    gradient[self.width] = 0.0;
                    gradient
                })
                .collect();
            let mut scores = vec![0.0; n_classes];
            self.each_row(|entries, weight, target| {
                scores.iter_mut().zip(&beta).for_each(|(score, beta)| *score = dot(entries, beta));
                softmax(&mut scores);
                for (class, gradient) in gradients.iter_mut().enumerate() {
                    let is_class = f64::from(u8::from(class_of(target) == class));
                    let slope = weight * (scores[class] - is_class);
                    entries.iter().for_each(|&(place, value)| gradient[place] += slope * value);
                }
            });
            let mut most = 0.0_f64;
            for (beta, gradient) in beta.iter_mut().zip(&mut gradients) {
                factor.solve(gradient);
                let next: Vec<f64> = beta.iter().zip(&*gradient).map(|(beta, step)| beta - step).collect();
                most = most.max(moved(beta, &next));
                *beta = next;
            }
            on_step(iteration);
            if most < self.params.tolerance {
                return Ok((beta, iteration));
            }
        }
        Ok((beta, self.params.iterations_max))
    }

    /// A factor of `X^T W X / 2 + l2`, which bounds each class's block of the Hessian.
    fn bound(&self) -> Result<Cholesky, FitError> {
        let mut matrix = self.penalty();
        self.each_row(|entries, weight, _| add_outer(&mut matrix, entries, 0.5 * weight));
        matrix.cholesky().ok_or(FitError::Singular)
    }
}

fn add_outer(matrix: &mut Symmetric, entries: &[(usize, f64)], weight: f64) {
    for (place, &(a, x)) in entries.iter().enumerate() {
        let scaled = weight * x;
        entries[..=place].iter().for_each(|&(b, y)| matrix.add(a, b, scaled * y));
    }
}

fn dot(entries: &[(usize, f64)], beta: &[f64]) -> f64 {
    entries.iter().map(|&(place, value)| beta[place] * value).sum()
}

/// The largest change of a coefficient.
fn moved(before: &[f64], after: &[f64]) -> f64 {
    before.iter().zip(after).map(|(before, after)| (after - before).abs()).fold(0.0, f64::max)
}

impl LinearModel {
    #[expect(clippy::cast_possible_truncation, reason = "the exported coefficients have 32 bits")]
    fn new(objective: Objective, encodings: Vec<Encoding>, beta: &[Vec<f64>], n_iterations: usize) -> Self {
        let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let split = |beta: &Vec<f64>| beta.split_last().map(|(&last, rest)| (narrow(rest), last as f32));
        let (coefficients, intercepts) = beta.iter().filter_map(split).unzip();
        Self { objective, encodings, coefficients, intercepts, n_iterations }
    }

    /// Predictions for `rows`, row-major `[n_rows, n_outputs]`: a probability a class, or one value.
    #[expect(clippy::cast_possible_truncation, reason = "predictions have 32 bits")]
    pub fn predict(&self, table: &Table, rows: &[u32]) -> Vec<f32> {
        let design = Design::new(&self.encodings, table);
        let mut predictions = Vec::with_capacity(rows.len() * self.objective.n_outputs());
        let mut entries = Vec::new();
        for &row in rows {
            design.row(row, &mut entries);
            let score = |(coefficients, &intercept): (&Vec<f32>, &f32)| {
                let terms = entries.iter().map(|&(place, value)| f64::from(coefficients[place]) * value);
                f64::from(intercept) + terms.sum::<f64>()
            };
            let mut scores: Vec<f64> = self.coefficients.iter().zip(&self.intercepts).map(score).collect();
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
        predictions
    }
}

#[cfg(test)]
mod tests;
