//! What stands before the routes of a listener: every request's id, the checks of its head, the net under panics, and the
//! short way of predictions.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use tower::ServiceExt as _;

use super::cors::Cors;
use super::envelope::{Access, RequestId, check_head};
use super::error::{ApiError, Face};
use super::exchange::{Pick, find};
use super::predict;
use super::{AppState, admin, routes, scoring};
use crate::metrics::{HttpAnswers, Listener, Metrics};
use crate::oip::absent;

/// The header field that carries a request's id, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers the requests of one listener.
#[derive(Debug, Clone)]
pub struct Front {
    state: Arc<AppState>,
    router: Router,
    listener: Listener,
    answers: HttpAnswers,
}

impl Front {
    /// The public listener: predictions and probes.
    pub fn public(state: Arc<AppState>) -> Self {
        let router = with_fallbacks(Listener::Http);
        let router = if state.scoring.multi_model.is_some() { scoring::routed(router) } else { router };
        let router = router.with_state(Arc::clone(&state));
        Self::new(state, router, Listener::Http)
    }

    /// The operations listener: metrics, probes and, for bearers of the token, the admin routes.
    pub fn ops(state: Arc<AppState>) -> Self {
        let guarded = with_fallbacks(Listener::Ops).layer(from_fn_with_state(Arc::clone(&state), admin::guard));
        let router = guarded.with_state(Arc::clone(&state));
        Self::new(state, router, Listener::Ops)
    }

    fn new(state: Arc<AppState>, router: Router, listener: Listener) -> Self {
        let answers = state.metrics.http_answers(listener);
        Self { state, router, listener, answers }
    }

    /// The listener.
    pub fn listener(&self) -> Listener {
        self.listener
    }

    /// Answers `request` of `peer`: gives it an id, refuses a head that cannot be right, turns a panic into a 500, and counts
    /// the answer.
    pub async fn answer<B>(&self, request: Request<B>, peer: SocketAddr) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let (parts, body) = request.into_parts();
        let id = RequestId::of(parts.headers.get(REQUEST_ID));
        let mut access = Access::of(&parts);
        let page = self.cors().map(|cors| cors.allowed(&parts.headers));
        let mut response = match self.admitted(&parts) {
            Err(answer) => *answer,
            Ok(key) => {
                if let Some(access) = &mut access {
                    access.key = key;
                }
                // By reference: a request would be copied once more for every future that it is handed down to.
                let mut request = Some((parts, body));
                contained(self.routed(&mut request, peer, &id), &self.state.metrics, &id).await
            }
        };
        if let Some(page) = page {
            Cors::mark(&mut response, page);
        }
        if let Some(access) = access {
            access.log(&id, &response);
        }
        self.answers.count(response.status().as_u16());
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id.into());
        // What callers sent comes back in errors at most as a name: no browser may take it for a page.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    /// The origins that may ask; none may ask for operations.
    fn cors(&self) -> Option<&Cors> {
        self.state.cors.as_ref().filter(|_| self.listener == Listener::Http)
    }

    /// Whose request this is, where keys are asked for; else the answer that it gets at once.
    fn admitted(&self, head: &Parts) -> Result<Option<Arc<str>>, Box<Response>> {
        let refused = |error: ApiError| Box::new(error.into_response());
        check_head(head).map_err(refused)?;
        if self.listener != Listener::Http {
            return Ok(None);
        }
        // A browser sends no key when it asks whether it may ask.
        if let Some(answer) = self.cors().and_then(|cors| cors.preflight(head)) {
            return Err(Box::new(answer));
        }
        let path = head.uri.path();
        let path = self.state.scoring.route(path).unwrap_or(path);
        self.state.api_keys.admit(&head.headers, path).map_err(refused)
    }

    async fn routed<B>(&self, request: &mut Option<(Parts, B)>, peer: SocketAddr, id: &RequestId) -> Response
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if let Some((parts, body)) = request
            && let Some((model, face)) = prediction(self.listener, parts)
        {
            let target = find(&self.state, model).map(|slot| (slot, Pick::Champion));
            return predict::answer(&self.state, target, (&parts.headers, body), (face, Some(id))).await;
        }
        let Some((mut parts, body)) = request.take() else { return ApiError::Internal.into_response() };
        if self.listener == Listener::Http
            && let Some(route) = self.state.scoring.route(parts.uri.path())
        {
            parts.uri = Uri::from_static(route);
        }
        let mut request = Request::from_parts(parts, Body::new(body));
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(id.clone());
        // Boxed: the future of a prediction need not be as large as that of a route.
        let Ok(response) = Box::pin(self.router.clone().oneshot(request)).await;
        response
    }
}

/// What `route` answers; a panic becomes a 500.
async fn contained(route: impl Future<Output = Response>, metrics: &Metrics, id: &RequestId) -> Response {
    AssertUnwindSafe(route).catch_unwind().await.unwrap_or_else(|_| {
        metrics.count_panic();
        tracing::error!(request_id = id.as_str(), "a route panicked; the request got a 500");
        ApiError::Internal.into_response()
    })
}

/// The model and the face of a request for a prediction by the active version, which most requests are: it needs no router
/// to be found. What is written in any other way than the plain one is for the router.
fn prediction(listener: Listener, head: &Parts) -> Option<(&str, Face)> {
    if listener != Listener::Http || head.method != Method::POST {
        return None;
    }
    let path = head.uri.path();
    let v1 = || Some((path.strip_prefix("/v1/models/")?.strip_suffix(":predict")?, Face::V1));
    let v2 = || Some((path.strip_prefix("/v2/models/")?.strip_suffix("/infer")?, Face::V2));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    v1().or_else(v2).filter(|(name, _)| !name.is_empty() && name.bytes().all(is_plain))
}

fn with_fallbacks(listener: Listener) -> Router<Arc<AppState>> {
    // Paths that differ in their verb alone share a route, but not their methods.
    let unknown_method = async move |uri: Uri| ApiError::Method { allow: routes::allowed(listener, uri.path()) };
    routes::router(listener).fallback(unknown_route).method_not_allowed_fallback(unknown_method)
}

async fn unknown_route(uri: Uri) -> ApiError {
    absent::of_path(uri.path()).map_or(ApiError::UnknownRoute, ApiError::Absent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[track_caller]
    fn check(method: Method, path: &str, expected: Option<(&str, Face)>) {
        let (head, ()) = Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        assert_eq!(prediction(Listener::Http, &head), expected);
        assert_eq!(prediction(Listener::Ops, &head), None);
    }

    #[test]
    fn predictions_by_the_active_version_are_known_by_their_path() {
        check(Method::POST, "/v1/models/flights:predict", Some(("flights", Face::V1)));
        check(Method::POST, "/v1/models/a.b-c_1:predict?x=1", Some(("a.b-c_1", Face::V1)));
        check(Method::POST, "/v2/models/flights/infer", Some(("flights", Face::V2)));
        for other in [
            "/v1/models/flights",
            "/v1/models/:predict",
            "/v1/models/flights/versions/3:predict",
            "/v1/models/fl%69ghts:predict",
            "/v1/models/flights:predict:predict",
            "/v1/models/flights:predict/",
            "/v2/models//infer",
            "/v2/models/flights/versions/3/infer",
            "/v2/models/flights/ready",
        ] {
            check(Method::POST, other, None);
        }
        check(Method::GET, "/v1/models/flights:predict", None);
    }

    #[tokio::test]
    async fn a_panic_costs_one_request_and_is_counted() {
        let metrics = Metrics::new().unwrap();
        let id = RequestId::of(None);
        let boom = contained(async { std::panic::resume_unwind(Box::new("boom")) }, &metrics, &id).await;
        assert_eq!(boom.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let fine = contained(async { "fine".into_response() }, &metrics, &id).await;
        assert_eq!(fine.status(), StatusCode::OK);
        assert!(metrics.encode().contains("gudgeon_panics_total 1"));
    }
}
