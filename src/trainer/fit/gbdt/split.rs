//! Finds the best split of a leaf.
//!
//! With sums `G` and `H` of first and second derivatives, a leaf's best value is `-G / (H + l2)` and reduces the loss by
//! `G^2 / (H + l2)` (half of it; the factor is left out as in XGBoost, <https://arxiv.org/abs/1603.02754>, eq. 6 and 7).

use super::GbdtParams;
use super::histogram::{Cell, FixedPoint, Sums};

/// A split: bins up to `bin` go left, missing values where `missing_left` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Best {
    pub(super) gain: f64,
    pub(super) feature: usize,
    pub(super) bin: u8,
    pub(super) missing_left: bool,
    pub(super) left: Sums,
    pub(super) right: Sums,
    /// Between the children's values, before the learning rate.
    pub(super) middle: f64,
}

/// Between which values a leaf must stay, before the learning rate, so that constrained features stay monotone (LightGBM's
/// "basic" method: below a split on such a feature, all of the lower side stays under the middle of both sides).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    low: f64,
    high: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { low: f64::NEG_INFINITY, high: f64::INFINITY }
    }
}

impl Bounds {
    /// The bounds of the left and the right child of `split`, whose feature has constraint `monotone`.
    pub(super) fn children(self, monotone: i8, split: &Best) -> [Self; 2] {
        let below = Self { high: split.middle, ..self };
        let above = Self { low: split.middle, ..self };
        match monotone {
            1 => [below, above],
            -1 => [above, below],
            _ => [self, self],
        }
    }
}

/// Looks for splits in histograms of one tree.
pub(super) struct Finder<'a> {
    pub(super) form: FixedPoint,
    pub(super) params: &'a GbdtParams,
    pub(super) monotone: &'a [i8],
    pub(super) offsets: &'a [usize],
}

/// The leaf to split.
#[derive(Clone, Copy)]
struct Leaf {
    bounds: Bounds,
    /// Its score as it is.
    score: f64,
}

impl Finder<'_> {
    /// The sums of all rows: those of the first feature's bins.
    pub(super) fn total(&self, histogram: &[Cell]) -> Sums {
        let end = self.offsets.get(1).copied().unwrap_or(0);
        self.form.sums(histogram[..end].iter().fold(Cell::default(), |sum, &cell| sum.plus(cell)))
    }

    fn raw_value(&self, sums: Sums, bounds: Bounds) -> f64 {
        let curvature = sums.hessian + self.params.l2;
        let value = if curvature > 0.0 { -sums.gradient / curvature } else { 0.0 };
        value.clamp(bounds.low, bounds.high)
    }

    /// What a leaf with these sums adds to the score.
    #[expect(clippy::cast_possible_truncation, reason = "the exported leaf has 32 bits")]
    pub(super) fn leaf_value(&self, sums: Sums, bounds: Bounds) -> f32 {
        (self.params.learning_rate * self.raw_value(sums, bounds)) as f32
    }

    /// Twice the loss that a leaf of this value takes away.
    fn score(&self, sums: Sums, value: f64) -> f64 {
        -(2.0 * sums.gradient * value + (sums.hessian + self.params.l2) * value * value)
    }

    /// The best split of a leaf: of equal ones the first feature's, lowest bin's, with missing values to the right.
    pub(super) fn best(&self, histogram: &[Cell], sums: Sums, bounds: Bounds) -> Option<Best> {
        if sums.n_rows < 2 * self.params.min_rows_leaf {
            return None;
        }
        let leaf = Leaf { bounds, score: self.score(sums, self.raw_value(sums, bounds)) };
        let mut best: Option<Best> = None;
        for feature in 0..self.monotone.len() {
            let bins = &histogram[self.offsets[feature]..self.offsets[feature + 1]];
            self.best_of_feature(feature, bins, leaf, &mut best);
        }
        best
    }

    fn best_of_feature(&self, feature: usize, bins: &[Cell], leaf: Leaf, best: &mut Option<Best>) {
        let Some((&missing, bins)) = bins.split_first() else { return };
        let present = bins.iter().fold(Cell::default(), |sum, &cell| sum.plus(cell));
        let has_missing = missing != Cell::default();
        let monotone = self.monotone[feature];
        let mut left = Cell::default();
        for (bin, &cell) in (1_u8..).zip(bins.iter().take(bins.len().saturating_sub(1))) {
            if cell == Cell::default() {
                continue;
            }
            left = left.plus(cell);
            let right = present.minus(left);
            let least = best.map_or(self.params.min_gain, |best| best.gain);
            if let Some(split) = self.weigh(left, right.plus(missing), leaf, (monotone, least)) {
                // Where training saw no missing value, one goes where more rows went.
                let missing_left = !has_missing && split.right.n_rows <= split.left.n_rows;
                *best = Some(Best { feature, bin, missing_left, ..split });
            }
            if has_missing {
                let least = best.map_or(self.params.min_gain, |best| best.gain);
                if let Some(split) = self.weigh(left.plus(missing), right, leaf, (monotone, least)) {
                    *best = Some(Best { feature, bin, missing_left: true, ..split });
                }
            }
        }
    }

    /// The split into these sides, where it is allowed and gains more than `least`.
    #[inline]
    fn weigh(&self, left: Cell, right: Cell, leaf: Leaf, (monotone, least): (i8, f64)) -> Option<Best> {
        let (left, right) = (self.form.sums(left), self.form.sums(right));
        let GbdtParams { min_rows_leaf, min_hessian_leaf, .. } = self.params;
        if left.n_rows.min(right.n_rows) < *min_rows_leaf || left.hessian.min(right.hessian) < *min_hessian_leaf {
            return None;
        }
        let (left_value, right_value) = (self.raw_value(left, leaf.bounds), self.raw_value(right, leaf.bounds));
        if (monotone == 1 && right_value < left_value) || (monotone == -1 && left_value < right_value) {
            return None;
        }
        let gain = self.score(left, left_value) + self.score(right, right_value) - leaf.score;
        // Less than this is rounding.
        if gain <= least || gain <= 1e-12 * leaf.score.abs() {
            return None;
        }
        let middle = 0.5 * (left_value + right_value);
        Some(Best { gain, feature: 0, bin: 0, missing_left: false, left, right, middle })
    }
}
