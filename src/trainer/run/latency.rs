//! How much slower one version runs than another, in the engine that serves.
//!
//! Machines are noisy: another process takes the core in the middle of a run, and a 99th percentile sees that first. So runs in
//! which the system took the core away say nothing of the model and do not count, where the system tells (Linux does). Both
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
    let mut times: [Vec<Timed>; 2] = [Vec::with_capacity(RUNS), Vec::with_capacity(RUNS)];
    for run in 0..RUNS {
        // Who goes first alternates: the second one finds warmer caches.
        for turn in [run % 2, 1 - run % 2] {
            let before = interruptions();
            let began = Instant::now();
            plans[turn].run(inputs[turn]).ok()?;
            let time = began.elapsed().max(TIME_MIN);
            times[turn].push(Timed { time, was_interrupted: before != interruptions() });
        }
        if RUNS_MIN <= run && ATTEMPT_TIME <= started.elapsed() {
            break;
        }
    }
    let [champion, challenger] = times.map(|times| p99(undisturbed(&times)));
    Some(challenger.as_secs_f64() / champion.as_secs_f64())
}

/// How long a run took.
#[derive(Debug, Clone, Copy)]
struct Timed {
    time: Duration,
    /// Whether the system took the core away meanwhile.
    was_interrupted: bool,
}

/// How often the system took the core away from this thread so far; `None` where it does not tell.
fn interruptions() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?.trim().parse().ok()
}

/// The times of the runs that had the core to themselves; of all, where those are too few to tell.
fn undisturbed(times: &[Timed]) -> Vec<Duration> {
    let quiet: Vec<_> = times.iter().filter(|timed| !timed.was_interrupted).map(|timed| timed.time).collect();
    if RUNS_MIN <= quiet.len() { quiet } else { times.iter().map(|timed| timed.time).collect() }
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
    fn a_run_that_lost_the_core_does_not_count_unless_nearly_all_did() {
        let times = |n_quiet: usize| {
            let timed = |run| {
                let was_interrupted = n_quiet <= run;
                Timed { time: Duration::from_millis(if was_interrupted { 9 } else { 1 }), was_interrupted }
            };
            undisturbed(&(0..20).map(timed).collect::<Vec<_>>())
        };
        assert_eq!(times(RUNS_MIN), vec![Duration::from_millis(1); RUNS_MIN]);
        assert_eq!(times(RUNS_MIN - 1).len(), 20);
        assert!(!cfg!(target_os = "linux") || interruptions().is_some());
    }

    #[test]
    fn the_percentile_is_the_nearest_rank() {
        let times = |n: u64| (1..=n).rev().map(Duration::from_millis).collect::<Vec<_>>();
        assert_eq!(p99(times(100)), Duration::from_millis(99));
        assert_eq!(p99(times(200)), Duration::from_millis(198));
        assert_eq!(p99(times(3)), Duration::from_millis(3));
        assert_eq!(p99(Vec::new()), TIME_MIN);
    }
}
