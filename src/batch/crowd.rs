//! Whether several callers ask at once, for models whose short runs are cheaper together.
//!
//! One caller is answered soonest by a run on its own thread ([`Lane::run_here`](super::Lane::run_here)); many callers are all
//! answered sooner by joined runs. Runs on the callers' threads do not see each other, so now and then one request
//! goes through the queue to look: where others join it, there is a crowd, and requests queue for as long as batches
//! find company. Looks that find nobody become rare.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Runs between two looks, at first and at most. A look costs a lone caller the way to a compute thread and back.
const RUNS_MIN: u32 = 8;
const RUNS_MAX: u32 = 1_024;

/// What a lane knows about its callers. Threads that race here lose a count, nothing more.
#[derive(Debug)]
pub(super) struct Crowd {
    is_there: AtomicBool,
    /// Runs on callers' threads until the next look.
    runs_left: AtomicU32,
    /// Runs between this look and the next one, if this one finds nobody.
    patience: AtomicU32,
}

impl Crowd {
    /// Nobody has been seen yet.
    pub(super) fn new() -> Self {
        Self {
            is_there: AtomicBool::new(false),
            runs_left: AtomicU32::new(RUNS_MIN),
            patience: AtomicU32::new(RUNS_MIN),
        }
    }

    /// Whether the next request had better queue: in a crowd, or to look for one.
    pub(super) fn wants_queue(&self) -> bool {
        if self.is_there.load(Relaxed) {
            return true;
        }
        let runs_left = self.runs_left.load(Relaxed);
        self.runs_left.store(runs_left.saturating_sub(1), Relaxed);
        runs_left == 0
    }

    /// A batch of `n_jobs` requests was taken from the queue.
    pub(super) fn note(&self, n_jobs: usize) {
        let patience = match (1 < n_jobs, self.is_there.swap(1 < n_jobs, Relaxed)) {
            (true, _) | (false, true) => RUNS_MIN,
            (false, false) => (2 * self.patience.load(Relaxed)).min(RUNS_MAX),
        };
        self.patience.store(patience, Relaxed);
        self.runs_left.store(patience, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs on the callers' threads until one queues.
    fn runs(crowd: &Crowd) -> u32 {
        let mut n_runs = 0;
        while !crowd.wants_queue() {
            n_runs += 1;
        }
        n_runs
    }

    #[test]
    fn a_lone_caller_is_asked_to_queue_ever_less() {
        let crowd = Crowd::new();
        let mut seen = Vec::new();
        for _ in 0..10 {
            seen.push(runs(&crowd));
            crowd.note(1);
        }
        assert_eq!(seen, [8, 16, 32, 64, 128, 256, 512, 1_024, 1_024, 1_024]);
    }

    #[test]
    fn a_crowd_queues_until_a_batch_finds_nobody_else() {
        let crowd = Crowd::new();
        runs(&crowd);
        crowd.note(2);
        assert_eq!((runs(&crowd), runs(&crowd)), (0, 0));
        crowd.note(64);
        assert_eq!(runs(&crowd), 0);
        crowd.note(1);
        assert_eq!(runs(&crowd), 8);
    }
}
