//! From measured runs to where a model runs.

use std::time::Duration;

/// Runs up to this long happen on the thread that read the request. Waking a compute thread and being woken by it takes about
/// a tenth of this.
const HERE_MAX: Duration = Duration::from_micros(100);

/// Short runs are joined where that saves so much time a row: being woken and waking costs about half of it.
const JOIN_GAIN_MIN: Duration = Duration::from_micros(20);

/// Where the runs of a plan happen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// The most rows of which a run is so short that it had better happen on the thread that read the request; 0 where even
    /// one row takes long or nothing is known.
    pub rows_here_max: usize,
    /// Whether also such short runs are cheaper together, by more than it costs to get together.
    pub joins_short_runs: bool,
}

impl Pace {
    /// From the times of runs by their rows, ascending. Between two measured batches time grows evenly, and beyond the
    /// largest one nothing is known.
    pub fn of(measured: &[(usize, Duration)]) -> Self {
        Self { rows_here_max: rows_here_max(measured), joins_short_runs: joins_short_runs(measured) }
    }
}

fn rows_here_max(measured: &[(usize, Duration)]) -> usize {
    let is_short = |&&(_, time): &&(usize, Duration)| time <= HERE_MAX;
    let n_short = measured.iter().take_while(is_short).count();
    let Some(&(rows, time)) = n_short.checked_sub(1).and_then(|last| measured.get(last)) else { return 0 };
    let Some(&(next_rows, next_time)) = measured.get(n_short) else { return rows };
    let share = (HERE_MAX - time).as_secs_f64() / (next_time - time).as_secs_f64();
    let more = (1..next_rows.saturating_sub(rows)).rev().find(|&more| count(more) <= share * count(next_rows - rows));
    rows + more.unwrap_or(0)
}

fn joins_short_runs(measured: &[(usize, Duration)]) -> bool {
    let a_row = |&(rows, time): &(usize, Duration)| time.as_secs_f64() / count(rows.max(1));
    let (Some(alone), Some(together)) = (measured.first(), measured.last()) else { return false };
    JOIN_GAIN_MIN.as_secs_f64() <= a_row(alone) - a_row(together)
}

fn count(rows: usize) -> f64 {
    f64::from(u32::try_from(rows).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(micros: &[(usize, u64)], rows_here_max: usize, joins_short_runs: bool) {
        let measured: Vec<_> = micros.iter().map(|&(rows, time)| (rows, Duration::from_micros(time))).collect();
        assert_eq!(Pace::of(&measured), Pace { rows_here_max, joins_short_runs });
    }

    #[test]
    fn short_runs_stay_on_the_thread_that_asks() {
        check(&[], 0, false);
        // A logistic regression.
        check(&[(1, 6), (8, 7), (64, 13)], 64, false);
        // A forest: a row more takes 5 microseconds.
        check(&[(1, 9), (8, 50), (64, 330)], 18, false);
        check(&[(1, 100)], 1, false);
    }

    #[test]
    fn networks_whose_weights_are_read_once_a_run_are_joined() {
        check(&[(1, 265), (8, 480), (64, 2_000)], 0, true);
        check(&[(1, 70), (8, 230), (64, 1_900)], 2, true);
    }
}
