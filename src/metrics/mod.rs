//! Every Prometheus metric, declared once. The help text of a metric is its doc in docs/METRICS.md.
//!
//! Labels are bounded: `model` and `version` come from what the registry holds, everything else from the enums here.
//! Nothing that a caller sends becomes a label. Handles are resolved when a version is loaded ([`Metrics::version`]), never
//! looked up on the hot path. This is the only module that knows the `prometheus` crate.

mod cells;
mod challenger;
mod drift;
mod feedback;
mod served;
mod version;

pub use challenger::ChallengerMetrics;
pub use drift::{ColumnSample, DECLARED as DRIFT_DECLARED, DriftSource, WindowSample};
pub use feedback::{FeedbackMetrics, FeedbackOutcomes};
pub use served::DECLARED as SERVED_DECLARED;
pub use version::{Counted, Spent, Total, VersionMetrics};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Encoder as _, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bounds of the duration histograms: nanoseconds, 50 microseconds to 10 seconds.
const DURATION_BOUNDS: &[u64] = &[
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
/// The same in seconds, for histograms that are not counted on the way of every request.
const DURATION_BUCKETS: &[f64] = &{
    let mut buckets = [0.0; DURATION_BOUNDS.len()];
    let mut at = 0;
    while at < buckets.len() {
        #[expect(clippy::cast_precision_loss, reason = "exact: below 2^53")]
        let ns = DURATION_BOUNDS[at] as f64;
        buckets[at] = ns / 1e9;
        at += 1;
    }
    buckets
};
/// Buckets of the difference of two predictions, which lies between 0 and 1.
const DIFFERENCE_BUCKETS: &[f64] = &[0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0];
/// Bounds of the rows in one run.
const BATCH_BOUNDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096];
const LOAD_BUCKETS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// A label that takes one of a closed set of values.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the variants.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The label's value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

label! {
    /// How a prediction request ended.
    Outcome {
        /// Answered with a prediction.
        Ok = "ok",
        /// The input does not fit the model, or is malformed.
        Invalid = "invalid",
        /// The queue was full.
        Rejected = "rejected",
        /// The deadline passed first.
        Timeout = "timeout",
        /// The server is draining.
        Unavailable = "unavailable",
        /// The engine failed on this request.
        Failed = "failed",
        /// The caller went away before the answer.
        Cancelled = "cancelled",
    }
}

label! {
    /// How a lifecycle operation ended.
    OpResult {
        /// It was done.
        Ok = "ok",
        /// The version may not serve: digest, golden cases, contract, gate.
        Refused = "refused",
        /// Something else went wrong.
        Failed = "failed",
    }
}

label! {
    /// What became of a request's copy for the challenger (or, of one that the challenger answered, for the champion).
    ShadowOutcome {
        /// Both answers were compared.
        Compared = "compared",
        /// Nobody had time for it: the server had other work, or too many copies waited.
        Dropped = "dropped",
        /// The challenger failed on it.
        Failed = "failed",
    }
}

label! {
    /// Whether both versions say the same of a row.
    Agreement {
        /// The same class, or a number within the tolerance.
        Agreed = "agreed",
        /// Something else.
        Differed = "differed",
    }
}

label! {
    /// How a request that was routed to the challenger ended.
    CanaryOutcome {
        /// The challenger answered.
        Answered = "answered",
        /// The challenger failed and the champion answered.
        Rescued = "rescued",
        /// The challenger failed and there was no time for the champion.
        Failed = "failed",
    }
}

label! {
    /// Who ran.
    Role {
        /// The active version.
        Champion = "champion",
        /// The candidate.
        Challenger = "challenger",
    }
}

label! {
    /// What a rollout did.
    RolloutStep {
        /// It went to its next step.
        Advance = "advance",
        /// It made the challenger the champion.
        Activate = "activate",
        /// It took the challenger, or a new champion, back.
        Rollback = "rollback",
    }
}

label! {
    /// What the gate said when a version wanted to be champion.
    GateVerdict {
        /// It is better.
        Pass = "pass",
        /// It is not.
        Fail = "fail",
        /// The holdout cannot tell.
        Inconclusive = "inconclusive",
        /// The gate could not be computed.
        NotComputed = "not_computed",
    }
}

label! {
    /// What became of an item of feedback.
    FeedbackOutcome {
        /// It met its prediction.
        Joined = "joined",
        /// Its prediction had feedback before.
        Duplicate = "duplicate",
        /// Its prediction was remembered, and is not any more.
        Late = "late",
        /// No such prediction was remembered here.
        Unknown = "unknown",
        /// The prediction has no such row, or is of another kind: a number for a class.
        Invalid = "invalid",
    }
}

label! {
    /// Whether a predicted class was the right one.
    FeedbackResult {
        /// It was.
        Right = "right",
        /// It was another.
        Wrong = "wrong",
    }
}

label! {
    /// The listener that a request came to.
    Listener {
        /// Predictions and probes.
        Http = "http",
        /// Predictions over gRPC.
        Grpc = "grpc",
        /// Operations: metrics, probes, admin.
        Ops = "ops",
    }
}

label! {
    /// The class of an HTTP status.
    StatusClass {
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399.
        Redirection = "3xx",
        /// 400 to 499.
        ClientError = "4xx",
        /// 500 to 599.
        ServerError = "5xx",
    }
}

impl StatusClass {
    /// The class of a status code.
    pub fn of(status: u16) -> Self {
        match status {
            0..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// Declares the metrics: field, kind, name, help, labels. The list is what docs/METRICS.md is held against.
macro_rules! metrics {
    ($($field:ident: $kind:ident = $name:literal, $help:literal, [$($label:literal),*] $(, $buckets:expr)?;)+) => {
        /// All metrics of the process. Those of versions and of drift are put together at scrape.
        #[derive(Debug)]
        pub struct Metrics {
            /// Whether predictions are counted by version.
            is_on: bool,
            registry: Registry,
            drift: drift::DriftCollector,
            served: served::ServedCollector,
            /// Comparisons of each challenger: one that comes to its next step is compared anew before the last has ended.
            comparisons: Mutex<BTreeMap<(String, u64), usize>>,
            $(#[doc = $help] $field: $kind,)+
        }

        /// Name, help and labels of every metric declared here.
        pub const DECLARED: &[(&str, &str, &[&str])] = &[$(($name, $help, &[$($label),*])),+];

        impl Metrics {
            fn declare() -> Result<Self, prometheus::Error> {
                let registry = Registry::new();
                $(
                    let $field = <$kind as Declare>::declare($name, $help, &[$($label),*], metrics!(@buckets $($buckets)?))?;
                    registry.register(Box::new($field.clone()))?;
                )+
                let drift = drift::DriftCollector::new()?;
                registry.register(Box::new(drift.clone()))?;
                let served = served::ServedCollector::new()?;
                registry.register(Box::new(served.clone()))?;
                Ok(Self { is_on: true, registry, drift, served, comparisons: Mutex::default(), $($field),+ })
            }
        }
    };
    (@buckets) => { &[] };
    (@buckets $buckets:expr) => { $buckets };
}

metrics! {
    build_info: GaugeVec = "gudgeon_build_info", "Always 1; the label names the build that runs.", ["version"];
    ready: IntGauge = "gudgeon_ready", "1 while the readiness probe says ready.", [];
    unrouted: IntCounter = "gudgeon_requests_unrouted_total",
        "Prediction requests that named a model or version that is not served.", [];
    in_flight: IntGaugeVec = "gudgeon_requests_in_flight", "Prediction requests that have not been answered yet.", ["model"];
    queue_len: IntGaugeVec = "gudgeon_queue_len", "Requests that wait for a compute thread.", ["model"];
    loads: IntCounterVec = "gudgeon_model_loads_total", "Versions opened for serving, by result.", ["model", "result"];
    load_duration: HistogramVec = "gudgeon_model_load_duration_seconds",
        "Time to read, check, optimise and warm up a version.", ["model"], LOAD_BUCKETS;
    swaps: IntCounterVec = "gudgeon_swaps_total", "Activations and roll backs, by result.", ["model", "result"];
    gate_decisions: IntCounterVec = "gudgeon_gate_decisions_total",
        "What the gate said about versions that were to be activated.", ["model", "verdict"];
    gate_overrides: IntCounterVec = "gudgeon_gate_overrides_total",
        "Activations that were forced although the gate did not say pass.", ["model"];
    active_version: IntGaugeVec = "gudgeon_active_version", "The version that answers: the champion; 0 while there is none.",
        ["model"];
    desired_version: IntGaugeVec = "gudgeon_desired_version",
        "The version that the registry says should answer; 0 while it names none.", ["model"];
    converged: IntGaugeVec = "gudgeon_model_converged", "1 while the version that answers is the one that the registry names.",
        ["model"];
    loaded_versions: IntGaugeVec = "gudgeon_loaded_versions", "Versions in memory, those that still drain included.", ["model"];
    model_bytes: IntGaugeVec = "gudgeon_model_bytes", "Size of the graph of a version in memory.", ["model", "version"];
    challenger_version: IntGaugeVec = "gudgeon_challenger_version", "The version that is tried; 0 while there is none.", ["model"];
    challenger_share: GaugeVec = "gudgeon_challenger_share",
        "The share of requests that the challenger sees (mode shadow) or answers (mode canary); 0 in the other mode.",
        ["model", "mode"];
    rollout_steps: IntCounterVec = "gudgeon_rollout_steps_total", "What rollouts did on their own.", ["model", "step"];
    shadow_requests: IntCounterVec = "gudgeon_shadow_requests_total",
        "Requests copied to be compared with the other version, by what became of the copy.", ["model", "version", "outcome"];
    shadow_rows: IntCounterVec = "gudgeon_shadow_rows_total", "Rows compared, by whether both versions agree.",
        ["model", "version", "result"];
    shadow_difference: HistogramVec = "gudgeon_shadow_difference",
        "Difference of the predictions of a row: total variation of the probabilities, or relative difference of the numbers.",
        ["model", "version"], DIFFERENCE_BUCKETS;
    shadow_run_duration: HistogramVec = "gudgeon_shadow_run_duration_seconds",
        "Time of one run on the same rows on the same thread, by who ran.", ["model", "version", "role"], DURATION_BUCKETS;
    canary_requests: IntCounterVec = "gudgeon_canary_requests_total",
        "Requests routed to the challenger, by how they ended.", ["model", "version", "outcome"];
    feedback: IntCounterVec = "gudgeon_feedback_total", "Items of feedback, by what became of them.", ["model", "outcome"];
    feedback_classes: IntCounterVec = "gudgeon_feedback_classes_total",
        "Predicted classes that feedback came for, by whether they were right.", ["model", "version", "result"];
    feedback_values: IntCounterVec = "gudgeon_feedback_values_total", "Predicted numbers that feedback came for.",
        ["model", "version"];
    feedback_absolute_error: CounterVec = "gudgeon_feedback_absolute_error_total",
        "Sum of how far these numbers were off.", ["model", "version"];
    feedback_squared_error: CounterVec = "gudgeon_feedback_squared_error_total",
        "Sum of the squares of how far these numbers were off.", ["model", "version"];
    http_requests: IntCounterVec = "gudgeon_http_requests_total", "HTTP requests by listener and class of status.",
        ["listener", "status"];
    connections: IntGaugeVec = "gudgeon_http_connections", "Open connections by listener.", ["listener"];
    key_requests: IntCounterVec = "gudgeon_api_key_requests_total",
        "Requests that came with an API key, by the name that its file gives it.", ["key"];
    panics: IntCounter = "gudgeon_panics_total", "Panics that were contained; each cost one request.", [];
    observe_failures: IntCounter = "gudgeon_observe_failures_total",
        "Times that drift could not be observed; the prediction was answered all the same.", [];
}

/// How each kind of metric is made.
trait Declare: Collector + Clone + Sized {
    fn declare(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<Self, prometheus::Error>;
}

impl Declare for IntGauge {
    fn declare(name: &str, help: &str, _: &[&str], _: &[f64]) -> Result<Self, prometheus::Error> {
        Self::new(name, help)
    }
}

impl Declare for IntCounter {
    fn declare(name: &str, help: &str, _: &[&str], _: &[f64]) -> Result<Self, prometheus::Error> {
        Self::new(name, help)
    }
}

impl Declare for CounterVec {
    fn declare(name: &str, help: &str, labels: &[&str], _: &[f64]) -> Result<Self, prometheus::Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Declare for GaugeVec {
    fn declare(name: &str, help: &str, labels: &[&str], _: &[f64]) -> Result<Self, prometheus::Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Declare for IntGaugeVec {
    fn declare(name: &str, help: &str, labels: &[&str], _: &[f64]) -> Result<Self, prometheus::Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Declare for IntCounterVec {
    fn declare(name: &str, help: &str, labels: &[&str], _: &[f64]) -> Result<Self, prometheus::Error> {
        Self::new(Opts::new(name, help), labels)
    }
}

impl Declare for HistogramVec {
    fn declare(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> Result<Self, prometheus::Error> {
        Self::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
    }
}

/// The metrics cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be registered: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// Handles of one model's series, resolved once.
#[derive(Debug, Clone)]
pub struct ModelMetrics {
    /// Requests not answered yet.
    pub in_flight: IntGauge,
    /// Requests that wait for a compute thread.
    pub queue_len: IntGauge,
    /// The champion's number; 0 while there is none.
    pub active_version: IntGauge,
    /// The number of the champion that the registry names; 0 where it names none.
    pub desired_version: IntGauge,
    /// 1 while the champion is the one that the registry names.
    pub converged: IntGauge,
    /// Versions in memory.
    pub loaded_versions: IntGauge,
    /// Time to open a version, seconds.
    pub load_duration: Histogram,
    /// The challenger's number; 0 while there is none.
    pub challenger_version: IntGauge,
    challenger_shares: [Gauge; 2],
    rollout_steps: Vec<IntCounter>,
    /// Activations that were forced against the gate.
    pub gate_overrides: IntCounter,
    loads: Vec<IntCounter>,
    swaps: Vec<IntCounter>,
    gate_decisions: Vec<IntCounter>,
}

impl ModelMetrics {
    /// Says which share the challenger sees and which it answers.
    pub fn set_challenger_shares(&self, shadow: f64, canary: f64) {
        self.challenger_shares[0].set(shadow);
        self.challenger_shares[1].set(canary);
    }

    /// The counter of what rollouts did.
    pub fn rollout_steps(&self, step: RolloutStep) -> &IntCounter {
        &self.rollout_steps[step as usize]
    }

    /// The counter of what the gate said.
    pub fn gate_decisions(&self, verdict: GateVerdict) -> &IntCounter {
        &self.gate_decisions[verdict as usize]
    }

    /// The counter of versions opened with this result.
    pub fn loads(&self, result: OpResult) -> &IntCounter {
        &self.loads[result as usize]
    }

    /// The counter of activations and roll backs with this result.
    pub fn swaps(&self, result: OpResult) -> &IntCounter {
        &self.swaps[result as usize]
    }
}

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Errors
    /// [`MetricsError`] where a declaration is not one that Prometheus takes.
    pub fn new() -> Result<Arc<Self>, MetricsError> {
        Self::counting(true)
    }

    /// All metrics, at zero. Unless `versions`, those of predictions by version stay there.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn counting(versions: bool) -> Result<Arc<Self>, MetricsError> {
        let mut metrics = Self::declare()?;
        metrics.is_on = versions;
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        for listener in Listener::ALL {
            metrics.connections.with_label_values(&[listener.as_str()]);
            for class in StatusClass::ALL {
                metrics.http_requests.with_label_values(&[listener.as_str(), class.as_str()]);
            }
        }
        #[cfg(target_os = "linux")]
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(Arc::new(metrics))
    }

    /// The handles of one version; every series exists from now on, at zero.
    pub fn version(&self, model: &str, version: u64, model_bytes: usize) -> VersionMetrics {
        let labels = [model, &version.to_string()];
        self.model_bytes.with_label_values(&labels).set(i64::try_from(model_bytes).unwrap_or(i64::MAX));
        VersionMetrics { is_on: self.is_on, served: self.served.load(model, version) }
    }

    /// Takes the series that speak of memory away once the last copy of a version has gone. Its counters and histograms stay: a counter
    /// that vanishes loses what was not scraped yet.
    pub fn retire_version(&self, model: &str, version: u64) {
        if self.served.retire(model, version) {
            // An error says only that the series was not there.
            drop(self.model_bytes.remove_label_values(&[model, &version.to_string()]));
        }
    }

    /// The handles of one model; every series exists from now on, at zero.
    pub fn model(&self, model: &str) -> ModelMetrics {
        let result = |counter: &IntCounterVec| {
            OpResult::ALL.iter().map(|result| counter.with_label_values(&[model, result.as_str()])).collect()
        };
        ModelMetrics {
            in_flight: self.in_flight.with_label_values(&[model]),
            queue_len: self.queue_len.with_label_values(&[model]),
            active_version: self.active_version.with_label_values(&[model]),
            desired_version: self.desired_version.with_label_values(&[model]),
            converged: self.converged.with_label_values(&[model]),
            loaded_versions: self.loaded_versions.with_label_values(&[model]),
            load_duration: self.load_duration.with_label_values(&[model]),
            challenger_version: self.challenger_version.with_label_values(&[model]),
            challenger_shares: ["shadow", "canary"].map(|mode| self.challenger_share.with_label_values(&[model, mode])),
            rollout_steps: RolloutStep::ALL
                .iter()
                .map(|step| self.rollout_steps.with_label_values(&[model, step.as_str()]))
                .collect(),
            loads: result(&self.loads),
            swaps: result(&self.swaps),
            gate_overrides: self.gate_overrides.with_label_values(&[model]),
            gate_decisions: GateVerdict::ALL
                .iter()
                .map(|verdict| self.gate_decisions.with_label_values(&[model, verdict.as_str()]))
                .collect(),
        }
    }

    /// Whether the readiness probe says ready.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(i64::from(ready));
    }

    /// Counts a request that named a model or version that is not served.
    pub fn count_unrouted(&self) {
        self.unrouted.inc();
    }

    /// Counts a contained panic.
    pub fn count_panic(&self) {
        self.panics.inc();
    }

    /// Counts a failed observation.
    pub fn count_observe_failure(&self) {
        self.observe_failures.inc();
    }

    /// The counters of a listener's answers.
    pub fn http_answers(&self, listener: Listener) -> HttpAnswers {
        let counter = |class: &StatusClass| self.http_requests.with_label_values(&[listener.as_str(), class.as_str()]);
        HttpAnswers(StatusClass::ALL.iter().map(counter).collect())
    }

    /// The counter of the requests that come with a key.
    pub fn key_requests(&self, name: &str) -> KeyRequests {
        KeyRequests(self.key_requests.with_label_values(&[name]))
    }

    /// Drops the series of a key that is no longer taken.
    pub fn forget_key(&self, name: &str) {
        // One that has no series has none to lose.
        drop(self.key_requests.remove_label_values(&[name]));
    }

    /// The gauge of a listener's open connections.
    pub fn connections(&self, listener: Listener) -> IntGauge {
        self.connections.with_label_values(&[listener.as_str()])
    }

    /// Adds a source of drift series; they are there for as long as the source is.
    pub fn add_drift(&self, source: &Arc<dyn DriftSource>) {
        self.drift.add(source);
    }

    /// Everything in Prometheus' text format.
    pub fn encode(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

/// Counters of one listener's answers by class of status, resolved once.
#[derive(Debug, Clone)]
pub struct HttpAnswers(Vec<IntCounter>);

impl HttpAnswers {
    /// Counts an answer.
    pub fn count(&self, status: u16) {
        self.0[StatusClass::of(status) as usize].inc();
    }
}

/// The counter of one key's requests, resolved once.
#[derive(Debug, Clone)]
pub struct KeyRequests(IntCounter);

impl KeyRequests {
    /// Counts a request.
    pub fn count(&self) {
        self.0.inc();
    }
}

/// A counter that goes up while it is held: `in_flight` and its like.
#[derive(Debug)]
pub struct Held(IntGauge);

impl Held {
    /// Counts one more until the value is dropped.
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_of_a_version_exists_from_load_at_zero() {
        let metrics = Metrics::new().unwrap();
        metrics.version("flights", 3, 10);
        metrics.model("flights");
        let text = metrics.encode();
        for outcome in Outcome::ALL {
            let series =
                format!("gudgeon_requests_total{{model=\"flights\",outcome=\"{}\",version=\"3\"}} 0", outcome.as_str());
            assert!(text.contains(&series), "{series}");
        }
        assert!(text.contains("gudgeon_swaps_total{model=\"flights\",result=\"refused\"} 0"));
        assert!(text.contains("process_resident_memory_bytes"));
    }

    #[test]
    fn a_version_loaded_again_while_its_old_copy_drains_stays_in_memory() {
        let metrics = Metrics::new().unwrap();
        let has_series = || metrics.encode().contains("gudgeon_model_bytes{model=\"m\",version=\"1\"} 7");
        metrics.version("m", 1, 7);
        metrics.version("m", 1, 7);
        metrics.retire_version("m", 1);
        assert!(has_series());
        metrics.retire_version("m", 1);
        assert!(!has_series());
    }

    #[test]
    fn what_is_held_is_counted() {
        let metrics = Metrics::new().unwrap();
        let model = metrics.model("flights");
        let held = Held::new(&model.in_flight);
        assert_eq!(model.in_flight.get(), 1);
        drop(held);
        assert_eq!(model.in_flight.get(), 0);
    }
}
