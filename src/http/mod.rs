//! HTTP: bytes in, statuses and bytes out. The wire forms live here and nowhere else.
//!
//! Everything behind this module sees typed tensors and never JSON; everything in front of it sees one error body.
//! [`ROUTES`] lists what there is; [`public_router`] and [`ops_router`] serve it.

mod admin;
mod body;
mod envelope;
pub mod error;
pub mod json;
mod predict;
mod probes;
mod routes;
mod segments;
mod state;
pub mod v1;
pub mod v2;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;

pub use body::BodyBudget;
pub use error::{ApiError, Face};
pub use json::DecodeLimits;
pub use routes::{ROUTES, Route};
pub use state::{AdminToken, AppState, EventStreams, HttpOptions, Readiness};

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::metrics::Listener;
use crate::model::Mismatch;

/// The routes of the public listener: predictions and probes.
pub fn public_router(state: Arc<AppState>) -> Router {
    wrapped(with_fallbacks(Listener::Http), state)
}

/// The routes of the operations listener: metrics, probes and, for bearers of the token, the admin routes.
pub fn ops_router(state: Arc<AppState>) -> Router {
    let guarded = with_fallbacks(Listener::Ops).layer(from_fn_with_state(Arc::clone(&state), admin::guard));
    wrapped(guarded, state)
}

fn with_fallbacks(listener: Listener) -> Router<Arc<AppState>> {
    routes::router(listener).fallback(unknown_route).method_not_allowed_fallback(unknown_method)
}

fn wrapped(router: Router<Arc<AppState>>, state: Arc<AppState>) -> Router {
    // What callers sent comes back in errors at most as a name: no browser may take it for a page.
    let nosniff =
        SetResponseHeaderLayer::if_not_present(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let router = router.layer(nosniff);
    router.layer(from_fn_with_state(Arc::clone(&state.metrics), envelope::wrap)).with_state(state)
}

async fn unknown_route() -> ApiError {
    ApiError::UnknownRoute
}

async fn unknown_method() -> ApiError {
    ApiError::Method { allow: None }
}

/// An answer of JSON bytes.
fn json_response(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer of one JSON value.
fn json_value(value: &impl Serialize) -> Response {
    serde_json::to_vec(value).map_or_else(|_| ApiError::Internal.into_response(), json_response)
}

/// Reads a small body of a fixed form, `expected` in words.
fn parse_small<T: DeserializeOwned>(body: &[u8], face: Face, expected: &str) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        // Text of serde's data errors can quote values.
        Category::Data => ApiError::BadInput { face, mismatch: Mismatch::new("body", expected, "another form") },
        Category::Io | Category::Syntax | Category::Eof => {
            let what = "no JSON".to_owned();
            ApiError::Malformed(json::Malformed { what, line: error.line(), column: error.column() })
        }
    })
}
