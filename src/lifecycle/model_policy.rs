//! `model.toml`: the owner's policy for one model.

use serde::Deserialize;

use super::retention::RetentionPolicy;
use super::rollout_policy::RolloutPolicy;
use crate::drift::{Thresholds, WindowSpec};
use crate::engine::EngineChoice;
use crate::model::ContractPolicy;

/// Each window costs five series a column.
const WINDOWS_MAX: usize = 8;

/// The owner's policy for one model. Everything has a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPolicy {
    /// Which inference engine runs the model's versions.
    #[serde(default)]
    pub engine: EngineChoice,
    /// How drift is watched.
    #[serde(default)]
    pub drift: DriftPolicy,
    /// How a challenger becomes the champion.
    #[serde(default)]
    pub rollout: RolloutPolicy,
    /// What callers may rely on.
    #[serde(default)]
    pub contract: ContractPolicy,
    /// How many versions stay.
    #[serde(default)]
    pub retention: RetentionPolicy,
}

/// How drift is watched.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftPolicy {
    /// The live spans compared with the reference, for example `["1h", "24h", "rows:1000"]`; each once, at most 8.
    pub windows: Option<Vec<WindowSpec>>,
    /// What counts as a drift.
    #[serde(default)]
    pub thresholds: Thresholds,
}

/// `model.toml` is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("model.toml: {0}")]
pub struct InvalidModelPolicy(String);

impl InvalidModelPolicy {
    pub(super) fn new(problem: &impl ToString) -> Self {
        Self(problem.to_string())
    }
}

impl ModelPolicy {
    /// Reads the text of `model.toml`.
    ///
    /// # Errors
    /// [`InvalidModelPolicy`] names the line and the key.
    pub fn parse(text: &str) -> Result<Self, InvalidModelPolicy> {
        let policy: Self =
            toml::from_str(text).map_err(|error| InvalidModelPolicy(error.to_string().trim_end().to_owned()))?;
        if let Some(fault) = policy.retention.fault() {
            return Err(InvalidModelPolicy(fault));
        }
        policy.rollout.check().map_err(InvalidModelPolicy)?;
        let windows = policy.drift.windows.as_deref().unwrap_or_default();
        if WINDOWS_MAX < windows.len() {
            let got = windows.len();
            return Err(InvalidModelPolicy(format!("drift.windows: expected at most {WINDOWS_MAX}, got {got}")));
        }
        // Two windows of one name would be one series twice.
        let is_again = |(index, window): &(usize, &WindowSpec)| windows.iter().take(*index).any(|w| w == *window);
        match windows.iter().enumerate().find(is_again) {
            Some((_, window)) => {
                Err(InvalidModelPolicy(format!("drift.windows: expected each window once, got {window} twice")))
            }
            None => Ok(policy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(windows: &str, expected: Result<usize, &str>) {
        let policy = ModelPolicy::parse(&format!("[drift]\nwindows = [{windows}]"));
        let got =
            policy.map(|policy| policy.drift.windows.unwrap_or_default().len()).map_err(|error| error.to_string());
        assert_eq!(got, expected.map_err(str::to_owned));
    }

    #[test]
    fn an_engine_is_asked_for_by_name() {
        let engine = |text: &str| ModelPolicy::parse(text).map(|policy| policy.engine);
        assert_eq!(engine(""), Ok(EngineChoice::Auto));
        assert_eq!(engine("engine = \"native\""), Ok(EngineChoice::Native));
        assert_eq!(engine("engine = \"tract\""), Ok(EngineChoice::Tract));
        assert_eq!(engine("engine = \"onnxruntime\""), Ok(EngineChoice::Onnxruntime));
        let refused = engine("engine = \"x\"").unwrap_err().to_string();
        assert!(refused.contains("expected auto, native, tract or onnxruntime, got \"x\""));
    }

    #[test]
    fn windows_are_few_and_each_comes_once() {
        check(r#""1h", "24h", "rows:1000""#, Ok(3));
        check(r#""1h", "60m""#, Err("model.toml: drift.windows: expected each window once, got 1h twice"));
        let nine: Vec<_> = (1..=9).map(|hours| format!("\"{hours}h\"")).collect();
        check(&nine.join(", "), Err("model.toml: drift.windows: expected at most 8, got 9"));
    }
}
