//! How many operations may be under way at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::error::LifecycleError;

/// How many operations of a kind may be under way.
#[derive(Debug)]
pub(super) struct Permits {
    semaphore: Arc<Semaphore>,
    n_max: usize,
}

impl Permits {
    pub(super) fn new(n_max: usize) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(n_max)), n_max }
    }

    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit, LifecycleError> {
        Arc::clone(&self.semaphore).try_acquire_owned().map_err(|error| match error {
            TryAcquireError::NoPermits => LifecycleError::Busy { n_max: self.n_max },
            TryAcquireError::Closed => LifecycleError::Stopped,
        })
    }

    pub(super) fn n_max(&self) -> usize {
        self.n_max
    }

    /// Nothing may begin any more.
    pub(super) fn close(&self) {
        self.semaphore.close();
    }
}
