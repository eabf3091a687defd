//! Counters that every thread writes in a place of its own: a load and a store instead of a locked instruction, and no cache line
//! that goes from core to core.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Threads that have a place of their own at the same time; further ones share one, with locked instructions.
const SEATS: usize = 128;
/// Cells of padding around a place, so that no two threads write to one cache line.
const PADDING: usize = 16;

/// Seats that were given back, and the first one that nobody has had.
static FREE: Mutex<(BTreeSet<usize>, usize)> = Mutex::new((BTreeSet::new(), 0));

thread_local! {
    static SEAT: Seat = Seat::take();
}

/// The number of a thread while it lives; [`SEATS`] and more where there are too many.
struct Seat(usize);

impl Seat {
    fn take() -> Self {
        let (free, next) = &mut *free();
        Self(free.pop_first().unwrap_or_else(|| {
            *next += 1;
            *next - 1
        }))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // The lock orders what this thread wrote before what the next one on the seat does.
        free().0.insert(self.0);
    }
}

fn free() -> MutexGuard<'static, (BTreeSet<usize>, usize)> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number of counters. Sums over all threads are exact once the threads are done; while they write, counters may be apart by
/// what is under way.
#[derive(Debug)]
pub(super) struct Cells {
    n_cells: usize,
    /// By seat; the last one is everybody else's.
    places: Box<[OnceLock<Box<[AtomicU64]>>]>,
}

impl Cells {
    /// `n_cells` counters at zero.
    pub(super) fn new(n_cells: usize) -> Self {
        Self { n_cells, places: (0..=SEATS).map(|_| OnceLock::new()).collect() }
    }

    /// The place of this thread.
    pub(super) fn here(&self) -> Place<'_> {
        let seat = SEAT.try_with(|seat| seat.0).unwrap_or(SEATS).min(SEATS);
        let Some(place) = self.places.get(seat) else { return Place { cells: &[], is_own: false } };
        let new = || (0..self.n_cells + 2 * PADDING).map(|_| AtomicU64::new(0)).collect();
        let cells = place.get_or_init(new).get(PADDING..).unwrap_or_default();
        Place { cells, is_own: seat < SEATS }
    }

    /// What each place holds in `cell`.
    fn each(&self, cell: usize) -> impl Iterator<Item = u64> {
        let places = self.places.iter().filter_map(OnceLock::get);
        places.filter_map(move |cells| Some(cells.get(PADDING + cell)?.load(Relaxed)))
    }

    /// The sum of what was added to `cell`.
    pub(super) fn sum(&self, cell: usize) -> u64 {
        self.each(cell).fold(0, u64::wrapping_add)
    }

    /// The highest that `cell` was raised to.
    pub(super) fn max(&self, cell: usize) -> u64 {
        self.each(cell).max().unwrap_or(0)
    }
}

/// The counters that this thread writes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    cells: &'a [AtomicU64],
    is_own: bool,
}

impl Place<'_> {
    pub(super) fn add(self, cell: usize, more: u64) {
        let Some(cell) = self.cells.get(cell) else { return };
        if self.is_own {
            cell.store(cell.load(Relaxed).wrapping_add(more), Relaxed);
        } else {
            cell.fetch_add(more, Relaxed);
        }
    }

    pub(super) fn raise(self, cell: usize, to: u64) {
        let Some(cell) = self.cells.get(cell) else { return };
        if !self.is_own {
            cell.fetch_max(to, Relaxed);
        } else if cell.load(Relaxed) < to {
            cell.store(to, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn more_threads_than_seats_lose_nothing() {
        let cells = Arc::new(Cells::new(2));
        let count = |cells: &Cells| {
            for number in 0..1_000 {
                cells.here().add(0, 2);
                cells.here().raise(1, number);
            }
        };
        let start = |_| {
            let cells = Arc::clone(&cells);
            std::thread::spawn(move || count(&cells))
        };
        let threads: Vec<_> = (0..2 * SEATS).map(start).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((cells.sum(0), cells.max(1)), (2 * SEATS as u64 * 2_000, 999));
    }

    #[test]
    fn a_seat_goes_to_another_thread_with_what_was_counted_on_it() {
        let cells = Arc::new(Cells::new(1));
        for _ in 0..4 * SEATS {
            let cells = Arc::clone(&cells);
            std::thread::spawn(move || cells.here().add(0, 1)).join().unwrap();
        }
        assert_eq!(cells.sum(0), 4 * SEATS as u64);
    }
}
