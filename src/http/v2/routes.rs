//! The v2 routes: inference, health, metadata and the repository's index.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::AppState;
use crate::http::body::{self, BodyLimits};
use crate::http::error::{ApiError, Face};
use crate::http::json::clip;
use crate::http::predict::{Pick, answer_routed, find};
use crate::http::probes::not_ready;
use crate::http::segments::Segments;
use crate::http::{json_value, parse_small};
use crate::model::{TensorSpec, Version};
use crate::slot::{Servable, Slot};

/// ONNX graphs, by the protocol's list of platforms.
const PLATFORM: &str = "onnx_onnxv1";
/// The index' body holds one flag.
const INDEX_BYTES_MAX: usize = 64 << 10;

type Found = Result<(Arc<Slot>, Pick), ApiError>;

fn champion(state: &AppState, model: &str) -> Found {
    Ok((find(state, model)?, Pick::Champion))
}

fn by_version(state: &AppState, model: &str, version: &str) -> Found {
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
    json_value(&json!({ "name": "gudgeon", "version": env!("CARGO_PKG_VERSION"), "extensions": [] }))
}

pub(in crate::http) async fn live() -> Response {
    json_value(&json!({ "live": true }))
}

pub(in crate::http) async fn ready(State(state): State<Arc<AppState>>) -> Response {
    let waits = state.slots.all().iter().any(|slot| slot.acquire().is_none());
    let error = not_ready(&state).or_else(|| {
        let reason = "a model has no active version";
        waits.then_some(ApiError::Unavailable { reason, retry_after_s: 1 })
    });
    let Some(error) = error else { return json_value(&json!({ "ready": true, "live": true })) };
    let (_, code) = error.kind();
    let body = json!({ "ready": false, "live": true, "error": error.to_string(), "code": code });
    // KServe's client reads the member, every other one the status.
    let mut response = error.into_response();
    *response.body_mut() = json_value(&body).into_body();
    response
}

pub(in crate::http) async fn model(
    State(state): State<Arc<AppState>>,
    Segments(model): Segments<String>,
) -> Result<Response, ApiError> {
    let (slot, pick) = champion(&state, &model)?;
    Ok(json_value(&described(&slot, &*pick.acquire(&slot)?)))
}

pub(in crate::http) async fn version(
    State(state): State<Arc<AppState>>,
    Segments((model, version)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let (slot, pick) = by_version(&state, &model, &version)?;
    Ok(json_value(&described(&slot, &*pick.acquire(&slot)?)))
}

fn described(slot: &Slot, servable: &Servable) -> Value {
    let tensor =
        |spec: &TensorSpec| json!({ "name": spec.name, "datatype": spec.datatype, "shape": spec.wire_shape() });
    let signature = servable.signature();
    let mut versions: Vec<_> = slot.lineup().iter().map(|servable| servable.version()).collect();
    versions.sort_unstable();
    versions.dedup();
    json!({
        "name": slot.name(),
        "versions": versions.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "platform": PLATFORM,
        "inputs": signature.inputs.iter().map(tensor).collect::<Vec<_>>(),
        "outputs": signature.outputs.iter().map(tensor).collect::<Vec<_>>(),
    })
}

pub(in crate::http) async fn model_ready(
    State(state): State<Arc<AppState>>,
    Segments(model): Segments<String>,
) -> Result<Response, ApiError> {
    readiness(champion(&state, &model)?)
}

pub(in crate::http) async fn version_ready(
    State(state): State<Arc<AppState>>,
    Segments((model, version)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    readiness(by_version(&state, &model, &version)?)
}

fn readiness((slot, pick): (Arc<Slot>, Pick)) -> Result<Response, ApiError> {
    pick.acquire(&slot)?;
    Ok(json_value(&json!({ "name": slot.name(), "ready": true })))
}

#[derive(Debug, Default, Deserialize)]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

/// The repository's index. tritonclient sends an empty body.
pub(in crate::http) async fn index(State(state): State<Arc<AppState>>, request: Request) -> Result<Response, ApiError> {
    let (parts, mut body) = request.into_parts();
    body::expect_json(&parts.headers)?;
    let stall = state.options.body_timeout;
    let limits = BodyLimits { bytes_max: INDEX_BYTES_MAX, stall, total: Some(stall), budget: None };
    let body = body::read(&parts.headers, &mut body, limits).await?.bytes;
    let expected = "an object with \"ready\", or nothing";
    let IndexRequest { ready } =
        if body.is_empty() { IndexRequest::default() } else { parse_small(&body, Face::V2, expected)? };
    let entries: Vec<_> = state.slots.all().iter().flat_map(|slot| entries(slot, ready)).collect();
    Ok(json_value(&Value::from(entries)))
}

fn entries(slot: &Slot, only_ready: bool) -> Vec<Value> {
    let lineup = slot.lineup();
    let mut versions: Vec<_> = lineup.iter().map(|servable| servable.version()).collect();
    versions.sort_unstable();
    versions.dedup();
    let name = slot.name();
    if versions.is_empty() && !only_ready {
        return vec![json!({ "name": name, "state": "UNAVAILABLE", "reason": "no active version" })];
    }
    let entry =
        |version: &Version| json!({ "name": name, "version": version.to_string(), "state": "READY", "reason": "" });
    versions.iter().map(entry).collect()
}
