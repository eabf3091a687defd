//! The v2 routes: inference, health, metadata, configuration and statistics.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::http::AppState;
use crate::http::error::{ApiError, Face};
use crate::http::exchange::{Pick, find};
use crate::http::json::clip;
use crate::http::json_value;
use crate::http::predict::answer_routed;
use crate::http::probes::not_ready;
use crate::http::segments::Segments;
use crate::model::Version;
use crate::oip::{Config, ConfigLimits, ModelMetadata, ModelStats, ServerMetadata, statistics};
use crate::slot::{Servable, Slot};

type Found = Result<(Arc<Slot>, Pick), ApiError>;

pub(crate) fn champion(state: &AppState, model: &str) -> Found {
    Ok((find(state, model)?, Pick::Champion))
}

pub(crate) fn by_version(state: &AppState, model: &str, version: &str) -> Found {
    let slot = find(state, model)?;
    let unknown = |_| ApiError::UnknownVersion { model: slot.name().to_string(), version: clip(version) };
    let pick = version.parse::<Version>().map(Pick::Version).map_err(unknown)?;
    Ok((slot, pick))
}

pub(in crate::http) async fn infer(
    State(state): State<Arc<AppState>>,
    Segments(model): Segments<String>,
    request: Request,
) -> Response {
    answer_routed(&state, champion(&state, &model), request, Face::V2).await
}

pub(in crate::http) async fn infer_version(
    State(state): State<Arc<AppState>>,
    Segments((model, version)): Segments<(String, String)>,
    request: Request,
) -> Response {
    answer_routed(&state, by_version(&state, &model, &version), request, Face::V2).await
}

pub(in crate::http) async fn server() -> Response {
    json_value(&ServerMetadata::default())
}

pub(in crate::http) async fn live() -> Response {
    json_value(&json!({ "live": true }))
}

pub(in crate::http) async fn ready(State(state): State<Arc<AppState>>) -> Response {
    let Some(error) = not_all_ready(&state) else { return json_value(&json!({ "ready": true, "live": true })) };
    let (_, code) = error.kind();
    let body = json!({ "ready": false, "live": true, "error": error.to_string(), "code": code });
    // KServe's client reads the member, every other one the status.
    let mut response = error.into_response();
    *response.body_mut() = json_value(&body).into_body();
    response
}

/// Why not every model that should serve does; one that was taken out of memory should not.
pub(crate) fn not_all_ready(state: &AppState) -> Option<ApiError> {
    not_ready(state).or_else(|| {
        let waits = |slot: &Arc<Slot>| slot.acquire().is_none() && !state.lifecycle.is_left_out(slot.name());
        let reason = "a model has no active version";
        state.slots.all().iter().any(waits).then_some(ApiError::Unavailable { reason, retry_after_s: 1 })
    })
}

/// Answers a route of a model or of one of its versions with what `tell` says of it.
fn told<T: serde::Serialize>(found: Found, tell: impl FnOnce(&Slot, &Servable) -> T) -> Result<Response, ApiError> {
    let (slot, pick) = found?;
    let servable = pick.acquire(&slot)?;
    Ok(json_value(&tell(&slot, &servable)))
}

/// A route of a model, and the same one of a version.
macro_rules! both {
    ($model:ident, $version:ident, |$state:ident| $tell:expr) => {
        pub(in crate::http) async fn $model(
            State($state): State<Arc<AppState>>,
            Segments(model): Segments<String>,
        ) -> Result<Response, ApiError> {
            told(champion(&$state, &model), $tell)
        }

        pub(in crate::http) async fn $version(
            State($state): State<Arc<AppState>>,
            Segments((model, version)): Segments<(String, String)>,
        ) -> Result<Response, ApiError> {
            told(by_version(&$state, &model, &version), $tell)
        }
    };
}

both!(model, version, |state| ModelMetadata::of);
both!(model_ready, version_ready, |state| |slot, _| json!({ "name": slot.name(), "ready": true }));
both!(config, version_config, |state| |slot, servable| Config::of(slot, servable, config_limits(&state)));
both!(stats, version_stats, |state| |_, servable| json!({ "model_stats": [ModelStats::of(servable)] }));

/// The statistics of every version in memory.
pub(in crate::http) async fn all_stats(State(state): State<Arc<AppState>>) -> Response {
    json_value(&json!({ "model_stats": statistics(&state.slots) }))
}

pub(crate) fn config_limits(state: &AppState) -> ConfigLimits {
    let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    ConfigLimits { rows_max: state.options.rows_max, timeout_us: us(state.options.request_timeout) }
}
