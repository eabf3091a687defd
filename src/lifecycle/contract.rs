//! What callers of a model rely on.

use super::controller::Lifecycle;
use super::error::LifecycleError;
use crate::model::{Contract, ModelName};
use crate::registry::{Action, Outcome};

impl Lifecycle {
    /// What callers of the model rely on: the signature of the version that was activated first, else of the champion.
    pub(super) fn contract(&self, model: &ModelName) -> Result<Option<Contract>, LifecycleError> {
        let registry = &self.loader.registry;
        let history = registry.history(model)?;
        let first =
            history.events.iter().find(|event| event.action == Action::Activate && event.outcome == Outcome::Ok);
        let manifest = match first.and_then(|event| event.version) {
            // The folder may be gone: then the champion is what callers know.
            Some(version) => registry.manifest(model, version).ok().flatten(),
            None => None,
        };
        if let Some(manifest) = manifest {
            return Ok(Some(Contract::from(manifest.signature)));
        }
        let champion = self.slots.find(model.as_str()).and_then(|slot| slot.acquire());
        Ok(champion.map(|servable| Contract::from(servable.signature().as_ref().clone())))
    }
}
