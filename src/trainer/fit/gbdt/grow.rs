//! Grows one tree leaf by leaf: the leaf whose best split gains most is split next (best-first, as LightGBM does:
//! <https://papers.nips.cc/paper/6907>). A split costs one histogram, of its smaller child; the other child's is what is
//! left of the parent's.

use std::ops::Range;

use super::GbdtParams;
use super::bins::{Binned, Cuts, MISSING_BIN};
use super::histogram::{Cell, FixedPoint, Sums, fill, subtract};
use super::split::{Best, Bounds, Finder};
use super::tree::{Node, Tree};

/// What stays the same over all trees of a fit.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) binned: &'a Binned,
    pub(super) cuts: &'a [Cuts],
    /// -1, 0 or 1 a feature.
    pub(super) monotone: &'a [i8],
    pub(super) params: &'a GbdtParams,
    pub(super) threads: usize,
}

/// Buffers that trees share, so that a fit allocates once.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    order: Vec<u32>,
    scratch: Vec<u32>,
    histograms: Vec<Vec<Cell>>,
}

/// A node that is no split yet.
struct Leaf {
    node: usize,
    rows: Range<usize>,
    sums: Sums,
    bounds: Bounds,
    value: f32,
    histogram: Option<Vec<Cell>>,
    best: Option<Best>,
}

/// A tree, and the rows of each of its leaves.
pub(super) struct Grown<'b> {
    pub(super) tree: Tree,
    order: &'b [u32],
    leaves: Vec<(f32, Range<usize>)>,
}

impl Grown<'_> {
    /// The value and the rows of each leaf.
    pub(super) fn leaves(&self) -> impl Iterator<Item = (f32, &[u32])> {
        self.leaves.iter().map(|(value, rows)| (*value, &self.order[rows.clone()]))
    }
}

/// Grows a tree on every row of `ground.binned`; `cells` has each row's derivatives.
pub(super) fn grow<'b>(ground: &Ground<'_>, cells: &[Cell], form: FixedPoint, buffers: &'b mut Buffers) -> Grown<'b> {
    let n_rows = u32::try_from(ground.binned.n_rows).unwrap_or(u32::MAX);
    buffers.order.clear();
    buffers.order.extend(0..n_rows);
    buffers.scratch.resize(buffers.order.len(), 0);
    let mut growth = Growth {
        ground,
        cells,
        finder: Finder { form, params: ground.params, monotone: ground.monotone, offsets: &ground.binned.offsets },
        buffers,
        nodes: vec![Node::Leaf { value: 0.0 }],
        leaves: Vec::new(),
    };
    growth.plant();
    while growth.leaves.len() < ground.params.leaves_max {
        let Some(place) = growth.best_leaf() else { break };
        growth.split(place);
    }
    let Growth { buffers, nodes, leaves, .. } = growth;
    let mut ends = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        ends.push((leaf.value, leaf.rows));
        buffers.histograms.extend(leaf.histogram);
    }
    Grown { tree: Tree { nodes }, order: &buffers.order, leaves: ends }
}

struct Growth<'a, 'b> {
    ground: &'a Ground<'a>,
    cells: &'a [Cell],
    finder: Finder<'a>,
    buffers: &'b mut Buffers,
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
}

impl Growth<'_, '_> {
    fn plant(&mut self) {
        let histogram = self.histogram_of(0..self.ground.binned.n_rows);
        let sums = self.finder.total(&histogram);
        let bounds = Bounds::default();
        let rows = 0..self.ground.binned.n_rows;
        let leaf = Leaf { node: 0, rows, sums, bounds, value: 0.0, histogram: Some(histogram), best: None };
        self.add(leaf);
    }

    /// Sets the leaf's value, looks for its best split and adds it to the tree.
    fn add(&mut self, mut leaf: Leaf) {
        leaf.value = self.finder.leaf_value(leaf.sums, leaf.bounds);
        self.nodes[leaf.node] = Node::Leaf { value: leaf.value };
        if let Some(histogram) = &leaf.histogram {
            leaf.best = self.finder.best(histogram, leaf.sums, leaf.bounds);
        }
        self.leaves.push(leaf);
    }

    /// The leaf to split next: most gain, the oldest of equals.
    fn best_leaf(&self) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (place, leaf) in self.leaves.iter().enumerate() {
            if let Some(split) = &leaf.best
                && best.is_none_or(|(_, gain)| gain < split.gain)
            {
                best = Some((place, split.gain));
            }
        }
        best.map(|(place, _)| place)
    }

    fn split(&mut self, place: usize) {
        let leaf = self.leaves.swap_remove(place);
        let (Some(best), Some(mut histogram)) = (leaf.best, leaf.histogram) else { return };
        let middle = leaf.rows.start + self.partition(leaf.rows.clone(), &best);
        let (left_rows, right_rows) = (leaf.rows.start..middle, middle..leaf.rows.end);
        let (left, right) = (self.nodes.len(), self.nodes.len() + 1);
        self.nodes.extend([Node::Leaf { value: 0.0 }; 2]);
        self.nodes[leaf.node] = Node::Split {
            input: best.feature,
            threshold: self.ground.cuts[best.feature].0[usize::from(best.bin) - 1],
            missing_left: best.missing_left,
            left,
            right,
            bin: best.bin,
        };
        let left_is_smaller = left_rows.len() <= right_rows.len();
        let smaller_rows = if left_is_smaller { left_rows.clone() } else { right_rows.clone() };
        let is_last = self.leaves.len() + 2 >= self.ground.params.leaves_max;
        let least = 2 * self.ground.params.min_rows_leaf;
        let larger_len = left_rows.len().max(right_rows.len());
        let (mut small, mut large) = (None, None);
        if is_last || larger_len < least {
            self.buffers.histograms.push(histogram);
        } else {
            let smaller = self.histogram_of(smaller_rows);
            subtract(&mut histogram, &smaller);
            (small, large) = (Some(smaller), Some(histogram));
        }
        let (left_histogram, right_histogram) = if left_is_smaller { (small, large) } else { (large, small) };
        let [left_bounds, right_bounds] = leaf.bounds.children(self.ground.monotone[best.feature], &best);
        for (node, rows, sums, bounds, histogram) in [
            (left, left_rows, best.left, left_bounds, left_histogram),
            (right, right_rows, best.right, right_bounds, right_histogram),
        ] {
            self.add(Leaf { node, rows, sums, bounds, value: 0.0, histogram, best: None });
        }
    }

    /// Moves the rows that go left before the others, keeping their order; gives back how many go left.
    fn partition(&mut self, rows: Range<usize>, best: &Best) -> usize {
        let column = self.ground.binned.column(best.feature);
        let mut goes_left = [false; 256];
        for (bin, left) in goes_left.iter_mut().enumerate() {
            *left = if bin == usize::from(MISSING_BIN) { best.missing_left } else { bin <= usize::from(best.bin) };
        }
        let order = &mut self.buffers.order[rows.clone()];
        let right_rows = &mut self.buffers.scratch[rows];
        let (mut n_left, mut n_right) = (0, 0);
        for place in 0..order.len() {
            let row = order[place];
            let left = usize::from(goes_left[usize::from(column[row as usize])]);
            // Both stores always happen: a branch here would be mispredicted for a third of the rows.
            order[n_left] = row;
            right_rows[n_right] = row;
            n_left += left;
            n_right += 1 - left;
        }
        order[n_left..].copy_from_slice(&right_rows[..n_right]);
        n_left
    }

    fn histogram_of(&mut self, rows: Range<usize>) -> Vec<Cell> {
        let Ground { binned, threads, .. } = self.ground;
        let mut histogram = self.buffers.histograms.pop().unwrap_or_default();
        histogram.resize(binned.n_bins(), Cell::default());
        fill(&mut histogram, binned, &self.buffers.order[rows], self.cells, *threads);
        histogram
    }
}
