//! `gudgeon evaluate`: does the challenger beat the champion, by the data scientist's own definition?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::examine::OnnxruntimeArgs;
use super::say;
use super::train::{SplitArgs, pipeline_path, registry_of};
use crate::evaluation::{Decision, Verdict};
use crate::model::{ModelName, Version};
use crate::registry::{PolicyFile, Registry};
use crate::trainer::pipeline::PipelineFile;
use crate::trainer::{Ask, Evaluated, evaluate};

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
    #[command(flatten)]
    onnxruntime: OnnxruntimeArgs,
    /// Take a report that is there already, where versions, holdout and gate are what it was made from.
    #[arg(long)]
    reuse: bool,
    /// The report as JSON; with --reuse, as `report` beside whether it was `computed`.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let decision = decision(args)?;
    let report = &decision.report;
    if args.json && args.reuse {
        say(&serde_json::to_string_pretty(&decision)?);
    } else if args.json {
        say(&serde_json::to_string_pretty(report)?);
    } else {
        say(report.to_string().trim_end());
    }
    Ok(exit_code(report.verdict))
}

fn decision(args: &EvaluateArgs) -> anyhow::Result<Decision> {
    let (models, engines) = (args.models.as_deref(), args.onnxruntime.engines()?);
    let ask = Ask { challenger: args.challenger, champion: args.champion, reuse: args.reuse };
    let path = pipeline_path(&args.pipeline, models);
    let name = args.pipeline.to_str().and_then(|name| name.parse::<ModelName>().ok()).filter(|_| !path.is_file());
    if let Some(name) = name {
        // A model without a pipeline: its gate and its versions say all that there is.
        let registry = Registry::open(models.unwrap_or_else(|| Path::new("models")))?;
        if registry.policy_text(&name, PolicyFile::Gate)?.is_some() {
            return Ok(evaluate(Evaluated::Registered(&name), &registry, ask, &engines)?);
        }
    }
    let mut file = PipelineFile::read(&path)?;
    args.split.apply(&mut file.pipeline.split)?;
    let registry = registry_of(&file, models)?;
    Ok(evaluate(Evaluated::Pipeline(&file), &registry, ask, &engines)?)
}

/// The exit code that a verdict has everywhere.
pub(super) fn exit_code(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 10,
        Verdict::Inconclusive => 11,
    })
}
