//! What callers of a model rely on.

use super::controller::Lifecycle;
use super::error::LifecycleError;
use super::model_policy::{InvalidModelPolicy, ModelPolicy};
use crate::model::{Contract, ModelName};
use crate::registry::{Aliases, PolicyFile};
use crate::slot::{Servable, Slot};

impl Lifecycle {
    /// What callers of the model rely on: what its owner promises, of the signature that was recorded at the first activation,
    /// else of the champion's.
    pub(super) fn contract(&self, model: &ModelName) -> Result<Option<Contract>, LifecycleError> {
        let registry = &self.loader.registry;
        let text = registry.policy_text(model, PolicyFile::Model)?;
        let policy = text.map_or_else(|| Ok(ModelPolicy::default()), |text| ModelPolicy::parse(&text))?.contract;
        let promised = registry.contract(model, &policy)?.or_else(|| {
            let champion = self.slots.find(model.as_str()).and_then(|slot| slot.acquire());
            champion.map(|servable| servable.signature().as_ref().clone())
        });
        let contract = promised.map(|signature| Contract::new(signature, policy)).transpose();
        contract.map_err(|error| InvalidModelPolicy::new(&error).into())
    }

    /// The aliases with the version whose signature is the contract, which is recorded beside them: the champion before where there
    /// was one, else `first`.
    pub(super) fn with_contract(
        &self,
        slot: &Slot,
        aliases: Aliases,
        first: &Servable,
    ) -> Result<Aliases, LifecycleError> {
        if aliases.contract.is_some() {
            return Ok(aliases);
        }
        let serving = slot.acquire().filter(|servable| aliases.champion == Some(servable.version()));
        let promised = serving.as_deref().unwrap_or(first);
        self.loader.registry.record_contract(slot.name(), promised.version(), promised.signature())?;
        Ok(Aliases { contract: Some(promised.version()), ..aliases })
    }
}
