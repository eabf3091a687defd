//! `activate`, `rollback`, `list`, `history`: the command-line face of the admin route.

use std::process::ExitCode;

use clap::Args;

use super::client::{AdminClient, Refused};
use super::evaluate::exit_code;
use super::table::{row, table};
use super::{AdminArgs, VersionArgs, block_on, complain, say};
use crate::lifecycle::{Activation, ModelStatus, VersionState};
use crate::model::{ModelName, Version};

/// Make a version the champion of a running server.
#[derive(Debug, Args)]
pub(super) struct ActivateArgs {
    #[command(flatten)]
    version: VersionArgs,
    /// Why; it is kept in the history.
    #[arg(long)]
    reason: Option<String>,
    /// Override the gate; needs --reason, and the history keeps both.
    #[arg(long, requires = "reason")]
    force: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Make the version that was active before the champion again.
#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The model.
    model: ModelName,
    /// Why; it is kept in the history.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Show models and versions.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only this model.
    model: Option<ModelName>,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Show what happened to a model's versions.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The model.
    model: ModelName,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn activate(args: &ActivateArgs) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&args.admin)?;
    let VersionArgs { model, version } = &args.version;
    let wanted = (model.as_str(), version.number());
    match block_on(client.activate_under(wanted, args.force, args.reason.as_deref())) {
        Ok(activation) => {
            say(&activated(&activation));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => refused(error),
    }
}

/// Shows what a refusal carries; the exit code is the gate's, where it was the gate.
pub(super) fn refused(error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let Some(refused) = error.downcast_ref::<Refused>() else { return Err(error) };
    refused.breaches.iter().for_each(|breach| say(&breach.to_string()));
    let Some(report) = &refused.report else { return Err(error) };
    say(report.to_string().trim_end());
    complain(&error.to_string());
    Ok(exit_code(report.verdict))
}

pub(super) fn roll_back(args: &RollbackArgs) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&args.admin)?;
    let activation = block_on(client.roll_back(args.model.as_str(), args.reason.as_deref()))?;
    say(&activated(&activation));
    Ok(ExitCode::SUCCESS)
}

/// What an activation did, in a sentence.
pub(super) fn activated(activation: &Activation) -> String {
    let Activation { model, champion, previous, changed } = activation;
    let back = previous
        .map_or_else(String::new, |version| format!("; `gudgeon rollback {model}` goes back to version {version}"));
    let verb = if *changed { "serves now" } else { "served already; nothing changed" };
    format!("{model} version {champion} {verb}{back}")
}

pub(super) fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&args.admin)?;
    let models = block_on(async {
        match &args.model {
            Some(model) => Ok(vec![client.inspect(model.as_str()).await?]),
            None => client.list().await,
        }
    })?;
    if args.json {
        say(&serde_json::to_string_pretty(&models)?);
    } else {
        say(&models_table(&models));
    }
    Ok(ExitCode::SUCCESS)
}

fn models_table(models: &[ModelStatus]) -> String {
    let mut rows = vec![row(["MODEL", "VERSION", "STATE", "ALIAS", "TASK", "CREATED", "DIGEST", "LABEL"])];
    let mut problems = Vec::new();
    for model in models {
        for version in &model.versions {
            let state = match version.state {
                VersionState::Serving => "serving",
                VersionState::InMemory => "in memory",
                VersionState::AtRest => "at rest",
            };
            let aliases: Vec<_> = version.aliases.iter().map(|alias| alias.as_str()).collect();
            let task = version.task.and_then(|task| Some(serde_json::to_value(task).ok()?.as_str()?.to_owned()));
            let digest = version.digest.map(|digest| digest.short()).unwrap_or_default();
            let created = version.created.as_deref().and_then(|created| created.get(..19)).unwrap_or("-");
            let cells = [
                &model.model,
                &version.version.to_string(),
                state,
                &aliases.join(","),
                task.as_deref().unwrap_or("-"),
                created,
                &digest,
                version.label.as_deref().unwrap_or("-"),
            ];
            rows.push(row(cells));
            problems.extend(
                version.problem.iter().map(|problem| format!("{} version {}: {problem}", model.model, version.version)),
            );
        }
        if model.versions.is_empty() {
            rows.push(row([&model.model, "-", "-", "-", "-", "-", "-", "no versions: register or train one"]));
        }
        problems.extend(model.problem.iter().map(|problem| format!("{}: {problem}", model.model)));
    }
    std::iter::once(table(&rows)).chain(problems).collect::<Vec<_>>().join("\n")
}

pub(super) fn history(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&args.admin)?;
    let events = block_on(client.history(args.model.as_str()))?;
    if args.json {
        say(&serde_json::to_string_pretty(&events)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![row(["AT", "WHO", "ACTION", "VERSION", "OUTCOME", "WHY"])];
    for event in events {
        let word = |value: serde_json::Result<serde_json::Value>| {
            value.ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
        };
        let version = event.version.map_or_else(|| "-".to_owned(), |version: Version| version.to_string());
        let outcome = word(serde_json::to_value(event.outcome));
        // Of a success the reason says most; of a refusal its cause.
        let why = if outcome == "ok" { event.why } else { event.detail.or(event.why) };
        let action = word(serde_json::to_value(event.action));
        rows.push(row([
            event.at.get(..19).unwrap_or(&event.at),
            &event.actor.who,
            &action,
            &version,
            &outcome,
            why.as_deref().unwrap_or("-"),
        ]));
    }
    say(&table(&rows));
    Ok(ExitCode::SUCCESS)
}
