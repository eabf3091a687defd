//! A prediction from a request that has arrived to its answer, whatever the protocol: who answers, in which time, and the one
//! place where outcomes are counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::AppState;
use super::error::ApiError;
use super::json::{DecodeLimits, clip};
use crate::batch::RunError;
use crate::metrics::{CanaryOutcome, Held, Outcome, Spent};
use crate::model::{Alias, Checked, Version};
use crate::slot::{Canary, Route, Servable, Slot};
use crate::tensor::Tensor;

/// From this size on, reading and writing a body takes longer than a runtime worker should be held.
pub(super) const HEAVY_BYTES: usize = 64 << 10;
/// Numbers as they lie in memory are read as fast as a byte of text for so many of theirs, or faster.
const RAW_BYTES: usize = 16;

const NO_CHAMPION: ApiError = ApiError::Unavailable { reason: "the model has no active version", retry_after_s: 1 };

/// Which of a model's versions is to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
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
    pub(crate) fn acquire(self, slot: &Slot) -> Result<Arc<Servable>, ApiError> {
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
pub(crate) fn find(state: &AppState, name: &str) -> Result<Arc<Slot>, ApiError> {
    state.slots.find(name).ok_or_else(|| ApiError::UnknownModel(clip(name)))
}

/// Whether another version may have to answer the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// By a challenger: where it fails, there is another attempt.
    First,
    /// The one that counts.
    Last,
}

/// Bytes on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Of text, or of values that are read one by one.
    pub(crate) text: usize,
    /// Of values as they lie in memory.
    pub(crate) raw: usize,
}

impl Size {
    /// The bytes of text that take as long to be read or written.
    fn work_bytes(self) -> usize {
        self.text + self.raw / RAW_BYTES
    }
}

/// A request for a prediction that has arrived in full, in the form of its protocol.
pub(crate) trait Exchange {
    /// How it wants its answer written.
    type Form;
    /// An answer as it is sent.
    type Answer;

    /// What it takes on the wire.
    fn size(&self) -> Size;

    /// What `outputs` take in an answer of this form, roughly.
    fn answer_size(&self, outputs: &[Tensor], form: &Self::Form) -> Size;

    /// The time that it has.
    fn timeout(&self) -> Duration;

    /// The id under which the log speaks of it.
    fn request_id(&self) -> Option<&str>;

    /// Reads its inputs for `servable`; after the last attempt they may be gone.
    fn read(&self, servable: &Servable, limits: &DecodeLimits, attempt: Attempt)
    -> Result<Asked<Self::Form>, ApiError>;

    /// Writes `outputs`, of `n_rows` rows.
    fn write(
        &self,
        servable: &Servable,
        outputs: (&[Tensor], usize),
        form: &Self::Form,
    ) -> Result<Self::Answer, ApiError>;
}

/// What a request asks for.
pub(crate) struct Asked<F> {
    /// Its inputs.
    pub(crate) inputs: Checked,
    /// How it wants its answer written.
    pub(crate) form: F,
    /// The time that it says to want at most.
    pub(crate) timeout: Option<Duration>,
}

/// Who answered, and what.
pub(crate) type Served<A> = (Arc<Servable>, Result<A, ApiError>);

/// Answers a request for a prediction by one of the versions of `slot`; `receive` waits until it has arrived in full.
///
/// # Errors
/// [`ApiError`] where nobody is there to answer; it is counted.
pub(crate) async fn serve<E: Exchange>(
    state: &AppState,
    (slot, pick): (&Slot, Pick),
    headers: &HeaderMap,
    receive: impl Future<Output = Result<E, ApiError>>,
) -> Result<Served<E::Answer>, ApiError> {
    let _in_flight = Held::new(&slot.metrics().in_flight);
    let received = receive.await;
    let started = Instant::now();
    let headers = received.is_ok().then_some(headers);
    let Route { servable, canary } = pick.route(slot, headers).inspect_err(|_| state.metrics.count_unrouted())?;
    Ok(match (received, canary) {
        (Ok(received), Some(canary)) => Box::pin(try_canary(state, &received, (servable, canary), started)).await,
        (Ok(received), None) => {
            let times = Times { started, timeout: received.timeout(), attempt: Attempt::Last };
            let result = counted(state, &received, &servable, times).await;
            (servable, result)
        }
        (Err(error), _) => {
            Counting::new(&servable, started).end(Some(&error));
            (servable, Err(error))
        }
    })
}

/// Lets the challenger answer, in half of the time that the request has; where it cannot, the champion does, from the
/// request's bytes on. Gives back who answered.
async fn try_canary<E: Exchange>(
    state: &AppState,
    received: &E,
    (challenger, canary): (Arc<Servable>, Canary),
    started: Instant,
) -> Served<E::Answer> {
    let timeout = received.timeout();
    let first = Times { started, timeout: timeout / 2, attempt: Attempt::First };
    let result = counted(state, received, &challenger, first).await;
    let comparison = canary.challenge.comparison();
    if result.is_ok() {
        comparison.note_canary(CanaryOutcome::Answered);
        return (challenger, result);
    }
    let second = counted(state, received, &canary.champion, Times { started, timeout, attempt: Attempt::Last }).await;
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

async fn counted<E: Exchange>(
    state: &AppState,
    received: &E,
    servable: &Servable,
    times: Times,
) -> Result<E::Answer, ApiError> {
    let mut counting = Counting::new(servable, times.started);
    let result = predict(state, received, &mut counting, times).await;
    counting.end(result.as_ref().err());
    result
}

async fn predict<E: Exchange>(
    state: &AppState,
    received: &E,
    counting: &mut Counting<'_>,
    times: Times,
) -> Result<E::Answer, ApiError> {
    let servable = counting.servable;
    let failed = |error, times| failed(error, received, servable, times);
    servable.check_room().map_err(|error| failed(error, times))?;
    let work_bytes = received.size().work_bytes();
    if HEAVY_BYTES <= work_bytes {
        return Box::pin(predict_heavy(state, (received, work_bytes), counting, times)).await;
    }
    let Asked { inputs, form, timeout } = received.read(servable, &state.options.decode_limits(), times.attempt)?;
    let times = times.at_most(timeout);
    let n_rows = inputs.n_rows();
    counting.read = Instant::now();
    let result = match servable.predict_here(inputs, (counting.read, times.deadline())) {
        Ok(result) => result,
        Err(inputs) => Box::pin(servable.predict(inputs, times.deadline())).await,
    };
    counting.ran = Instant::now();
    let outputs = result.map_err(|error| failed(error, times))?;
    remember(state, received, servable, (&outputs, n_rows));
    let write = || received.write(servable, (&outputs, n_rows), &form);
    let work_bytes = received.answer_size(&outputs, &form).work_bytes();
    if HEAVY_BYTES <= work_bytes {
        return Box::pin(async {
            tokio::task::yield_now().await;
            in_turn(state, times, || heavy(work_bytes, write)).await?
        })
        .await;
    }
    write()
}

/// As [`predict`]; large bodies wait for their turns at being read and written.
async fn predict_heavy<E: Exchange>(
    state: &AppState,
    (received, work_bytes): (&E, usize),
    counting: &mut Counting<'_>,
    times: Times,
) -> Result<E::Answer, ApiError> {
    // What is ready beside it goes first, and the connection that it came by may get on.
    tokio::task::yield_now().await;
    let servable = counting.servable;
    let limits = state.options.decode_limits();
    let Asked { inputs, form, timeout } =
        in_turn(state, times, || heavy(work_bytes, || received.read(servable, &limits, times.attempt))).await??;
    let times = times.at_most(timeout);
    let n_rows = inputs.n_rows();
    counting.read = Instant::now();
    let result = servable.predict(inputs, times.deadline()).await;
    counting.ran = Instant::now();
    let outputs = result.map_err(|error| failed(error, received, servable, times))?;
    remember(state, received, servable, (&outputs, n_rows));
    in_turn(state, times, || heavy(work_bytes, || received.write(servable, (&outputs, n_rows), &form))).await?
}

/// Remembers a prediction for its feedback, where that is wanted.
fn remember<E: Exchange>(state: &AppState, received: &E, servable: &Servable, outputs: (&[Tensor], usize)) {
    if let Some(feedback) = &state.feedback {
        feedback.remember(servable, received.request_id(), outputs);
    }
}

/// Reads or writes a large body in its turn, so that the cores are not shared by all such bodies at once.
async fn in_turn<T>(state: &AppState, times: Times, work: impl FnOnce() -> T) -> Result<T, ApiError> {
    let turn = tokio::time::timeout_at(times.deadline().into(), state.heavy_turns.acquire()).await;
    let _turn = turn.map_err(|_| times.passed())?;
    Ok(work())
}

fn failed<E: Exchange>(error: RunError, received: &E, servable: &Servable, times: Times) -> ApiError {
    match error {
        RunError::QueueFull { .. } => ApiError::Overloaded { retry_after_s: 1 },
        RunError::Deadline => times.passed(),
        RunError::Stopped => ApiError::Unavailable { reason: "the server is stopping", retry_after_s: 1 },
        RunError::Engine(error) => {
            let (model, version) = (servable.model(), servable.version());
            let request_id = received.request_id();
            tracing::warn!(%model, %version, request_id, %error, "{model} version {version} failed on a request");
            ApiError::ModelFailed
        }
    }
}

/// When a request began, the time that it has from then on, and which attempt this is.
#[derive(Debug, Clone, Copy)]
struct Times {
    started: Instant,
    timeout: Duration,
    attempt: Attempt,
}

impl Times {
    fn at_most(self, timeout: Option<Duration>) -> Self {
        Self { timeout: timeout.map_or(self.timeout, |timeout| timeout.min(self.timeout)), ..self }
    }

    fn deadline(self) -> Instant {
        self.started + self.timeout
    }

    fn passed(self) -> ApiError {
        ApiError::DeadlinePassed { timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX) }
    }
}

/// Counts a request however it ends; one that is dropped on the way was cancelled.
struct Counting<'a> {
    servable: &'a Servable,
    started: Instant,
    /// When its inputs had been read.
    read: Instant,
    /// When its outputs were there.
    ran: Instant,
    outcome: Outcome,
}

impl<'a> Counting<'a> {
    fn new(servable: &'a Servable, started: Instant) -> Self {
        Self { servable, started, read: started, ran: started, outcome: Outcome::Cancelled }
    }

    fn end(mut self, error: Option<&ApiError>) {
        self.outcome = match error {
            None => Outcome::Ok,
            Some(ApiError::Overloaded { .. }) => Outcome::Rejected,
            Some(ApiError::DeadlinePassed { .. }) => Outcome::Timeout,
            Some(ApiError::Unavailable { .. }) => Outcome::Unavailable,
            Some(ApiError::ModelFailed | ApiError::Internal) => Outcome::Failed,
            Some(_) => Outcome::Invalid,
        };
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        let &mut Self { started, read, ran, outcome, .. } = self;
        let ended = Instant::now();
        self.servable.metrics().ended(outcome, Spent { started, read, ran, ended });
    }
}

/// Runs `work` where it may take long without holding up the requests that share this worker.
pub(crate) fn heavy<T>(n_bytes: usize, work: impl FnOnce() -> T) -> T {
    let has_other_workers =
        || Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if HEAVY_BYTES <= n_bytes && has_other_workers() { tokio::task::block_in_place(work) } else { work() }
}
