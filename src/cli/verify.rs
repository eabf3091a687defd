//! `gudgeon verify`: what the server would say of a version, without one.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;

use super::examine::VerifyLimits;
use super::{RegistryArgs, VersionArgs, say};
use crate::lifecycle::ModelPolicy;
use crate::registry::{PolicyFile, Registry};
use crate::verify::{Candidate, Report};

/// Check a version of the registry as the server would before it serves it.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    version: VersionArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    limits: VerifyLimits,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let VersionArgs { model, version } = &args.version;
    let registry = Registry::open(&args.registry.models)?;
    let artifact = registry.read(model, *version)?;
    let policy = registry.policy_text(model, PolicyFile::Model)?.map(|text| ModelPolicy::parse(&text)).transpose()?;
    let candidate = Candidate {
        model: &artifact.model,
        signature: artifact.manifest.as_ref().map(|manifest| &manifest.signature),
        golden: artifact.golden.as_deref(),
        engine: policy.unwrap_or_default().engine,
    };
    let examined = args.limits.examiner()?.examine(candidate);
    let report = examined.map_err(|refusal| anyhow!("{model} version {version}: {refusal}"))?.report;
    if args.json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        say(&described(&report));
        say(&format!("{model} version {version} may serve ({})", artifact.model_digest));
    }
    Ok(ExitCode::SUCCESS)
}

fn described(report: &Report) -> String {
    let golden = match report.golden_rows {
        0 => "golden cases   none; register with --sample to have some".to_owned(),
        rows => format!("golden cases   {rows} rows right"),
    };
    let mut lines = vec![golden, format!("engine         {}", report.engine)];
    lines.push(format!("opened in      {:.1} ms", report.open_ms));
    if let Some(bytes) = report.peak_memory_bytes {
        lines.push(format!("peak memory    {} MiB", bytes.div_ceil(1 << 20)));
    }
    for latency in &report.latency {
        lines.push(format!("{:>4} rows      {:.3} ms", latency.rows, latency.median_ms));
    }
    lines.join("\n")
}
