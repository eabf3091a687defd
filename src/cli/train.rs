//! `gudgeon train`: the sidecar's command, with progress on a terminal and a summary at the end.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::client::AdminClient;
use super::evaluate::exit_code;
use super::examine::OnnxruntimeArgs;
use super::lifecycle::{activated, refused};
use super::table::{row, table};
use super::{AdminArgs, block_on, say};
use crate::config;
use crate::evaluation::Verdict;
use crate::registry::{Actor, Call, Registry};
use crate::trainer::fit::Algorithm;
use crate::trainer::pipeline::{PipelineFile, SplitSection};
use crate::trainer::{Progress, Stage, TrainOptions, TrainReport, train};

/// Train a version as a pipeline file says, evaluate it, and register it.
#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// The pipeline file, for example models/flights/pipeline.toml; or a model's name, whose pipeline is in the registry.
    pipeline: PathBuf,
    /// The registry to register in; by default the folder that holds the pipeline's folder.
    #[arg(long, env = "GUDGEON_MODELS")]
    models: Option<PathBuf>,
    #[command(flatten)]
    split: SplitArgs,
    /// Fit this algorithm alone: gbdt or linear.
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// Threads of the fit; the model is the same for any number.
    #[arg(long)]
    threads: Option<usize>,
    /// The seed of everything random.
    #[arg(long)]
    seed: Option<u64>,
    /// A free label for the version: a git revision, a semantic version.
    #[arg(long)]
    label: Option<String>,
    /// Why; it is kept in the history.
    #[arg(long)]
    reason: Option<String>,
    /// Activate the version on a running server, unless the gate says FAIL or INCONCLUSIVE.
    #[arg(long)]
    activate: bool,
    /// JSON on standard output instead of the summary.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    onnxruntime: OnnxruntimeArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Other dates than the pipeline's, for a split by time.
#[derive(Debug, Clone, Args)]
pub(super) struct SplitArgs {
    /// Training rows are before this time instead of the pipeline's, for example 2013-09-01.
    #[arg(long, value_name = "TIME")]
    train_until: Option<String>,
    /// Holdout rows are at or after this time.
    #[arg(long, value_name = "TIME")]
    holdout_from: Option<String>,
    /// Holdout rows are before this time.
    #[arg(long, value_name = "TIME")]
    holdout_until: Option<String>,
}

impl SplitArgs {
    /// Puts the dates in the place of the pipeline's.
    pub(super) fn apply(&self, split: &mut SplitSection) -> anyhow::Result<()> {
        let wanted = [&self.train_until, &self.holdout_from, &self.holdout_until].into_iter().any(Option::is_some);
        match split {
            SplitSection::Time { train_until, holdout_from, holdout_until, .. } => {
                if let Some(until) = &self.train_until {
                    train_until.clone_from(until);
                }
                *holdout_from = self.holdout_from.clone().or_else(|| holdout_from.take());
                *holdout_until = self.holdout_until.clone().or_else(|| holdout_until.take());
                Ok(())
            }
            SplitSection::Hash { .. } if wanted => {
                anyhow::bail!("the pipeline splits by hash: --train-until and --holdout-* are for a split by time")
            }
            SplitSection::Hash { .. } => Ok(()),
        }
    }
}

/// The pipeline file: named, or of a model in the registry.
pub(super) fn pipeline_path(named: &Path, models: Option<&Path>) -> PathBuf {
    let of_model = models.unwrap_or_else(|| Path::new("models")).join(named).join("pipeline.toml");
    if !named.is_file() && named.components().count() == 1 && of_model.is_file() { of_model } else { named.to_owned() }
}

/// The registry: named, or the folder that holds the pipeline's folder.
pub(super) fn registry_of(file: &PipelineFile, models: Option<&Path>) -> anyhow::Result<Registry> {
    let root = match models {
        Some(models) => models.to_owned(),
        None => {
            let folder = file.folder.canonicalize().context("the pipeline's folder")?;
            folder.parent().context("the pipeline's folder lies in no registry: name one with --models")?.to_owned()
        }
    };
    Ok(Registry::open(&root)?)
}

pub(super) fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let mut file = PipelineFile::read(&pipeline_path(&args.pipeline, args.models.as_deref()))?;
    args.split.apply(&mut file.pipeline.split)?;
    let fit = &mut file.pipeline.fit;
    fit.threads = args.threads.unwrap_or(fit.threads);
    fit.seed = args.seed.unwrap_or(fit.seed);
    if let Some(algorithm) = args.algorithm {
        fit.algorithms = vec![algorithm];
    }
    let registry = registry_of(&file, args.models.as_deref())?;
    let options = TrainOptions {
        actor: Actor { who: config::actor(), from: Some("gudgeon train".to_owned()), call: Call::default() },
        why: args.reason.clone(),
        label: args.label.clone(),
        engines: args.onnxruntime.engines()?,
    };
    let mut progress = Bar::new();
    let report = train(&file, &registry, &options, &mut progress)?;
    progress.finish();
    if args.json {
        say(&serde_json::to_string_pretty(&as_json(&report, &progress))?);
    } else {
        say(&summary(&report));
    }
    let verdict = report.evaluation.gate.as_ref().map_or(Verdict::Pass, |gate| gate.verdict);
    if args.activate {
        return activate(args, &report, verdict);
    }
    Ok(exit_code(verdict))
}

/// The server holds the version against the gate itself; this report will do, where its holdout is the pipeline's own.
fn activate(args: &TrainArgs, report: &TrainReport, verdict: Verdict) -> anyhow::Result<ExitCode> {
    let (model, version) = (&report.model, report.registered.version);
    if verdict != Verdict::Pass {
        say(&format!(
            "not activated: the gate says {verdict}; `gudgeon activate {model} {version} --force --reason WHY` overrides it"
        ));
        return Ok(exit_code(verdict));
    }
    let reason = args.reason.as_deref().unwrap_or("trained; the gate says PASS");
    let client = AdminClient::new(&args.admin)?;
    match block_on(client.activate(model.as_str(), version.number(), Some(reason))) {
        Ok(activation) => {
            if !args.json {
                say(&activated(&activation));
            }
            Ok(exit_code(verdict))
        }
        Err(error) => refused(error),
    }
}

fn summary(report: &TrainReport) -> String {
    let TrainReport { model, registered, candidates, chosen, primary, evaluation, split, time } = report;
    let mut lines = vec![format!(
        "rows: {} to train, {} to stop early, {} held out ({})",
        split.train_rows, split.validation_rows, split.holdout_rows, split.rule
    )];
    let names: Vec<String> =
        candidates.first().map(|c| c.scores.iter().map(|s| s.metric.to_string()).collect()).unwrap_or_default();
    let head =
        ["on the holdout".to_owned()].into_iter().chain(names).chain(["fit".to_owned(), String::new()]).collect();
    let mut rows = vec![head];
    for candidate in candidates {
        let scores = candidate.scores.iter().map(|scored| format!("{:.5}", scored.value));
        let mark = if candidate.algorithm == *chosen { format!("chosen by {primary}") } else { String::new() };
        let fit = format!("{:.1} s", candidate.fit_time.as_secs_f64());
        rows.push([candidate.algorithm.to_string()].into_iter().chain(scores).chain([fit, mark]).collect());
    }
    lines.push(table(&rows));
    let intervals = evaluation.metrics.iter().filter_map(|scored| {
        let (low, high) = scored.low.zip(scored.high)?;
        Some(row([&scored.metric.to_string(), &format!("{:.5}", scored.value), &format!("{low:.5} to {high:.5}")]))
    });
    lines.push(table(&[row(["score", "value", "95 % interval"])].into_iter().chain(intervals).collect::<Vec<_>>()));
    if let Some(gate) = &evaluation.gate {
        lines.push(format!("gate: {}", gate.to_string().trim_end()));
    }
    let digest = registered.model_digest.short();
    lines.push(format!("the graph answers as the trainer does (largest difference {:.1e})", evaluation.parity_max_abs));
    lines.push(format!("registered {model} version {} ({digest}) in {:.1} s", registered.version, time.as_secs_f64()));
    lines.join("\n")
}

fn as_json(report: &TrainReport, progress: &Bar) -> serde_json::Value {
    let fit = |(candidate, cpu): (&crate::trainer::CandidateReport, &Duration)| {
        let scores: serde_json::Map<_, _> =
            candidate.scores.iter().map(|scored| (scored.metric.to_string(), scored.value.into())).collect();
        json!({
            "algorithm": candidate.algorithm.to_string(),
            "scores": scores,
            "fit_s": candidate.fit_time.as_secs_f64(),
            "fit_cpu_s": cpu.as_secs_f64(),
        })
    };
    json!({
        "model": report.model,
        "version": report.registered.version,
        "digest": report.registered.model_digest,
        "chosen": report.chosen.to_string(),
        "fits": report.candidates.iter().zip(&progress.fit_cpu).map(fit).collect::<Vec<_>>(),
        "split": report.split,
        "evaluation": report.evaluation,
        "seconds": report.time.as_secs_f64(),
    })
}

/// A progress bar on standard error; nothing where that is no terminal.
struct Bar {
    bar: ProgressBar,
    /// CPU time of the process when the fit under way began.
    fit_began: Option<Duration>,
    /// CPU time of each fit, in order.
    fit_cpu: Vec<Duration>,
    begun: Instant,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        Self { bar, fit_began: None, fit_cpu: Vec::new(), begun: Instant::now() }
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// CPU time of this process, all threads, as Linux tells it in hundredths of a second; zero where it does not.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    // utime and stime are fields 14 and 15 of proc(5); the state behind the name is field 3.
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

impl Progress for Bar {
    fn begin(&mut self, stage: Stage) {
        if let Some(began) = self.fit_began.take() {
            self.fit_cpu.push(cpu_time().saturating_sub(began));
        }
        let name = match stage {
            Stage::Read => "reading".to_owned(),
            Stage::Fit(algorithm) => {
                self.fit_began = Some(cpu_time());
                format!("fitting {algorithm}")
            }
            Stage::Score => "scoring".to_owned(),
            Stage::Parity => "comparing the graph with the trainer".to_owned(),
            Stage::Profile => "reference profile".to_owned(),
            Stage::Gate => "gate".to_owned(),
            Stage::Register => "registering".to_owned(),
        };
        let style = ProgressStyle::with_template("{msg:40} {wide_bar} {pos}/{len}");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_length(1);
        self.bar.set_position(0);
        self.bar.set_message(format!("[{:>3} s] {name}", self.begun.elapsed().as_secs()));
    }

    fn step(&mut self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }
}
