//! The bounded way from the compute threads to a comparison.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError};

use arc_swap::ArcSwapOption;

use super::comparison::Comparison;
use crate::batch::{Outputs, Tap};
use crate::model::{Checked, Share, request_number};

/// Requests that may wait to be compared; one more is dropped.
pub const SHADOW_QUEUE_LEN_MAX: usize = 256;
/// Input values that may wait to be compared, of all requests together.
pub const SHADOW_VALUES_MAX: usize = 1 << 20;

/// A request that has been answered.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) inputs: Checked,
    pub(super) outputs: Outputs,
    n_values: usize,
}

/// Takes a share of the answered requests of one version, for a comparison; drops them first when there is other work.
#[derive(Debug)]
pub(super) struct Feed {
    share: Share,
    count: AtomicU64,
    waiting: Mutex<Waiting>,
    woken: Condvar,
    comparison: Arc<Comparison>,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Copied>,
    n_values: usize,
    is_closed: bool,
}

impl Feed {
    pub(super) fn new(share: Share, comparison: Arc<Comparison>) -> Self {
        let (waiting, woken) = (Mutex::default(), Condvar::new());
        Self { share, count: AtomicU64::new(0), waiting, woken, comparison }
    }

    fn offer(&self, inputs: Checked, outputs: Outputs, is_busy: bool) {
        if !self.share.has(request_number(self.count.fetch_add(1, Ordering::Relaxed))) {
            return;
        }
        let n_values = inputs.tensors().iter().map(|tensor| tensor.data().len()).sum::<usize>().max(1);
        if is_busy || !self.push(Copied { inputs, outputs, n_values }) {
            self.comparison.note_dropped();
        }
    }

    fn push(&self, copied: Copied) -> bool {
        // The comparing thread may have been put off while it holds the lock: a compute thread does not wait for it.
        let mut waiting = match self.waiting.try_lock() {
            Ok(waiting) => waiting,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let has_room = waiting.queue.len() < SHADOW_QUEUE_LEN_MAX
            && waiting.n_values.saturating_add(copied.n_values) <= SHADOW_VALUES_MAX;
        if waiting.is_closed || !has_room {
            return false;
        }
        waiting.n_values += copied.n_values;
        waiting.queue.push_back(copied);
        drop(waiting);
        self.woken.notify_one();
        true
    }

    /// Waits for the next one; `None` once the comparison has ended.
    pub(super) fn pop(&self) -> Option<Copied> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if waiting.is_closed {
                return None;
            }
            if let Some(copied) = waiting.queue.pop_front() {
                waiting.n_values -= copied.n_values;
                return Some(copied);
            }
            waiting = self.woken.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the comparison; what waits is dropped.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.is_closed = true;
        let left = std::mem::take(&mut waiting.queue);
        drop(waiting);
        drop(left);
        self.woken.notify_all();
    }
}

/// Where a version's answered requests go on to, while there is such a place.
#[derive(Debug, Default)]
pub struct Tapped {
    feed: ArcSwapOption<Feed>,
}

impl Tapped {
    pub(super) fn set(&self, feed: Option<Arc<Feed>>) {
        self.feed.store(feed);
    }
}

impl Tap for Tapped {
    fn is_open(&self) -> bool {
        self.feed.load().is_some()
    }

    fn offer(&self, inputs: Checked, outputs: Outputs, is_busy: bool) {
        if let Some(feed) = self.feed.load().as_ref() {
            feed.offer(inputs, outputs, is_busy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::model::{Signature, TensorSpec};
    use crate::tensor::{Data, Dtype, NamedTensor, Tensor};

    fn rows(n_rows: usize) -> Checked {
        let spec = TensorSpec { name: "x".to_owned(), datatype: Dtype::Fp32, shape: vec![None, Some(1)] };
        let (outputs, features, classes) = (Vec::new(), Vec::new(), Vec::new());
        let signature = Signature { inputs: vec![spec], outputs, features, classes, maps: Vec::new() };
        let tensor = Tensor::column(Data::Fp32(vec![0.0; n_rows]));
        signature.check(vec![NamedTensor { name: "x".to_owned(), tensor }]).unwrap()
    }

    fn feed() -> Feed {
        Feed::new(Share::ALL, Arc::new(Comparison::new(Metrics::new().unwrap().challenger("m", 2), 2.0)))
    }

    #[test]
    fn copies_are_dropped_under_load_and_when_too_many_or_too_large_ones_wait() {
        let feed = feed();
        feed.offer(rows(1), Outputs::default(), true);
        assert_eq!(feed.comparison.now().dropped, 1, "the server was busy");
        feed.offer(rows(SHADOW_VALUES_MAX), Outputs::default(), false);
        feed.offer(rows(1), Outputs::default(), false);
        assert_eq!(feed.comparison.now().dropped, 2, "one copy holds all the values there may be");
        feed.pop().unwrap();
        for _ in 0..=SHADOW_QUEUE_LEN_MAX {
            feed.offer(rows(1), Outputs::default(), false);
        }
        assert_eq!(feed.comparison.now().dropped, 3);
        feed.close();
        assert!(feed.pop().is_none());
        feed.offer(rows(1), Outputs::default(), false);
        assert_eq!(feed.comparison.now().dropped, 4);
    }
}
