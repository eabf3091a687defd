//! `gudgeon confined`, hidden: how a child of this binary is run (see `child`).

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use super::complain_raw;
use crate::child;
use crate::engine::{Onnxruntime, Providers};

/// Run another command of this binary under limits that it cannot raise.
#[derive(Debug, Args)]
pub(super) struct ConfinedArgs {
    /// The process that it ends with.
    #[arg(long)]
    parent: u32,
    /// Bytes of memory.
    #[arg(long)]
    memory_bytes_max: u64,
    /// Time on a core, milliseconds.
    #[arg(long)]
    cpu_ms_max: u64,
    /// A file or folder that may be read.
    #[arg(long)]
    readable: Vec<PathBuf>,
    /// The library of onnxruntime, which is opened first.
    #[arg(long)]
    library: Option<PathBuf>,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// `run` runs the command line that follows the limits.
pub(super) fn run(args: ConfinedArgs, run: impl FnOnce(Vec<OsString>) -> ExitCode) -> anyhow::Result<ExitCode> {
    let ConfinedArgs { parent, memory_bytes_max, cpu_ms_max, readable, library, command } = args;
    let terms = child::Terms { parent, memory_bytes_max, cpu_max: Duration::from_millis(cpu_ms_max), readable };
    if let Some(library) = library {
        // Whoever needs it is told why it cannot be used.
        Onnxruntime::new(library, Providers::default()).open().ok();
    }
    let confined = child::confine(&terms).context("the limits of a child process cannot be set")?;
    let code = run(command);
    complain_raw(&confined.farewell().line());
    Ok(code)
}
