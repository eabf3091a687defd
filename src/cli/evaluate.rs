//! `gudgeon evaluate`: does the challenger beat the champion, by the data scientist's own definition?

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::say;
use super::train::{SplitArgs, pipeline_path, registry_of};
use crate::engine::Limits;
use crate::evaluation::Verdict;
use crate::model::Version;
use crate::trainer::evaluate;
use crate::trainer::pipeline::PipelineFile;

/// Hold a challenger against the champion on the gate's holdout.
#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// The pipeline file, for example models/flights/pipeline.toml; or a model's name, whose pipeline is in the registry.
    pipeline: PathBuf,
    /// The version that wants to be champion.
    #[arg(long)]
    challenger: Version,
    /// The version to hold it against; by default the registry's champion.
    #[arg(long)]
    champion: Option<Version>,
    /// The registry; by default the folder that holds the pipeline's folder.
    #[arg(long, env = "GUDGEON_MODELS")]
    models: Option<PathBuf>,
    #[command(flatten)]
    split: SplitArgs,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let mut file = PipelineFile::read(&pipeline_path(&args.pipeline, args.models.as_deref()))?;
    args.split.apply(&mut file.pipeline.split)?;
    let registry = registry_of(&file, args.models.as_deref())?;
    let report = evaluate(&file, &registry, (args.challenger, args.champion), &Limits::default())?;
    if args.json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        say(report.to_string().trim_end());
    }
    Ok(exit_code(report.verdict))
}

/// The exit code that a verdict has everywhere.
pub(super) fn exit_code(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 10,
        Verdict::Inconclusive => 11,
    })
}
