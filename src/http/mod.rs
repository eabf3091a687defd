//! HTTP: bytes in, statuses and bytes out. The wire forms live here and nowhere else.
//!
//! Everything behind this module sees typed tensors and never JSON; everything in front of it sees one error body.
//! [`ROUTES`] lists what there is; a [`Front`] a listener serves it.

mod admin;
mod body;
mod coding;
mod cors;
mod envelope;
pub mod error;
pub(crate) mod exchange;
mod feedback;
mod front;
mod gather;
pub mod json;
mod keys;
mod openapi;
mod predict;
mod probes;
mod routes;
mod scoring;
mod segments;
mod state;
pub mod v1;
pub mod v2;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;

pub use body::BodyBudget;
pub(crate) use body::{BodyLimits, Share, gather};
pub use cors::Cors;
pub(crate) use envelope::RequestId;
pub use error::{ApiError, Face};
pub use feedback::Feedback;
pub use front::Front;
pub(crate) use gather::Gather;
pub use json::DecodeLimits;
pub(crate) use json::clip;
pub use keys::{ApiKeys, ApiKeysError, KeySet};
pub use openapi::Documents;
pub use routes::{ROUTES, Route};
pub use scoring::{INNER_FOLDER, MultiModel, ScoringOptions};
pub use state::{AdminToken, AppState, EventStreams, HttpOptions, Readiness};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::model::Mismatch;

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
