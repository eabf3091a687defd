//! From measured runs to where a model runs.

use std::time::Duration;

/// Runs up to this long happen on the thread that read the request. Waking a compute thread and being woken by it takes about
/// a tenth of this.
const HERE_MAX: Duration = Duration::from_micros(100);

/// Short runs are joined where that saves so much time a row: being woken and waking costs about half of it.
const JOIN_GAIN_MIN: Duration = Duration::from_micros(20);

/// What was measured of a batch is believed of one so many times as large.
const BEYOND_MAX: usize = 16;

/// A batch is worth its rows as long as a row takes at most so much of what it takes in the best batch: fewer runs save what is
/// around each, and a measurement is only so good.
const SLOWER_MAX: f64 = 1.25;

/// Where the runs of a plan happen, and how large they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The most rows of which a run is so short that it had better happen on the thread that read the request; 0 where even
    /// one row takes long or nothing is known.
    pub rows_here_max: usize,
    /// Whether also such short runs are cheaper together, by more than it costs to get together.
    pub joins_short_runs: bool,
    /// Rows up to which a run is joined or not cut into pieces: beyond, a row would take longer.
    pub batch_rows_max: usize,
}

/// Nothing was measured: every run queues, in batches of any size.
impl Default for Pace {
    fn default() -> Self {
        Self { rows_here_max: 0, joins_short_runs: false, batch_rows_max: usize::MAX }
    }
}

impl Pace {
    /// From the times of runs by their rows, ascending. Between two measured batches time grows evenly, and beyond the largest one
    /// a row takes what it takes in that.
    pub fn of(measured: &[(usize, Duration)]) -> Self {
        Self {
            rows_here_max: rows_here_max(measured),
            joins_short_runs: joins_short_runs(measured),
            batch_rows_max: batch_rows_max(measured),
        }
    }
}

fn rows_here_max(measured: &[(usize, Duration)]) -> usize {
    let is_short = |&&(_, time): &&(usize, Duration)| time <= HERE_MAX;
    let n_short = measured.iter().take_while(is_short).count();
    let Some(&(rows, time)) = n_short.checked_sub(1).and_then(|last| measured.get(last)) else { return 0 };
    let Some(&(next_rows, next_time)) = measured.get(n_short) else { return beyond((rows, time)) };
    let share = (HERE_MAX - time).as_secs_f64() / (next_time - time).as_secs_f64();
    let more = (1..next_rows.saturating_sub(rows)).rev().find(|&more| count(more) <= share * count(next_rows - rows));
    rows + more.unwrap_or(0)
}

/// As many rows as are short if each takes what it takes in the largest measured batch, in which there is a share of what a run
/// costs by itself; but not many times as many as were measured.
fn beyond(largest: (usize, Duration)) -> usize {
    let is_short = |&rows: &usize| count(rows) * a_row(&largest) <= HERE_MAX.as_secs_f64();
    (1..=BEYOND_MAX).map(|times| times * largest.0).take_while(is_short).last().unwrap_or(largest.0)
}

/// Seconds a row.
fn a_row(&(rows, time): &(usize, Duration)) -> f64 {
    time.as_secs_f64() / count(rows.max(1))
}

/// The last measured batch in front of the first in which a row takes longer than in the best one so far: a batch may have any
/// number of rows up to this. Where there is no such one, larger ones may be as good.
fn batch_rows_max(measured: &[(usize, Duration)]) -> usize {
    let mut best = f64::INFINITY;
    let is_slower = |pair: &&[(usize, Duration)]| {
        best = best.min(a_row(&pair[0]));
        SLOWER_MAX * best < a_row(&pair[1])
    };
    measured.windows(2).find(is_slower).map_or(usize::MAX, |pair| pair[0].0.max(1))
}

fn joins_short_runs(measured: &[(usize, Duration)]) -> bool {
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
        let pace = of(micros);
        assert_eq!((pace.rows_here_max, pace.joins_short_runs), (rows_here_max, joins_short_runs));
    }

    fn of(micros: &[(usize, u64)]) -> Pace {
        let measured: Vec<_> = micros.iter().map(|&(rows, time)| (rows, Duration::from_micros(time))).collect();
        Pace::of(&measured)
    }

    #[test]
    fn batches_grow_as_long_as_a_row_gets_no_slower() {
        let any = usize::MAX;
        // Nothing known; a forest; a dense network; convolutions whose data leave the cache; one that is best at eight.
        for (micros, expected) in [
            (&[] as &[_], any),
            (&[(1, 9), (8, 50), (64, 330)], any),
            (&[(1, 265), (8, 480), (64, 2_000)], any),
            (&[(1, 14_600), (8, 182_000), (64, 1_500_000)], 1),
            // By luck the largest batch was fast, but those on the way to it are slow.
            (&[(1, 13_436), (8, 173_473), (64, 1_005_493)], 1),
            (&[(1, 13_436), (8, 173_473), (64, 830_000)], 1),
            (&[(1, 1_000), (8, 4_000), (64, 64_000)], 8),
            (&[(1, 1_000), (8, 8_400), (64, 90_000)], 8),
            (&[(1, 72), (8, 251), (64, 2_284)], any),
        ] {
            assert_eq!(of(micros).batch_rows_max, expected, "{micros:?}");
        }
    }

    #[test]
    fn short_runs_stay_on_the_thread_that_asks() {
        check(&[], 0, false);
        // A logistic regression.
        check(&[(1, 6), (8, 7), (64, 13)], 448, false);
        // A faster one: ten thousand rows would be as short, but nothing like that was measured.
        check(&[(1, 1), (8, 1), (64, 1)], 1_024, false);
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
