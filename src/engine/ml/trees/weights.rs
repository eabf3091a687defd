//! What the leaves add to the scores, in the form that the forest allows.

use super::forest::{Aggregate, Forest, Weight};
use super::lower::{Lowered, narrow};
use super::real::Real;

#[derive(Debug)]
pub(super) enum Weights<T> {
    /// The payload of a leaf itself, for the one target of its tree.
    Payload { targets: Vec<u32>, scored: Vec<bool> },
    /// `[n_leaves, n_targets]`: every row adds something, if it is zero, to every target.
    Table { weights: Vec<T>, scored: Vec<bool> },
    /// Each leaf's list, from its start to the start of the next.
    Lists { starts: Vec<u32>, weights: Vec<(u32, T)>, aggregate: Aggregate },
}

impl<T: Real> Weights<T> {
    /// `leaves` are those of `lowered`, in its order.
    pub(super) fn new(forest: &Forest, lowered: &Lowered<T>, leaves: &[&[Weight]]) -> Self {
        let trees = lowered.leaves_of_trees();
        if matches!(forest.aggregate, Aggregate::Sum | Aggregate::Average) {
            if let Some(targets) = trees.iter().map(|tree| only_target(tree, leaves)).collect::<Option<Vec<u32>>>() {
                let mut scored = vec![false; forest.n_targets];
                targets.iter().for_each(|&target| scored[target as usize] = true);
                return Self::Payload { targets, scored };
            }
            if let Some(scored) = always_scored(&trees, leaves, forest.n_targets) {
                let mut weights = vec![T::default(); leaves.len() * forest.n_targets];
                for (row, leaf) in weights.chunks_exact_mut(forest.n_targets).zip(leaves) {
                    leaf.iter().for_each(|weight| row[weight.target] = T::of(weight.value));
                }
                return Self::Table { weights, scored };
            }
        }
        let mut starts = vec![0];
        let mut weights = Vec::new();
        for leaf in leaves {
            weights.extend(leaf.iter().map(|weight| (narrow(weight.target), T::of(weight.value))));
            starts.push(narrow(weights.len()));
        }
        Self::Lists { starts, weights, aggregate: forest.aggregate }
    }

    /// Which targets some leaf scores, where that is the same for every row.
    pub(super) fn always_scored(&self) -> Option<&[bool]> {
        match self {
            Self::Payload { scored, .. } | Self::Table { scored, .. } => Some(scored),
            Self::Lists { .. } => None,
        }
    }

    /// Adds a leaf, by its number, to row `row` of `n_rows`.
    #[inline]
    pub(super) fn add(&self, leaf: usize, (row, n_rows): (usize, usize), sums: &mut [T], scored: &mut [bool]) {
        match self {
            Self::Payload { .. } => {}
            Self::Table { weights, scored } => {
                let n_targets = scored.len();
                for (target, &weight) in weights[leaf * n_targets..][..n_targets].iter().enumerate() {
                    let sum = &mut sums[target * n_rows + row];
                    *sum = sum.plus(weight);
                }
            }
            Self::Lists { starts, weights, aggregate } => {
                for &(target, weight) in &weights[starts[leaf] as usize..starts[leaf + 1] as usize] {
                    let place = target as usize * n_rows + row;
                    let is_new = !std::mem::replace(&mut scored[place], true);
                    let sum = &mut sums[place];
                    match aggregate {
                        Aggregate::Sum | Aggregate::Average => *sum = sum.plus(weight),
                        Aggregate::Min if is_new || weight < *sum => *sum = weight,
                        Aggregate::Max if is_new || *sum < weight => *sum = weight,
                        Aggregate::Min | Aggregate::Max => {}
                    }
                }
            }
        }
    }
}

/// The target of a tree whose every leaf has one weight, all for that target.
fn only_target(tree: &[u32], leaves: &[&[Weight]]) -> Option<u32> {
    let mut targets = tree.iter().map(|&leaf| match leaves[leaf as usize] {
        [only] => Some(only.target),
        _ => None,
    });
    let first = targets.next()??;
    targets.all(|target| target == Some(first)).then(|| narrow(first))
}

/// Which targets every row scores, all others being scored by none; `None` where some rows score a target and others do
/// not, where a leaf names a target twice, or where a table of all leaves and targets would be mostly empty.
fn always_scored(trees: &[Vec<u32>], leaves: &[&[Weight]], n_targets: usize) -> Option<Vec<bool>> {
    let n_weights: usize = leaves.iter().map(|leaf| leaf.len()).sum();
    if n_weights < leaves.len().checked_mul(n_targets)? / 2 {
        return None;
    }
    let (mut always, mut ever) = (vec![false; n_targets], vec![false; n_targets]);
    let mut seen_by = vec![usize::MAX; n_targets];
    for tree in trees {
        let mut counts = vec![0; n_targets];
        for &leaf in tree {
            for weight in leaves[leaf as usize] {
                if std::mem::replace(&mut seen_by[weight.target], leaf as usize) == leaf as usize {
                    return None;
                }
                ever[weight.target] = true;
                counts[weight.target] += 1;
            }
        }
        always.iter_mut().zip(counts).for_each(|(always, count)| *always |= count == tree.len());
    }
    (always == ever).then_some(ever)
}
