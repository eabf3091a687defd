//! Work beside serving, on threads of the lowest priority.

use std::io;
use std::thread::{Builder, JoinHandle};

/// The compute threads come first.
const NICE: i32 = 19;

/// Runs `work` on a thread called `name` that gives way to all others.
///
/// # Errors
/// The system's, where the thread cannot be started.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!("a thread beside serving runs at the usual priority: {error}");
        }
        work();
    })
}
