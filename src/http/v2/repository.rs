//! The repository extension: what is in memory, and, for bearers of the admin token on the operations port, what should be.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::AppState;
use crate::http::admin::operations::{OPERATION_ID, digest};
use crate::http::admin::{actor, model_name};
use crate::http::body::{self, BodyLimits};
use crate::http::error::{ApiError, Face};
use crate::http::segments::Segments;
use crate::http::{json_value, parse_small};
use crate::lifecycle::{Ask, Kind, LifecycleError, Tracked};
use crate::model::{Mismatch, ModelName};
use crate::oip::{IndexEntry, index as entries};

/// These bodies hold a flag, or parameters that are refused.
const BODY_BYTES_MAX: usize = 64 << 10;

#[derive(Debug, Default, Deserialize)]
struct IndexRequest {
    #[serde(default)]
    ready: bool,
}

/// The repository's index. tritonclient sends an empty body.
pub(in crate::http) async fn index(State(state): State<Arc<AppState>>, request: Request) -> Result<Response, ApiError> {
    let (_, IndexRequest { ready }) = small(&state, request, "an object with \"ready\", or nothing").await?;
    Ok(json_value(&listed(&state, ready)))
}

/// The entries of the index.
pub(crate) fn listed(state: &AppState, only_ready: bool) -> Vec<IndexEntry> {
    // What an operator would be told may name files.
    let why = |name: &ModelName| if state.lifecycle.is_left_out(name) { "unloaded" } else { "no active version" };
    entries(&state.slots, only_ready, |slot| why(slot.name()).to_owned())
}

#[derive(Debug, Default, Deserialize)]
struct ChangeRequest {
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// Takes a model up into memory: the versions that the registry's aliases name.
pub(in crate::http) async fn load(
    state: State<Arc<AppState>>,
    model: Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change(state, model, request, Kind::Load).await
}

/// Takes a model out of memory.
pub(in crate::http) async fn unload(
    state: State<Arc<AppState>>,
    model: Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    change(state, model, request, Kind::Unload).await
}

async fn change(
    State(state): State<Arc<AppState>>,
    Segments(model): Segments<String>,
    request: Request,
    kind: Kind,
) -> Result<Response, ApiError> {
    let model = model_name(&model)?;
    let expected = "an object with perhaps \"parameters\", or nothing";
    let ((parts, body), ChangeRequest { parameters }) = small(&state, request, expected).await?;
    check_parameters(parameters.keys().map(String::as_str))?;
    let actor = actor(&parts)?;
    let digest = digest(&parts, &actor, &body);
    let tracked = begin(&state, Ask { kind, model, version: None, actor, why: None, digest })?;
    tracked.ended().await?;
    let mut response = Response::new(Body::empty());
    if let Ok(id) = HeaderValue::from_str(tracked.id()) {
        response.headers_mut().insert(OPERATION_ID, id);
    }
    Ok(response)
}

/// Refuses parameters that would change what a model is: that is what the registry's versions are for.
///
/// # Errors
/// [`ApiError::BadInput`] for `config` and files; what is else unknown is passed over.
pub(crate) fn check_parameters<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    let Some(name) = names.find(|name| *name == "config" || name.starts_with("file:")) else { return Ok(()) };
    let expected = "no configuration and no files: a model comes from the registry, a new version with POST /admin/models/MODEL/versions";
    let what = if name == "config" { "a configuration" } else { "a file" };
    Err(ApiError::BadInput { face: Face::V2, mismatch: Mismatch::new("parameters", expected, what) })
}

/// Begins to take a model up or out.
pub(crate) fn begin(state: &AppState, ask: Ask) -> Result<Arc<Tracked>, LifecycleError> {
    let name = ask.model.clone();
    let is_load = ask.kind == Kind::Load;
    state.lifecycle.begin(ask, move |lifecycle, _| {
        if is_load { lifecycle.take_up(&name) } else { lifecycle.leave_out(&name) }?;
        Ok(json!({ "model": name }))
    })
}

/// Reads a small body, or none.
pub(in crate::http) async fn small<T: Default + serde::de::DeserializeOwned>(
    state: &AppState,
    request: Request,
    expected: &str,
) -> Result<((Parts, bytes::Bytes), T), ApiError> {
    let (parts, mut body) = request.into_parts();
    body::expect_json(&parts.headers)?;
    let stall = state.options.body_timeout;
    let limits = BodyLimits { bytes_max: BODY_BYTES_MAX, stall, total: Some(stall), budget: None };
    let body = body::read(&parts.headers, &mut body, limits).await?.bytes;
    let value = if body.is_empty() { T::default() } else { parse_small(&body, Face::V2, expected)? };
    Ok(((parts, body), value))
}
