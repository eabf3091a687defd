//! Who serves comes first.

/// A low priority. Not the lowest: under full load the work would never end then.
pub(super) const NICE: i32 = 10;

/// Lowers the priority of the calling thread and of those that it will start, so that its work cannot starve those that serve.
/// Where priorities are not a thread's own, nothing changes.
pub fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!("a thread beside serving runs at the usual priority: {error}");
    }
}
