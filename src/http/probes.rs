//! What Kubernetes and Prometheus ask.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use serde_json::json;

use super::error::ApiError;
use super::exchange::heavy;
use super::{AppState, json_response, json_value};
use crate::metrics::CONTENT_TYPE;

/// The process runs. It never depends on a model.
pub(super) async fn live() -> Response {
    json_value(&json!({ "live": true }))
}

/// As [`live`], in the words of KServe's v1 protocol.
pub(super) async fn alive() -> Response {
    json_value(&json!({ "status": "alive" }))
}

/// Requests should be sent here.
pub(super) async fn ready(State(state): State<Arc<AppState>>) -> Response {
    match not_ready(&state) {
        None => json_value(&json!({ "ready": true, "live": true })),
        Some(error) => error.into_response(),
    }
}

/// Why requests should not be sent here.
pub(super) fn not_ready(state: &AppState) -> Option<ApiError> {
    let reason = match (state.readiness.is_ready(), state.readiness.is_draining()) {
        (true, _) => return None,
        (false, true) => "the server is stopping",
        (false, false) => "models are being loaded",
    };
    Some(ApiError::Unavailable { reason, retry_after_s: 1 })
}

/// Everything that is counted.
pub(super) async fn metrics(State(state): State<Arc<AppState>>) -> Response {
    // Drift is computed at scrape.
    let text = heavy(usize::MAX, || state.metrics.encode());
    let mut response = json_response(text.into_bytes());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
