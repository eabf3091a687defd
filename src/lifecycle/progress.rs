//! How far the operation of this thread has come. Each operation runs on a thread of its own, so what is deep inside one says
//! where it is without every function on the way handing it on. On a thread without an operation nothing is noted.

use std::cell::RefCell;
use std::sync::Arc;

use super::operations::{Stage, Tracked};
use crate::model::Version;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Tracked>>> = const { RefCell::new(None) };
}

/// The operation of this thread, until it is dropped.
#[derive(Debug)]
pub(super) struct Current;

impl Current {
    pub(super) fn enter(operation: Arc<Tracked>) -> Self {
        CURRENT.with_borrow_mut(|current| *current = Some(operation));
        Self
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| *current = None);
    }
}

/// The operation of this thread has come to `stage`.
pub(super) fn stage(stage: Stage) {
    with(|operation| operation.reach(stage));
}

/// The operation of this thread is about `version`.
pub(super) fn version(version: Version) {
    with(|operation| operation.concern(version));
}

fn with(note: impl FnOnce(&Tracked)) {
    CURRENT.with_borrow(|current| current.as_deref().map(note));
}
