//! What operators do with a challenger: begin, look, withdraw.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::super::error::{ApiError, Face};
use super::super::segments::Segments;
use super::super::{AppState, json_value, parse_small};
use super::model_name;
use crate::lifecycle::{Actor, Trial};
use crate::model::{Mismatch, Mode, ModelName, Share, Version};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Challenge {
    version: Version,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    share: Option<Share>,
    #[serde(default)]
    rollout: bool,
    #[serde(default)]
    reason: Option<String>,
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdraw {
    #[serde(default)]
    reason: Option<String>,
}

/// `:challenge`.
pub(super) async fn challenge(
    state: &AppState,
    model: ModelName,
    actor: Actor,
    body: &[u8],
) -> Result<Response, ApiError> {
    let expected = "an object with \"version\", and perhaps \"mode\" (shadow or canary), \"share\" (above 0, at most 1), \
                    \"rollout\" (true or false) and \"reason\"";
    let asked: Challenge = parse_small(body, Face::V1, expected)?;
    let trial = asked.trial()?;
    let Challenge { version, reason, .. } = asked;
    let challenge = state.lifecycle.run(move |lifecycle| lifecycle.challenge(&model, version, trial, (actor, reason)));
    Ok(json_value(&challenge.await?))
}

/// `:withdraw`.
pub(super) async fn withdraw(
    state: &AppState,
    model: ModelName,
    actor: Actor,
    body: &[u8],
) -> Result<Response, ApiError> {
    let expected = "an object with perhaps \"reason\", a string, or nothing";
    let Withdraw { reason } =
        if body.is_empty() { Withdraw::default() } else { parse_small(body, Face::V1, expected)? };
    Ok(json_value(&state.lifecycle.run(move |lifecycle| lifecycle.withdraw(&model, actor, reason)).await?))
}

/// The challenger: how it is tried, what is known of it, what it waits for.
pub(in crate::http) async fn show(
    State(state): State<Arc<AppState>>,
    Segments(model): Segments<String>,
) -> Result<Response, ApiError> {
    let model = model_name(&model)?;
    Ok(json_value(&state.lifecycle.run(move |lifecycle| lifecycle.challenger(&model)).await?))
}
