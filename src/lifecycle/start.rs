//! What is served when the server starts.

use std::sync::PoisonError;

use super::controller::{Lifecycle, event};
use super::error::LifecycleError;
use super::policy;
use crate::model::{ModelName, Version};
use crate::registry::{Action, Actor, Aliases, ModelFolder};
use crate::slot::Lineup;

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
        let champion = self.loader.load(&slot, version, None)?;
        if must_record {
            self.record_start(model, aliases, version);
        }
        // The way back is opened too, so that a roll back after a restart needs no loading; it may fail alone.
        let previous = aliases.previous.and_then(|version| {
            let loaded = self.loader.load(&slot, version, None);
            loaded.inspect_err(|error| tracing::warn!(%model, %version, "{model} version {version}: {error}")).ok()
        });
        slot.swap(Lineup { champion: Some(champion), previous, ..Lineup::default() });
        tracing::info!(%model, %version, "serving {model} version {version}");
        Ok(())
    }

    /// The active version is an explicit recorded pointer, also where there was nothing to decide.
    fn record_start(&self, model: &ModelName, aliases: Aliases, version: Version) {
        let actor = Actor { who: "gudgeon serve".to_owned(), from: None };
        let why = Some("the only version at start".to_owned());
        let event = event(actor, Action::Activate, Some(version), why);
        let recorded = self.loader.registry.set_aliases(model, Aliases { champion: Some(version), ..aliases }, event);
        if let Err(error) = recorded {
            tracing::warn!(%model, "{model}: the active version could not be recorded: {error}");
        }
    }
}
