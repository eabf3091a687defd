//! What feedback says of predictions: series of the models and versions whose predictions are remembered.

use prometheus::{Counter, IntCounter};

use super::{FeedbackOutcome, FeedbackResult, Metrics};

/// Counters of one model's items of feedback, resolved once.
#[derive(Debug)]
pub struct FeedbackOutcomes(Vec<IntCounter>);

impl FeedbackOutcomes {
    /// Counts an item.
    pub fn count(&self, outcome: FeedbackOutcome) {
        self.0[outcome as usize].inc();
    }
}

/// Handles of one version's series, resolved once.
#[derive(Debug)]
pub struct FeedbackMetrics {
    results: Vec<IntCounter>,
    values: IntCounter,
    absolute_error: Counter,
    squared_error: Counter,
}

impl FeedbackMetrics {
    /// A predicted class was right, or not.
    pub fn class(&self, is_right: bool) {
        let result = if is_right { FeedbackResult::Right } else { FeedbackResult::Wrong };
        self.results[result as usize].inc();
    }

    /// A predicted number was off by `error`, which is finite.
    pub fn value(&self, error: f64) {
        self.values.inc();
        self.absolute_error.inc_by(error.abs());
        self.squared_error.inc_by(error * error);
    }
}

impl Metrics {
    /// The counters of a model's feedback; every series exists from now on, at zero.
    pub fn feedback_outcomes(&self, model: &str) -> FeedbackOutcomes {
        let counter = |outcome: &FeedbackOutcome| self.feedback.with_label_values(&[model, outcome.as_str()]);
        FeedbackOutcomes(FeedbackOutcome::ALL.iter().map(counter).collect())
    }

    /// The handles of a version's feedback; every series exists from now on, at zero.
    pub fn feedback(&self, model: &str, version: u64) -> FeedbackMetrics {
        let version = version.to_string();
        let labels = [model, version.as_str()];
        let result =
            |result: &FeedbackResult| self.feedback_classes.with_label_values(&[model, &version, result.as_str()]);
        FeedbackMetrics {
            results: FeedbackResult::ALL.iter().map(result).collect(),
            values: self.feedback_values.with_label_values(&labels),
            absolute_error: self.feedback_absolute_error.with_label_values(&labels),
            squared_error: self.feedback_squared_error.with_label_values(&labels),
        }
    }
}
