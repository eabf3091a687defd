//! `operations`: what a server was asked to do, and how far it is.

use std::process::ExitCode;

use clap::Args;

use super::client::AdminClient;
use super::table::{row, table};
use super::{AdminArgs, block_on, say};
use crate::lifecycle::{Operation, OperationState, Progress};

/// An operation that did not do what it was asked for.
const EXIT_NOT_DONE: u8 = 1;

/// Show what a server was asked to do; with an id, follow that operation to its end.
#[derive(Debug, Args)]
pub(super) struct OperationsArgs {
    /// Only this operation, followed to its end.
    id: Option<String>,
    /// Only those of this model.
    #[arg(long)]
    model: Option<String>,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: &OperationsArgs) -> anyhow::Result<ExitCode> {
    let client = AdminClient::new(&args.admin)?;
    match &args.id {
        Some(id) => follow(&client, id, args.json),
        None => list(&client, args),
    }
}

fn follow(client: &AdminClient, id: &str, is_json: bool) -> anyhow::Result<ExitCode> {
    let show = |step: &Progress| {
        if !is_json {
            say(&format!("{}  {}", step.at.get(..23).unwrap_or(&step.at), step_text(step)));
        }
    };
    let operation = block_on(client.follow(id, show))?;
    if is_json {
        say(&serde_json::to_string_pretty(&operation)?);
    } else if let Some(failure) = &operation.failure {
        say(&format!("{} ({})", failure.error, failure.code));
    } else {
        say(&serde_json::to_string(&operation.result)?);
    }
    let is_done = operation.state == OperationState::Succeeded;
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_DONE) })
}

fn list(client: &AdminClient, args: &OperationsArgs) -> anyhow::Result<ExitCode> {
    let mut operations = block_on(client.operations())?;
    operations.retain(|operation| args.model.as_ref().is_none_or(|model| operation.model == *model));
    if args.json {
        say(&serde_json::to_string_pretty(&operations)?);
        return Ok(ExitCode::SUCCESS);
    }
    let head = row(["AT", "ID", "MODEL", "OPERATION", "VERSION", "STATE", "WHO", "WHY"]);
    say(&table(&std::iter::once(head).chain(operations.iter().map(operation_row)).collect::<Vec<_>>()));
    Ok(ExitCode::SUCCESS)
}

fn operation_row(operation: &Operation) -> Vec<String> {
    let begun = operation.progress.first().and_then(|step| step.at.get(..19)).unwrap_or("-");
    let state = operation.progress.last().map(step_text).unwrap_or_default();
    // Of a success the reason says most; of a refusal its cause.
    let failure = operation.failure.as_ref().map(|failure| failure.error.as_str());
    row([
        begun,
        &operation.id,
        &operation.model,
        &word(&operation.kind),
        &operation.version.map_or_else(|| "-".to_owned(), |version| version.to_string()),
        &state,
        &operation.who,
        failure.or(operation.why.as_deref()).unwrap_or("-"),
    ])
}

/// A step in words: what is being done, else where the operation is.
pub(super) fn step_text(step: &Progress) -> String {
    step.stage.map_or_else(|| word(&step.state), |stage| word(&stage))
}

/// The word that an enum of the admin route has on the wire.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.and_then(|value| Some(value.as_str()?.replace('_', " "))).unwrap_or_default()
}
