//! What is known of a challenger in its present step: counted anew in each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::difference::RowDifference;
use crate::metrics::{Agreement, CanaryOutcome, ChallengerMetrics, Role, ShadowOutcome};

/// Timed pairs that medians are taken of.
const PAIRS_MAX: usize = 512;
/// Cells of the distribution of differences: hundredths.
const CELLS: usize = 101;

/// What is known of a challenger in its present step.
#[derive(Debug)]
pub struct Comparison {
    metrics: ChallengerMetrics,
    tally: Mutex<Tally>,
    dropped: AtomicU64,
    canary: [AtomicU64; 3],
    /// A pair counts as slower where the challenger took more than this many times as long.
    ratio_max: f64,
}

/// Times of both versions on the same rows, seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) champion: f64,
    pub(super) challenger: f64,
}

#[derive(Debug)]
struct Tally {
    compared: u64,
    failed: u64,
    rows: u64,
    agreed: u64,
    difference_sum: f64,
    cells: Vec<u64>,
    pairs: u64,
    slower: u64,
    recent: VecDeque<Pair>,
}

impl Default for Tally {
    fn default() -> Self {
        let (compared, failed, rows, agreed, pairs, slower) = (0, 0, 0, 0, 0, 0);
        let (cells, recent) = (vec![0; CELLS], VecDeque::new());
        Self { compared, failed, rows, agreed, difference_sum: 0.0, cells, pairs, slower, recent }
    }
}

/// The numbers of a [`Comparison`] at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Compared {
    /// Requests of which both answers were compared.
    pub requests: u64,
    /// Requests that there was no time to compare.
    pub dropped: u64,
    /// Requests on whose copy the challenger failed.
    pub failed: u64,
    /// Rows compared.
    pub rows: u64,
    /// Rows of which both say the same.
    pub agreed: u64,
    /// Mean difference of a row, 0 to 1.
    pub difference_mean: f64,
    /// Differences that half, nine of ten and 99 of 100 rows do not exceed; in hundredths, rounded up.
    pub difference_quantiles: [f64; 3],
    /// Times that both were timed on the same rows.
    pub pairs: u64,
    /// Pairs in which the challenger took more than the allowed multiple of the champion's time.
    pub slower: u64,
    /// Median of the challenger's time by the champion's, of the last pairs.
    pub latency_ratio: Option<f64>,
    /// Median time of the champion and of the challenger in these pairs, milliseconds.
    pub latency_ms: Option<[f64; 2]>,
    /// Requests that the challenger answered.
    pub canary_answered: u64,
    /// Requests that the champion answered because the challenger failed.
    pub canary_rescued: u64,
    /// Requests on which the challenger failed with no time left for the champion.
    pub canary_failed: u64,
}

impl Comparison {
    pub(super) fn new(metrics: ChallengerMetrics, ratio_max: f64) -> Self {
        Self { metrics, tally: Mutex::default(), dropped: AtomicU64::new(0), canary: Default::default(), ratio_max }
    }

    /// Counts a request that was routed to the challenger.
    pub fn note_canary(&self, outcome: CanaryOutcome) {
        self.metrics.canary(outcome).inc();
        self.canary[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_dropped(&self) {
        self.metrics.requests(ShadowOutcome::Dropped).inc();
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_failed(&self) {
        self.metrics.requests(ShadowOutcome::Failed).inc();
        self.tally().failed += 1;
    }

    pub(super) fn note_compared(&self, rows: &[RowDifference]) {
        self.metrics.requests(ShadowOutcome::Compared).inc();
        let agreed = rows.iter().filter(|row| row.agree).count() as u64;
        let n_rows = rows.len() as u64;
        self.metrics.rows(Agreement::Agreed).inc_by(agreed);
        self.metrics.rows(Agreement::Differed).inc_by(n_rows - agreed);
        rows.iter().for_each(|row| self.metrics.difference.observe(row.difference));
        let mut tally = self.tally();
        tally.compared += 1;
        tally.rows += n_rows;
        tally.agreed += agreed;
        for row in rows {
            tally.difference_sum += row.difference;
            tally.cells[cell(row.difference)] += 1;
        }
    }

    pub(super) fn note_pair(&self, pair: Pair) {
        self.metrics.runs(Role::Champion).observe(pair.champion);
        self.metrics.runs(Role::Challenger).observe(pair.challenger);
        let mut tally = self.tally();
        tally.pairs += 1;
        tally.slower += u64::from(self.ratio_max * pair.champion < pair.challenger);
        if tally.recent.len() == PAIRS_MAX {
            tally.recent.pop_front();
        }
        tally.recent.push_back(pair);
    }

    pub(super) fn n_pairs(&self) -> u64 {
        self.tally().pairs
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers now.
    #[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
    pub fn now(&self) -> Compared {
        let tally = self.tally();
        let [answered, rescued, failed] = [0, 1, 2].map(|index| self.canary[index].load(Ordering::Relaxed));
        let of_pairs = |value: fn(&Pair) -> f64| median(tally.recent.iter().map(value).collect());
        let latency_ms = of_pairs(|pair| pair.champion * 1e3).zip(of_pairs(|pair| pair.challenger * 1e3));
        Compared {
            requests: tally.compared,
            dropped: self.dropped.load(Ordering::Relaxed),
            failed: tally.failed,
            rows: tally.rows,
            agreed: tally.agreed,
            difference_mean: if tally.rows == 0 { 0.0 } else { tally.difference_sum / tally.rows as f64 },
            difference_quantiles: [0.5, 0.9, 0.99].map(|share| quantile(&tally.cells, tally.rows, share)),
            pairs: tally.pairs,
            slower: tally.slower,
            latency_ratio: of_pairs(|pair| pair.challenger / pair.champion.max(1e-9)),
            latency_ms: latency_ms.map(|(champion, challenger)| [champion, challenger]),
            canary_answered: answered,
            canary_rescued: rescued,
            canary_failed: failed,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value lies between 0 and 100")]
fn cell(difference: f64) -> usize {
    (difference.clamp(0.0, 1.0) * 100.0).ceil() as usize
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn quantile(cells: &[u64], rows: u64, share: f64) -> f64 {
    let mut seen = 0;
    for (index, count) in cells.iter().enumerate() {
        seen += count;
        if share * rows as f64 <= seen as f64 {
            return index as f64 / 100.0;
        }
    }
    1.0
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn what_was_compared_is_told_in_shares_and_medians() {
        let comparison = Comparison::new(Metrics::new().unwrap().challenger("m", 2), 2.0);
        let row = |agree, difference| RowDifference { agree, difference };
        comparison.note_compared(&[row(true, 0.0), row(true, 0.05), row(true, 0.05), row(false, 0.9)]);
        comparison.note_failed();
        comparison.note_dropped();
        comparison.note_canary(CanaryOutcome::Rescued);
        for challenger in [1.0, 1.5, 30.0] {
            comparison.note_pair(Pair { champion: 1.0, challenger });
        }
        let now = comparison.now();
        assert_eq!((now.requests, now.failed, now.dropped, now.canary_rescued), (1, 1, 1, 1));
        assert_eq!((now.rows, now.agreed, now.pairs, now.slower), (4, 3, 3, 1));
        assert!((now.difference_mean - 0.25).abs() < 1e-9);
        assert!((now.difference_quantiles[0] - 0.05).abs() < 1e-9);
        assert!((now.difference_quantiles[2] - 0.9).abs() < 1e-9);
        // One run that was interrupted does not move the median.
        assert!((now.latency_ratio.unwrap() - 1.5).abs() < 1e-9);
    }
}
