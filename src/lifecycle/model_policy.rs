//! `model.toml`: the owner's policy for one model.

use serde::Deserialize;

use crate::drift::{Thresholds, WindowSpec};

/// The owner's policy for one model. Everything has a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPolicy {
    /// How drift is watched.
    #[serde(default)]
    pub drift: DriftPolicy,
}

/// How drift is watched.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftPolicy {
    /// The live spans compared with the reference, for example `["1h", "24h", "1000rows"]`.
    pub windows: Option<Vec<WindowSpec>>,
    /// What counts as a drift.
    #[serde(default)]
    pub thresholds: Thresholds,
}

/// `model.toml` is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("model.toml: {0}")]
pub struct InvalidModelPolicy(String);

impl ModelPolicy {
    /// Reads the text of `model.toml`.
    ///
    /// # Errors
    /// [`InvalidModelPolicy`] names the line and the key.
    pub fn parse(text: &str) -> Result<Self, InvalidModelPolicy> {
        toml::from_str(text).map_err(|error| InvalidModelPolicy(error.to_string().trim_end().to_owned()))
    }
}
