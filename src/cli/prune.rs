//! `prune`: removes the oldest versions, of a running server or of a models directory that none serves.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::client::AdminClient;
use super::{AdminArgs, block_on, say};
use crate::config;
use crate::lifecycle::{Prune, Pruned, prune_registry};
use crate::model::{ModelName, Version};
use crate::registry::{Actor, Call, Registry};

/// Remove the oldest versions of a model: never one that an alias names, that a server has in memory, or that the contract with
/// callers is read from.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// The model.
    model: ModelName,
    /// How many of the newest versions stay; by default what model.toml says: [retention] `versions_on_disk`.
    #[arg(long)]
    keep: Option<usize>,
    /// Only say what would go.
    #[arg(long)]
    dry_run: bool,
    /// Why; it is kept in the history.
    #[arg(long)]
    reason: Option<String>,
    /// The models directory, to do it there and not through a server. What servers on it have in memory is not known then:
    /// it goes on serving, and only a restart needs the files.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn run(args: PruneArgs) -> anyhow::Result<ExitCode> {
    let PruneArgs { model, keep, dry_run, reason, models, admin } = args;
    let pruned = match models {
        Some(models) => {
            let from = Some("gudgeon prune".to_owned());
            let actor = Actor { who: config::actor(), from, call: Call::default() };
            let asked = Prune { keep, dry_run, actor, why: reason };
            prune_registry(&Registry::open(&models)?, &model, asked, BTreeSet::new())?
        }
        None => {
            let client = AdminClient::new(&admin)?.with_progress();
            let body = serde_json::json!({ "keep": keep, "dry_run": dry_run, "reason": reason });
            block_on(client.prune(model.as_str(), &body))?
        }
    };
    say(&told(&pruned));
    Ok(ExitCode::SUCCESS)
}

fn told(pruned: &Pruned) -> String {
    let Pruned { model, pruned, kept, dry_run } = pruned;
    let numbers = |versions: &[Version]| versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if pruned.is_empty() {
        return format!("{model}: nothing to remove; {} stay: {}", kept.len(), numbers(kept));
    }
    let verb = if *dry_run { "would remove" } else { "removed" };
    format!("{model}: {verb} {}: {}; {} stay: {}", pruned.len(), numbers(pruned), kept.len(), numbers(kept))
}
