//! What is served when the server starts, and how a slot comes to what the registry says.

use std::sync::PoisonError;

use super::controller::{Lifecycle, event};
use super::error::LifecycleError;
use super::operations::Stage;
use super::policy::Cast;
use super::progress;
use crate::metrics::OpResult;
use crate::model::{ModelName, Version};
use crate::registry::{Action, Actor, Aliases, Call, ModelFolder};
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
                self.failed_at_start(&model, &error);
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
        let ModelFolder { ignored, .. } = folder?;
        if let Some(warning) = ignored.warning() {
            tracing::warn!(%model, "{model}: {warning}");
        }
        self.converge(model, true)?;
        let aliases = self.loader.registry.aliases(model)?;
        self.settled(model, Cast { champion: aliases.champion, ..Cast::default() });
        if let Some(champion) = slot.acquire() {
            let version = champion.version();
            tracing::info!(%model, %version, "serving {model} version {version}");
        }
        Ok(())
    }

    /// Makes `version` the champion of this server, since the registry says so. It is verified as for an activation, but not
    /// held against the contract: that was done where it was decided.
    pub(super) fn make_champion(
        &self,
        model: &ModelName,
        version: Version,
        must_record: bool,
    ) -> Result<(), LifecycleError> {
        let slot = self.slot_of(model);
        let champion = match slot.acquire_version(version) {
            Some(servable) => servable,
            None => self.loader.load(&slot, version, None)?,
        };
        if must_record {
            self.record_start(&slot, &champion);
        }
        let aliases = self.loader.registry.aliases(model).unwrap_or_default();
        let is_swap = slot.acquire().is_some();
        progress::stage(Stage::Swapping);
        self.swap(&slot, champion, &aliases);
        if is_swap {
            slot.metrics().swaps(OpResult::Ok).inc();
        }
        Ok(())
    }

    /// Brings the versions beside the champion to what is wanted: the way back, so that a roll back needs no loading, and the
    /// candidate. Each may fail alone.
    pub(super) fn fill(&self, model: &ModelName, wanted: Cast) -> Result<(), LifecycleError> {
        let slot = self.slot_of(model);
        let lineup = slot.lineup();
        let mut failure = None;
        let mut find = |version: Option<Version>| {
            let version = version?;
            if let Some(servable) = lineup.version(version) {
                return Some(servable.clone());
            }
            self.loader.load(&slot, version, None).map_err(|error| failure = Some(error)).ok()
        };
        let beside = [find(wanted.challenger), find(wanted.previous)];
        if let Some(champion) = lineup.champion.clone() {
            let aliases = self.loader.registry.aliases(model)?;
            let find = |version| beside.iter().flatten().find(|servable| servable.version() == version).cloned();
            let arranged = self.arranged(&slot, champion, find, &aliases);
            self.put(&slot, arranged);
        }
        failure.map_or(Ok(()), Err)
    }

    /// The active version is an explicit recorded pointer, also where there was nothing to decide.
    fn record_start(&self, slot: &Slot, champion: &Servable) {
        let (model, version) = (slot.name(), champion.version());
        let actor = Actor { who: "gudgeon serve".to_owned(), from: None, call: Call::default() };
        let why = Some("the only version there is".to_owned());
        let event = event(actor, Action::Activate, Some(version), why);
        let registry = &self.loader.registry;
        let recorded = registry.aliases(model).map_err(LifecycleError::from).and_then(|aliases| {
            if aliases.champion.is_some() {
                // Another server on this registry was quicker.
                return Ok(aliases);
            }
            let aliases = self.with_contract(slot, aliases, champion)?;
            Ok(registry.set_aliases(model, Aliases { champion: Some(version), ..aliases }, event)?)
        });
        if let Err(error) = recorded {
            tracing::warn!(%model, "{model}: the active version could not be recorded: {error}");
        }
    }
}
