//! `gudgeon register`: a model that was made elsewhere becomes a version.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::examine::VerifyLimits;
use super::{RegistryArgs, say};
use crate::config;
use crate::engine::EngineChoice;
use crate::model::ModelName;
use crate::registry::{Actor, Call, Registry};
use crate::trainer::{ForeignOptions, register_foreign};
use crate::verify::Candidate;

/// Register a model that was made elsewhere.
#[derive(Debug, Args)]
pub(super) struct RegisterArgs {
    /// The graph.
    file: PathBuf,
    /// The model that it becomes a version of.
    #[arg(long)]
    model: ModelName,
    /// CSV rows of the model's inputs (plain or gzip): they become the reference profile and the golden cases.
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    /// The class names in the order of the probabilities, where the graph does not carry them.
    #[arg(long, value_delimiter = ',')]
    classes: Vec<String>,
    /// A free label for the version: a git revision, a semantic version.
    #[arg(long)]
    label: Option<String>,
    /// Why; it is kept in the history.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    limits: VerifyLimits,
}

pub(super) fn run(args: RegisterArgs) -> anyhow::Result<ExitCode> {
    let RegisterArgs { file, model, sample, classes, label, reason, registry, limits } = args;
    let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}: check the path", file.display()))?;
    let candidate = Candidate { model: &bytes, signature: None, golden: None, engine: EngineChoice::Auto };
    limits.examiner()?.examine(candidate).map_err(|refusal| anyhow!("not registered: {refusal}"))?;
    let has_sample = sample.is_some();
    let options = ForeignOptions {
        sample,
        actor: Actor { who: config::actor(), from: Some("gudgeon register".to_owned()), call: Call::default() },
        why: reason,
        label,
        classes,
        engines: limits.onnxruntime.engines()?,
    };
    let registered = register_foreign(&Registry::open(&registry.models)?, &model, bytes, &options)?;
    let version = registered.version;
    say(&format!("registered {model} version {version} ({})", registered.model_digest.short()));
    if !has_sample {
        say("without --sample it has no golden cases, and drift is measured against the first live rows");
    }
    say(&format!("`gudgeon activate {model} {version}` makes it serve"));
    Ok(ExitCode::SUCCESS)
}
