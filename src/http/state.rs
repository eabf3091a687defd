//! What the routes reach.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::{ApiKeys, BodyBudget, BodyLimits, Cors, DecodeLimits, Documents, Feedback, ScoringOptions};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::slot::Slots;

/// Limits of the HTTP faces.
#[derive(Debug, Clone, Copy)]
pub struct HttpOptions {
    /// Deadline of a prediction.
    pub request_timeout: Duration,
    /// A prediction's body must be there by then; a larger upload must not stall for so long.
    pub body_timeout: Duration,
    /// Largest body of a prediction request, bytes.
    pub body_bytes_max: usize,
    /// Largest graph that can be uploaded, bytes.
    pub upload_bytes_max: usize,
    /// Most rows in one prediction request.
    pub rows_max: usize,
    /// Deepest nesting of JSON.
    pub nesting_max: usize,
    /// Whether connections are inside TLS.
    pub is_secured: bool,
}

impl HttpOptions {
    /// The limits of one body's content.
    pub fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits { rows_max: self.rows_max, nesting_max: self.nesting_max, ..DecodeLimits::default() }
    }
}

/// What the routes and calls reach; shared by all listeners.
#[derive(Debug)]
pub struct AppState {
    /// Where requests find their model.
    pub slots: Arc<Slots>,
    /// What the admin route steers.
    pub lifecycle: Arc<Lifecycle>,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// What the readiness probe says.
    pub readiness: Readiness,
    /// The admin route's token.
    pub admin_token: AdminToken,
    /// The keys that requests for predictions want.
    pub api_keys: Arc<ApiKeys>,
    /// The pages of other origins that may ask for predictions.
    pub cors: Option<Cors>,
    /// What the bodies of all predictions may take together.
    pub body_budget: BodyBudget,
    /// Turns at reading or writing a large body: as many as there are cores, so that probes and small requests get on.
    pub heavy_turns: Semaphore,
    /// Who follows operations.
    pub event_streams: EventStreams,
    /// What describes the listeners.
    pub documents: Documents,
    /// Limits.
    pub options: HttpOptions,
    /// Which model is asked where a path names none.
    pub scoring: ScoringOptions,
    /// What is remembered for feedback; `None` where nothing is.
    pub feedback: Option<Feedback>,
}

impl AppState {
    /// What a body of the data plane may take.
    pub(crate) fn body_limits(&self) -> BodyLimits<'_> {
        let HttpOptions { body_bytes_max, body_timeout, .. } = self.options;
        BodyLimits {
            bytes_max: body_bytes_max,
            stall: body_timeout,
            total: Some(body_timeout),
            budget: Some(&self.body_budget),
        }
    }
}

/// Streams of events that may be open at once.
const EVENT_STREAMS_MAX: usize = 64;

/// Streams of server-sent events: so many at most, and all of them end when the server drains.
#[derive(Debug)]
pub struct EventStreams {
    pub(super) turns: Arc<Semaphore>,
    pub(super) closing: watch::Sender<bool>,
}

impl Default for EventStreams {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(EVENT_STREAMS_MAX)), closing: watch::Sender::new(false) }
    }
}

impl EventStreams {
    /// Ends every stream, and those to come at once.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }
}

/// The admin route's token; it never shows in a log.
pub struct AdminToken(String);

impl AdminToken {
    /// A token that has been checked to be strong enough.
    pub fn new(token: String) -> Self {
        Self(token)
    }

    /// Whether `offered` is the token; it takes the same time whatever differs.
    pub fn is(&self, offered: &str) -> bool {
        use subtle::ConstantTimeEq as _;
        self.0.as_bytes().ct_eq(offered.as_bytes()).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

/// What the readiness probe says: ready once the first load is over, until the drain begins. A version that loads
/// meanwhile does not change it.
#[derive(Debug)]
pub struct Readiness {
    is_loaded: AtomicBool,
    is_draining: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Readiness {
    /// Not ready yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { is_loaded: AtomicBool::new(false), is_draining: AtomicBool::new(false), metrics }
    }

    /// The first load is over.
    pub fn set_loaded(&self) {
        self.is_loaded.store(true, Ordering::Release);
        self.metrics.set_ready(self.is_ready());
    }

    /// The drain has begun; there is no way back.
    pub fn set_draining(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.metrics.set_ready(false);
    }

    /// Whether requests should be sent here.
    pub fn is_ready(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire) && !self.is_draining()
    }

    /// Whether the server is on its way out.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }
}
