//! The compute threads.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::lane::Lane;
use super::lend::Seats;
use super::turns;
use crate::metrics::Metrics;

/// How many threads compute.
#[derive(Debug, Clone, Copy)]
pub struct PoolOptions {
    /// Compute threads, named `gudgeon-compute-N`.
    pub threads: usize,
}

/// Named, bounded compute threads that empty lanes in turn, so that no model starves another.
#[derive(Debug)]
pub struct Pool {
    state: Mutex<State>,
    woken: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
    seats: Seats,
    is_stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Arc<Lane>>,
}

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system's, where a thread cannot be started.
    pub fn start(options: PoolOptions, metrics: &Arc<Metrics>) -> std::io::Result<Arc<Self>> {
        let n_threads = options.threads.max(1);
        // As many threads of others can be lent as run at a time.
        let seats = Seats::new(n_threads, std::thread::available_parallelism().map_or(1, usize::from));
        let pool = Arc::new(Self {
            state: Mutex::default(),
            woken: Condvar::new(),
            threads: Mutex::default(),
            seats,
            is_stopped: AtomicBool::new(false),
        });
        for worker in 0..n_threads {
            let (shared, metrics) = (Arc::clone(&pool), Arc::clone(metrics));
            let builder = std::thread::Builder::new().name(format!("gudgeon-compute-{worker}"));
            let thread = builder.spawn(move || {
                turns::come_after_readers();
                shared.work(worker, &metrics);
            })?;
            pool.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(pool)
    }

    /// How many threads compute, those that are lent included: worker numbers are below this.
    pub fn n_threads(&self) -> usize {
        self.seats.end()
    }

    pub(super) fn seats(&self) -> &Seats {
        &self.seats
    }

    /// Finishes what is queued, then ends the threads. A lane that wakes the pool later is refused.
    pub fn stop(&self) {
        {
            // Whoever looks under the lock, to queue work or to wait for it, must see it.
            let _state = self.locked();
            self.is_stopped.store(true, Ordering::Release);
        }
        self.woken.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a compute thread ended by a panic");
            }
        }
    }

    /// Tells the threads of a lane that has work; false once the pool has stopped.
    pub(super) fn wake(&self, lane: &Arc<Lane>) -> bool {
        let mut state = self.locked();
        if self.is_stopped() {
            return false;
        }
        state.ready.push_back(Arc::clone(lane));
        drop(state);
        self.woken.notify_one();
        true
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_lane(&self) -> Option<Arc<Lane>> {
        let mut state = self.locked();
        loop {
            if let Some(lane) = state.ready.pop_front() {
                return Some(lane);
            }
            if self.is_stopped() {
                return None;
            }
            state = self.woken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A lane with more work goes to the back of the line before its batch runs, so that another thread may take it on.
    fn work(&self, worker: usize, metrics: &Metrics) {
        while let Some(lane) = self.next_lane() {
            lane.is_ready.store(false, Ordering::Release);
            let (jobs, has_more) = lane.take();
            if has_more && !lane.is_ready.swap(true, Ordering::AcqRel) {
                self.locked().ready.push_back(Arc::clone(&lane));
                self.woken.notify_one();
            }
            if jobs.is_empty() {
                continue;
            }
            // The plan contains its own panics; this is for ours. Callers without an answer get an error, see `Lane::run`.
            if catch_unwind(AssertUnwindSafe(|| lane.execute(worker, jobs))).is_err() {
                metrics.count_panic();
                tracing::error!("a compute thread panicked outside the engine");
            }
        }
    }
}
