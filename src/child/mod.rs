//! A command of this binary as a child process under limits of memory, CPU, time, files and network.
//!
//! For work on what nobody vouches for: a crash, an abort, a hang or a blow-up of the child is an answer ([`ChildFailure`]),
//! never an incident. [`run`] starts `BINARY confined LIMITS -- COMMAND`; there the hidden command calls [`confine()`] before
//! it does anything else, runs the command, and tells at last ([`Farewell`]) what the command took. What the command is for
//! is not known here.
//!
//! No code between fork and exec, and none that is unsafe: the child sets its own limits, which it cannot raise again.

#[cfg(target_os = "linux")]
mod calls;
mod confine;
mod farewell;
mod priority;
mod run;

use std::path::PathBuf;
use std::time::Duration;

pub use confine::{Confined, Terms, confine};
pub use farewell::{Farewell, Sandbox};
pub use priority::step_back;
pub use run::{ChildFailure, ChildOutput, Job, run};

/// What a child may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildLimits {
    /// Bytes of memory: private, and of address space beyond what the binary and its libraries take.
    pub memory_bytes_max: u64,
    /// Time on a core, rounded up to whole seconds.
    pub cpu_max: Duration,
    /// Time by the clock, from start to end; the one limit that the parent enforces.
    pub wall_max: Duration,
}

/// Where work on what nobody vouches for is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// In a child process of this binary, which must be gudgeon's.
    Child {
        /// The binary.
        binary: PathBuf,
    },
    /// In this process: for programs that embed the library and trust their models. A hostile model can take it down.
    None,
}
