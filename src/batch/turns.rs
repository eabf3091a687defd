//! How compute threads share the cores with the threads that read and write.

/// Lets this thread, which computes, wait where a thread that reads or writes runs on its core, until that one has nothing left
/// to do or has had its turn (`SCHED_BATCH`). Requests that have arrived are then read before the next run begins, and run
/// together. Where the system has no such thing, nothing changes.
pub(super) fn come_after_readers() {
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

/// Asks for short turns for this thread, which reads and writes: it then interrupts a run on its core as soon as it has
/// something to do, and not only when the run has had its turn of some milliseconds. Linux knows it from 6.12 on; elsewhere
/// nothing changes.
pub fn take_short_turns() {
    #[cfg(target_os = "linux")]
    {
        /// The shortest turn that Linux gives.
        const TURN_NS: u64 = 100_000;
        let size = u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(0);
        let mut attributes = libc::sched_attr {
            size,
            sched_policy: 0,
            sched_flags: 0,
            sched_nice: 0,
            sched_priority: 0,
            sched_runtime: 0,
            sched_deadline: 0,
            sched_period: 0,
        };
        #[expect(unsafe_code, reason = "no safe crate among ours has these calls")]
        // SAFETY: both calls read and write `attributes`, of the size that is told; 0 stands for the calling thread.
        let is_done = unsafe {
            libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) == 0 && {
                attributes.sched_runtime = TURN_NS;
                libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) == 0
            }
        };
        if !is_done {
            let error = std::io::Error::last_os_error();
            tracing::debug!("a thread that reads and writes takes turns like every other one: {error}");
        }
    }
}
