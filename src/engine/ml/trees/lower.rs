//! Turns every mode, set and way of missing values into one comparison, `column <= threshold`, at load.
//!
//! What a branch asks of a missing value goes into the column that it reads: a feature has up to four columns, which differ
//! in what stands there for NaN. `x < t` is `x <= the number below t`, `x == t` two comparisons, and a set of values a
//! search tree over its members. Branches may share children, so none of this copies a subtree.

use std::collections::HashMap;

use super::forest::{Forest, Node, Test};
use super::real::Real;

/// What a branch reads: a feature, with NaN replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Column {
    pub(super) feature: u32,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The value itself. The engines compute "is not above", so NaN passes.
    NanPasses,
    /// Infinity for NaN, which is above every threshold but infinity itself.
    NanFails,
    /// One for NaN, zero for numbers.
    IsNan,
    /// Zero for NaN, one for numbers.
    IsNumber,
}

impl Column {
    pub(super) fn value<T: Real>(self, row: &[T]) -> T {
        let value = row[self.feature as usize];
        match self.kind {
            Kind::NanPasses => value,
            Kind::NanFails => {
                if value.is_missing() {
                    T::INFINITY
                } else {
                    value
                }
            }
            Kind::IsNan => {
                if value.is_missing() {
                    T::ONE
                } else {
                    T::default()
                }
            }
            Kind::IsNumber => {
                if value.is_missing() {
                    T::default()
                } else {
                    T::ONE
                }
            }
        }
    }
}

/// A branch, whose children are places in [`Lowered::steps`], or the number of a leaf.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<T> {
    Branch(Branch<T>),
    Leaf(u32),
}

/// Passes where the column's value is not above the threshold, which is never NaN.
#[derive(Debug, Clone, Copy)]
pub(super) struct Branch<T> {
    /// A place in [`Lowered::columns`].
    pub(super) column: u32,
    pub(super) threshold: T,
    pub(super) pass: u32,
    pub(super) fail: u32,
}

/// A forest of one kind of branch.
#[derive(Debug)]
pub(super) struct Lowered<T> {
    /// Each behind its children.
    pub(super) steps: Vec<Step<T>>,
    pub(super) roots: Vec<u32>,
    pub(super) columns: Vec<Column>,
    /// The place in [`Forest::nodes`] of each leaf.
    pub(super) leaves: Vec<usize>,
    column_places: HashMap<Column, u32>,
}

#[expect(clippy::cast_possible_truncation, reason = "a file of 2 GiB, which is the most, holds fewer")]
pub(super) fn narrow(place: usize) -> u32 {
    place as u32
}

impl<T: Real> Lowered<T> {
    pub(super) fn new(forest: &Forest) -> Self {
        let mut lowered = Self {
            steps: Vec::with_capacity(forest.nodes.len()),
            roots: Vec::new(),
            columns: Vec::new(),
            leaves: Vec::new(),
            column_places: HashMap::new(),
        };
        let linked = linked(forest);
        let mut places = vec![0; forest.nodes.len()];
        for (node, of) in forest.nodes.iter().enumerate().rev().filter(|(node, _)| !linked[*node]) {
            places[node] = match of {
                Node::Branch { test: Test::Equal(_), .. } => lowered.chain(forest, node, &linked, &places),
                _ => lowered.lower(node, of, &places),
            };
        }
        lowered.roots = forest.roots.iter().map(|&root| places[root]).collect();
        lowered
    }

    fn lower(&mut self, place: usize, node: &Node, places: &[u32]) -> u32 {
        let Node::Branch { feature, test, nan_passes, pass, fail } = node else {
            self.leaves.push(place);
            return self.push(Step::Leaf(narrow(self.leaves.len() - 1)));
        };
        let children = (places[*pass], places[*fail]);
        match test {
            Test::LessOrEqual(value) => self.compare(*feature, T::of(*value), *nan_passes, children),
            Test::Less(value) => self.compare(*feature, T::of(*value).below(), *nan_passes, children),
            Test::Member(values) => self.member(*feature, values, *nan_passes, children),
            Test::Equal(value) => self.member(*feature, &[*value], *nan_passes, children),
        }
    }

    /// One branch for the "equal" node `first` and those linked to it.
    fn chain(&mut self, forest: &Forest, first: usize, linked: &[bool], places: &[u32]) -> u32 {
        let mut values = Vec::new();
        let mut place = first;
        loop {
            let node = &forest.nodes[place];
            let Node::Branch { feature, test: Test::Equal(value), nan_passes, pass, fail } = node else {
                return places[place];
            };
            values.push(*value);
            if !linked[*fail] {
                return self.member(*feature, &values, *nan_passes, (places[*pass], places[*fail]));
            }
            place = *fail;
        }
    }

    /// The leaves of each tree, each once.
    pub(super) fn leaves_of_trees(&self) -> Vec<Vec<u32>> {
        let mut seen = vec![false; self.steps.len()];
        let leaves_of = |&root: &u32| {
            let (mut stack, mut leaves, mut met) = (vec![root], Vec::new(), Vec::new());
            while let Some(step) = stack.pop() {
                if std::mem::replace(&mut seen[step as usize], true) {
                    continue;
                }
                met.push(step);
                match &self.steps[step as usize] {
                    Step::Leaf(leaf) => leaves.push(*leaf),
                    Step::Branch(branch) => stack.extend([branch.fail, branch.pass]),
                }
            }
            // Trees of ai.onnx.ml 5 may share branches.
            met.iter().for_each(|&step| seen[step as usize] = false);
            leaves
        };
        self.roots.iter().map(leaves_of).collect()
    }

    /// A branch on `x <= threshold`, or the child that all rows go to.
    fn compare(&mut self, feature: u32, threshold: T, nan_passes: bool, (pass, fail): (u32, u32)) -> u32 {
        let (kind, threshold) = match (nan_passes, threshold) {
            // No number passes.
            (true, value) if value.is_missing() => (Kind::IsNumber, T::default()),
            (false, value) if value.is_missing() => return fail,
            // Every number passes.
            (true, value) if value == T::INFINITY => return pass,
            (false, value) if value == T::INFINITY => (Kind::IsNan, T::default()),
            (true, value) => (Kind::NanPasses, value),
            (false, value) => (Kind::NanFails, value),
        };
        if pass == fail {
            return pass;
        }
        let column = Column { feature, kind };
        let next = narrow(self.columns.len());
        let column = *self.column_places.entry(column).or_insert_with(|| {
            self.columns.push(column);
            next
        });
        // One zero, not two, so that equal thresholds have equal bits.
        let threshold = threshold.plus(T::default());
        self.push(Step::Branch(Branch { column, threshold, pass, fail }))
    }

    /// A branch on `x` being one of `values`.
    fn member(&mut self, feature: u32, values: &[f64], nan_passes: bool, (pass, fail): (u32, u32)) -> u32 {
        let mut values: Vec<T> = values.iter().map(|&value| T::of(value).plus(T::default())).collect();
        values.retain(|value| !value.is_missing());
        values.sort_by(T::order);
        values.dedup();
        // The bounds of the stretches of numbers that are in the set and that are not, by turns.
        let mut bounds: Vec<T> = Vec::with_capacity(2 * values.len());
        let starts_inside = values.first().is_some_and(|first| first.below().is_missing());
        for value in values {
            let below = value.below();
            if bounds.last() == Some(&below) {
                bounds.pop();
            } else if !below.is_missing() {
                bounds.push(below);
            }
            bounds.push(value);
        }
        let inside = self.search(feature, &bounds, starts_inside, (pass, fail));
        // NaN lands in the first stretch.
        match (nan_passes, starts_inside) {
            (true, false) => self.compare(feature, T::NAN, true, (pass, inside)),
            (false, true) => self.compare(feature, T::INFINITY, false, (inside, fail)),
            _ => inside,
        }
    }

    /// A search tree over `bounds`, as deep as the logarithm of their number.
    fn search(&mut self, feature: u32, bounds: &[T], is_inside: bool, children: (u32, u32)) -> u32 {
        let middle = bounds.len() / 2;
        let Some(&bound) = bounds.get(middle) else { return if is_inside { children.0 } else { children.1 } };
        let low = self.search(feature, &bounds[..middle], is_inside, children);
        let is_inside = is_inside == (middle % 2 == 1);
        let high = self.search(feature, &bounds[middle + 1..], is_inside, children);
        self.compare(feature, bound, true, (low, high))
    }

    fn push(&mut self, step: Step<T>) -> u32 {
        self.steps.push(step);
        narrow(self.steps.len() - 1)
    }
}

/// The nodes that only go on with the list of values of the node before: files of before ai.onnx.ml 5 write "one of these
/// values" as a run of "equal" nodes with one and the same passing child.
fn linked(forest: &Forest) -> Vec<bool> {
    let mut n_parents = vec![0_usize; forest.nodes.len()];
    forest.roots.iter().for_each(|&root| n_parents[root] += 1);
    for node in &forest.nodes {
        if let Node::Branch { pass, fail, .. } = *node {
            n_parents[pass] += 1;
            n_parents[fail] += 1;
        }
    }
    let mut linked = vec![false; forest.nodes.len()];
    for node in &forest.nodes {
        let Node::Branch { feature, test: Test::Equal(_), nan_passes, pass, fail } = node else { continue };
        let Node::Branch { feature: of, test: Test::Equal(_), nan_passes: nans, pass: to, .. } = &forest.nodes[*fail]
        else {
            continue;
        };
        linked[*fail] = (feature, nan_passes, pass) == (of, nans, to) && n_parents[*fail] == 1;
    }
    linked
}
