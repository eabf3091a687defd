//! From measured runs to where a model runs.

use std::time::Duration;

/// Runs up to this long happen on the thread that read the request. Waking a compute thread and being woken by it takes about
/// a tenth of this.
const HERE_MAX: Duration = Duration::from_micros(100);

/// The most rows of which a run is so short that it had better happen on the thread that read the request, from the times of
/// runs by their rows, ascending; 0 where even one row takes long or nothing was measured. Between two measured batches time
/// grows evenly, and beyond the largest one nothing is known.
pub fn rows_here_max(measured: &[(usize, Duration)]) -> usize {
    let is_short = |&&(_, time): &&(usize, Duration)| time <= HERE_MAX;
    let n_short = measured.iter().take_while(is_short).count();
    let Some(&(rows, time)) = n_short.checked_sub(1).and_then(|last| measured.get(last)) else { return 0 };
    let Some(&(next_rows, next_time)) = measured.get(n_short) else { return rows };
    let share = (HERE_MAX - time).as_secs_f64() / (next_time - time).as_secs_f64();
    let more = (1..next_rows.saturating_sub(rows)).rev().find(|&more| count(more) <= share * count(next_rows - rows));
    rows + more.unwrap_or(0)
}

fn count(rows: usize) -> f64 {
    f64::from(u32::try_from(rows).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(micros: &[(usize, u64)], expected: usize) {
        let measured: Vec<_> = micros.iter().map(|&(rows, time)| (rows, Duration::from_micros(time))).collect();
        assert_eq!(rows_here_max(&measured), expected);
    }

    #[test]
    fn short_runs_stay_on_the_thread_that_asks() {
        check(&[], 0);
        // A logistic regression.
        check(&[(1, 6), (8, 7), (64, 13)], 64);
        // A forest: a row more takes 5 microseconds.
        check(&[(1, 9), (8, 50), (64, 330)], 18);
        // A network.
        check(&[(1, 265), (8, 480), (64, 2_000)], 0);
        check(&[(1, 100)], 1);
    }
}
