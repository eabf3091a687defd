//! What operators do with a challenger: begin, look, withdraw.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::super::error::{ApiError, Face};
use super::super::segments::Segments;
use super::super::{AppState, json_value, parse_small};
use super::model_name;
use crate::lifecycle::Trial;
use crate::model::{Mismatch, Mode, Share, Version};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Challenge {
    pub(super) version: Version,
    #[serde(default)]
    pub(super) mode: Option<Mode>,
    #[serde(default)]
    pub(super) share: Option<Share>,
    #[serde(default)]
    pub(super) rollout: bool,
    #[serde(default)]
    pub(super) reason: Option<String>,
}

impl Challenge {
    fn trial(&self) -> Result<Trial, ApiError> {
        if self.rollout {
            return match (self.mode, self.share) {
                (None, None) => Ok(Trial::Rollout),
                _ => {
                    let expected = "no mode and no share: the steps of model.toml have them";
                    Err(ApiError::BadInput { face: Face::V1, mismatch: Mismatch::new("rollout", expected, "both") })
                }
            };
        }
        let mode = self.mode.unwrap_or(Mode::Shadow);
        let share = self.share.unwrap_or(match mode {
            Mode::Shadow => Share::ALL,
            Mode::Canary => Share::ONE_IN_TWENTY,
        });
        Ok(Trial::Fixed { mode, share })
    }
}

/// What the body of `:challenge` asks for: version, how it is tried, reason.
pub(super) fn asked(body: &[u8]) -> Result<(Version, Trial, Option<String>), ApiError> {
    let expected = "an object with \"version\", and perhaps \"mode\" (shadow or canary), \"share\" (above 0, at most 1), \
                    \"rollout\" (true or false) and \"reason\"";
    let asked: Challenge = parse_small(body, Face::V1, expected)?;
    let trial = asked.trial()?;
    Ok((asked.version, trial, asked.reason))
}

/// The challenger: how it is tried, what is known of it, what it waits for.
pub(in crate::http) async fn show(
    State(state): State<Arc<AppState>>,
    Segments(model): Segments<String>,
) -> Result<Response, ApiError> {
    let model = model_name(&model)?;
    Ok(json_value(&state.lifecycle.run(move |lifecycle| lifecycle.challenger(&model)).await?))
}
