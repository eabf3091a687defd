//! Parameters of the boosted trees.

use serde::{Deserialize, Serialize};

/// `[gbdt]`. Names end in `_max` where they are limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GbdtParams {
    /// Boosting rounds at most; early stopping may end before.
    pub n_trees_max: usize,
    /// What each tree's leaves are multiplied by.
    pub learning_rate: f64,
    /// Leaves of a tree at most.
    pub leaves_max: usize,
    /// Training rows that each leaf holds at least.
    pub min_rows_leaf: usize,
    /// The sum of second derivatives that each leaf holds at least.
    pub min_hessian_leaf: f64,
    /// A split must reduce the loss by at least this.
    pub min_gain: f64,
    /// The L2 penalty on leaf values.
    pub l2: f64,
    /// Bins of a feature at most, the bin of missing values not counted.
    pub bins_max: usize,
    /// Rounds without a better validation loss that end the fit; 0 never ends it.
    pub early_stopping_rounds: usize,
    /// Whether the trees are grown anew from training and validation rows, with the number of rounds that validation chose.
    pub refit: bool,
    /// Rows of the overall mean that each level's mean is mixed with before levels are ranked.
    pub category_smoothing: f64,
}

impl Default for GbdtParams {
    fn default() -> Self {
        Self {
            n_trees_max: 200,
            learning_rate: 0.1,
            leaves_max: 31,
            min_rows_leaf: 20,
            min_hessian_leaf: 1e-3,
            min_gain: 0.0,
            l2: 1.0,
            bins_max: 254,
            early_stopping_rounds: 20,
            refit: true,
            category_smoothing: 20.0,
        }
    }
}

impl GbdtParams {
    /// The first parameter outside what is accepted: its key, what is accepted, what it is.
    pub(crate) fn problem(&self) -> Option<(&'static str, &'static str, String)> {
        let whole = |key, value: usize, min: usize, max: usize, expected| {
            (!(min..=max).contains(&value)).then(|| (key, expected, value.to_string()))
        };
        let real = |key, value: f64, max: f64, expected| {
            (!(0.0..=max).contains(&value)).then(|| (key, expected, value.to_string()))
        };
        whole("gbdt.n_trees_max", self.n_trees_max, 1, 10_000, "1 to 10000")
            .or_else(|| whole("gbdt.leaves_max", self.leaves_max, 2, 1_024, "2 to 1024"))
            .or_else(|| whole("gbdt.min_rows_leaf", self.min_rows_leaf, 1, 1 << 26, "1 or more"))
            .or_else(|| whole("gbdt.bins_max", self.bins_max, 2, 254, "2 to 254"))
            .or_else(|| real("gbdt.min_hessian_leaf", self.min_hessian_leaf, f64::MAX, "0 or more"))
            .or_else(|| real("gbdt.min_gain", self.min_gain, f64::MAX, "0 or more"))
            .or_else(|| real("gbdt.l2", self.l2, f64::MAX, "0 or more"))
            .or_else(|| real("gbdt.category_smoothing", self.category_smoothing, f64::MAX, "0 or more"))
            .or_else(|| real("gbdt.learning_rate", self.learning_rate, 1.0, "above 0, at most 1"))
            .or_else(|| {
                let is_zero = self.learning_rate <= 0.0;
                is_zero.then(|| ("gbdt.learning_rate", "above 0, at most 1", self.learning_rate.to_string()))
            })
    }
}
