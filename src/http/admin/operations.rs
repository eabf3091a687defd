//! Operations: begun by a call, answered at their end or at once, followed as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::http::error::{ApiError, Face};
use crate::http::segments::Segments;
use crate::http::state::EventStreams;
use crate::http::{AppState, json_value};
use crate::lifecycle::{Actor, Operation, OperationState, Progress, Stage, Tracked};
use crate::model::{Digest, Mismatch};

pub(in crate::http) const OPERATION_ID: HeaderName = HeaderName::from_static("x-operation-id");
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const KEY_CHARS_MAX: usize = 128;
/// So often a stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The caller's name for the request, so that a repetition is known for one.
pub(super) fn key(parts: &Parts) -> Result<Option<String>, ApiError> {
    let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    let expected = format!("1 to {KEY_CHARS_MAX} visible ASCII characters");
    let mismatch = || Mismatch::new(IDEMPOTENCY_KEY, expected, "something else");
    key.map(|key| Some(key.to_owned())).ok_or_else(|| ApiError::BadInput { face: Face::V1, mismatch: mismatch() })
}

/// What is asked for as a whole; how the answer is wanted is no part of it.
pub(in crate::http) fn digest(parts: &Parts, actor: &Actor, body: &[u8]) -> Digest {
    // Without a key nobody asks.
    if actor.call.key.is_none() {
        return Digest::of(&[]);
    }
    let query = parts.uri.query().unwrap_or_default();
    let query: Vec<_> = query.split('&').filter(|pair| !pair.starts_with("async=")).collect();
    Digest::of(format!("{} {} {}", parts.uri.path(), query.join("&"), Digest::of(body)).as_bytes())
}

/// Refuses a query whose `async` is neither true nor false, before anything is done.
///
/// # Errors
/// [`ApiError::BadInput`].
pub(super) fn check_async(parts: &Parts) -> Result<(), ApiError> {
    let mut given = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("async="));
    if given.all(|given| matches!(given, "true" | "false")) {
        return Ok(());
    }
    let mismatch = Mismatch::new("query.async", "true or false", "something else");
    Err(ApiError::BadInput { face: Face::V1, mismatch })
}

/// Whether the caller wants to follow the operation, not to wait for it.
fn wants_no_wait(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    let mut preferences = parts.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    query.split('&').any(|pair| pair == "async=true")
        || preferences.any(|value| value.split(',').any(|preference| preference.trim() == "respond-async"))
}

/// The answer to a call: what came of the operation, with `status`, or 202 and the operation as it is now.
pub(super) async fn respond(parts: &Parts, tracked: &Tracked, status: StatusCode) -> Response {
    let mut response = if wants_no_wait(parts) {
        let mut response = json_value(&tracked.now());
        *response.status_mut() = StatusCode::ACCEPTED;
        if let Ok(place) = HeaderValue::from_str(&format!("/admin/operations/{}", tracked.id())) {
            response.headers_mut().insert(header::LOCATION, place);
        }
        response
    } else {
        match tracked.ended().await {
            Ok(value) => {
                let mut response = json_value(&value);
                *response.status_mut() = status;
                response
            }
            Err(error) => ApiError::from(error).into_response(),
        }
    };
    if let Ok(id) = HeaderValue::from_str(tracked.id()) {
        response.headers_mut().insert(OPERATION_ID, id);
    }
    response
}

/// Every operation that this server remembers; `?model=` gives those of one.
pub(in crate::http) async fn operations(State(state): State<Arc<AppState>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let model = query.split('&').find_map(|pair| pair.strip_prefix("model="));
    let mut operations = state.lifecycle.operations();
    operations.retain(|operation| model.is_none_or(|model| operation.model == model));
    json_value(&json!({ "operations": operations }))
}

pub(in crate::http) async fn operation(
    State(state): State<Arc<AppState>>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    Ok(json_value(&state.lifecycle.operation(&id)?.now()))
}

/// The steps of one operation as they come. The stream ends with the operation, or when the server drains; a caller that comes
/// back with `Last-Event-ID` gets what it has not seen.
pub(in crate::http) async fn events(
    State(state): State<Arc<AppState>>,
    Segments(id): Segments<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tracked = state.lifecycle.operation(&id)?;
    let (turn, closing) = state.event_streams.enter().ok_or(ApiError::Overloaded { retry_after_s: 1 })?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<usize>().ok());
    let follower = Follower { operation: tracked.now(), tracked, n_sent: last.unwrap_or(0), closing, _turn: turn };
    let events = stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

struct Follower {
    tracked: Arc<Tracked>,
    operation: Operation,
    n_sent: usize,
    closing: watch::Receiver<bool>,
    _turn: OwnedSemaphorePermit,
}

#[derive(Serialize)]
struct StepBody<'a> {
    operation: &'a str,
    at: &'a str,
    state: OperationState,
    stage: Option<Stage>,
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(step) = self.operation.progress.get(self.n_sent) {
                self.n_sent += 1;
                return Some(self.event(step));
            }
            if self.operation.state.is_final() {
                return None;
            }
            let tracked = Arc::clone(&self.tracked);
            self.operation = tokio::select! {
                _ = self.closing.wait_for(|is_closing| *is_closing) => return None,
                operation = tracked.after(self.n_sent) => operation,
            };
        }
    }

    fn event(&self, step: &Progress) -> Event {
        let Progress { at, state, stage } = step;
        let (name, data) = if state.is_final() {
            ("end", serde_json::to_string(&self.operation))
        } else {
            let body = StepBody { operation: &self.operation.id, at, state: *state, stage: *stage };
            ("progress", serde_json::to_string(&body))
        };
        Event::default().id(self.n_sent.to_string()).event(name).data(data.unwrap_or_else(|_| Value::Null.to_string()))
    }
}

impl EventStreams {
    fn enter(&self) -> Option<(OwnedSemaphorePermit, watch::Receiver<bool>)> {
        Some((Arc::clone(&self.turns).try_acquire_owned().ok()?, self.closing.subscribe()))
    }
}
