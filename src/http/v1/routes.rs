//! The v1 routes: predictions, status and metadata.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::{Value, json};

use crate::http::AppState;
use crate::http::error::{ApiError, Face};
use crate::http::exchange::{Pick, find};
use crate::http::feedback;
use crate::http::json::clip;
use crate::http::json_value;
use crate::http::predict::answer_routed;
use crate::http::segments::{Segments, before_verb, verb, without_verb};
use crate::model::{Alias, TensorSpec, Version};
use crate::slot::{Servable, Slot};
use crate::tensor::Dtype;

type Found = Result<(Arc<Slot>, Pick), ApiError>;

fn target(state: &AppState, model: &str, pick: Option<Pick>, wanted: &str) -> Found {
    let slot = find(state, model)?;
    let pick =
        pick.ok_or_else(|| ApiError::UnknownVersion { model: slot.name().to_string(), version: clip(wanted) })?;
    Ok((slot, pick))
}

fn version_target(state: &AppState, model: &str, version: &str) -> Found {
    target(state, model, version.parse::<Version>().ok().map(Pick::Version), version)
}

fn alias_target(state: &AppState, model: &str, alias: &str) -> Found {
    target(state, model, alias.parse::<Alias>().ok().map(Pick::Alias), alias)
}

pub(in crate::http) async fn predict(
    State(state): State<Arc<AppState>>,
    Segments(segment): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    if let (model, Some("feedback")) = verb(&segment) {
        return feedback::routes::join(&state, model, request).await;
    }
    let model = before_verb(&segment, "predict")?;
    let target = target(&state, model, Some(Pick::Champion), "");
    Ok(answer_routed(&state, target, request, Face::V1).await)
}

pub(in crate::http) async fn predict_version(
    State(state): State<Arc<AppState>>,
    Segments((model, segment)): Segments<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let target = version_target(&state, &model, before_verb(&segment, "predict")?);
    Ok(answer_routed(&state, target, request, Face::V1).await)
}

pub(in crate::http) async fn predict_alias(
    State(state): State<Arc<AppState>>,
    Segments((model, segment)): Segments<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let target = alias_target(&state, &model, before_verb(&segment, "predict")?);
    Ok(answer_routed(&state, target, request, Face::V1).await)
}

pub(in crate::http) async fn models(State(state): State<Arc<AppState>>) -> Response {
    let names: Vec<_> = state.slots.all().iter().map(|slot| slot.name().to_string()).collect();
    json_value(&json!({ "models": names }))
}

pub(in crate::http) async fn model(
    State(state): State<Arc<AppState>>,
    Segments(segment): Segments<String>,
) -> Result<Response, ApiError> {
    let slot = find(&state, without_verb(&segment, &["predict", "feedback"])?)?;
    let lineup = slot.lineup();
    let status: Vec<_> = lineup.versions().into_iter().map(available).collect();
    let body = json!({ "name": slot.name(), "ready": lineup.champion.is_some(), "model_version_status": status });
    Ok(json_value(&body))
}

pub(in crate::http) async fn version(
    State(state): State<Arc<AppState>>,
    Segments((model, segment)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    status(version_target(&state, &model, without_verb(&segment, &["predict"])?))
}

pub(in crate::http) async fn alias(
    State(state): State<Arc<AppState>>,
    Segments((model, segment)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    status(alias_target(&state, &model, without_verb(&segment, &["predict"])?))
}

fn status(found: Found) -> Result<Response, ApiError> {
    let (slot, pick) = found?;
    let servable = pick.acquire(&slot)?;
    Ok(json_value(&json!({ "model_version_status": [available(servable.version())] })))
}

fn available(version: Version) -> Value {
    json!({
        "version": version.to_string(),
        "state": "AVAILABLE",
        "status": { "error_code": "OK", "error_message": "" },
    })
}

pub(in crate::http) async fn metadata(
    State(state): State<Arc<AppState>>,
    Segments(model): Segments<String>,
) -> Result<Response, ApiError> {
    let slot = find(&state, &model)?;
    Ok(json_value(&described(&*Pick::Champion.acquire(&slot)?)))
}

pub(in crate::http) async fn version_metadata(
    State(state): State<Arc<AppState>>,
    Segments((model, version)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let (slot, pick) = version_target(&state, &model, &version)?;
    Ok(json_value(&described(&*pick.acquire(&slot)?)))
}

pub(in crate::http) async fn alias_metadata(
    State(state): State<Arc<AppState>>,
    Segments((model, alias)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let (slot, pick) = alias_target(&state, &model, &alias)?;
    Ok(json_value(&described(&*pick.acquire(&slot)?)))
}

/// TF Serving's metadata, and beside it the signature with features and classes.
fn described(servable: &Servable) -> Value {
    let signature = servable.signature();
    let tensors = |specs: &[TensorSpec]| -> Value {
        specs.iter().map(|spec| (spec.name.clone(), tensor_info(spec))).collect::<serde_json::Map<_, _>>().into()
    };
    json!({
        "model_spec": { "name": servable.model(), "signature_name": "", "version": servable.version_text() },
        "metadata": { "signature_def": { "signature_def": { "serving_default": {
            "inputs": tensors(&signature.inputs),
            "outputs": tensors(&signature.outputs),
            "method_name": "tensorflow/serving/predict",
        } } } },
        "signature": signature.as_ref(),
    })
}

fn tensor_info(spec: &TensorSpec) -> Value {
    let dims: Vec<_> = spec.wire_shape().iter().map(|size| json!({ "size": size.to_string(), "name": "" })).collect();
    json!({
        "name": spec.name,
        "dtype": tf_dtype(spec.datatype),
        "tensor_shape": { "dim": dims, "unknown_rank": false },
    })
}

fn tf_dtype(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "DT_BOOL",
        Dtype::Uint8 => "DT_UINT8",
        Dtype::Uint16 => "DT_UINT16",
        Dtype::Uint32 => "DT_UINT32",
        Dtype::Uint64 => "DT_UINT64",
        Dtype::Int8 => "DT_INT8",
        Dtype::Int16 => "DT_INT16",
        Dtype::Int32 => "DT_INT32",
        Dtype::Int64 => "DT_INT64",
        Dtype::Fp32 => "DT_FLOAT",
        Dtype::Fp64 => "DT_DOUBLE",
        Dtype::String => "DT_STRING",
    }
}
