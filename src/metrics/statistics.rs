//! What the Open Inference Protocol tells of a version in memory: how often it answered, and where the time went.
//!
//! Counters alone, from times that are measured on the way anyhow; nothing here takes a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Runs of up to so many rows are told apart by their number of rows.
const ROWS_TOLD_MAX: usize = 128;

/// How often something happened, and how long it took in all.
#[derive(Debug, Default)]
struct Tally {
    count: AtomicU64,
    ns: AtomicU64,
}

impl Tally {
    fn add(&self, time: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.ns.fetch_add(nanos(time), Ordering::Relaxed);
    }

    fn total(&self) -> Total {
        Total { count: self.count.load(Ordering::Relaxed), ns: self.ns.load(Ordering::Relaxed) }
    }
}

/// How often something happened, and how long it took in all, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Total {
    pub count: u64,
    pub ns: u64,
}

crate::schema::described!(Total as "Total" { count, ns });

/// Where the time of an answered request went.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// When it had arrived.
    pub started: Instant,
    /// When its inputs had been read.
    pub read: Instant,
    /// When its outputs were there.
    pub ran: Instant,
    /// When its answer was written.
    pub ended: Instant,
}

/// The counters of one version since it was loaded.
#[derive(Debug)]
pub struct Statistics {
    since: (Instant, SystemTime),
    /// Nanoseconds from `since` to the last answer; 0 before the first one.
    last_ns: AtomicU64,
    rows: AtomicU64,
    success: Tally,
    fail: Tally,
    queue: Tally,
    input: Tally,
    infer: Tally,
    output: Tally,
    /// Runs of 1, 2, 3, ... rows.
    by_rows: Box<[Tally]>,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            since: (Instant::now(), SystemTime::now()),
            last_ns: AtomicU64::default(),
            rows: AtomicU64::default(),
            success: Tally::default(),
            fail: Tally::default(),
            queue: Tally::default(),
            input: Tally::default(),
            infer: Tally::default(),
            output: Tally::default(),
            by_rows: (0..ROWS_TOLD_MAX).map(|_| Tally::default()).collect(),
        }
    }
}

/// The counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// When the last request was answered, milliseconds since 1970; 0 where none was.
    pub last_inference_ms: u64,
    /// Rows answered.
    pub rows: u64,
    /// Requests answered with a prediction, and the time from their arrival to their answer.
    pub success: Total,
    /// Requests answered with an error.
    pub fail: Total,
    /// Waiting for a compute thread.
    pub queue: Total,
    /// Reading inputs.
    pub input: Total,
    /// Runs of the model, each of one request or of several joined.
    pub infer: Total,
    /// Writing outputs.
    pub output: Total,
    /// Runs by their number of rows, up to 128.
    pub by_rows: Vec<(u64, Total)>,
}

impl Statistics {
    /// A request was answered with a prediction.
    pub fn answered(&self, spent: Spent) {
        let Spent { started, read, ran, ended } = spent;
        self.success.add(ended.saturating_duration_since(started));
        self.input.add(read.saturating_duration_since(started));
        self.output.add(ended.saturating_duration_since(ran));
        self.last_ns.fetch_max(nanos(ended.saturating_duration_since(self.since.0)), Ordering::Relaxed);
    }

    /// A request was answered with an error after `time`.
    pub fn failed(&self, time: Duration) {
        self.fail.add(time);
    }

    pub(super) fn waited(&self, time: Duration) {
        self.queue.add(time);
    }

    pub(super) fn ran(&self, time: Duration, n_rows: usize) {
        self.infer.add(time);
        if let Some(tally) = n_rows.checked_sub(1).and_then(|at| self.by_rows.get(at)) {
            tally.add(time);
        }
    }

    pub(super) fn predicted(&self, n_rows: usize) {
        self.rows.fetch_add(n_rows as u64, Ordering::Relaxed);
    }

    /// The counters now.
    pub fn now(&self) -> Counted {
        let last = self.last_ns.load(Ordering::Relaxed);
        let since_1970 = (self.since.1 + Duration::from_nanos(last)).duration_since(UNIX_EPOCH).unwrap_or_default();
        let last_ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
        let by_rows = (1..).zip(&self.by_rows).map(|(n_rows, tally)| (n_rows, tally.total()));
        Counted {
            last_inference_ms: if last == 0 { 0 } else { last_ms },
            rows: self.rows.load(Ordering::Relaxed),
            success: self.success.total(),
            fail: self.fail.total(),
            queue: self.queue.total(),
            input: self.input.total(),
            infer: self.infer.total(),
            output: self.output.total(),
            by_rows: by_rows.filter(|(_, total)| 0 < total.count).collect(),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_told_with_its_times() {
        let statistics = Statistics::default();
        assert_eq!(statistics.now().last_inference_ms, 0);
        let started = statistics.since.0;
        let at = |micros| started + Duration::from_micros(micros);
        statistics.waited(Duration::ZERO);
        statistics.ran(Duration::from_micros(3), 2);
        statistics.ran(Duration::from_micros(5), ROWS_TOLD_MAX + 1);
        statistics.predicted(2);
        statistics.answered(Spent { started, read: at(1), ran: at(4), ended: at(6) });
        statistics.failed(Duration::from_micros(7));
        let now = statistics.now();
        let total = |count, micros: u64| Total { count, ns: micros * 1_000 };
        assert_eq!((now.rows, now.success, now.fail, now.queue), (2, total(1, 6), total(1, 7), total(1, 0)));
        assert_eq!((now.input, now.infer, now.output), (total(1, 1), total(2, 8), total(1, 2)));
        assert_eq!(now.by_rows, [(2, total(1, 3))]);
        assert!(0 < now.last_inference_ms);
    }
}
