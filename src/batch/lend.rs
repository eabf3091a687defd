//! Threads that are lent to the pool: the caller's own, for runs so short that the way to a compute thread and back would
//! take longer than they do.
//!
//! A thread is lent for one poll of a connection ([`Pool::lend`]). Answers are written while that lasts; what was predicted
//! is observed right after it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::lane::{Answered, Lane};
use super::pool::Pool;

thread_local! {
    /// The address of the pool that this thread is lent to.
    static LENT: Cell<Option<usize>> = const { Cell::new(None) };
    /// What was predicted on this thread since it was lent.
    static ANSWERED: RefCell<Vec<(Arc<Lane>, Answered)>> = const { RefCell::new(Vec::new()) };
}

/// Worker numbers for lent threads, one for each at a time.
#[derive(Debug)]
pub(super) struct Seats {
    first: usize,
    taken: Box<[AtomicBool]>,
}

impl Seats {
    /// `n_seats` numbers from `first` on.
    pub(super) fn new(first: usize, n_seats: usize) -> Self {
        Self { first, taken: (0..n_seats).map(|_| AtomicBool::new(false)).collect() }
    }

    /// The number behind the last one.
    pub(super) fn end(&self) -> usize {
        self.first + self.taken.len()
    }

    /// A seat that nobody has; `None` where there is none.
    fn take(&self) -> Option<usize> {
        self.taken.iter().position(|taken| !taken.load(Ordering::Relaxed) && !taken.swap(true, Ordering::Acquire))
    }

    fn give_back(&self, seat: usize) {
        if let Some(taken) = self.taken.get(seat) {
            taken.store(false, Ordering::Release);
        }
    }
}

impl Pool {
    /// Runs `work`, typically one poll of a connection, during which short runs of models may happen on this thread instead
    /// of a compute thread. Observes afterwards what was predicted meanwhile. Where as many threads are lent already as
    /// there are cores, `work` runs all the same and every run goes to the compute threads.
    pub fn lend<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(seat) = LENT.get().is_none().then(|| self.seats().take()).flatten() else { return work() };
        LENT.set(Some(std::ptr::from_ref(self).addr()));
        let _lending = Lending { pool: self, seat };
        work()
    }

    /// Whether this thread is lent to this pool.
    pub(super) fn is_lent(&self) -> bool {
        LENT.get() == Some(std::ptr::from_ref(self).addr())
    }
}

/// Notes what a lent thread is to observe at its end.
pub(super) fn observe_later(lane: &Arc<Lane>, answered: Answered) {
    ANSWERED.with_borrow_mut(|all| all.push((Arc::clone(lane), answered)));
}

/// A thread that is lent; ends with this, also by a panic.
struct Lending<'a> {
    pool: &'a Pool,
    seat: usize,
}

impl Drop for Lending<'_> {
    fn drop(&mut self) {
        // Observing borrows nothing: it could not lend this thread again, or predict.
        let mut answered = ANSWERED.take();
        let worker = self.pool.seats().first + self.seat;
        for (lane, answered) in answered.drain(..) {
            lane.observe_and_hand_on(worker, answered);
        }
        ANSWERED.set(answered);
        LENT.set(None);
        self.pool.seats().give_back(self.seat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::PoolOptions;
    use crate::metrics::Metrics;

    #[test]
    fn a_thread_is_lent_once_and_only_as_many_as_there_are_seats() {
        let start = || Pool::start(PoolOptions { threads: 1 }, &Metrics::new().unwrap()).unwrap();
        let (pool, other) = (start(), start());
        assert!(!pool.is_lent());
        pool.lend(|| {
            assert!(pool.is_lent());
            pool.lend(|| assert!(pool.is_lent()));
            assert!(pool.is_lent(), "the outer one lends on");
            assert!(!other.is_lent(), "to one pool, not to every one");
        });
        let seats: Vec<_> = std::iter::from_fn(|| pool.seats().take()).collect();
        assert_eq!(seats.len(), pool.n_threads() - 1);
        pool.lend(|| assert!(!pool.is_lent(), "no seat is left"));
        pool.seats().give_back(0);
        assert!(pool.lend(|| pool.is_lent()));
        pool.stop();
        other.stop();
    }

    #[test]
    fn a_thread_whose_work_panics_is_not_lent_any_more() {
        let pool = Pool::start(PoolOptions { threads: 1 }, &Metrics::new().unwrap()).unwrap();
        for _ in 0..64 {
            let work = || pool.lend(|| std::panic::resume_unwind(Box::new("boom")));
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        }
        assert!(!pool.is_lent());
        assert!(pool.lend(|| pool.is_lent()));
        pool.stop();
    }
}
