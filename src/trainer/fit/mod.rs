//! Algorithms that learn from a table: boosted trees and linear models.

pub mod gbdt;
pub mod linear;

use std::fmt;
use std::str::FromStr;

pub use gbdt::{GbdtModel, GbdtParams};
pub use linear::{LinearModel, LinearParams};

use serde::{Deserialize, Serialize};

use super::data::Table;
use gbdt::objective::class_of;

/// What can be fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Boosted trees.
    Gbdt,
    /// Ridge or logistic regression.
    Linear,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected gbdt or linear")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Gbdt, Self::Linear].into_iter().find(|known| known.as_str() == text).ok_or(UnknownAlgorithm)
    }
}

impl Algorithm {
    /// The name in pipelines and manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gbdt => "gbdt",
            Self::Linear => "linear",
        }
    }
}

/// What is predicted, and so the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// The probability of the second of two classes: logistic loss.
    Binary,
    /// A probability a class: cross-entropy of a softmax.
    Multiclass {
        /// Two or more.
        n_classes: usize,
    },
    /// A number: squared error.
    Squared,
}

impl Objective {
    /// Predictions a row: classes, or 1.
    pub fn n_outputs(self) -> usize {
        match self {
            Self::Squared => 1,
            Self::Binary => 2,
            Self::Multiclass { n_classes } => n_classes,
        }
    }
}

/// What to learn from which rows.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The data.
    pub table: &'a Table,
    /// What is predicted.
    pub objective: Objective,
    /// -1, 0 or 1 a feature.
    pub monotone: &'a [i8],
    /// The rows to learn from.
    pub train: &'a [u32],
    /// The rows that stop the fit early; may be empty.
    pub validation: &'a [u32],
    /// Threads; the result does not depend on them.
    pub threads: usize,
}

/// Why nothing can be learned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// There are too few rows.
    #[error("expected at least {min} training rows with a weight, got {got}; check [split]")]
    TooFewRows {
        /// The least number.
        min: usize,
        /// The number there is.
        got: usize,
    },
    /// All rows have one label.
    #[error("every training row has the label {label:?}; a classifier needs two classes or more")]
    OneClass {
        /// The label.
        label: String,
    },
    /// A class has no rows.
    #[error("no training row has the label {label:?}; leave it out of [classes] or train on more data")]
    NoRows {
        /// The label.
        label: String,
    },
    /// The number of classes does not fit the task.
    #[error("expected {expected} classes, got {got}")]
    Classes {
        /// What the task needs.
        expected: String,
        /// The label values there are.
        got: usize,
    },
    /// The normal equations have no unique solution.
    #[error("the linear model has no unique solution; set linear.l2 above 0")]
    Singular,
}

impl Problem<'_> {
    /// Checks that there is something to learn.
    pub(crate) fn check(&self) -> Result<(), FitError> {
        let n_weighted = self.train.iter().filter(|&&row| self.table.weight(row as usize) > 0.0).count();
        if n_weighted < 2 {
            return Err(FitError::TooFewRows { min: 2, got: n_weighted });
        }
        if self.objective == Objective::Squared {
            return Ok(());
        }
        let mut counts = vec![0_usize; self.objective.n_outputs()];
        for &row in self.train {
            let row = row as usize;
            if let Some(count) = counts.get_mut(class_of(self.table.target[row])) {
                *count += usize::from(self.table.weight(row) > 0.0);
            }
        }
        let label = |class: usize| self.table.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
        if let Some(class) = counts.iter().position(|&count| count == n_weighted) {
            return Err(FitError::OneClass { label: label(class) });
        }
        let empty = counts.iter().position(|&count| count == 0);
        empty.map_or(Ok(()), |class| Err(FitError::NoRows { label: label(class) }))
    }
}

/// A fitted model of either algorithm.
#[derive(Debug, Clone, PartialEq)]
pub enum Fitted {
    /// Boosted trees.
    Gbdt(GbdtModel),
    /// A linear model.
    Linear(LinearModel),
}

impl Fitted {
    /// Which algorithm it is.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Gbdt(_) => Algorithm::Gbdt,
            Self::Linear(_) => Algorithm::Linear,
        }
    }

    /// What it predicts.
    pub fn objective(&self) -> Objective {
        match self {
            Self::Gbdt(model) => model.objective,
            Self::Linear(model) => model.objective,
        }
    }

    /// Predictions for `rows`, row-major `[n_rows, n_outputs]`: a probability a class, or one value.
    pub fn predict(&self, table: &Table, rows: &[u32]) -> Vec<f32> {
        match self {
            Self::Gbdt(model) => model.predict(table, rows),
            Self::Linear(model) => model.predict(table, rows),
        }
    }
}
