//! From what the aliases say to what the slot holds.

use std::sync::Arc;

use super::controller::Lifecycle;
use super::error::LifecycleError;
use super::model_policy::ModelPolicy;
use crate::model::{ModelName, Version};
use crate::registry::Aliases;
use crate::slot::{Challenge, ChallengeOptions, Lineup, Servable, Slot};

impl Lifecycle {
    /// The lineup of `champion` and of what `find` gives for the other aliases. A challenger that is tried already is tried
    /// on, with what is known of it.
    pub(super) fn arranged(
        &self,
        slot: &Slot,
        champion: Arc<Servable>,
        find: impl Fn(Version) -> Option<Arc<Servable>>,
        aliases: &Aliases,
    ) -> Lineup {
        let others = |version: Option<Version>| version.filter(|&version| version != champion.version());
        let previous = others(aliases.previous).filter(|_| self.keeps_previous(slot.name())).and_then(&find);
        let challenger = others(aliases.challenger).and_then(&find);
        let challenge = challenger.as_ref().and_then(|challenger| {
            let options = self.challenge_options(slot.name(), aliases)?;
            let held = slot.lineup().challenge.clone();
            let is_same = |held: &Arc<Challenge>| held.is_between(&champion, challenger) && held.options() == &options;
            if let Some(held) = held.filter(is_same) {
                return Some(held);
            }
            let started = Challenge::start(&champion, challenger, options, &self.metrics);
            let model = slot.name();
            started.inspect_err(|error| tracing::error!(%model, "{model}: the challenger is not tried: {error}")).ok()
        });
        Lineup { champion: Some(champion), challenger, challenge, previous }
    }

    fn challenge_options(&self, model: &ModelName, aliases: &Aliases) -> Option<ChallengeOptions> {
        let challenge = aliases.challenge?;
        let policy = self.model_policy(model).unwrap_or_else(|error| {
            tracing::warn!(%model, "{model}: the challenger is tried by the defaults: {error}");
            ModelPolicy::default()
        });
        Some(ChallengeOptions {
            mode: challenge.mode,
            share: challenge.share,
            step: challenge.step,
            since: challenge.since.to_string(),
            key_header: policy.rollout.key_header,
            latency_ratio_max: policy.rollout.conditions.latency_ratio_max,
            tolerance: policy.rollout.agreement_tolerance,
        })
    }

    /// The owner's policy for the model.
    pub(super) fn model_policy(&self, model: &ModelName) -> Result<ModelPolicy, LifecycleError> {
        self.loader.policy(model)
    }

    /// Swaps `lineup` in and retires what has left the slot.
    pub(super) fn put(&self, slot: &Slot, lineup: Lineup) {
        let kept: Vec<_> = lineup.iter().cloned().collect();
        self.begin_watch(slot.name(), &slot.lineup(), &lineup);
        let old = slot.swap(lineup);
        for servable in old.iter().filter(|servable| kept.iter().all(|kept| !Arc::ptr_eq(kept, servable))) {
            self.reaper.retire(Arc::clone(servable), slot.metrics().clone());
        }
    }
}
