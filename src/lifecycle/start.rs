//! What is served when the server starts.

use std::sync::PoisonError;

use super::controller::{Lifecycle, event};
use super::error::LifecycleError;
use super::policy;
use crate::model::ModelName;
use crate::registry::{Action, Actor, Aliases, ModelFolder};
use crate::slot::{Servable, Slot};

impl Lifecycle {
    /// Loads every model of the registry. One that cannot serve is reported and keeps no other from serving.
    ///
    /// # Errors
    /// Where the registry itself cannot be read.
    pub fn load_all(&self) -> Result<(), LifecycleError> {
        let listing = self.loader.registry.models()?;
        if let Some(warning) = listing.ignored.warning() {
            tracing::warn!("registry: {warning}");
        }
        for model in listing.models {
            if let Err(error) = self.load_at_start(&model) {
                tracing::error!(%model, "{model} does not serve: {error}");
                self.note_problem(&model, Some(error.to_string()));
            }
        }
        Ok(())
    }

    fn load_at_start(&self, model: &ModelName) -> Result<(), LifecycleError> {
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.loader.registry.model(model);
        if folder.as_ref().is_ok_and(|folder| folder.versions.is_empty() && folder.aliases.champion.is_none()) {
            // Nothing was ever registered: there is nothing to be ready for.
            return Ok(());
        }
        // From here on it is a model that should serve, and says so with 503 where it cannot.
        let slot = self.slot_of(model);
        let ModelFolder { versions, aliases, ignored, .. } = folder?;
        if let Some(warning) = ignored.warning() {
            tracing::warn!(%model, "{model}: {warning}");
        }
        let Some((version, must_record)) = policy::at_start(aliases.champion, &versions) else {
            return Err(LifecycleError::NoChampion { model: model.clone() });
        };
        // The way back and the challenger are opened too, so that a roll back after a restart needs no loading and a rollout
        // goes on; each may fail alone.
        let lineup = self.lineup_of(&slot, &Aliases { champion: Some(version), ..aliases })?;
        if must_record && let Some(champion) = &lineup.champion {
            self.record_start(&slot, aliases, champion);
        }
        self.put(&slot, lineup);
        tracing::info!(%model, %version, "serving {model} version {version}");
        Ok(())
    }

    /// The active version is an explicit recorded pointer, also where there was nothing to decide.
    fn record_start(&self, slot: &Slot, aliases: Aliases, champion: &Servable) {
        let (model, version) = (slot.name(), champion.version());
        let actor = Actor { who: "gudgeon serve".to_owned(), from: None };
        let why = Some("the only version at start".to_owned());
        let event = event(actor, Action::Activate, Some(version), why);
        let recorded = self.with_contract(slot, aliases, champion).and_then(|aliases| {
            Ok(self.loader.registry.set_aliases(model, Aliases { champion: Some(version), ..aliases }, event)?)
        });
        if let Err(error) = recorded {
            tracing::warn!(%model, "{model}: the active version could not be recorded: {error}");
        }
    }
}
