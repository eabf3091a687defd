//! Models that an operator takes out of this server's memory, and takes up again: the Open Inference Protocol's load and unload.
//! The registry does not change, and other servers on it do not either; a restart takes every model up.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

use super::controller::Lifecycle;
use super::error::LifecycleError;
use super::policy::Cast;
use crate::model::ModelName;
use crate::slot::Lineup;

impl Lifecycle {
    /// Brings the model's memory to what the registry says now, as at the start; where it was left out, it is not any more.
    ///
    /// # Errors
    /// Where there is no such model, none of its versions is active, or the active one cannot serve.
    pub fn take_up(&self, model: &ModelName) -> Result<(), LifecycleError> {
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.loader.registry.model(model)?;
        self.left_out().remove(model);
        self.converge(model, true)?;
        self.settled(model, Cast { champion: self.present(model).champion, ..Cast::default() });
        tracing::info!(%model, "{model} was taken up");
        Ok(())
    }

    /// Drops every version of the model from memory, each once its last request is done. The registry is not followed for it
    /// until it is taken up, or a version of it is activated here.
    ///
    /// # Errors
    /// Where there is no such model.
    pub fn leave_out(&self, model: &ModelName) -> Result<(), LifecycleError> {
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.loader.registry.model(model)?;
        let slot = self.slot_of(model);
        self.left_out().insert(model.clone());
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).remove(model);
        self.put(&slot, Lineup::default());
        // What is not there is what was asked for.
        self.settled(model, Cast::default());
        self.problems().insert(model.clone(), "it was taken out of this server's memory: load it again".to_owned());
        tracing::info!(%model, "{model} was taken out of memory");
        Ok(())
    }

    /// Whether the model was taken out of memory.
    pub fn is_left_out(&self, model: &ModelName) -> bool {
        self.left_out().contains(model)
    }

    pub(super) fn left_out(&self) -> MutexGuard<'_, BTreeSet<ModelName>> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
