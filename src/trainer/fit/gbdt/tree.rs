//! Regression trees, as they are exported.

use super::bins::{Binned, MISSING_BIN};

/// A node: a split, or a leaf. Node 0 is the root; children come after their parents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    /// Values at most `threshold` go left; missing values go where `missing_left` says.
    Split {
        /// The place among [`super::GbdtModel::inputs`].
        input: usize,
        /// Finite.
        threshold: f32,
        /// Where missing values go.
        missing_left: bool,
        /// The left child.
        left: usize,
        /// The right child.
        right: usize,
        /// The last bin that goes left.
        bin: u8,
    },
    /// What the tree adds to the score.
    Leaf {
        /// The addend.
        value: f32,
    },
}

/// A tree with at least one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The nodes, root first.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// What the tree adds for a row; `value(input)` is the row's encoded value, NaN where it is missing.
    pub fn leaf(&self, value: impl Fn(usize) -> f32) -> f32 {
        self.walk(|input, threshold, _, missing_left| {
            let value = value(input);
            if value.is_nan() { missing_left } else { value <= threshold }
        })
    }

    /// What the tree adds for row `row` of `binned`.
    pub(super) fn leaf_binned(&self, binned: &Binned, row: usize) -> f32 {
        let bins = &binned.rows[row * binned.n_features..(row + 1) * binned.n_features];
        self.walk(|input, _, last_left, missing_left| {
            let bin = bins[input];
            if bin == MISSING_BIN { missing_left } else { bin <= last_left }
        })
    }

    #[inline]
    fn walk(&self, goes_left: impl Fn(usize, f32, u8, bool) -> bool) -> f32 {
        let mut place = 0;
        loop {
            match self.nodes.get(place) {
                Some(&Node::Split { input, threshold, missing_left, left, right, bin }) => {
                    place = if goes_left(input, threshold, bin, missing_left) { left } else { right };
                }
                Some(&Node::Leaf { value }) => return value,
                None => return 0.0,
            }
        }
    }
}
