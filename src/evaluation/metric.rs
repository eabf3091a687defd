//! The names of scores.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A score. Its text form is the name in snake case, with `@` before a threshold or quantile: `roc_auc`, `accuracy@0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// Area under the ROC curve: the probability that a positive ranks above a negative, ties counting half
    /// (Mann and Whitney, 1947).
    RocAuc,
    /// Average precision: `sum((R_k - R_{k-1}) P_k)` over the distinct scores, not interpolated (as scikit-learn's
    /// `average_precision_score`).
    PrAuc,
    /// `mean(-ln p)` of the class that happened, `p` cut to [1e-15, 1 - 1e-15].
    LogLoss,
    /// `mean((p - y)^2)` for two classes (Brier, 1950); for more, the squares are summed over the classes.
    Brier,
    /// The share of right answers. Two classes: the second where `p >= t`; more: the most probable, and `t` plays no part.
    Accuracy(f64),
    /// `2 tp / (2 tp + fp + fn)` at `p >= t`; 0 where nothing is or is called positive.
    F1(f64),
    /// Expected calibration error: ten bins of equal width, `sum(n_b / n |mean p - mean y|)` (Naeini et al., 2015).
    CalibrationError,
    /// Root of the mean squared error.
    Rmse,
    /// Mean absolute error.
    Mae,
    /// `1 - sum((y - f)^2) / sum((y - mean y)^2)`.
    R2,
    /// `mean(max(q d, (q - 1) d))` with `d = y - f` (Koenker and Bassett, 1978).
    Pinball(f64),
    /// The mean cost of a row where the second of two classes is called whenever that costs less on average: at
    /// `p >= false_positive / (false_positive + false_negative)` (Elkan, IJCAI 2001). Text form `cost@FP:FN`.
    Cost {
        /// What it costs to call the second class where the first happened.
        false_positive: f64,
        /// What it costs to call the first class where the second happened.
        false_negative: f64,
    },
}

/// The text names no score.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMetric {
    /// No such name.
    #[error(
        "metric {0:?}: expected roc_auc, pr_auc, log_loss, brier, accuracy@t, f1@t, calibration_error, rmse, mae, r2, pinball@q or cost@FP:FN"
    )]
    Unknown(String),
    /// The threshold is not one.
    #[error("metric {0:?}: expected a number between 0 and 1 behind the @")]
    Threshold(String),
    /// The costs are none.
    #[error(
        "metric {0:?}: expected the cost of a false positive and of a false negative behind the @, two numbers above 0: cost@1:5"
    )]
    Costs(String),
    /// A name that is reserved.
    #[error(
        "metric {0:?}: gudgeon runs no command of the owner's inside the gate; choose another metric, for example cost@1:5"
    )]
    Unsupported(String),
}

impl Metric {
    /// Whether more is better.
    pub fn higher_is_better(self) -> bool {
        match self {
            Self::RocAuc | Self::PrAuc | Self::Accuracy(_) | Self::F1(_) | Self::R2 => true,
            Self::LogLoss | Self::Brier | Self::CalibrationError | Self::Rmse | Self::Mae => false,
            Self::Pinball(_) | Self::Cost { .. } => false,
        }
    }

    /// How much better `challenger` is than `champion`: positive is better, whichever way the metric runs.
    pub fn improvement(self, champion: f64, challenger: f64) -> f64 {
        if self.higher_is_better() { challenger - champion } else { champion - challenger }
    }
}

impl FromStr for Metric {
    type Err = InvalidMetric;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, parameter) = text.split_once('@').map_or((text, None), |(name, at)| (name, Some(at)));
        let at = |default: Option<f64>| {
            let value = parameter.map_or(default, |at| at.parse::<f64>().ok());
            value.filter(|value| (0.0..=1.0).contains(value)).ok_or_else(|| InvalidMetric::Threshold(text.to_owned()))
        };
        match (name, parameter) {
            ("accuracy", _) => at(Some(0.5)).map(Self::Accuracy),
            ("f1", _) => at(Some(0.5)).map(Self::F1),
            ("pinball", _) => at(None).map(Self::Pinball),
            ("roc_auc", None) => Ok(Self::RocAuc),
            ("pr_auc", None) => Ok(Self::PrAuc),
            ("log_loss", None) => Ok(Self::LogLoss),
            ("brier", None) => Ok(Self::Brier),
            ("calibration_error", None) => Ok(Self::CalibrationError),
            ("rmse", None) => Ok(Self::Rmse),
            ("mae", None) => Ok(Self::Mae),
            ("r2", None) => Ok(Self::R2),
            ("cost", _) => costs(parameter).ok_or_else(|| InvalidMetric::Costs(text.to_owned())),
            ("exec", _) => Err(InvalidMetric::Unsupported(text.to_owned())),
            _ => Err(InvalidMetric::Unknown(text.to_owned())),
        }
    }
}

/// `FP:FN`.
fn costs(parameter: Option<&str>) -> Option<Metric> {
    let (false_positive, false_negative) = parameter?.split_once(':')?;
    let cost = |text: &str| text.parse::<f64>().ok().filter(|cost| cost.is_finite() && 0.0 < *cost);
    Some(Metric::Cost { false_positive: cost(false_positive)?, false_negative: cost(false_negative)? })
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RocAuc => f.write_str("roc_auc"),
            Self::PrAuc => f.write_str("pr_auc"),
            Self::LogLoss => f.write_str("log_loss"),
            Self::Brier => f.write_str("brier"),
            Self::Accuracy(at) => write!(f, "accuracy@{at}"),
            Self::F1(at) => write!(f, "f1@{at}"),
            Self::CalibrationError => f.write_str("calibration_error"),
            Self::Rmse => f.write_str("rmse"),
            Self::Mae => f.write_str("mae"),
            Self::R2 => f.write_str("r2"),
            Self::Pinball(at) => write!(f, "pinball@{at}"),
            Self::Cost { false_positive, false_negative } => write!(f, "cost@{false_positive}:{false_negative}"),
        }
    }
}

impl TryFrom<String> for Metric {
    type Error = InvalidMetric;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let names =
            "roc_auc pr_auc log_loss brier accuracy@0.5 f1@0.25 calibration_error rmse mae r2 pinball@0.9 cost@1:5";
        for name in names.split(' ') {
            assert_eq!(name.parse::<Metric>().unwrap().to_string(), name);
        }
        assert_eq!("f1".parse(), Ok(Metric::F1(0.5)));
    }

    #[test]
    fn what_is_no_metric_says_what_would_be() {
        let error = |text: &str| text.parse::<Metric>().unwrap_err().to_string();
        assert!(error("exec").starts_with("metric \"exec\": gudgeon runs no command of the owner's"));
        for text in ["cost", "cost@5", "cost@0:1", "cost@1:-1", "cost@1:inf", "cost@a:b"] {
            assert!(error(text).contains("expected the cost of a false positive"), "{text}");
        }
        assert!(error("auc").contains("expected roc_auc"));
        assert!(error("roc_auc@0.5").contains("expected roc_auc"));
        for text in ["pinball", "f1@2", "accuracy@x", "f1@NaN"] {
            assert!(error(text).ends_with("expected a number between 0 and 1 behind the @"), "{text}");
        }
    }
}
