//! `gudgeon examine`, hidden: what a child does that opens a version for the first time (see `verify`). And the other side
//! of it, for the commands that have versions opened.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::say;
use crate::child::{ChildLimits, Isolation};
use crate::config::{self, ByteSize, Period};
use crate::engine::{Engines, Onnxruntime, Providers};
use crate::verify::{self, Examiner};

pub(super) fn run() -> anyhow::Result<ExitCode> {
    say(&verify::answer(std::io::stdin().lock())?);
    Ok(ExitCode::SUCCESS)
}

/// Children are of the binary that runs now.
pub(super) fn isolation() -> anyhow::Result<Isolation> {
    // On Linux this is the very same file, also where it has been replaced or removed meanwhile.
    let binary = PathBuf::from("/proc/self/exe");
    let binary = if binary.exists() {
        binary
    } else {
        std::env::current_exe()
            .context("the path of this program is not known, so that no child of it can be started")?
    };
    Ok(Isolation::Child { binary })
}

/// What opening and trying out a model may take; the server's settings by the same names.
#[derive(Debug, Clone, Args)]
pub(super) struct VerifyLimits {
    /// Memory that opening and trying out the model may take, in a child process.
    #[arg(long, env = "GUDGEON_VERIFY_MEMORY_MAX", default_value = "1024MiB")]
    verify_memory_max: ByteSize,
    /// Time on a core that it may take.
    #[arg(long, env = "GUDGEON_VERIFY_CPU_MAX", default_value = "60s")]
    verify_cpu_max: Period,
    /// Time by the clock that it may take.
    #[arg(long, env = "GUDGEON_VERIFY_TIMEOUT", default_value = "120s")]
    verify_timeout: Period,
    #[command(flatten)]
    pub(super) onnxruntime: OnnxruntimeArgs,
}

/// Where onnxruntime is; the server's settings by the same names.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct OnnxruntimeArgs {
    /// The library of onnxruntime; else `ORT_DYLIB_PATH`, else libonnxruntime.so or libonnxruntime.so.1.* beside the binary.
    #[arg(long, env = "GUDGEON_ONNXRUNTIME_LIBRARY", value_name = "FILE")]
    onnxruntime_library: Option<PathBuf>,
    /// What runs its operators: cpu, cuda or cuda,cpu.
    #[arg(long, env = "GUDGEON_ONNXRUNTIME_PROVIDERS", default_value_t)]
    onnxruntime_providers: Providers,
}

impl OnnxruntimeArgs {
    pub(super) fn engines(&self) -> anyhow::Result<Engines> {
        let named = self.onnxruntime_library.as_deref().unwrap_or(Path::new(""));
        let library = config::onnxruntime_library(named)?;
        let onnxruntime = library.map(|library| Onnxruntime::new(library, self.onnxruntime_providers.clone()));
        Ok(Engines { onnxruntime, ..Engines::default() })
    }
}

impl VerifyLimits {
    pub(super) fn examiner(&self) -> anyhow::Result<Examiner> {
        let child_limits = ChildLimits {
            memory_bytes_max: self.verify_memory_max.bytes(),
            cpu_max: self.verify_cpu_max.duration(),
            wall_max: self.verify_timeout.duration(),
        };
        Ok(Examiner { isolation: isolation()?, child_limits, engines: self.onnxruntime.engines()? })
    }
}
