//! Makes a version the challenger, takes it to its next step, and takes it back.

use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use super::controller::{Lifecycle, event};
use super::error::LifecycleError;
use super::rollout_policy::RolloutPolicy;
use crate::metrics::OpResult;
use crate::model::{Mode, ModelName, Share, Version};
use crate::registry::{Action, Actor, Aliases, Challenge, Event, Moment};
use crate::slot::Slot;

/// How a version is to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// So, until a person says otherwise.
    Fixed {
        /// Whether it answers.
        mode: Mode,
        /// The share of requests that it sees or answers.
        share: Share,
    },
    /// By the steps of `model.toml`, from the first.
    Rollout,
}

/// What became of a challenger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Challenged {
    /// The model.
    pub model: String,
    /// The version.
    pub version: Version,
    /// How it is tried; `null` where it is the challenger no more.
    pub challenge: Option<Challenge>,
}

crate::schema::described!(Challenged as "Challenged" { model, version, challenge });

/// The challenger that a decision was made about: it is void for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) version: Version,
    pub(super) challenge: Challenge,
}

impl Subject {
    pub(super) fn of(aliases: &Aliases) -> Option<Self> {
        Some(Self { version: aliases.challenger?, challenge: aliases.challenge? })
    }
}

impl Lifecycle {
    /// Makes `version` the challenger, or tries the challenger in another way. It is opened and verified first, and held
    /// against the contract, as for an activation.
    ///
    /// # Errors
    /// Why it is refused; the model serves as before then.
    pub fn challenge(
        &self,
        model: &ModelName,
        version: Version,
        trial: Trial,
        (actor, why): (Actor, Option<String>),
    ) -> Result<Challenged, LifecycleError> {
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut event = event(actor, Action::Challenge, Some(version), why);
        let challenged = self.first_challenge(model, version, trial).and_then(|(aliases, challenge)| {
            event.detail = Some(in_words(&challenge));
            let slot = self.slot_of(model);
            self.open_challenger(&slot, (aliases, version, challenge), event.clone())
        });
        challenged.map_err(|error| self.refused(model, Event { detail: None, ..event }, error))
    }

    fn first_challenge(
        &self,
        model: &ModelName,
        version: Version,
        trial: Trial,
    ) -> Result<(Aliases, Challenge), LifecycleError> {
        let aliases = self.loader.registry.aliases(model)?;
        let refused = |why: String| LifecycleError::Challenge { model: model.clone(), why };
        if aliases.champion == Some(version) {
            return Err(refused(format!("version {version} is the champion")));
        }
        if let Some(other) = aliases.challenger.filter(|&other| other != version) {
            return Err(refused(format!(
                "version {other} is the challenger already: `gudgeon withdraw {model}` takes it back first"
            )));
        }
        let policy = self.model_policy(model)?.rollout;
        let since = Moment::now();
        let challenge = match trial {
            Trial::Fixed { mode, share } => Challenge { mode, share, step: None, since },
            Trial::Rollout => at_step(&policy, 1).ok_or_else(|| refused("the rollout has no steps".to_owned()))?,
        };
        Ok((aliases, challenge))
    }

    /// Load, record, swap, in that order.
    fn open_challenger(
        &self,
        slot: &Slot,
        (aliases, version, challenge): (Aliases, Version, Challenge),
        event: Event,
    ) -> Result<Challenged, LifecycleError> {
        let model = slot.name();
        let held = slot.lineup();
        let no_champion = || LifecycleError::NoChampion { model: model.clone() };
        let champion = held.champion.as_ref().filter(|servable| Some(servable.version()) == aliases.champion);
        let champion = Arc::clone(champion.ok_or_else(no_champion)?);
        let challenger = match held.version(version) {
            Some(servable) => Arc::clone(servable),
            None => self.loader.load(slot, version, self.contract(model)?.as_ref())?,
        };
        let wanted = Aliases { challenger: Some(version), challenge: Some(challenge), ..aliases };
        let recorded = match self.loader.registry.set_aliases(model, wanted, event) {
            Ok(recorded) => recorded,
            Err(error) => {
                if held.version(version).is_none() {
                    self.reaper.retire(challenger, slot.metrics().clone());
                }
                return Err(error.into());
            }
        };
        let find = |wanted| {
            let held = held.version(wanted).cloned();
            held.or_else(|| (wanted == version).then(|| Arc::clone(&challenger)))
        };
        let lineup = self.arranged(slot, champion, find, &recorded);
        self.put(slot, lineup);
        let how = in_words(&challenge);
        tracing::info!(%model, %version, "{model} version {version} is the challenger: {how}");
        Ok(Challenged { model: model.to_string(), version, challenge: Some(challenge) })
    }

    /// Takes the challenger back: it sees and answers nothing any more.
    ///
    /// # Errors
    /// Where there is none, or that cannot be recorded.
    pub fn withdraw(&self, model: &ModelName, actor: Actor, why: Option<String>) -> Result<Challenged, LifecycleError> {
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let event = event(actor, Action::Withdraw, None, why);
        let withdrawn = self.loader.registry.aliases(model).map_err(LifecycleError::from).and_then(|aliases| {
            let none = || LifecycleError::NoChallenger { model: model.clone() };
            let version = aliases.challenger.ok_or_else(none)?;
            self.take_back(&self.slot_of(model), aliases, Event { version: Some(version), ..event.clone() })?;
            Ok(Challenged { model: model.to_string(), version, challenge: None })
        });
        withdrawn.map_err(|error| self.refused(model, event, error))
    }

    /// Withdraws `subject` if it is still what is tried; false where it is not. A challenger that must go answers nothing
    /// any more, even where that cannot be recorded.
    pub(super) fn roll_back_challenger(
        &self,
        model: &ModelName,
        subject: Subject,
        (actor, why): (Actor, String),
    ) -> Result<bool, LifecycleError> {
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let aliases = self.loader.registry.aliases(model)?;
        if Subject::of(&aliases) != Some(subject) {
            return Ok(false);
        }
        let slot = self.slot_of(model);
        let event = event(actor, Action::Withdraw, Some(subject.version), Some(why));
        let taken = self.take_back(&slot, aliases, event);
        if taken.is_err() {
            self.clear(&slot);
        }
        taken.map(|()| true)
    }

    fn take_back(&self, slot: &Slot, aliases: Aliases, event: Event) -> Result<(), LifecycleError> {
        let model = slot.name();
        let why = event.why.clone().unwrap_or_default();
        let version = event.version;
        self.loader.registry.set_aliases(model, aliases.without_challenger(), event)?;
        self.clear(slot);
        tracing::info!(%model, ?version, "{model}: the challenger was withdrawn: {why}");
        Ok(())
    }

    /// Takes the challenger out of the slot.
    fn clear(&self, slot: &Slot) {
        let held = slot.lineup();
        if held.challenger.is_some() {
            let lineup = crate::slot::Lineup { challenger: None, challenge: None, ..held.as_ref().clone() };
            self.put(slot, lineup);
        }
    }

    /// Takes `subject` to step `step`, if it is still what is tried; false where it is not.
    pub(super) fn advance(
        &self,
        model: &ModelName,
        (subject, step): (Subject, u32),
        (actor, why): (Actor, String),
    ) -> Result<bool, LifecycleError> {
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let aliases = self.loader.registry.aliases(model)?;
        let policy = self.model_policy(model)?.rollout;
        let Some(challenge) = at_step(&policy, step).filter(|_| Subject::of(&aliases) == Some(subject)) else {
            return Ok(false);
        };
        let mut event = event(actor, Action::Advance, Some(subject.version), Some(why));
        event.detail = Some(in_words(&challenge));
        self.open_challenger(&self.slot_of(model), (aliases, subject.version, challenge), event)?;
        Ok(true)
    }

    /// Makes `subject` the champion, if it is still what is tried; false where it is not.
    pub(super) fn crown(
        &self,
        model: &ModelName,
        subject: Subject,
        (actor, why): (Actor, String),
    ) -> Result<bool, LifecycleError> {
        if Subject::of(&self.loader.registry.aliases(model)?) != Some(subject) {
            return Ok(false);
        }
        let activated = self.activate(model, subject.version, actor.clone(), Some(why));
        match activated {
            Err(error) if error.result() == OpResult::Refused && !is_passing(&error) => {
                // What refuses it now will refuse it the next time too.
                self.roll_back_challenger(model, subject, (actor, format!("not activated: {error}")))
            }
            other => other.map(|_| true),
        }
    }
}

/// Whether a refusal may be over at the next try.
fn is_passing(error: &LifecycleError) -> bool {
    error.kind().0 == super::ErrorKind::Conflict
}

fn at_step(policy: &RolloutPolicy, number: u32) -> Option<Challenge> {
    let step = policy.step(number)?;
    Some(Challenge { mode: step.mode, share: step.share, step: Some(number), since: Moment::now() })
}

fn in_words(challenge: &Challenge) -> String {
    let Challenge { mode, share, step, .. } = challenge;
    let step = step.map_or_else(String::new, |step| format!(", step {step} of the rollout"));
    format!("{mode} with {share} of the requests{step}")
}
