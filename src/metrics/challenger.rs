//! The series of a challenger: there while it is compared, gone with it.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use prometheus::{Histogram, IntCounter};

use super::{Agreement, CanaryOutcome, Metrics, Role, ShadowOutcome};

/// Handles of one challenger's series, resolved once. The series go when the last of these does.
#[derive(Debug)]
pub struct ChallengerMetrics {
    metrics: Arc<Metrics>,
    key: (String, u64),
    requests: Vec<IntCounter>,
    rows: Vec<IntCounter>,
    canary: Vec<IntCounter>,
    runs: Vec<Histogram>,
    /// Difference of the predictions of a row.
    pub difference: Histogram,
}

impl ChallengerMetrics {
    /// The counter of copies that ended so.
    pub fn requests(&self, outcome: ShadowOutcome) -> &IntCounter {
        &self.requests[outcome as usize]
    }

    /// The counter of compared rows.
    pub fn rows(&self, agreement: Agreement) -> &IntCounter {
        &self.rows[agreement as usize]
    }

    /// The counter of requests routed to the challenger.
    pub fn canary(&self, outcome: CanaryOutcome) -> &IntCounter {
        &self.canary[outcome as usize]
    }

    /// The time of one run by `role`, seconds.
    pub fn runs(&self, role: Role) -> &Histogram {
        &self.runs[role as usize]
    }
}

impl Metrics {
    /// The handles of one challenger; every series exists from now on.
    pub fn challenger(self: &Arc<Self>, model: &str, version: u64) -> ChallengerMetrics {
        let key = (model.to_owned(), version);
        *self.comparisons().entry(key.clone()).or_default() += 1;
        let number = version.to_string();
        let with = |value: &'static str| [model, number.as_str(), value];
        ChallengerMetrics {
            metrics: Arc::clone(self),
            requests: each(ShadowOutcome::ALL, |o| self.shadow_requests.with_label_values(&with(o.as_str()))),
            rows: each(Agreement::ALL, |result| self.shadow_rows.with_label_values(&with(result.as_str()))),
            canary: each(CanaryOutcome::ALL, |o| self.canary_requests.with_label_values(&with(o.as_str()))),
            runs: each(Role::ALL, |role| self.shadow_run_duration.with_label_values(&with(role.as_str()))),
            difference: self.shadow_difference.with_label_values(&[model, &number]),
            key,
        }
    }

    fn comparisons(&self) -> MutexGuard<'_, BTreeMap<(String, u64), usize>> {
        self.comparisons.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retire_challenger(&self, key: &(String, u64)) {
        let mut comparisons = self.comparisons();
        let left = comparisons.get(key).map_or(0, |n| n.saturating_sub(1));
        if 0 < left {
            comparisons.insert(key.clone(), left);
            return;
        }
        comparisons.remove(key);
        let (model, number) = (key.0.as_str(), key.1.to_string());
        // An error says only that the series was not there.
        for outcome in ShadowOutcome::ALL {
            drop(self.shadow_requests.remove_label_values(&[model, &number, outcome.as_str()]));
        }
        for result in Agreement::ALL {
            drop(self.shadow_rows.remove_label_values(&[model, &number, result.as_str()]));
        }
        for outcome in CanaryOutcome::ALL {
            drop(self.canary_requests.remove_label_values(&[model, &number, outcome.as_str()]));
        }
        for role in Role::ALL {
            drop(self.shadow_run_duration.remove_label_values(&[model, &number, role.as_str()]));
        }
        drop(self.shadow_difference.remove_label_values(&[model, &number]));
    }
}

impl Drop for ChallengerMetrics {
    fn drop(&mut self) {
        self.metrics.retire_challenger(&self.key);
    }
}

fn each<L: Copy, M>(values: &[L], make: impl Fn(L) -> M) -> Vec<M> {
    values.iter().map(|&value| make(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_a_challenger_go_with_its_last_comparison() {
        let metrics = Metrics::new().unwrap();
        let has_series = || metrics.encode().contains("gudgeon_shadow_requests_total{model=\"m\"");
        let first = metrics.challenger("m", 3);
        let next = metrics.challenger("m", 3);
        drop(first);
        assert!(has_series());
        drop(next);
        assert!(!has_series());
        assert!(!metrics.encode().contains("gudgeon_shadow_run_duration_seconds_count{model=\"m\""));
    }
}
