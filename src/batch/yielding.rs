//! How compute threads share the cores with the threads that read and write.

/// Lets this thread wait where a thread that reads or writes runs on its core, until that one has nothing left to do or has had
/// its turn (`SCHED_BATCH`). Requests that have arrived are then read before the next run begins, and run together; a thread
/// that wakes to read or write still interrupts a run at once. Where the system has no such thing, nothing changes.
pub(super) fn to_readers() {
    #[cfg(target_os = "linux")]
    {
        let parameters = libc::sched_param { sched_priority: 0 };
        #[expect(unsafe_code, reason = "no safe crate among ours has this call")]
        // SAFETY: the call reads `parameters`, which lives until it returns; 0 stands for the calling thread.
        let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) };
        if result != 0 {
            let error = std::io::Error::last_os_error();
            tracing::debug!("a compute thread is scheduled like every other one: {error}");
        }
    }
}
