//! Every failure that a client can see: its status, its stable code and its body, side by side.
//!
//! The body is `{"error": "...", "code": "..."}` plus, for bad input, `path`, `expected` and `got`, and for a refused version
//! `breaches` or `report`. It repeats neither the
//! payload nor the text of an engine, a file system or a library.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::json::{DecodeError, Malformed};
use crate::lifecycle::{ErrorKind, LifecycleError};
use crate::model::Mismatch;

/// Which protocol a request speaks, where that decides the status of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// The v1 form and everything else: input that does not fit is 422.
    V1,
    /// The Open Inference Protocol: its clients expect 400.
    V2,
    /// The scoring containers' protocols: MLflow's clients expect 400, and MLflow's own words in the body besides.
    Scoring,
}

/// Why a request was not answered with what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The body is not JSON.
    #[error(transparent)]
    Malformed(Malformed),
    /// The request's head cannot be right.
    #[error("the head of the request is broken: {0}")]
    BrokenHead(&'static str),
    /// The body could not be read to its end.
    #[error("the body could not be read: {0}")]
    BrokenBody(&'static str),
    /// The body is well formed, but not what the model or the protocol takes.
    #[error("{mismatch}")]
    BadInput {
        /// Who asks.
        face: Face,
        /// Where, what was expected, what came.
        mismatch: Mismatch,
    },
    /// A part of a protocol that this server does not have.
    #[error("this server has no {0}")]
    Absent(&'static str),
    /// No such path.
    #[error("no such route: check the path and the port")]
    UnknownRoute,
    /// No model of that name.
    #[error("no model {0:?} is served here")]
    UnknownModel(String),
    /// A multi-model endpoint has the model in memory.
    #[error("model {0:?} is loaded already")]
    AlreadyLoaded(String),
    /// A multi-model endpoint has as many models in memory as it may.
    #[error("{n_models} models are in memory, and that is models_max: unload another one first")]
    NoRoom {
        /// How many.
        n_models: usize,
    },
    /// The path names no model, and several are served.
    #[error(
        "{n_models} models are served and none is the default one: name it with --default-model, or ask /v1/models/NAME:predict"
    )]
    NoDefaultModel {
        /// How many.
        n_models: usize,
    },
    /// The model has no such version in memory.
    #[error("model {model:?} has no version {version} ready: leave the version out to use the active one")]
    UnknownVersion {
        /// The model.
        model: String,
        /// The version or the alias asked for.
        version: String,
    },
    /// The path is there, the method is not.
    #[error("this path takes other methods: see the allow header field")]
    Method {
        /// The methods that there are, for the `Allow` header; the router fills it in where this does not.
        allow: Option<&'static str>,
    },
    /// The client took too long to send.
    #[error("the request did not arrive in time")]
    RequestTimeout,
    /// The body is larger than the limit.
    #[error("the body is larger than {limit} bytes: send fewer rows a request")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body is declared to be of a type that this route does not speak.
    #[error("this route speaks {expected}: send that as the content type, or none")]
    MediaType {
        /// What it speaks.
        expected: &'static str,
    },
    /// The body is compressed in a way that is not read.
    #[error("bodies are read as they are, or compressed with gzip or deflate")]
    Coding,
    /// The header fields are larger than the limit.
    #[error("the header fields are larger than {limit} bytes")]
    HeadersTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// No token, or another one.
    #[error("this route needs the admin token: send it as \"authorization: Bearer <token>\"")]
    Unauthorized,
    /// No API key, or another one.
    #[error("this server wants an API key: send it as \"x-api-key: <key>\" or \"authorization: Bearer <key>\"")]
    NoKey,
    /// A browser's page of another origin, or a host name that is not this server's.
    #[error("refused: {0}")]
    Forbidden(&'static str),
    /// A lifecycle operation was not done. The text is for operators, who hold the admin token.
    #[error("{text}")]
    Operation {
        /// What kind of failure it is.
        kind: ErrorKind,
        /// The stable code.
        code: &'static str,
        /// Why, and what to do next.
        text: String,
        /// What a program may want beside that, by its name in the body.
        data: Option<(&'static str, serde_json::Value)>,
    },
    /// The queue is full.
    #[error("too many requests wait already: try again in {retry_after_s} s")]
    Overloaded {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// Nothing can answer yet, or any more.
    #[error("{reason}: try again in {retry_after_s} s")]
    Unavailable {
        /// Why.
        reason: &'static str,
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// The deadline passed before an answer was there.
    #[error("no answer within {timeout_ms} ms")]
    DeadlinePassed {
        /// The time that the request had.
        timeout_ms: u64,
    },
    /// The model failed on these rows.
    #[error("the model failed on this input; the server's log has more under the request's id")]
    ModelFailed,
    /// A fault of the server.
    #[error("an internal fault; the server's log has more under the request's id")]
    Internal,
}

impl ApiError {
    /// The status and the stable code.
    pub fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, "malformed_json"),
            Self::BrokenHead(_) => (StatusCode::BAD_REQUEST, "broken_head"),
            Self::BrokenBody(_) => (StatusCode::BAD_REQUEST, "broken_body"),
            Self::BadInput { face: Face::V1, .. } => (StatusCode::UNPROCESSABLE_ENTITY, "bad_input"),
            Self::BadInput { face: Face::V2 | Face::Scoring, .. } => (StatusCode::BAD_REQUEST, "bad_input"),
            Self::Absent(_) => (StatusCode::NOT_IMPLEMENTED, "not_implemented"),
            Self::UnknownRoute => (StatusCode::NOT_FOUND, "unknown_route"),
            Self::UnknownModel(_) => (StatusCode::NOT_FOUND, "unknown_model"),
            Self::AlreadyLoaded(_) => (StatusCode::CONFLICT, "already_loaded"),
            Self::NoRoom { .. } => (StatusCode::INSUFFICIENT_STORAGE, "no_room"),
            Self::NoDefaultModel { .. } => (StatusCode::NOT_FOUND, "no_default_model"),
            Self::UnknownVersion { .. } => (StatusCode::NOT_FOUND, "unknown_version"),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::MediaType { .. } => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::Coding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_coding"),
            Self::HeadersTooLarge { .. } => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::NoKey => (StatusCode::UNAUTHORIZED, "no_api_key"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Operation { kind, code, .. } => (operation_status(*kind), code),
            Self::Overloaded { .. } => (StatusCode::TOO_MANY_REQUESTS, "overloaded"),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::DeadlinePassed { .. } => (StatusCode::GATEWAY_TIMEOUT, "deadline_passed"),
            Self::ModelFailed => (StatusCode::INTERNAL_SERVER_ERROR, "model_failed"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// The error for a body that could not be decoded on `face`.
    pub fn decode(face: Face, error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed(malformed) => Self::Malformed(malformed),
            DecodeError::BadInput(mismatch) => Self::BadInput { face, mismatch },
        }
    }

    /// The header field that belongs to the status, if one does.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Overloaded { retry_after_s } | Self::Unavailable { retry_after_s, .. } => {
                Some((header::RETRY_AFTER, HeaderValue::from(*retry_after_s)))
            }
            Self::Operation { kind: ErrorKind::Stopped, .. } => Some((header::RETRY_AFTER, HeaderValue::from(1))),
            Self::Method { allow: Some(allow) } => Some((header::ALLOW, HeaderValue::from_static(allow))),
            Self::Unauthorized => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gudgeon admin\"")))
            }
            Self::NoKey => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gudgeon\""))),
            _ => None,
        }
    }
}

impl From<LifecycleError> for ApiError {
    fn from(error: LifecycleError) -> Self {
        Self::from(&error)
    }
}

impl From<&LifecycleError> for ApiError {
    fn from(error: &LifecycleError) -> Self {
        let (kind, code) = error.kind();
        Self::Operation { kind, code, text: error.to_string(), data: error.data() }
    }
}

fn operation_status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Storage => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: String,
    code: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    place: Option<Place<'a>>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(flatten)]
    data: BTreeMap<&'static str, serde_json::Value>,
}

#[derive(Serialize)]
struct Place<'a> {
    path: &'a str,
    expected: &'a str,
    got: &'a str,
}

#[derive(Serialize)]
struct Position {
    line: usize,
    column: usize,
}

/// MLflow's word for a status: of those that its clients know.
fn mlflow_code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
        StatusCode::FORBIDDEN => "PERMISSION_DENIED",
        StatusCode::NOT_FOUND => "RESOURCE_DOES_NOT_EXIST",
        StatusCode::CONFLICT => "RESOURCE_CONFLICT",
        StatusCode::TOO_MANY_REQUESTS => "REQUEST_LIMIT_EXCEEDED",
        StatusCode::NOT_IMPLEMENTED => "NOT_IMPLEMENTED",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE => "TEMPORARILY_UNAVAILABLE",
        StatusCode::GATEWAY_TIMEOUT => "DEADLINE_EXCEEDED",
        status if status.is_client_error() => "BAD_REQUEST",
        _ => "INTERNAL_ERROR",
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.into_response_on(Face::V1)
    }
}

impl ApiError {
    /// The answer to a request of `face`.
    pub(super) fn into_response_on(self, face: Face) -> Response {
        let (status, code) = self.kind();
        let place = match &self {
            Self::BadInput { mismatch: Mismatch { path, expected, got }, .. } => Some(Place { path, expected, got }),
            _ => None,
        };
        let position = match &self {
            Self::Malformed(Malformed { line, column, .. }) => Some(Position { line: *line, column: *column }),
            _ => None,
        };
        let mut data: BTreeMap<_, _> = match &self {
            Self::Operation { data, .. } => data.clone().into_iter().collect(),
            _ => BTreeMap::new(),
        };
        if face == Face::Scoring {
            data.insert("error_code", mlflow_code(status).into());
            data.insert("message", self.to_string().into());
        }
        let body = ErrorBody { error: self.to_string(), code, place, position, data };
        let body = serde_json::to_vec(&body).unwrap_or_else(|_| br#"{"error":"internal","code":"internal"}"#.to_vec());
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = self.header() {
            headers.insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn an_error_becomes_a_status_headers_and_a_body() {
        async fn check(error: ApiError, status: u16, field: Option<(&str, &str)>, body: &str) {
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), status);
            if let Some((name, value)) = field {
                assert_eq!(response.headers()[name], value);
            }
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(std::str::from_utf8(&bytes).unwrap(), body);
        }
        let mismatch = Mismatch::new("instances[3].foo", "a known feature", "\"x\"");
        check(
            ApiError::BadInput { face: Face::V1, mismatch: mismatch.clone() },
            422,
            None,
            r#"{"error":"instances[3].foo: expected a known feature, got \"x\"","code":"bad_input","path":"instances[3].foo","expected":"a known feature","got":"\"x\""}"#,
        )
        .await;
        assert_eq!(ApiError::BadInput { face: Face::V2, mismatch: mismatch.clone() }.kind().0, StatusCode::BAD_REQUEST);
        let scoring = ApiError::BadInput { face: Face::Scoring, mismatch }.into_response_on(Face::Scoring);
        assert_eq!(scoring.status().as_u16(), 400);
        let body: serde_json::Value =
            serde_json::from_slice(&scoring.into_body().collect().await.unwrap().to_bytes()).unwrap();
        assert_eq!((&body["error_code"], &body["message"]), (&"BAD_REQUEST".into(), &body["error"]), "{body}");
        assert_eq!((&body["code"], &body["path"]), (&"bad_input".into(), &"instances[3].foo".into()), "{body}");
        let malformed = Malformed { what: "expected value".to_owned(), line: 1, column: 2 };
        check(
            ApiError::Malformed(malformed),
            400,
            None,
            r#"{"error":"the body is not valid JSON: expected value (line 1, column 2)","code":"malformed_json","line":1,"column":2}"#,
        )
        .await;
        check(
            ApiError::Overloaded { retry_after_s: 1 },
            429,
            Some(("retry-after", "1")),
            r#"{"error":"too many requests wait already: try again in 1 s","code":"overloaded"}"#,
        )
        .await;
        check(
            ApiError::Method { allow: Some("GET, HEAD") },
            405,
            Some(("allow", "GET, HEAD")),
            r#"{"error":"this path takes other methods: see the allow header field","code":"method_not_allowed"}"#,
        )
        .await;
    }
}
