//! One version's counters, resolved once at load. Times are those that are measured on the way anyhow.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::Outcome;
use super::served::{ROWS_TOLD_MAX, Served, at};

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

/// How often something happened, and how long it took in all, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Total {
    pub count: u64,
    pub ns: u64,
}

crate::schema::described!(Total as "Total" { count, ns });

/// What the Open Inference Protocol tells of a version since this process first loaded it.
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

/// What a version has done. Copies of a version in memory count together.
#[derive(Debug, Clone)]
pub struct VersionMetrics {
    pub(super) is_on: bool,
    pub(super) served: Arc<Served>,
}

impl VersionMetrics {
    /// A request ended in `outcome`.
    pub fn ended(&self, outcome: Outcome, spent: Spent) {
        if !self.is_on {
            return;
        }
        let Spent { started, read, ran, ended } = spent;
        let place = self.served.cells.here();
        let ns = nanos(ended.saturating_duration_since(started));
        place.add(at::REQUESTS + outcome as usize, 1);
        at::REQUEST.observe(place, ns);
        if outcome == Outcome::Ok {
            place.add(at::READING, nanos(read.saturating_duration_since(started)));
            place.add(at::WRITING, nanos(ended.saturating_duration_since(ran)));
            place.raise(at::LAST, nanos(ended.saturating_duration_since(self.served.since.0)));
        } else {
            place.add(at::FAILED, ns);
        }
    }

    /// A request waited for a compute thread for `time`.
    pub fn waited(&self, time: Duration) {
        if self.is_on {
            at::QUEUE.observe(self.served.cells.here(), nanos(time));
        }
    }

    /// The model ran for `time` on `n_rows` rows.
    pub fn ran(&self, time: Duration, n_rows: usize) {
        if !self.is_on {
            return;
        }
        let (place, ns) = (self.served.cells.here(), nanos(time));
        at::INFERENCE.observe(place, ns);
        at::BATCH_ROWS.observe(place, n_rows as u64);
        if (1..=ROWS_TOLD_MAX).contains(&n_rows) {
            let cell = at::RUNS + 2 * (n_rows - 1);
            place.add(cell, 1);
            place.add(cell + 1, ns);
        }
    }

    /// A request of `n_rows` rows got its outputs.
    pub fn predicted(&self, n_rows: usize) {
        if self.is_on {
            self.served.cells.here().add(at::ROWS, n_rows as u64);
        }
    }

    /// What the Open Inference Protocol tells.
    pub fn statistics(&self) -> Counted {
        let cells = &self.served.cells;
        let success = self.n_requests(Outcome::Ok);
        let fail = Total { count: at::REQUEST.count(cells).saturating_sub(success), ns: cells.sum(at::FAILED) };
        let total = |count, cell| Total { count, ns: cells.sum(cell) };
        let whole = |all: super::served::Distribution| Total { count: all.count(cells), ns: all.sum(cells) };
        let runs = |n_rows: usize| {
            let cell = at::RUNS + 2 * (n_rows - 1);
            (n_rows as u64, total(cells.sum(cell), cell + 1))
        };
        Counted {
            last_inference_ms: self.last_inference_ms(),
            rows: self.n_rows(),
            success: Total { count: success, ns: at::REQUEST.sum(cells).saturating_sub(fail.ns) },
            fail,
            queue: whole(at::QUEUE),
            input: total(success, at::READING),
            infer: whole(at::INFERENCE),
            output: total(success, at::WRITING),
            by_rows: (1..=ROWS_TOLD_MAX).map(runs).filter(|(_, total)| 0 < total.count).collect(),
        }
    }

    fn last_inference_ms(&self) -> u64 {
        let last = self.served.cells.max(at::LAST);
        let since_1970 =
            (self.served.since.1 + Duration::from_nanos(last)).duration_since(UNIX_EPOCH).unwrap_or_default();
        if last == 0 { 0 } else { u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Requests that ended in `outcome`.
    pub fn n_requests(&self, outcome: Outcome) -> u64 {
        self.served.cells.sum(at::REQUESTS + outcome as usize)
    }

    /// Rows answered.
    pub fn n_rows(&self) -> u64 {
        self.served.cells.sum(at::ROWS)
    }

    /// Runs of the model, the rows in them together, and their time together.
    pub fn runs(&self) -> (u64, u64, Duration) {
        let cells = &self.served.cells;
        (at::BATCH_ROWS.count(cells), at::BATCH_ROWS.sum(cells), Duration::from_nanos(at::INFERENCE.sum(cells)))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn what_happened_is_told_with_its_times() {
        let metrics = Metrics::new().unwrap();
        let version = metrics.version("m", 1, 0);
        assert_eq!(version.statistics().last_inference_ms, 0);
        let started = version.served.since.0;
        let at = |micros| started + Duration::from_micros(micros);
        version.waited(Duration::ZERO);
        version.ran(Duration::from_micros(3), 2);
        version.ran(Duration::from_micros(500), ROWS_TOLD_MAX + 1);
        version.predicted(2);
        version.ended(Outcome::Ok, Spent { started, read: at(1), ran: at(4), ended: at(6) });
        version.ended(Outcome::Invalid, Spent { started, read: at(0), ran: at(0), ended: at(7) });
        let now = version.statistics();
        let total = |count, micros: u64| Total { count, ns: micros * 1_000 };
        assert_eq!((now.rows, now.success, now.fail, now.queue), (2, total(1, 6), total(1, 7), total(1, 0)));
        assert_eq!((now.input, now.infer, now.output), (total(1, 1), total(2, 503), total(1, 2)));
        assert_eq!(now.by_rows, [(2, total(1, 3))]);
        assert!(0 < now.last_inference_ms);
        assert_eq!(version.runs(), (2, 131, Duration::from_micros(503)));
        let text = metrics.encode();
        for line in [
            "gudgeon_inference_duration_seconds_bucket{model=\"m\",version=\"1\",le=\"0.00005\"} 1",
            "gudgeon_inference_duration_seconds_bucket{model=\"m\",version=\"1\",le=\"0.0005\"} 2",
            "gudgeon_inference_duration_seconds_bucket{model=\"m\",version=\"1\",le=\"+Inf\"} 2",
            "gudgeon_inference_duration_seconds_sum{model=\"m\",version=\"1\"} 0.000503",
            "gudgeon_inference_duration_seconds_count{model=\"m\",version=\"1\"} 2",
            "gudgeon_inference_batch_rows_bucket{model=\"m\",version=\"1\",le=\"128\"} 1",
            "gudgeon_inference_batch_rows_sum{model=\"m\",version=\"1\"} 131",
            "gudgeon_requests_total{model=\"m\",outcome=\"invalid\",version=\"1\"} 1",
            "gudgeon_rows_total{model=\"m\",version=\"1\"} 2",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
    }
}
