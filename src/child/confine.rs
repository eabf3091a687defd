//! What a process takes away from itself before it looks at anything.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getppid, setpriority_process, setrlimit};

use super::priority::NICE;
use super::{Farewell, Sandbox};

/// Open files, those of the process itself included.
const FILES_MAX: u64 = 64;
/// Address space that is not held against the limit of memory: the binary, libraries, what allocators reserve and never use.
const RESERVE_BYTES: u64 = 512 << 20;

/// What is left to a process.
#[derive(Debug)]
pub struct Terms {
    /// The process that it ends with: its parent.
    pub parent: u32,
    /// Bytes of memory.
    pub memory_bytes_max: u64,
    /// Time on a core, rounded up to whole seconds.
    pub cpu_max: Duration,
    /// Files and folders that it may read.
    pub readable: Vec<PathBuf>,
}

/// A process that is held.
#[derive(Debug)]
pub struct Confined {
    sandbox: Sandbox,
}

/// Limits this process for good: memory, CPU time, open files, no file written, no core dumped, low priority, ended with
/// its parent; where the kernel has Landlock and seccomp, also no file read but those under `readable`, no socket, no other
/// program or process, no signal to others.
/// Must be called while the process has one thread: others would not be held.
///
/// # Errors
/// Where there are several threads; the system's, where a limit cannot be set; and where the parent has ended already. Landlock and seccomp are used as far as the kernel has them; [`Farewell::sandbox`] says how far.
pub fn confine(terms: &Terms) -> io::Result<Confined> {
    let Terms { parent, memory_bytes_max, cpu_max, readable } = terms;
    let memory_bytes_max = *memory_bytes_max;
    if 1 < system::n_threads() {
        return Err(io::Error::other("there are other threads already, which would not be held"));
    }
    system::prepare()?;
    // It may have ended before this process asked to end with it.
    if getppid().is_none_or(|found| u32::try_from(found.as_raw_nonzero().get()) != Ok(*parent)) {
        return Err(io::Error::other("the process that wanted it has ended"));
    }
    let cpu = cpu_max.as_secs() + u64::from(0 < cpu_max.subsec_nanos());
    let limit = |resource, soft: u64, hard: u64| {
        setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) }).map_err(io::Error::from)
    };
    limit(Resource::Data, memory_bytes_max, memory_bytes_max)?;
    let space = memory_bytes_max.saturating_add(RESERVE_BYTES);
    limit(Resource::As, space, space)?;
    // The soft limit ends the process with a signal that says why.
    limit(Resource::Cpu, cpu.max(1), cpu.max(1).saturating_add(1))?;
    limit(Resource::Nofile, FILES_MAX, FILES_MAX)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Core, 0, 0)?;
    setpriority_process(None, NICE)?;
    Ok(Confined { sandbox: system::sandbox(readable) })
}

impl Confined {
    /// What this process took so far.
    pub fn farewell(&self) -> Farewell {
        Farewell { sandbox: self.sandbox, peak_memory_bytes: system::peak_memory_bytes() }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::path::PathBuf;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetError, RulesetStatus, Scope, path_beneath_rules,
    };
    use rustix::process::{Signal, set_parent_process_death_signal};

    use super::Sandbox;
    use crate::child::calls;

    /// The newest rules that are asked for; an older kernel enforces what it knows of them.
    const RULES: ABI = ABI::V6;

    pub(super) fn n_threads() -> usize {
        std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
    }

    pub(super) fn prepare() -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // Where memory runs out all the same, this process goes first. Not every container lets it say so.
        std::fs::OpenOptions::new()
            .write(true)
            .open("/proc/self/oom_score_adj")
            .and_then(|mut file| io::Write::write_all(&mut file, b"1000"))
            .ok();
        Ok(())
    }

    pub(super) fn sandbox(readable: &[PathBuf]) -> Sandbox {
        // In this order: Landlock is set up by calls that nothing forbids yet.
        let files = restricted(readable).unwrap_or(RulesetStatus::NotEnforced);
        let calls = calls::forbid();
        match (files, calls) {
            (RulesetStatus::FullyEnforced, Ok(())) => Sandbox::Full,
            (RulesetStatus::NotEnforced, Err(_)) => Sandbox::None,
            _ => Sandbox::Partial,
        }
    }

    fn restricted(readable: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
        // What the process says of itself may be read: its peak of memory is there.
        let own = PathBuf::from("/proc/self");
        let allowed = path_beneath_rules(readable.iter().chain([&own]), AccessFs::from_read(RULES));
        let rules = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(RULES))?
            .handle_access(AccessNet::from_all(RULES))?
            .scope(Scope::from_all(RULES))?;
        Ok(rules.create()?.add_rules(allowed)?.restrict_self()?.ruleset)
    }

    pub(super) fn peak_memory_bytes() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib << 10)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::path::PathBuf;

    use super::Sandbox;

    pub(super) fn n_threads() -> usize {
        1
    }

    pub(super) fn prepare() -> io::Result<()> {
        Ok(())
    }

    pub(super) fn sandbox(_readable: &[PathBuf]) -> Sandbox {
        Sandbox::None
    }

    pub(super) fn peak_memory_bytes() -> Option<u64> {
        None
    }
}
