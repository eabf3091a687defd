//! A forest made ready for one precision, and the sums of its trees over rows.
//!
//! Which way a leaf is found changes nothing: every row gets the weights of its leaves summed in the order of the trees,
//! alone as in any batch.

use super::forest::{Forest, Node, Weight};
use super::lanes::{BLOCK, Bytes};
use super::lower::{Column, Lowered, narrow};
use super::ranks::Ranks;
use super::real::{Real, Scores};
use super::walk::{ABREAST, Place, Walk};
use super::weights::Weights;

/// Fewer rows than these are walked, whatever the trees: a block costs the same for one row as for all.
const RANKED_ROWS_MIN: usize = 32;

#[derive(Debug)]
pub(super) struct Ensemble<T> {
    columns: Vec<Column>,
    walk: AnyWalk<T>,
    ranks: Ranks<T>,
    weights: Weights<T>,
    n_trees: usize,
    n_targets: usize,
}

/// Slots of half the size where columns and trees are few enough.
#[derive(Debug)]
enum AnyWalk<T> {
    Narrow(Walk<T, i16>),
    Wide(Walk<T, i32>),
}

/// What a run computes in.
#[derive(Debug, Default)]
struct Scratch<T> {
    /// `[n_rows, n_columns + 1]`: NaN, then the columns.
    columns: Vec<T>,
    bytes: Vec<Bytes>,
    /// `[n_targets, n_rows]`, and whether a leaf has scored it.
    sums: Vec<T>,
    scored: Vec<bool>,
}

impl<T: Real> Ensemble<T> {
    /// `None` where a tree has so many nodes that 31 bits do not tell them apart.
    pub(super) fn new(forest: &Forest) -> Option<Self> {
        let lowered = Lowered::<T>::new(forest);
        let leaves: Vec<&[Weight]> = lowered.leaves.iter().map(|&place| weights_of(&forest.nodes[place])).collect();
        let weights = Weights::new(forest, &lowered, &leaves);
        let payloads: Vec<T> = match weights {
            Weights::Payload { .. } => {
                leaves.iter().map(|of| of.first().map_or(T::default(), |w| T::of(w.value))).collect()
            }
            _ => (0..leaves.len()).map(|leaf| T::of_place(narrow(leaf))).collect(),
        };
        let walk = Walk::new(&lowered, &payloads).map(AnyWalk::Narrow);
        let walk = walk.or_else(|| Walk::new(&lowered, &payloads).map(AnyWalk::Wide))?;
        let (ranks, n_trees) = (Ranks::new(&lowered, &payloads), lowered.roots.len());
        Some(Self { columns: lowered.columns, walk, ranks, weights, n_trees, n_targets: forest.n_targets })
    }

    /// Calls `finish` with the scores of every row of `rows` (`[n_rows, n_features]`), in order.
    pub(super) fn each_row(&self, rows: &[T], n_features: usize, mut finish: impl FnMut(Scores<'_, T>)) {
        let mut scratch = Scratch::default();
        let mut values = vec![T::default(); self.n_targets];
        let mut flags = self.weights.always_scored().map_or_else(|| vec![false; self.n_targets], <[bool]>::to_vec);
        for block in rows.chunks(BLOCK * n_features) {
            let n_rows = block.len() / n_features;
            scratch.sums.clear();
            scratch.sums.resize(n_rows * self.n_targets, T::default());
            match &self.walk {
                AnyWalk::Narrow(walk) => self.sum(walk, block, n_features, &mut scratch),
                AnyWalk::Wide(walk) => self.sum(walk, block, n_features, &mut scratch),
            }
            for row in 0..n_rows {
                for (target, value) in values.iter_mut().enumerate() {
                    *value = scratch.sums[target * n_rows + row];
                }
                if self.weights.always_scored().is_none() {
                    for (target, flag) in flags.iter_mut().enumerate() {
                        *flag = scratch.scored[target * n_rows + row];
                    }
                }
                finish(Scores { values: &values, scored: &flags });
            }
        }
    }

    /// Sums over one block of rows.
    fn sum<P: Place>(&self, walk: &Walk<T, P>, block: &[T], n_features: usize, scratch: &mut Scratch<T>) {
        let n_rows = block.len() / n_features;
        let Scratch { columns, bytes, sums, scored } = scratch;
        let is_ranked = self.ranks.n_bytes() != 0 && RANKED_ROWS_MIN <= n_rows;
        if !is_ranked || (0..self.n_trees).any(|tree| !self.ranks.has(tree)) {
            columns.clear();
            for row in block.chunks_exact(n_features) {
                columns.push(T::NAN);
                columns.extend(self.columns.iter().map(|column| column.value(row)));
            }
        }
        if is_ranked {
            bytes.resize(self.ranks.n_bytes(), [0; BLOCK]);
            self.ranks.rank(block, n_features, bytes);
        }
        let find = |add: &mut dyn FnMut(usize, &[T])| {
            let mut payloads = [T::default(); BLOCK];
            let payloads = &mut payloads[..n_rows];
            for tree in 0..self.n_trees {
                if is_ranked && self.ranks.has(tree) {
                    self.ranks.block(tree, bytes, payloads);
                } else {
                    walk.block(tree, columns, payloads);
                }
                add(tree, payloads);
            }
        };
        match &self.weights {
            Weights::Payload { targets, .. } if n_rows < ABREAST => {
                for (row, columns) in columns.chunks_exact(self.columns.len() + 1).enumerate() {
                    walk.row(columns, |tree, payload| {
                        let sum = &mut sums[targets[tree] as usize * n_rows + row];
                        *sum = sum.plus(payload);
                    });
                }
            }
            Weights::Payload { targets, .. } => find(&mut |tree, payloads| {
                let start = targets[tree] as usize * n_rows;
                for (sum, &payload) in sums[start..start + n_rows].iter_mut().zip(payloads) {
                    *sum = sum.plus(payload);
                }
            }),
            weights => {
                scored.clear();
                scored.resize(sums.len(), false);
                if n_rows < ABREAST {
                    for (row, columns) in columns.chunks_exact(self.columns.len() + 1).enumerate() {
                        walk.row(columns, |_, payload| weights.add(payload.place(), (row, n_rows), sums, scored));
                    }
                } else {
                    find(&mut |_, payloads| {
                        for (row, payload) in payloads.iter().enumerate() {
                            weights.add(payload.place(), (row, n_rows), sums, scored);
                        }
                    });
                }
            }
        }
    }
}

fn weights_of(node: &Node) -> &[Weight] {
    match node {
        Node::Leaf(weights) => weights,
        Node::Branch { .. } => &[],
    }
}
