//! Carries out what `policy` decided: activations and roll backs.

use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use super::calls::was_done;
use super::controller::{Lifecycle, event};
use super::error::LifecycleError;
use super::gate::Force;
use super::operations::Stage;
use super::policy::{self, Cast, Snapshot, Step};
use super::progress;
use crate::metrics::OpResult;
use crate::model::{Contract, ModelName, Version};
use crate::registry::{Action, Actor, Aliases, Event};
use crate::slot::{Lineup, Servable, Slot};

/// What an activation or a roll back did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// The model.
    pub model: String,
    /// The version that serves now.
    pub champion: Version,
    /// The version that a roll back goes to.
    pub previous: Option<Version>,
    /// Whether anything changed: an activation of the champion changes nothing.
    pub changed: bool,
}

crate::schema::described!(Activation as "Activation" { model, champion, previous, changed });

impl Lifecycle {
    /// Makes `version` the champion. It is opened and verified first where it is not in memory.
    ///
    /// # Errors
    /// Why it is refused; the model serves as before then.
    pub fn activate(
        &self,
        model: &ModelName,
        version: Version,
        actor: Actor,
        why: Option<String>,
    ) -> Result<Activation, LifecycleError> {
        self.activate_under((model, version), Force::No, actor, why)
    }

    /// As [`Self::activate`]; with [`Force::Yes`] the gate is asked all the same, but has not the last word. Nothing else
    /// is overridden: a version that cannot run, or would break callers, is refused.
    ///
    /// # Errors
    /// As there.
    pub fn activate_under(
        &self,
        (model, version): (&ModelName, Version),
        force: Force,
        actor: Actor,
        why: Option<String>,
    ) -> Result<Activation, LifecycleError> {
        let mut event = event(actor, Action::Activate, Some(version), why);
        // First, so that a roll back need not wait for it.
        let gated = match self.examined_first(model, version).and_then(|()| self.ask_gate(model, version, force)) {
            Ok(gated) => gated,
            Err(error) => return self.concluded(model, event, Err(error)),
        };
        event.detail = gated.as_ref().map(|gated| gated.detail.clone());
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let activated = self.aliases_and_slot(model).and_then(|(aliases, slot)| {
            if let Some(done) = self.done_before(model, &aliases, &event)? {
                return Ok(done);
            }
            if let Some(gated) = &gated {
                gated.still_holds(model, &aliases, slot.lineup().version(version))?;
            }
            let step = policy::activate(&snapshot(&aliases, &slot.lineup()), version);
            let contract = self.contract(model)?;
            self.step((model, &slot), aliases, step, (contract.as_ref(), event.clone()))
        });
        self.concluded(model, event, activated)
    }

    /// Makes the version that was active before the champion the champion again.
    ///
    /// # Errors
    /// Why it cannot be; the model serves as before then.
    pub fn roll_back(
        &self,
        model: &ModelName,
        actor: Actor,
        why: Option<String>,
    ) -> Result<Activation, LifecycleError> {
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut event = event(actor, Action::Rollback, None, why);
        let activated = self.aliases_and_slot(model).and_then(|(aliases, slot)| {
            if let Some(done) = self.done_before(model, &aliases, &event)? {
                return Ok(done);
            }
            event.version = aliases.previous;
            let step = policy::roll_back(&snapshot(&aliases, &slot.lineup()))?;
            // Neither contract nor gate here: the way back always works, and what callers lived with before, they can live
            // with again.
            self.step((model, &slot), aliases, step, (None, event.clone()))
        });
        self.concluded(model, event, activated)
    }

    /// Has a version that is not in memory opened in a child; what was found is kept for the loading.
    fn examined_first(&self, model: &ModelName, version: Version) -> Result<(), LifecycleError> {
        let slot = self.slots.find(model.as_str());
        if self.loader.keeps_findings() && slot.is_none_or(|slot| slot.lineup().version(version).is_none()) {
            let artifact = self.loader.registry.read(model, version)?;
            self.loader.examined(model, &artifact)?;
        }
        Ok(())
    }

    fn aliases_and_slot(&self, model: &ModelName) -> Result<(Aliases, Arc<Slot>), LifecycleError> {
        let aliases = self.loader.registry.aliases(model)?;
        Ok((aliases, self.slot_of(model)))
    }

    /// What a request that carries the key of one that was done before gets: nothing changes.
    fn done_before(
        &self,
        model: &ModelName,
        aliases: &Aliases,
        event: &Event,
    ) -> Result<Option<Activation>, LifecycleError> {
        let was_done = event.actor.call.key.is_some()
            && was_done(&self.loader.registry.history(model)?.events, &event.actor, event.action);
        let champion = aliases.champion.filter(|_| was_done);
        let (model, previous) = (model.to_string(), aliases.previous);
        Ok(champion.map(|champion| Activation { model, champion, previous, changed: false }))
    }

    /// Carries out what `policy` decided: load, record, swap, in that order.
    fn step(
        &self,
        (model, slot): (&ModelName, &Slot),
        aliases: Aliases,
        step: Step,
        (contract, event): (Option<&Contract>, Event),
    ) -> Result<Activation, LifecycleError> {
        let lineup = slot.lineup();
        let (version, in_memory) = match step {
            Step::Nothing => {
                let champion = aliases.champion.ok_or_else(|| LifecycleError::NoChampion { model: model.clone() })?;
                return Ok(Activation {
                    model: model.to_string(),
                    champion,
                    previous: aliases.previous,
                    changed: false,
                });
            }
            Step::Swap(version) => (version, lineup.version(version).cloned()),
            Step::LoadAndSwap(version) => (version, None),
        };
        progress::version(version);
        let champion = match in_memory {
            Some(servable) => servable,
            None => self.loader.load(slot, version, contract)?,
        };
        let was = aliases.champion.filter(|&was| was != version);
        let aliases = if aliases.challenger == Some(version) { aliases.without_challenger() } else { aliases };
        progress::stage(Stage::Recording);
        let recorded = self.with_contract(slot, aliases, &champion).and_then(|aliases| {
            let wanted = Aliases { champion: Some(version), previous: was.or(aliases.previous), ..aliases };
            Ok(self.loader.registry.set_aliases(model, wanted, event)?)
        });
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err(error) => {
                if lineup.version(version).is_none() {
                    self.reaper.retire(champion, slot.metrics().clone());
                }
                return Err(error);
            }
        };
        progress::stage(Stage::Swapping);
        self.swap(slot, champion, &recorded);
        Ok(Activation { model: model.to_string(), champion: version, previous: recorded.previous, changed: true })
    }

    /// Makes `champion` the champion; the versions beside it are those that `aliases` name, as far as they are in memory.
    pub(super) fn swap(&self, slot: &Slot, champion: Arc<Servable>, aliases: &Aliases) {
        self.left_out().remove(slot.name());
        let lineup = slot.lineup();
        let find = |version| lineup.version(version).cloned();
        let arranged = self.arranged(slot, champion, find, aliases);
        self.put(slot, arranged);
    }

    /// Counts and logs how an activation or roll back ended; a failure is added to the history (a success is there).
    fn concluded(
        &self,
        model: &ModelName,
        event: Event,
        activated: Result<Activation, LifecycleError>,
    ) -> Result<Activation, LifecycleError> {
        let action = event.action;
        match activated {
            Ok(activation) => {
                self.slot_of(model).metrics().swaps(OpResult::Ok).inc();
                let champion = Some(activation.champion);
                // What was done under this key before may still have to be followed here.
                if self.present(model).champion == champion {
                    self.settled(model, Cast { champion, ..Cast::default() });
                }
                let version = activation.champion;
                tracing::info!(%model, %version, ?action, "{model} version {version} serves now");
                Ok(activation)
            }
            Err(error) => {
                if let Some(slot) = self.slots.find(model.as_str()) {
                    slot.metrics().swaps(error.result()).inc();
                }
                Err(self.refused(model, event, error))
            }
        }
    }
}

fn snapshot(aliases: &Aliases, lineup: &Lineup) -> Snapshot {
    let serving = lineup.champion.as_ref().map(|servable| servable.version());
    Snapshot {
        champion: aliases.champion,
        previous: aliases.previous,
        loaded: lineup.iter().map(|servable| servable.version()).collect(),
        is_serving: serving.is_some() && serving == aliases.champion,
    }
}
