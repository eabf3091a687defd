//! A forest as one flat array, and the walk over it.
//!
//! The two children of a branch lie side by side, so a step is one comparison and one addition. Rows are taken in blocks:
//! each tree is walked by a block's rows before the next tree is fetched.

use std::fmt::Debug;

use super::parse::{Aggregate, Forest, Node, Test};

/// The two float types.
pub(super) trait Real: Copy + Debug + PartialOrd + Default + Send + Sync + 'static {
    fn of(value: f64) -> Self;
    fn single(self) -> f32;
    fn is_missing(self) -> bool;
    fn plus(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    fn minus(self) -> Self;
    /// The largest number below, so that `x < t` is `x <= t.below()`; nothing is below minus infinity.
    fn below(self) -> Self;
}

macro_rules! real {
    ($type:ty) => {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::allow_attributes,
            reason = "thresholds come in this precision"
        )]
        #[allow(clippy::unnecessary_cast, trivial_numeric_casts, reason = "one of the two types casts to itself")]
        impl Real for $type {
            fn of(value: f64) -> Self {
                value as Self
            }
            fn single(self) -> f32 {
                self as f32
            }
            fn is_missing(self) -> bool {
                self.is_nan()
            }
            fn plus(self, other: Self) -> Self {
                self + other
            }
            fn over(self, other: Self) -> Self {
                self / other
            }
            fn minus(self) -> Self {
                -self
            }
            fn below(self) -> Self {
                if self == Self::NEG_INFINITY { Self::NAN } else { self.next_down() }
            }
        }
    };
}

real!(f32);
real!(f64);

/// The scores of one row: `values[target]`, and whether any leaf scored that target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scores<'a, T> {
    pub(super) values: &'a [T],
    pub(super) scored: &'a [bool],
}

const FEATURE: u32 = (1 << 30) - 1;
const NAN_PASSES: u32 = 1 << 30;
const IS_EQUAL: u32 = 1 << 31;
const ROWS_IN_BLOCK: usize = 64;
/// Rows that walk a tree side by side.
const ABREAST: usize = 8;

/// A branch, or a leaf where `child` is 0 (the first root is nobody's child).
#[derive(Debug, Clone, Copy)]
struct Step<T> {
    /// The threshold; the weight in a leaf of a forest with one target.
    value: T,
    /// The feature and the two flags; the leaf's number in a leaf.
    feature: u32,
    /// The child of a row that passes; the other one lies behind it.
    child: u32,
}

#[derive(Debug)]
pub(super) struct Flat<T> {
    steps: Vec<Step<T>>,
    roots: Vec<u32>,
    /// Where each leaf's weights begin; one more at the end.
    leaves: Vec<u32>,
    weights: Vec<(u32, T)>,
    n_targets: usize,
    /// The one target, where each leaf has one weight and all are for that target, and they are summed.
    only_target: Option<usize>,
    /// Whether the plain comparison is enough everywhere.
    is_plain: bool,
    aggregate: Aggregate,
}

#[expect(clippy::cast_possible_truncation, reason = "Forest holds fewer than 2^31 nodes")]
fn narrow(place: usize) -> u32 {
    place as u32
}

impl<T: Real> Flat<T> {
    pub(super) fn new(forest: &Forest) -> Self {
        let mut flat = Self {
            steps: Vec::with_capacity(forest.nodes.len()),
            roots: Vec::with_capacity(forest.trees.len()),
            leaves: vec![0],
            weights: Vec::new(),
            n_targets: forest.n_targets,
            only_target: only_target(forest),
            is_plain: true,
            aggregate: forest.aggregate,
        };
        for &root in &forest.trees {
            let place = flat.steps.len();
            flat.roots.push(narrow(place));
            flat.reserve(1);
            let mut stack = vec![(root, place)];
            while let Some((node, place)) = stack.pop() {
                flat.place(&forest.nodes[node], place, &mut stack);
            }
        }
        flat
    }

    fn reserve(&mut self, n: usize) {
        let empty = Step { value: T::default(), feature: 0, child: 0 };
        self.steps.resize(self.steps.len() + n, empty);
    }

    fn place(&mut self, node: &Node, place: usize, stack: &mut Vec<(usize, usize)>) {
        match node {
            Node::Leaf(weights) => {
                let value = weights.first().map_or(T::default(), |weight| T::of(weight.value));
                self.steps[place] = Step { value, feature: narrow(self.leaves.len() - 1), child: 0 };
                if self.only_target.is_none() {
                    self.weights.extend(weights.iter().map(|weight| (narrow(weight.target), T::of(weight.value))));
                }
                self.leaves.push(narrow(self.weights.len()));
            }
            Node::Branch { feature, threshold, test, nan_passes, pass, fail } => {
                let child = self.steps.len();
                self.reserve(2);
                let threshold = T::of(*threshold);
                let value = if *test == Test::Less { threshold.below() } else { threshold };
                let equal = if *test == Test::Equal { IS_EQUAL } else { 0 };
                let nan = if *nan_passes { NAN_PASSES } else { 0 };
                self.is_plain &= (equal | nan) == 0;
                self.steps[place] = Step { value, feature: feature | equal | nan, child: narrow(child) };
                // The passing child is taken from the stack first and so lies nearer.
                stack.extend([(*fail, child + 1), (*pass, child)]);
            }
        }
    }

    /// Where `row` goes from `step`, a branch.
    #[inline(always)]
    fn next<const PLAIN: bool>(step: Step<T>, value: T) -> usize {
        let mut pass = value <= step.value;
        if !PLAIN {
            // Without jumps: the processor cannot guess them here.
            let is_equal = step.feature & IS_EQUAL != 0;
            pass &= !is_equal | (step.value <= value);
            pass |= value.is_missing() & (step.feature & NAN_PASSES != 0);
        }
        step.child as usize + usize::from(!pass)
    }

    /// The leaf that `row` reaches.
    #[inline(always)]
    fn leaf<const PLAIN: bool>(&self, root: u32, row: &[T]) -> Step<T> {
        let mut step = self.steps[root as usize];
        while step.child != 0 {
            step = self.steps[Self::next::<PLAIN>(step, row[(step.feature & FEATURE) as usize])];
        }
        step
    }

    /// The leaves that rows reach, all going one step at a time, so that one need not wait for the memory of another.
    #[inline(always)]
    fn leaves<const PLAIN: bool>(&self, root: u32, rows: [&[T]; ABREAST]) -> [Step<T>; ABREAST] {
        let mut places = [root as usize; ABREAST];
        let mut steps = [self.steps[root as usize]; ABREAST];
        loop {
            let mut open = 0;
            for ((row, step), place) in rows.iter().zip(&mut steps).zip(&mut places) {
                // A row that has arrived stays, by a choice instead of a jump.
                let is_branch = step.child != 0;
                let feature = if is_branch { step.feature & FEATURE } else { 0 };
                let next = Self::next::<PLAIN>(*step, row[feature as usize]);
                *place = if is_branch { next } else { *place };
                open |= step.child;
                *step = self.steps[*place];
            }
            if open == 0 {
                return steps;
            }
        }
    }

    /// Calls `reached` with the place of every row of `block` and its leaf.
    #[inline(always)]
    fn walk<const PLAIN: bool>(
        &self,
        root: u32,
        block: &[T],
        n_features: usize,
        mut reached: impl FnMut(usize, Step<T>),
    ) {
        let groups = block.chunks_exact(n_features * ABREAST);
        let rest = groups.remainder();
        let mut place = 0;
        for group in groups {
            let rows = std::array::from_fn(|row| &group[row * n_features..(row + 1) * n_features]);
            for leaf in self.leaves::<PLAIN>(root, rows) {
                reached(place, leaf);
                place += 1;
            }
        }
        for row in rest.chunks_exact(n_features) {
            reached(place, self.leaf::<PLAIN>(root, row));
            place += 1;
        }
    }

    /// Calls `finish` with the scores of every row of `rows` (`[n_rows, n_features]`), in order.
    pub(super) fn each_row(&self, rows: &[T], n_features: usize, mut finish: impl FnMut(Scores<'_, T>)) {
        for block in rows.chunks(ROWS_IN_BLOCK * n_features) {
            match (self.only_target, self.is_plain) {
                (Some(target), true) => self.sum_block::<true>(block, n_features, target, &mut finish),
                (Some(target), false) => self.sum_block::<false>(block, n_features, target, &mut finish),
                (None, true) => self.block::<true>(block, n_features, &mut finish),
                (None, false) => self.block::<false>(block, n_features, &mut finish),
            }
        }
    }

    fn sum_block<const PLAIN: bool>(
        &self,
        block: &[T],
        n_features: usize,
        target: usize,
        finish: &mut impl FnMut(Scores<'_, T>),
    ) {
        let mut sums = [T::default(); ROWS_IN_BLOCK];
        for &root in &self.roots {
            self.walk::<PLAIN>(root, block, n_features, |row, leaf| sums[row] = sums[row].plus(leaf.value));
        }
        let mut values = vec![T::default(); self.n_targets];
        let mut scored = vec![false; self.n_targets];
        scored[target] = true;
        for sum in &sums[..block.len() / n_features] {
            values[target] = *sum;
            finish(Scores { values: &values, scored: &scored });
        }
    }

    fn block<const PLAIN: bool>(&self, block: &[T], n_features: usize, finish: &mut impl FnMut(Scores<'_, T>)) {
        let n_rows = block.len() / n_features;
        let mut values = vec![T::default(); n_rows * self.n_targets];
        let mut scored = vec![false; n_rows * self.n_targets];
        let aggregate = self.aggregate;
        for &root in &self.roots {
            self.walk::<PLAIN>(root, block, n_features, |row, leaf| {
                let leaf = leaf.feature as usize;
                let (start, end) = (self.leaves[leaf] as usize, self.leaves[leaf + 1] as usize);
                for &(target, weight) in &self.weights[start..end] {
                    let slot = row * self.n_targets + target as usize;
                    let replaces = match aggregate {
                        Aggregate::Sum | Aggregate::Average => {
                            values[slot] = values[slot].plus(weight);
                            false
                        }
                        Aggregate::Min => !scored[slot] || weight < values[slot],
                        Aggregate::Max => !scored[slot] || values[slot] < weight,
                    };
                    if replaces {
                        values[slot] = weight;
                    }
                    scored[slot] = true;
                }
            });
        }
        for (values, scored) in values.chunks_exact(self.n_targets).zip(scored.chunks_exact(self.n_targets)) {
            finish(Scores { values, scored });
        }
    }
}

fn only_target(forest: &Forest) -> Option<usize> {
    let first = forest.weights().next()?.target;
    let fits = |node: &Node| match node {
        Node::Leaf(weights) => matches!(weights.as_slice(), [only] if only.target == first),
        Node::Branch { .. } => true,
    };
    let is_sum = matches!(forest.aggregate, Aggregate::Sum | Aggregate::Average);
    (is_sum && forest.nodes.iter().all(fits)).then_some(first)
}
