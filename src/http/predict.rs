//! A prediction from its request to its answer, whatever the face: the one place where outcomes are counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::body::{self, BodyLimits, ReadBody};
use super::envelope::RequestId;
use super::error::{ApiError, Face};
use super::json::clip;
use super::{AppState, json_response, v1, v2};
use crate::batch::RunError;
use crate::metrics::{CanaryOutcome, Held, Outcome};
use crate::model::{Alias, Checked, Version};
use crate::slot::{Canary, Route, Servable, Slot};
use crate::tensor::Tensor;

const MODEL_VERSION: HeaderName = HeaderName::from_static("x-model-version");
const MODEL_NAME: HeaderName = HeaderName::from_static("x-model-name");
const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-request-timeout-ms");
const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// From this size on, reading and writing JSON takes longer than a runtime worker should be held.
const HEAVY_BYTES: usize = 64 << 10;

const NO_CHAMPION: ApiError = ApiError::Unavailable { reason: "the model has no active version", retry_after_s: 1 };

/// Which of a model's versions is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    /// The active one.
    Champion,
    /// The one with this number.
    Version(Version),
    /// The one under this alias.
    Alias(Alias),
}

impl Pick {
    /// Who answers, decided once for all that follows: a request that names no version may go to the challenger.
    fn route(self, slot: &Slot, headers: Option<&HeaderMap>) -> Result<Route, ApiError> {
        match (self, headers) {
            (Self::Champion, Some(headers)) => {
                let key = |name: &str| headers.get(name).map(HeaderValue::as_bytes).filter(|key| !key.is_empty());
                slot.route(key).ok_or(NO_CHAMPION)
            }
            // A request that did not arrive in full is nobody's test case.
            (pick, _) => Ok(Route { servable: pick.acquire(slot)?, canary: None }),
        }
    }

    /// The servable, acquired once for all that follows.
    pub(super) fn acquire(self, slot: &Slot) -> Result<Arc<Servable>, ApiError> {
        let unknown = |version: String| ApiError::UnknownVersion { model: slot.name().to_string(), version };
        match self {
            Self::Champion => slot.acquire().ok_or(NO_CHAMPION),
            Self::Version(version) => slot.acquire_version(version).ok_or_else(|| unknown(version.to_string())),
            Self::Alias(alias) => slot.acquire_alias(alias).ok_or_else(|| unknown(alias.to_string())),
        }
    }
}

/// The slot of the model called `name`.
///
/// # Errors
/// [`ApiError::UnknownModel`].
pub(super) fn find(state: &AppState, name: &str) -> Result<Arc<Slot>, ApiError> {
    state.slots.find(name).ok_or_else(|| ApiError::UnknownModel(clip(name)))
}

/// Answers a prediction request that came by the router.
pub(super) async fn answer_routed(
    state: &AppState,
    target: Result<(Arc<Slot>, Pick), ApiError>,
    request: Request<Body>,
    face: Face,
) -> Response {
    let (parts, mut body) = request.into_parts();
    let id = parts.extensions.get::<RequestId>();
    answer(state, target, (&parts.headers, &mut body), (face, id)).await
}

/// Answers a prediction request on a face, with its id.
pub(super) async fn answer<B: HttpBody<Data = Bytes> + Unpin>(
    state: &AppState,
    target: Result<(Arc<Slot>, Pick), ApiError>,
    request: (&HeaderMap, &mut B),
    (face, id): (Face, Option<&RequestId>),
) -> Response {
    let (slot, pick) = match target {
        Ok(target) => target,
        Err(error) => {
            state.metrics.count_unrouted();
            return error.into_response();
        }
    };
    let _in_flight = Held::new(&slot.metrics().in_flight);
    let headers = request.0;
    let received = Received::read(state, request, (face, id)).await;
    let started = Instant::now();
    let headers = received.is_ok().then_some(headers);
    let Route { servable, canary } = match pick.route(&slot, headers) {
        Ok(route) => route,
        Err(error) => {
            state.metrics.count_unrouted();
            return error.into_response();
        }
    };
    let (servable, result) = match (received, canary) {
        (Ok(received), Some(canary)) => Box::pin(try_canary(state, &received, (servable, canary), started)).await,
        (Ok(received), None) => {
            let counted = Counted { servable: &servable, started, outcome: Outcome::Cancelled };
            let result = received.predict(state, &servable, Times { started, timeout: received.timeout }).await;
            counted.end(&result);
            (servable, result)
        }
        (Err(error), _) => {
            let counted = Counted { servable: &servable, started, outcome: Outcome::Cancelled };
            let result = Err(error);
            counted.end(&result);
            (servable, result)
        }
    };
    let mut response = result.map_or_else(ApiError::into_response, json_response);
    let headers = response.headers_mut();
    for (name, text) in [(MODEL_VERSION, servable.version_text()), (MODEL_NAME, servable.model().as_str())] {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    }
    response
}

/// Lets the challenger answer, in half of the time that the request has; where it cannot, the champion does, from the
/// request's bytes on. Gives back who answered.
async fn try_canary(
    state: &AppState,
    received: &Received<'_>,
    (challenger, canary): (Arc<Servable>, Canary),
    started: Instant,
) -> (Arc<Servable>, Result<Vec<u8>, ApiError>) {
    let counted = Counted { servable: &challenger, started, outcome: Outcome::Cancelled };
    let result = received.predict(state, &challenger, Times { started, timeout: received.timeout / 2 }).await;
    counted.end(&result);
    let comparison = canary.challenge.comparison();
    if result.is_ok() {
        comparison.note_canary(CanaryOutcome::Answered);
        return (challenger, result);
    }
    let counted = Counted { servable: &canary.champion, started, outcome: Outcome::Cancelled };
    let second = received.predict(state, &canary.champion, Times { started, timeout: received.timeout }).await;
    counted.end(&second);
    match (&result, &second) {
        (_, Ok(_)) => comparison.note_canary(CanaryOutcome::Rescued),
        // What the champion refuses too is the caller's fault, or that of the load.
        (Err(ApiError::ModelFailed | ApiError::Internal | ApiError::DeadlinePassed { .. }), Err(_)) => {
            comparison.note_canary(CanaryOutcome::Failed);
        }
        _ => {}
    }
    (canary.champion, second)
}

/// When a request began, and the time that it has from then on.
#[derive(Debug, Clone, Copy)]
struct Times {
    started: Instant,
    timeout: Duration,
}

impl Times {
    fn deadline(self) -> Instant {
        self.started + self.timeout
    }

    fn passed(self) -> ApiError {
        ApiError::DeadlinePassed { timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX) }
    }
}

/// Counts a request however it ends; one that is dropped on the way was cancelled.
struct Counted<'a> {
    servable: &'a Servable,
    started: Instant,
    outcome: Outcome,
}

impl Counted<'_> {
    fn end(mut self, result: &Result<Vec<u8>, ApiError>) {
        self.outcome = match result {
            Ok(_) => Outcome::Ok,
            Err(ApiError::Overloaded { .. }) => Outcome::Rejected,
            Err(ApiError::DeadlinePassed { .. }) => Outcome::Timeout,
            Err(ApiError::Unavailable { .. }) => Outcome::Unavailable,
            Err(ApiError::ModelFailed | ApiError::Internal) => Outcome::Failed,
            Err(_) => Outcome::Invalid,
        };
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.servable.metrics().note_request(self.outcome, self.started.elapsed());
    }
}

/// A request that has arrived in full.
struct Received<'a> {
    body: ReadBody,
    timeout: Duration,
    face: Face,
    id: Option<&'a RequestId>,
}

impl<'a> Received<'a> {
    async fn read<B: HttpBody<Data = Bytes> + Unpin>(
        state: &AppState,
        (headers, body): (&HeaderMap, &mut B),
        (face, id): (Face, Option<&'a RequestId>),
    ) -> Result<Self, ApiError> {
        if face == Face::V2 && headers.contains_key(HEADER_LENGTH) {
            return Err(ApiError::BinaryTensors);
        }
        body::expect_json(headers)?;
        let options = &state.options;
        let timeout = timeout(headers, options.request_timeout, face)?;
        let limits = BodyLimits {
            bytes_max: options.body_bytes_max,
            stall: options.body_timeout,
            total: Some(options.body_timeout),
            budget: Some(&state.body_budget),
        };
        let body = body::read(headers, body, limits).await?;
        Ok(Self { body, timeout, face, id })
    }

    async fn predict(&self, state: &AppState, servable: &Servable, times: Times) -> Result<Vec<u8>, ApiError> {
        let failed = |error| self.failed(error, servable, times);
        servable.check_room().map_err(failed)?;
        if HEAVY_BYTES <= self.body.bytes.len() {
            return Box::pin(self.predict_heavy(state, servable, times)).await;
        }
        let (inputs, form) = self.decode(state, servable)?;
        let n_rows = inputs.n_rows();
        let result = match servable.predict_here(inputs, times.deadline()) {
            Ok(result) => result,
            Err(inputs) => Box::pin(servable.predict(inputs, times.deadline())).await,
        };
        let outputs = result.map_err(failed)?;
        encode(servable, (&outputs, n_rows), &form)
    }

    /// As [`Self::predict`]; large bodies wait for their turns at being read and written.
    async fn predict_heavy(&self, state: &AppState, servable: &Servable, times: Times) -> Result<Vec<u8>, ApiError> {
        let (inputs, form) = self.in_turn(state, times, || self.decode(state, servable)).await??;
        let n_rows = inputs.n_rows();
        let result = servable.predict(inputs, times.deadline()).await;
        let outputs = result.map_err(|error| self.failed(error, servable, times))?;
        self.in_turn(state, times, || encode(servable, (&outputs, n_rows), &form)).await?
    }

    fn decode(&self, state: &AppState, servable: &Servable) -> Result<(Checked, AnswerForm), ApiError> {
        let (signature, limits) = (servable.signature(), state.options.decode_limits());
        let decode_error = |error| ApiError::decode(self.face, error);
        let (inputs, form) = match self.face {
            Face::V1 => {
                let v1::Decoded { inputs, form } =
                    v1::decode(&self.body.bytes, signature, &limits).map_err(decode_error)?;
                (inputs, AnswerForm::V1(form))
            }
            Face::V2 => {
                let v2::InferRequest { id, inputs, outputs } =
                    v2::decode(&self.body.bytes, signature, &limits).map_err(decode_error)?;
                (inputs, AnswerForm::V2 { id, wanted: outputs })
            }
        };
        let checked = signature.check(inputs).map_err(|mismatch| ApiError::BadInput { face: self.face, mismatch })?;
        Ok((checked, form))
    }

    /// Reads or writes large JSON in its turn, so that the cores are not shared by all such bodies at once.
    async fn in_turn<T>(&self, state: &AppState, times: Times, work: impl FnOnce() -> T) -> Result<T, ApiError> {
        let turn = tokio::time::timeout_at(times.deadline().into(), state.heavy_turns.acquire()).await;
        let _turn = turn.map_err(|_| times.passed())?;
        Ok(heavy(self.body.bytes.len(), work))
    }

    fn failed(&self, error: RunError, servable: &Servable, times: Times) -> ApiError {
        match error {
            RunError::QueueFull { .. } => ApiError::Overloaded { retry_after_s: 1 },
            RunError::Deadline => times.passed(),
            RunError::Stopped => ApiError::Unavailable { reason: "the server is stopping", retry_after_s: 1 },
            RunError::Engine(error) => {
                let (model, version) = (servable.model(), servable.version());
                let request_id = self.id.map(RequestId::as_str);
                tracing::warn!(%model, %version, request_id, %error, "{model} version {version} failed on a request");
                ApiError::ModelFailed
            }
        }
    }
}

/// Writes an answer.
fn encode(servable: &Servable, (outputs, n_rows): (&[Tensor], usize), form: &AnswerForm) -> Result<Vec<u8>, ApiError> {
    let (model, version, signature) = (servable.model(), servable.version(), servable.signature());
    let written = match form {
        AnswerForm::V1(form) => v1::encode(&v1::Answer { model, version, signature, outputs, n_rows, form: *form }),
        AnswerForm::V2 { id, wanted } => {
            v2::encode(&v2::InferAnswer { model, version, id: id.as_deref(), signature, outputs, wanted })
        }
    };
    written.map_err(|_| ApiError::Internal)
}

/// How a request wants its answer written.
enum AnswerForm {
    V1(v1::Form),
    V2 { id: Option<String>, wanted: Vec<usize> },
}

/// The time that a request has: the server's, or less where the caller says so.
fn timeout(headers: &HeaderMap, timeout_max: Duration, face: Face) -> Result<Duration, ApiError> {
    let Some(asked) = headers.get(TIMEOUT_MS) else { return Ok(timeout_max) };
    let millis = asked.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|millis| 0 < *millis);
    let millis = millis.ok_or_else(|| {
        let expected = "a whole number of milliseconds from 1";
        let mismatch = crate::model::Mismatch::new(TIMEOUT_MS.as_str(), expected, "another value");
        ApiError::BadInput { face, mismatch }
    })?;
    Ok(Duration::from_millis(millis).min(timeout_max))
}

/// Runs `work` where it may take long without holding up the requests that share this worker.
pub(super) fn heavy<T>(n_bytes: usize, work: impl FnOnce() -> T) -> T {
    let has_other_workers =
        || Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if HEAVY_BYTES <= n_bytes && has_other_workers() { tokio::task::block_in_place(work) } else { work() }
}
