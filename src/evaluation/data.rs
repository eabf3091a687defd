//! What happened, and what a model said would.

use super::Metric;

/// What really happened, one a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Places in the list of classes; of two, 1 is the positive one.
    Classes(Vec<u32>),
    /// Numbers.
    Values(Vec<f64>),
}

/// What a model said, one a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Predictions {
    /// The probability (or for ranking metrics any score) of the second of two classes.
    Probability(Vec<f64>),
    /// The probabilities of all classes: `[n_rows, n_classes]`, row-major.
    Probabilities {
        /// How many classes there are.
        n_classes: usize,
        /// The probabilities.
        values: Vec<f64>,
    },
    /// Numbers.
    Values(Vec<f64>),
}

/// Why a score cannot be computed, or a decision made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EvaluationError {
    /// Rows that do not match.
    #[error("{what}: expected {expected} rows as there are labels, got {got}")]
    Rows {
        /// What has them.
        what: String,
        /// How many labels there are.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// A metric for another task.
    #[error("metric {metric}: expected {expected}; choose a metric that fits the task")]
    Task {
        /// The metric.
        metric: Metric,
        /// What it is for.
        expected: &'static str,
    },
    /// A label or prediction that is no number.
    #[error("row {row}: expected finite predictions and labels, and labels below the number of classes")]
    Value {
        /// The first such row.
        row: usize,
    },
    /// A metric without a value, such as the area under a curve of one class.
    #[error("metric {metric} has no value on these rows: expected {expected}; take a larger holdout")]
    Undefined {
        /// The metric.
        metric: Metric,
        /// What is missing.
        expected: &'static str,
    },
    /// A column that the gate names and the holdout lacks.
    #[error("holdout: expected the column {0:?} that gate.toml names; add it, or change the gate")]
    Column(String),
    /// A gate that cannot be read or makes no sense.
    #[error("gate.toml: {0}")]
    Gate(String),
}

impl Labels {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Predictions {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Probability(values) | Self::Values(values) => values.len(),
            Self::Probabilities { n_classes, values } => values.len() / (*n_classes).max(1),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that there is a finite prediction for each label, and that each label can be.
    pub(super) fn check(&self, what: &str, labels: &Labels) -> Result<(), EvaluationError> {
        if self.len() != labels.len() {
            return Err(EvaluationError::Rows { what: what.to_owned(), expected: labels.len(), got: self.len() });
        }
        let (values, width) = match self {
            Self::Probability(values) | Self::Values(values) => (values, 1),
            Self::Probabilities { n_classes, values } => (values, (*n_classes).max(1)),
        };
        let n_classes = match self {
            Self::Probabilities { n_classes, .. } => *n_classes,
            Self::Probability(_) | Self::Values(_) => 2,
        };
        let bad_label = match labels {
            Labels::Classes(classes) => classes.iter().position(|&class| n_classes <= class as usize),
            Labels::Values(labels) => labels.iter().position(|label| !label.is_finite()),
        };
        let bad_value = values.iter().position(|value| !value.is_finite()).map(|at| at / width);
        bad_value.or(bad_label).map_or(Ok(()), |row| Err(EvaluationError::Value { row }))
    }
}
