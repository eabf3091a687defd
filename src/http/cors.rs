//! Requests by pages of other origins (CORS, as the Fetch standard has it): off, unless the configuration names origins.
//!
//! No cookies are asked for or looked at, so no credentials are allowed: a page sends its key in a header field.

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::error::ApiError;

/// How long a browser may remember what a preflight said, seconds.
const REMEMBER_S: u64 = 600;
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");
/// What a page may read of an answer, beside its body.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-request-id, x-model-name, x-model-version, inference-header-content-length, retry-after",
);
/// What an answer to a preflight depends on.
const VARY: HeaderValue =
    HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The pages that may ask.
#[derive(Debug, Clone)]
pub struct Cors {
    is_any: bool,
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// Those of `names`, which are origins as browsers write them, or `*`; `None` where there are none.
    pub fn new(names: &[String]) -> Option<Self> {
        let origins = names.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        (!names.is_empty()).then_some(Self { is_any: names.iter().any(|name| name == "*"), origins })
    }

    /// What to name as the page that may read the answer.
    pub(super) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.is_any {
            return Some(ANY);
        }
        self.origins.contains(origin).then(|| origin.clone())
    }

    /// The answer to a browser that asks whether it may ask; `None` to any other request.
    pub(super) fn preflight(&self, head: &Parts) -> Option<Response> {
        let headers = &head.headers;
        let asks = head.method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || !headers.contains_key(header::ORIGIN) {
            return None;
        }
        let Some(origin) = self.allowed(headers) else {
            let refused = ApiError::Forbidden(
                "pages of this origin may not ask here: the setting cors_origins names those that may",
            );
            return Some(refused.into_response());
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let fields = response.headers_mut();
        fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        fields.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            // Those that mean nothing here are passed over, and a model may name one of its own.
            fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        fields.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(REMEMBER_S));
        fields.insert(header::VARY, VARY);
        Some(response)
    }

    /// Lets the page `allowed` read `response`; other pages' browsers keep it from them.
    pub(super) fn mark(response: &mut Response, allowed: Option<HeaderValue>) {
        let fields = response.headers_mut();
        if let Some(origin) = allowed {
            fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            fields.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        fields.append(header::VARY, HeaderValue::from_static("origin"));
    }
}
