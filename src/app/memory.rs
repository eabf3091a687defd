//! How much freed memory the process keeps.

/// Keeps freed memory of this size for the next request: giving it back and asking for it again costs a page fault for each of its
/// pages, more than reading a body of as many bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 8 << 20;
/// A block of this size goes back to the system as soon as it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_BYTES: libc::c_int = 4 << 20;

/// Tells the allocator, where it is glibc's; others know by themselves. Its own rule moves with what was freed last: the first
/// large body decides for the rest of the process's life.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, value) in [(libc::M_MMAP_THRESHOLD, OWN_BYTES), (libc::M_TRIM_THRESHOLD, KEPT_BYTES)] {
        #[expect(unsafe_code, reason = "no safe crate among ours has this call")]
        // SAFETY: the call takes two numbers and is thread-safe.
        let is_known = unsafe { libc::mallopt(parameter, value) } == 1;
        if !is_known {
            tracing::debug!(parameter, value, "the allocator does not take this setting");
        }
    }
}
