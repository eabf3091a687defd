//! One version's series, resolved once at load.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use super::{Outcome, Spent, Statistics};

/// What a version has done, in counters and times.
#[derive(Debug, Clone)]
pub struct VersionMetrics {
    pub(super) is_on: bool,
    pub(super) requests: Vec<IntCounter>,
    pub(super) request_duration: Histogram,
    pub(super) queue_duration: Histogram,
    pub(super) inference_duration: Histogram,
    pub(super) batch_rows: Histogram,
    pub(super) rows: IntCounter,
    pub(super) statistics: Arc<Statistics>,
}

impl VersionMetrics {
    /// A request ended in `outcome`.
    pub fn ended(&self, outcome: Outcome, spent: Spent) {
        if self.is_on {
            let time = spent.ended.saturating_duration_since(spent.started);
            self.requests[outcome as usize].inc();
            self.request_duration.observe(time.as_secs_f64());
            match outcome {
                Outcome::Ok => self.statistics.answered(spent),
                _ => self.statistics.failed(time),
            }
        }
    }

    /// A request waited for a compute thread for `time`.
    pub fn waited(&self, time: Duration) {
        if self.is_on {
            self.queue_duration.observe(time.as_secs_f64());
            self.statistics.waited(time);
        }
    }

    /// The model ran for `time` on `n_rows` rows.
    pub fn ran(&self, time: Duration, n_rows: usize) {
        if self.is_on {
            self.inference_duration.observe(time.as_secs_f64());
            self.batch_rows.observe(f64::from(u32::try_from(n_rows).unwrap_or(u32::MAX)));
            self.statistics.ran(time, n_rows);
        }
    }

    /// A request of `n_rows` rows got its outputs.
    pub fn predicted(&self, n_rows: usize) {
        if self.is_on {
            self.rows.inc_by(n_rows as u64);
            self.statistics.predicted(n_rows);
        }
    }

    /// What the Open Inference Protocol tells, since this copy of the version was loaded.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Requests that ended in `outcome`.
    pub fn n_requests(&self, outcome: Outcome) -> u64 {
        self.requests[outcome as usize].get()
    }

    /// Rows answered.
    pub fn n_rows(&self) -> u64 {
        self.rows.get()
    }

    /// Runs of the model, the rows in them together, and their time together.
    pub fn runs(&self) -> (u64, u64, Duration) {
        let time = Duration::try_from_secs_f64(self.inference_duration.get_sample_sum()).unwrap_or_default();
        (self.batch_rows.get_sample_count(), whole(self.batch_rows.get_sample_sum()), time)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
fn whole(sum: f64) -> u64 {
    sum.max(0.0) as u64
}
