//! How much slower one version runs than another, in the engine that serves.
//!
//! Machines are noisy: another process takes the core in the middle of a run, and a 99th percentile sees that first. So both
//! versions run in turns on the same rows, a few times over; the ratio is taken within each attempt, whose noise both share,
//! and the smallest of all attempts counts. A version that is truly slower is slower in every attempt; noise is not.

use std::time::{Duration, Instant};

use crate::engine::Plan;
use crate::model::{Checked, Mismatch, Signature};
use crate::tensor::Tensor;

use super::rows::Source;

/// Rows of a run: a single request, and a batch of them.
const BATCHES: [usize; 2] = [1, 64];
/// Attempts; the first one within the limit ends them.
const ATTEMPTS: usize = 5;
/// Runs of each version in an attempt, unless they take longer than `ATTEMPT_TIME` together.
const RUNS: usize = 200;
/// Fewest runs, however long they take.
const RUNS_MIN: usize = 10;
const ATTEMPT_TIME: Duration = Duration::from_secs(1);
/// Shorter times count as this: what a request costs beside the model is more, so no caller could tell.
const TIME_MIN: Duration = Duration::from_micros(100);

/// A version to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runner<'a> {
    pub(super) plan: &'a Plan,
    pub(super) signature: &'a Signature,
}

/// The challenger's 99th percentile of a run's time over the champion's, on the first of `rows`: the worse of single rows and
/// batches. `None` where one of them cannot run them.
pub(super) fn p99_ratio(
    champion: Runner<'_>,
    challenger: Runner<'_>,
    from: (Source<'_>, &[u32]),
    max: f64,
) -> Option<f64> {
    let (source, rows) = from;
    let ratios = BATCHES.iter().map(|&n_rows| {
        let batch = rows.get(..n_rows.min(rows.len()))?;
        let pair = [inputs(champion, source, batch).ok()?, inputs(challenger, source, batch).ok()?];
        let plans = [champion.plan, challenger.plan];
        let mut best = f64::INFINITY;
        for _ in 0..ATTEMPTS {
            best = best.min(attempt(plans, [pair[0].tensors(), pair[1].tensors()])?);
            if best <= max {
                break;
            }
        }
        Some(best)
    });
    ratios.collect::<Option<Vec<f64>>>()?.into_iter().reduce(f64::max)
}

fn inputs(runner: Runner<'_>, source: Source<'_>, rows: &[u32]) -> Result<Checked, Mismatch> {
    source.inputs(runner.signature, rows)
}

fn attempt(plans: [&Plan; 2], inputs: [&[Tensor]; 2]) -> Option<f64> {
    let started = Instant::now();
    let mut times = [Vec::with_capacity(RUNS), Vec::with_capacity(RUNS)];
    for run in 0..RUNS {
        // Who goes first alternates: the second one finds warmer caches.
        for turn in [run % 2, 1 - run % 2] {
            let began = Instant::now();
            plans[turn].run(inputs[turn]).ok()?;
            times[turn].push(began.elapsed().max(TIME_MIN));
        }
        if RUNS_MIN <= run && ATTEMPT_TIME <= started.elapsed() {
            break;
        }
    }
    let [champion, challenger] = times.map(p99);
    Some(challenger.as_secs_f64() / champion.as_secs_f64())
}

/// The 99th percentile: the smallest time that at least 99 of 100 runs do not exceed.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let place = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(place).copied().unwrap_or(TIME_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_the_nearest_rank() {
        let times = |n: u64| (1..=n).rev().map(Duration::from_millis).collect::<Vec<_>>();
        assert_eq!(p99(times(100)), Duration::from_millis(99));
        assert_eq!(p99(times(200)), Duration::from_millis(198));
        assert_eq!(p99(times(3)), Duration::from_millis(3));
        assert_eq!(p99(Vec::new()), TIME_MIN);
    }
}
