//! MLflow's and SageMaker's routes for the default model.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};

use crate::http::AppState;
use crate::http::error::{ApiError, Face};
use crate::http::exchange::{Pick, find};
use crate::http::predict::answer_routed;
use crate::http::probes::not_ready;
use crate::slot::Slot;

/// A prediction by the active version of the default model.
pub(in crate::http) async fn invocations(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let target = default_model(&state).map(|slot| (slot, Pick::Champion));
    answer_routed(&state, target, request, Face::Scoring).await
}

/// Predictions should be asked for here; the body is empty.
pub(in crate::http) async fn ping(State(state): State<Arc<AppState>>) -> Response {
    let is_able = match not_ready(&state) {
        Some(error) => Err(error),
        // It lives without any model: the platform has not said yet which.
        None if state.scoring.multi_model.is_some() => return Response::new(Body::empty()),
        None => default_model(&state).and_then(|slot| Pick::Champion.acquire(&slot)),
    };
    match is_able {
        Ok(_) => Response::new(Body::empty()),
        Err(error) => error.into_response_on(Face::Scoring),
    }
}

/// The version of this server, as text.
pub(in crate::http) async fn version() -> Response {
    let mut response = env!("CARGO_PKG_VERSION").into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The model that is asked where the path names none.
fn default_model(state: &AppState) -> Result<Arc<Slot>, ApiError> {
    if let Some(name) = &state.scoring.default_model {
        return find(state, name);
    }
    match state.slots.all().as_slice() {
        [only] => Ok(Arc::clone(only)),
        [] => Err(ApiError::Unavailable { reason: "no model is served", retry_after_s: 1 }),
        several => Err(ApiError::NoDefaultModel { n_models: several.len() }),
    }
}
