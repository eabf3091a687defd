//! `challenge`, `withdraw`, `challenger`: a challenger from the command line.

use std::process::ExitCode;

use clap::Args;

use super::client::AdminClient;
use super::table::{row, table};
use super::{AdminArgs, VersionArgs, block_on, say};
use crate::lifecycle::rollout::State;
use crate::lifecycle::{Challenged, ChallengerStatus};
use crate::model::{Mode, ModelName, Share};

/// Try a version on live requests of a running server.
#[derive(Debug, Args)]
pub(super) struct ChallengeArgs {
    #[command(flatten)]
    version: VersionArgs,
    /// shadow: it sees copies of requests. canary: it answers.
    #[arg(long, conflicts_with = "rollout")]
    mode: Option<Mode>,
    /// The share of requests that it sees or answers, for example 10% or 0.1.
    #[arg(long, conflicts_with = "rollout")]
    share: Option<Share>,
    /// Go through the steps of model.toml, up to champion.
    #[arg(long)]
    rollout: bool,
    /// Why; it is kept in the history.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Take the challenger back.
#[derive(Debug, Args)]
pub(super) struct WithdrawArgs {
    /// The model.
    model: ModelName,
    /// Why; it is kept in the history.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Show how the challenger compares with the champion.
#[derive(Debug, Args)]
pub(super) struct ChallengerArgs {
    /// The model.
    model: ModelName,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn challenge(args: &ChallengeArgs) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&args.admin)?;
    let VersionArgs { model, version } = &args.version;
    let body = serde_json::json!({
        "version": version, "mode": args.mode, "share": args.share, "rollout": args.rollout, "reason": args.reason,
    });
    let Challenged { model, version, challenge } = block_on(client.challenge(model.as_str(), &body))?;
    let how = challenge.map_or_else(String::new, |challenge| {
        let step = challenge.step.map_or_else(String::new, |step| format!(", step {step} of its rollout"));
        format!(": {} with {} of the requests{step}", challenge.mode, challenge.share)
    });
    say(&format!("{model} version {version} is the challenger{how}; `gudgeon challenger {model}` shows how it does"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn withdraw(args: &WithdrawArgs) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&args.admin)?;
    let Challenged { model, version, .. } = block_on(client.withdraw(args.model.as_str(), args.reason.as_deref()))?;
    say(&format!("{model} version {version} is the challenger no more"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn challenger(args: &ChallengerArgs) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&args.admin)?;
    let status = block_on(client.challenger(args.model.as_str()))?;
    say(&if args.json { serde_json::to_string_pretty(&status)? } else { shown(&status) });
    Ok(ExitCode::SUCCESS)
}

fn shown(status: &ChallengerStatus) -> String {
    let ChallengerStatus { model, version, challenge, requests, canary, difference, .. } = status;
    let champion = status.champion.map_or_else(|| "none".to_owned(), |champion| champion.to_string());
    let step =
        challenge.step.zip(status.steps).map_or_else(String::new, |(step, steps)| format!(", step {step} of {steps}"));
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    let state = |state: State| match state {
        State::Met => "met",
        State::Undecided => "undecided",
        State::Broken => "broken",
    };
    let mut lines = vec![
        format!(
            "{model} version {version} against version {champion}: {} with {}{step}, since {}",
            challenge.mode, challenge.share, challenge.since
        ),
        format!("copies: {} compared, {} dropped, {} failed", requests.compared, requests.dropped, requests.failed),
        format!(
            "canary: {} answered, {} rescued by the champion, {} failed",
            canary.answered, canary.rescued, canary.failed
        ),
        format!(
            "rows: {}; agreement {}; difference mean {:.4}, p50 {:.2}, p90 {:.2}, p99 {:.2}",
            status.rows,
            number(status.agreement),
            difference.mean,
            difference.p50,
            difference.p90,
            difference.p99
        ),
    ];
    let mut rows = vec![row(["CONDITION", "STATE", "SEEN"])];
    rows.extend(
        status.conditions.iter().map(|condition| row([&condition.name, state(condition.state), &condition.seen])),
    );
    lines.push(table(&rows));
    lines.push(format!("next: {}", status.next));
    lines.join("\n")
}
