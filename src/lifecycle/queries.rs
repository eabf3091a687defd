//! What operators see.

use std::sync::Arc;

use super::controller::Lifecycle;
use super::error::LifecycleError;
use super::status::{ModelStatus, VersionState, VersionStatus};
use crate::model::{Alias, Manifest, ModelName, Version};
use crate::registry::{Aliases, History, ModelFolder};
use crate::slot::Lineup;

impl Lifecycle {
    /// Every model of the registry. One that cannot be read has that as its problem and hides no other.
    ///
    /// # Errors
    /// Where the registry itself cannot be read.
    pub fn list(&self) -> Result<Vec<ModelStatus>, LifecycleError> {
        let status = |model| self.inspect(model).unwrap_or_else(|error| ModelStatus::unreadable(model, &error));
        Ok(self.loader.registry.models()?.models.iter().map(status).collect())
    }

    /// One model.
    ///
    /// # Errors
    /// Where there is no such model, or it cannot be read.
    pub fn inspect(&self, model: &ModelName) -> Result<ModelStatus, LifecycleError> {
        let ModelFolder { versions, aliases, .. } = self.loader.registry.model(model)?;
        let lineup = self.slots.find(model.as_str()).map(|slot| slot.lineup()).unwrap_or_default();
        let champion = lineup.champion.as_ref();
        Ok(ModelStatus {
            model: model.to_string(),
            champion: aliases.champion,
            previous: aliases.previous,
            is_serving: champion.is_some(),
            problem: self.problems().get(model).cloned(),
            versions: versions.iter().map(|&version| self.version_status(model, version, &aliases, &lineup)).collect(),
            signature: champion.map(|servable| servable.signature().as_ref().clone()),
        })
    }

    fn version_status(&self, model: &ModelName, version: Version, aliases: &Aliases, lineup: &Lineup) -> VersionStatus {
        let state = match lineup.version(version) {
            Some(servable) if lineup.champion.as_ref().is_some_and(|champion| Arc::ptr_eq(champion, servable)) => {
                VersionState::Serving
            }
            Some(_) => VersionState::InMemory,
            None => VersionState::AtRest,
        };
        let all = [Alias::Champion, Alias::Challenger, Alias::Previous];
        let (manifest, problem) = match self.loader.registry.manifest(model, version) {
            Ok(manifest) => (manifest, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let loaded_digest = lineup.version(version).map(|servable| servable.digest());
        let recorded = |manifest: &Manifest| manifest.files.get(Manifest::MODEL_FILE).map(|entry| entry.sha256);
        let digest = manifest.as_ref().and_then(recorded).or(loaded_digest);
        let kept =
            self.loader.kept(model, version).filter(|kept| digest.is_none_or(|digest| digest == kept.model_sha256));
        VersionStatus {
            version,
            state,
            aliases: all.into_iter().filter(|&alias| aliases.get(alias) == Some(version)).collect(),
            label: manifest.as_ref().and_then(|manifest| manifest.label.clone()),
            created: manifest.as_ref().map(|manifest| manifest.created.clone()),
            producer: manifest
                .as_ref()
                .map(|manifest| format!("{} {}", manifest.producer.name, manifest.producer.version)),
            task: manifest.as_ref().map(|manifest| manifest.task),
            digest,
            verified: kept.map(|kept| kept.report),
            problem,
        }
    }

    /// The manifest of one version; `None` where it is a bare graph.
    ///
    /// # Errors
    /// Where there is no such version, or its manifest cannot be read.
    pub fn manifest(&self, model: &ModelName, version: Version) -> Result<Option<Manifest>, LifecycleError> {
        Ok(self.loader.registry.manifest(model, version)?)
    }

    /// What happened to the model's versions.
    ///
    /// # Errors
    /// Where there is no such model, or the history cannot be read.
    pub fn history(&self, model: &ModelName) -> Result<History, LifecycleError> {
        Ok(self.loader.registry.history(model)?)
    }
}
