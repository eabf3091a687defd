//! How many versions stay: on disk, and in memory.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::controller::{Lifecycle, event};
use super::error::LifecycleError;
use super::model_policy::ModelPolicy;
use super::operations::Stage;
use super::{policy, progress};
use crate::model::{ModelName, Version};
use crate::registry::{Action, Actor, ModelFolder, Outcome, PolicyFile, Registry};

/// `[retention]` of `model.toml`: how many versions stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionPolicy {
    /// The newest versions that `gudgeon prune` leaves on disk, beside all that are in use.
    pub versions_on_disk: Option<usize>,
    /// 2: the champion and the version before it stay in memory, so that a roll back needs no loading. 1: the champion alone.
    pub versions_in_memory: Option<usize>,
}

impl RetentionPolicy {
    /// What is wrong with it, where something is.
    pub(super) fn fault(&self) -> Option<String> {
        match (self.versions_on_disk, self.versions_in_memory) {
            (Some(0), _) => Some("retention.versions_on_disk: expected at least 1, got 0".to_owned()),
            (_, Some(kept)) if !(1..=2).contains(&kept) => {
                Some(format!("retention.versions_in_memory: expected 1 or 2, got {kept}"))
            }
            _ => None,
        }
    }

    /// Whether the version before the champion stays in memory.
    pub(super) fn keeps_previous(&self) -> bool {
        self.versions_in_memory != Some(1)
    }
}

/// Which versions to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prune {
    /// How many of the newest stay; what `model.toml` says where it is left out.
    pub keep: Option<usize>,
    /// Only say what would go.
    pub dry_run: bool,
    /// Who asks.
    pub actor: Actor,
    /// The reason given.
    pub why: Option<String>,
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// The model.
    pub model: String,
    /// The versions that are gone, or would be.
    pub pruned: Vec<Version>,
    /// The versions that stay.
    pub kept: Vec<Version>,
    /// Whether nothing was removed, since it was only asked what would be.
    pub dry_run: bool,
}

crate::schema::described!(Pruned as "Pruned" { model, pruned, kept, dry_run });

impl Lifecycle {
    /// Removes the oldest versions. Those that an alias names, that are in memory here, or that an operation is about stay, and
    /// so does the one that the contract with callers is read from.
    ///
    /// # Errors
    /// [`LifecycleError::NoRetention`] where nobody says how many stay, and what the registry reports; versions that were removed
    /// before that stay removed.
    pub fn prune(&self, model: &ModelName, asked: Prune) -> Result<Pruned, LifecycleError> {
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let lineup = self.slots.find(model.as_str()).map(|slot| slot.lineup()).unwrap_or_default();
        let under_way = self.operations().into_iter().filter(|operation| !operation.state.is_final());
        let mut in_use: BTreeSet<Version> = lineup.iter().map(|servable| servable.version()).collect();
        in_use
            .extend(under_way.filter(|operation| operation.model == model.as_str()).filter_map(|other| other.version));
        let refused = event(asked.actor.clone(), Action::Prune, None, asked.why.clone());
        let pruned = prune_registry(&self.loader.registry, model, asked, in_use);
        pruned.map_err(|error| self.refused(model, refused, error))
    }

    /// Whether the version before the champion stays in memory. A policy that cannot be read keeps it: nothing is loaded under
    /// such a one anyway.
    pub(super) fn keeps_previous(&self, model: &ModelName) -> bool {
        retention(&self.loader.registry, model).map_or(true, |policy| policy.keeps_previous())
    }
}

/// Removes the oldest versions of a registry that no server needs to be asked about: `in_use` is what stays beside what the
/// registry itself says is in use.
///
/// # Errors
/// As [`Lifecycle::prune`].
pub fn prune_registry(
    registry: &Registry,
    model: &ModelName,
    asked: Prune,
    mut in_use: BTreeSet<Version>,
) -> Result<Pruned, LifecycleError> {
    let Prune { keep, dry_run, actor, why } = asked;
    let ModelFolder { versions, aliases, .. } = registry.model(model)?;
    let keep = match keep {
        Some(keep) => keep,
        None => retention(registry, model)?.versions_on_disk.ok_or(LifecycleError::NoRetention)?,
    };
    in_use.extend(aliases.versions());
    in_use.extend(first_active(registry, model)?);
    let pruned = policy::prune(&versions, &in_use, keep);
    let kept = versions.into_iter().filter(|version| !pruned.contains(version)).collect();
    progress::stage(Stage::Removing);
    for &version in pruned.iter().filter(|_| !dry_run) {
        registry.prune(model, version, event(actor.clone(), Action::Prune, Some(version), why.clone()))?;
        tracing::info!(%model, %version, "removed {model} version {version}");
    }
    Ok(Pruned { model: model.to_string(), pruned, kept, dry_run })
}

fn retention(registry: &Registry, model: &ModelName) -> Result<RetentionPolicy, LifecycleError> {
    let text = registry.policy_text(model, PolicyFile::Model)?;
    Ok(text.map_or_else(|| Ok(ModelPolicy::default()), |text| ModelPolicy::parse(&text))?.retention)
}

/// The version that was activated first: callers rely on its signature.
fn first_active(registry: &Registry, model: &ModelName) -> Result<Option<Version>, LifecycleError> {
    let events = registry.history(model)?.events;
    let first = events.iter().find(|event| event.action == Action::Activate && event.outcome == Outcome::Ok);
    Ok(first.and_then(|event| event.version))
}
