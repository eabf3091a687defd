//! The series of each version: counted by thread ([`super::cells`]) and put together at scrape.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::cells::{Cells, Place};
use super::{BATCH_BOUNDS, DURATION_BOUNDS, Outcome};

/// Runs of up to so many rows are told apart by their number of rows.
pub(super) const ROWS_TOLD_MAX: usize = 128;

/// Name, help and labels of every series of a version.
pub const DECLARED: &[(&str, &str, &[&str])] = &[
    (REQUESTS, "Prediction requests by the version that served and how they ended.", &["model", "version", "outcome"]),
    (
        "gudgeon_request_duration_seconds",
        "Time from the request's arrival to its answer, by the version that served.",
        VERSION_LABELS,
    ),
    ("gudgeon_queue_duration_seconds", "Time that a request waited for a compute thread.", VERSION_LABELS),
    ("gudgeon_inference_duration_seconds", "Time of one run of the model, of one batch.", VERSION_LABELS),
    ("gudgeon_inference_batch_rows", "Rows in one run of the model.", VERSION_LABELS),
    (ROWS, "Rows predicted.", VERSION_LABELS),
];
const REQUESTS: &str = "gudgeon_requests_total";
const ROWS: &str = "gudgeon_rows_total";
const VERSION_LABELS: &[&str] = &["model", "version"];

/// A histogram in the cells from `start` on: one a bucket, one for what is above the last bound, and the sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Distribution {
    start: usize,
    bounds: &'static [u64],
    /// How many of what is counted make one of what is told.
    unit: f64,
}

impl Distribution {
    const fn new(start: usize, bounds: &'static [u64], unit: f64) -> Self {
        Self { start, bounds, unit }
    }

    const fn end(self) -> usize {
        self.start + self.bounds.len() + 2
    }

    pub(super) fn observe(self, place: Place<'_>, value: u64) {
        let bucket = self.bounds.iter().position(|&bound| value <= bound).unwrap_or(self.bounds.len());
        place.add(self.start + bucket, 1);
        place.add(self.end() - 1, value);
    }

    pub(super) fn count(self, cells: &Cells) -> u64 {
        (self.start..self.end() - 1).map(|cell| cells.sum(cell)).sum()
    }

    pub(super) fn sum(self, cells: &Cells) -> u64 {
        cells.sum(self.end() - 1)
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus values are 64-bit floats")]
    fn histogram(self, cells: &Cells) -> Histogram {
        let mut count = 0;
        let bucket = |(cell, &bound): (usize, &u64)| {
            count += cells.sum(cell);
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound as f64 / self.unit);
            bucket.set_cumulative_count(count);
            bucket
        };
        let buckets = (self.start..).zip(self.bounds).map(bucket).collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count + cells.sum(self.end() - 2));
        histogram.set_sample_sum(self.sum(cells) as f64 / self.unit);
        histogram
    }
}

/// Where each thing is counted; times in nanoseconds.
pub(super) mod at {
    use super::{BATCH_BOUNDS, DURATION_BOUNDS, Distribution, Outcome, ROWS_TOLD_MAX};

    const NS: f64 = 1e9;
    /// One cell an outcome.
    pub(in super::super) const REQUESTS: usize = 0;
    pub(in super::super) const REQUEST: Distribution = Distribution::new(Outcome::ALL.len(), DURATION_BOUNDS, NS);
    pub(in super::super) const QUEUE: Distribution = Distribution::new(REQUEST.end(), DURATION_BOUNDS, NS);
    pub(in super::super) const INFERENCE: Distribution = Distribution::new(QUEUE.end(), DURATION_BOUNDS, NS);
    pub(in super::super) const BATCH_ROWS: Distribution = Distribution::new(INFERENCE.end(), BATCH_BOUNDS, 1.0);
    pub(in super::super) const ROWS: usize = BATCH_ROWS.end();
    /// Time of the requests that got no prediction.
    pub(in super::super) const FAILED: usize = ROWS + 1;
    /// Time of reading inputs, and of writing outputs.
    pub(in super::super) const READING: usize = FAILED + 1;
    pub(in super::super) const WRITING: usize = READING + 1;
    /// When the last request was answered, from [`super::Served::since`] on.
    pub(in super::super) const LAST: usize = WRITING + 1;
    /// Two cells for runs of 1, 2, 3, ... rows: how many, and their time.
    pub(in super::super) const RUNS: usize = LAST + 1;
    pub(in super::super) const N_CELLS: usize = RUNS + 2 * ROWS_TOLD_MAX;
}

/// What has been counted of one version since this process first loaded it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) since: (Instant, SystemTime),
    pub(super) cells: Cells,
    /// Copies in memory: a version that is loaded again while the old copy drains is there twice.
    copies: Mutex<usize>,
}

/// What was counted, by model and version.
type Versions = BTreeMap<(String, u64), Arc<Served>>;

/// Every version that was ever loaded: a counter that vanishes loses what was not scraped yet.
#[derive(Clone)]
pub(super) struct ServedCollector {
    versions: Arc<Mutex<Versions>>,
    descs: Vec<Desc>,
}

impl fmt::Debug for ServedCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedCollector").finish_non_exhaustive()
    }
}

impl ServedCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let desc = |&(name, help, labels): &(&str, &str, &[&str])| {
            let labels = labels.iter().map(ToString::to_string).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
        };
        Ok(Self { versions: Arc::default(), descs: DECLARED.iter().map(desc).collect::<Result<_, _>>()? })
    }

    /// Notes one more copy of a version in memory.
    pub(super) fn load(&self, model: &str, version: u64) -> Arc<Served> {
        let new = || {
            let since = (Instant::now(), SystemTime::now());
            Arc::new(Served { since, cells: Cells::new(at::N_CELLS), copies: Mutex::default() })
        };
        let mut versions = self.locked();
        let served = versions.entry((model.to_owned(), version)).or_insert_with(new);
        *served.copies.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Arc::clone(served)
    }

    /// Notes that a copy has gone; tells whether it was the last one.
    pub(super) fn retire(&self, model: &str, version: u64) -> bool {
        let versions = self.locked();
        let Some(served) = versions.get(&(model.to_owned(), version)) else { return true };
        let mut copies = served.copies.lock().unwrap_or_else(PoisonError::into_inner);
        *copies = copies.saturating_sub(1);
        *copies == 0
    }

    fn locked(&self) -> MutexGuard<'_, Versions> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for ServedCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let versions = self.locked().clone();
        let family = |&(name, help, _): &(&str, &str, &[&str])| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            let is_counter = [REQUESTS, ROWS].contains(&name);
            family.set_field_type(if is_counter { MetricType::COUNTER } else { MetricType::HISTOGRAM });
            family.set_metric(versions.iter().flat_map(|(key, served)| series(name, key, &served.cells)).collect());
            family
        };
        // A family without series has no place in the text format.
        if versions.is_empty() { Vec::new() } else { DECLARED.iter().map(family).collect() }
    }
}

/// The series of one version in the family called `name`.
fn series(name: &str, (model, version): &(String, u64), cells: &Cells) -> Vec<Metric> {
    let version = version.to_string();
    let labels = [pair("model", model), pair("version", &version)];
    let counted = |extra: Option<LabelPair>, cell: usize| {
        let mut metric = Metric::default();
        // In the order of their names.
        let mut labels: Vec<_> = labels.iter().cloned().chain(extra).collect();
        labels.sort_by(|a, b| a.name().cmp(b.name()));
        metric.set_label(labels);
        let mut counter = Counter::default();
        #[expect(clippy::cast_precision_loss, reason = "Prometheus values are 64-bit floats")]
        counter.set_value(cells.sum(cell) as f64);
        metric.set_counter(counter);
        metric
    };
    let distribution = match name {
        REQUESTS => {
            let outcomes = (at::REQUESTS..).zip(Outcome::ALL);
            return outcomes.map(|(cell, outcome)| counted(Some(pair("outcome", outcome.as_str())), cell)).collect();
        }
        ROWS => return vec![counted(None, at::ROWS)],
        "gudgeon_request_duration_seconds" => at::REQUEST,
        "gudgeon_queue_duration_seconds" => at::QUEUE,
        "gudgeon_inference_duration_seconds" => at::INFERENCE,
        _ => at::BATCH_ROWS,
    };
    let mut metric = Metric::default();
    metric.set_label(labels.to_vec());
    metric.set_histogram(distribution.histogram(cells));
    vec![metric]
}

pub(super) fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}
