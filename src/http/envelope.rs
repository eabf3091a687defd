//! What surrounds every request: its id, the checks of its head, and the net under panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use uuid::Uuid;

use super::error::ApiError;
use crate::metrics::Metrics;

/// The header field that carries a request's id, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 64;
/// As much of a path as is logged.
const LOGGED_PATH_CHARS_MAX: usize = 256;
/// The most bytes of all header fields together.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// A request's id: the caller's where it is a sane one, else made here.
#[derive(Debug, Clone)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let is_sane = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(is_known)
        };
        if let Some(value) = headers.get(REQUEST_ID).filter(is_sane) {
            return Self(value.clone());
        }
        let mut buffer = Uuid::encode_buffer();
        let text = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
        Self(HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none")))
    }

    /// The id as text.
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Wraps a request: gives it an id, refuses a head that cannot be right, and turns a panic into a 500.
pub(super) async fn wrap(State(metrics): State<Arc<Metrics>>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    let access = Access::of(&request);
    let mut response = match check_head(&request) {
        Err(error) => error.into_response(),
        Ok(()) => {
            request.extensions_mut().insert(id.clone());
            AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
                metrics.count_panic();
                tracing::error!(request_id = id.as_str(), "a route panicked; the request got a 500");
                ApiError::Internal.into_response()
            })
        }
    };
    if let Some(access) = access {
        access.log(&id, &response);
    }
    response.headers_mut().insert(REQUEST_ID, id.0);
    response
}

/// One line a request, for those who ask for it with the log filter `gudgeon::access=debug`: never a body or a query.
struct Access {
    method: Method,
    path: String,
    started: Instant,
}

impl Access {
    fn of(request: &Request) -> Option<Self> {
        tracing::enabled!(target: "gudgeon::access", tracing::Level::DEBUG).then(|| Self {
            method: request.method().clone(),
            path: request.uri().path().chars().take(LOGGED_PATH_CHARS_MAX).collect(),
            started: Instant::now(),
        })
    }

    fn log(self, id: &RequestId, response: &Response) {
        let Self { method, path, started } = self;
        let version = response.headers().get("x-model-version").and_then(|version| version.to_str().ok());
        let (status, micros) = (response.status().as_u16(), started.elapsed().as_micros());
        // The path is a caller's: quoting it keeps one event on one line.
        tracing::debug!(
            target: "gudgeon::access", request_id = id.as_str(), %method, ?path, status, version, micros, "answered"
        );
    }
}

fn check_head(request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_missing = hosts.next().is_none() && request.uri().authority().is_none();
    if (is_missing && request.version() == Version::HTTP_11) || hosts.next().is_some() {
        return Err(ApiError::BrokenHead("expected one host field"));
    }
    // Another coding would be taken for JSON, or read otherwise than by the proxy in front.
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !headers.get_all(header::TRANSFER_ENCODING).iter().all(is_chunked) {
        return Err(ApiError::BrokenHead("expected no transfer coding but chunked"));
    }
    let n_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if HEADER_BYTES_MAX < n_bytes {
        return Err(ApiError::HeadersTooLarge { limit: HEADER_BYTES_MAX });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use http::StatusCode;
    use tower::ServiceExt as _;

    async fn boom() -> &'static str {
        std::panic::resume_unwind(Box::new("boom"))
    }

    #[tokio::test]
    async fn a_panic_costs_one_request_and_is_counted() {
        let metrics = Metrics::new().unwrap();
        let router: Router = Router::new()
            .route("/boom", get(boom))
            .route("/fine", get(async || "fine"))
            .layer(from_fn_with_state(Arc::clone(&metrics), wrap));
        let ask = async |path: &str, filler: usize| {
            let request = http::Request::get(path).header("host", "localhost").header("x-filler", "x".repeat(filler));
            let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert!(response.headers().contains_key(REQUEST_ID));
            response.status()
        };
        assert_eq!(ask("/boom", 1).await, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(ask("/fine", 1).await, StatusCode::OK);
        assert_eq!(ask("/fine", HEADER_BYTES_MAX).await, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert!(metrics.encode().contains("gudgeon_panics_total 1"));
    }
}
