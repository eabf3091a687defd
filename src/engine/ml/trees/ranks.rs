//! Small trees over blocks of rows, in bytes instead of floats.
//!
//! A forest asks little of a value: how many of the thresholds on its column are below it. That rank, found once a row,
//! serves every branch, and in a column of 255 thresholds it is one byte. A tree is then computed without walking: every
//! branch, parents first, is put to all rows of the block at once, 32 and more to a vector register:
//!
//! - the leaves are numbered from the passing side to the failing one, and a row stands at the first leaf that it may still
//!   reach, at the beginning leaf 0;
//! - a branch moves the rows that stand at its first leaf and fail its test to the first leaf of its failing side.
//!
//! What QuickScorer (Lucchese et al., SIGIR 2015) does with bit vectors for one row, without their 64 leaves a word. The
//! cost does not depend on the values, and grows with the branches of a tree instead of its depth: larger trees are walked.

use super::lanes::{BLOCK, Branch, Bytes, RANKS, Scale, leaves, signed};
use super::lower::{Column, Lowered, Step};
use super::real::Real;

/// Leaves of a tree that is computed so.
const LEAVES_MAX: usize = 256;

/// A tree's branches, parents first, and its leaves' payloads.
#[derive(Debug)]
struct Tree<T> {
    branches: Box<[Branch]>,
    payloads: Box<[T]>,
}

/// The thresholds on a column.
#[derive(Debug)]
struct Thresholds<T> {
    column: Column,
    /// From the smallest on, without repetition.
    values: Vec<T>,
    /// The first of its columns of bytes.
    bytes: usize,
}

/// The small trees of a forest.
#[derive(Debug)]
pub(super) struct Ranks<T> {
    /// `None` for a tree that is walked.
    trees: Vec<Option<Tree<T>>>,
    /// What each column of bytes is the rank of, and on which scale.
    scales: Vec<(Column, Scale<T>)>,
}

/// A branch whose threshold has no rank yet.
struct Raw<T> {
    column: u32,
    threshold: T,
    first: u8,
    failing: u8,
}

impl<T: Real> Ranks<T> {
    /// `payloads` are those of the leaves.
    pub(super) fn new(lowered: &Lowered<T>, payloads: &[T]) -> Self {
        let n_leaves = n_leaves(lowered);
        let expanded = |&root: &u32| {
            let is_small = n_leaves[root as usize] <= LEAVES_MAX;
            is_small.then(|| expand(lowered, &n_leaves, root))
        };
        let raw: Vec<_> = lowered.roots.iter().map(expanded).collect();
        let mut thresholds = vec![Vec::new(); lowered.columns.len()];
        for branch in raw.iter().flatten().flat_map(|(branches, _)| branches) {
            thresholds[branch.column as usize].push(branch.threshold);
        }
        let mut columns = Vec::new();
        let mut n_bytes = 0;
        for (&column, mut values) in lowered.columns.iter().zip(thresholds) {
            values.sort_by(T::order);
            values.dedup();
            let bytes = n_bytes;
            n_bytes += values.len().div_ceil(RANKS);
            columns.push(Thresholds { column, values, bytes });
        }
        if u16::try_from(n_bytes).is_err() {
            return Self { trees: raw.iter().map(|_| None).collect(), scales: Vec::new() };
        }
        let tree = |(branches, leaves): (Vec<Raw<T>>, Vec<u32>)| Tree {
            branches: branches.iter().map(|branch| columns[branch.column as usize].branch(branch)).collect(),
            payloads: leaves.iter().map(|&leaf| payloads[leaf as usize]).collect(),
        };
        let trees = raw.into_iter().map(|raw| raw.map(tree)).collect();
        let scales = columns.iter().flat_map(|of| of.values.chunks(RANKS).map(|part| (of.column, Scale::new(part))));
        Self { trees, scales: scales.collect() }
    }

    pub(super) fn has(&self, tree: usize) -> bool {
        self.trees[tree].is_some()
    }

    /// How many columns of bytes a block needs.
    pub(super) fn n_bytes(&self) -> usize {
        self.scales.len()
    }

    /// The ranks of the values of `rows` (`[n_rows, n_features]`, at most [`BLOCK`] rows).
    pub(super) fn rank(&self, rows: &[T], n_features: usize, bytes: &mut [Bytes]) {
        let mut values = [T::default(); BLOCK];
        let mut filled = None;
        for ((column, scale), bytes) in self.scales.iter().zip(bytes) {
            // The parts of a long scale follow each other.
            if filled.replace(*column) != Some(*column) {
                for (value, row) in values.iter_mut().zip(rows.chunks_exact(n_features)) {
                    *value = column.value(row);
                }
            }
            scale.rank(&values, bytes);
        }
    }

    /// The payloads that the rows of a block end at in `tree`, of which [`has`](Self::has) says that it is there.
    pub(super) fn block(&self, tree: usize, bytes: &[Bytes], payloads: &mut [T]) {
        let Some(tree) = &self.trees[tree] else { return };
        for (payload, &leaf) in payloads.iter_mut().zip(&leaves(&tree.branches, bytes)) {
            *payload = tree.payloads[usize::from(leaf)];
        }
    }
}

impl<T: Real> Thresholds<T> {
    #[expect(clippy::cast_possible_truncation, reason = "there are fewer than 2^16 columns of bytes")]
    fn branch(&self, raw: &Raw<T>) -> Branch {
        let place = self.values.partition_point(|&threshold| threshold < raw.threshold);
        Branch {
            column: (self.bytes + place / RANKS) as u16,
            rank: signed(place % RANKS),
            first: raw.first,
            failing: raw.failing,
        }
    }
}

/// The leaves below each step, counted as often as they are reached.
fn n_leaves<T>(lowered: &Lowered<T>) -> Vec<usize> {
    let mut n_leaves: Vec<usize> = Vec::with_capacity(lowered.steps.len());
    for step in &lowered.steps {
        n_leaves.push(match step {
            Step::Leaf(_) => 1,
            Step::Branch(branch) => n_leaves[branch.pass as usize].saturating_add(n_leaves[branch.fail as usize]),
        });
    }
    n_leaves
}

/// The branches of a tree of at most [`LEAVES_MAX`] leaves, parents first, and its leaves.
#[expect(clippy::cast_possible_truncation, reason = "at most 256 leaves")]
fn expand<T: Real>(lowered: &Lowered<T>, n_leaves: &[usize], root: u32) -> (Vec<Raw<T>>, Vec<u32>) {
    let (mut branches, mut leaves) = (Vec::new(), Vec::new());
    let mut stack = vec![(root, 0)];
    while let Some((step, first)) = stack.pop() {
        match lowered.steps[step as usize] {
            // From the passing side to the failing one.
            Step::Leaf(leaf) => leaves.push(leaf),
            Step::Branch(branch) => {
                let failing = first + n_leaves[branch.pass as usize];
                let (column, threshold) = (branch.column, branch.threshold);
                branches.push(Raw { column, threshold, first: first as u8, failing: failing as u8 });
                stack.extend([(branch.fail, failing), (branch.pass, first)]);
            }
        }
    }
    (branches, leaves)
}
