//! Follows the registry: its aliases are the desired state, and what is in memory comes to be that.
//!
//! A thread looks at the registry whenever the system tells of a change there, and from time to time all the same. Looking is
//! cheap: the list of models and one small file a model. Where memory is not what the registry says, `policy` decides and a
//! thread of its own carries it out under the model's lock. What cannot be done leaves what serves as it is, is told as the model's
//! problem, and is tried again when something changes, else less and less often. A serving version is never dropped because a
//! file or a folder vanished.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::calls::Running;
use super::controller::{Lifecycle, lineup_cast};
use super::error::LifecycleError;
use super::operations::{Ask, Kind};
use super::permits::Permits;
use super::policy::{self, Cast, Move, Tried};
use crate::child::step_back;
use crate::model::{Digest, ModelName, Version};
use crate::registry::{Action, Actor, Call, Challenge, Outcome, PolicyFile, Stamp, Watch};

/// Models that may be loaded at once because the registry changed.
const FOLLOWING_MAX: usize = 4;
/// How long a burst of changes may be to be seen by one look.
const BURST: Duration = Duration::from_millis(20);
/// How long to wait after the first failure, where nothing changes.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Wakes that may wait; one is as good as many.
const WAKES_MAX: usize = 8;

enum Wake {
    Changed,
    Stop,
}

/// What a try was made from: another one is worth making once that is different.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Situation {
    wanted: Cast,
    stamp: Stamp,
}

/// A try that failed.
#[derive(Debug)]
struct Attempt {
    situation: Situation,
    failures: u32,
    retry_at: Instant,
}

/// The thread that follows the registry, and what it remembers.
#[derive(Debug)]
pub(super) struct Follower {
    thread: Mutex<Option<(SyncSender<Wake>, JoinHandle<()>)>>,
    attempts: Mutex<BTreeMap<ModelName, Attempt>>,
    /// Bare graphs that appeared: they are taken up once two looks saw the same.
    arriving: Mutex<BTreeMap<ModelName, Stamp>>,
    permits: Permits,
}

impl Default for Follower {
    fn default() -> Self {
        let permits = Permits::new(FOLLOWING_MAX);
        Self { thread: Mutex::default(), attempts: Mutex::default(), arriving: Mutex::default(), permits }
    }
}

impl Follower {
    /// Ends the thread; a model that is being loaded is left to itself.
    pub(super) fn stop(&self) {
        self.permits.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((waker, thread)) = thread else { return };
        // A thread that has ended needs no word.
        drop(waker.send(Wake::Stop));
        if thread.join().is_err() {
            tracing::error!("following the registry ended by a panic");
        }
    }

    fn attempts(&self) -> MutexGuard<'_, BTreeMap<ModelName, Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_due(&self, model: &ModelName, situation: &Situation) -> bool {
        let attempts = self.attempts();
        attempts.get(model).is_none_or(|last| last.situation != *situation || last.retry_at <= Instant::now())
    }

    fn has_failed(&self, model: &ModelName, situation: &Situation) -> bool {
        self.attempts().get(model).is_some_and(|last| last.situation == *situation)
    }

    /// Remembers a failure; says whether it is the first one in this situation.
    fn failed(&self, model: &ModelName, situation: Situation) -> bool {
        let mut attempts = self.attempts();
        let before = attempts.get(model).filter(|last| last.situation == situation).map_or(0, |last| last.failures);
        let retry_at = Instant::now() + policy::retry_delay(before, RETRY_INTERVAL);
        attempts.insert(model.clone(), Attempt { situation, failures: before.saturating_add(1), retry_at });
        before == 0
    }

    /// Whether a bare graph is the one that the last look saw: nobody is writing it any more.
    fn has_arrived(&self, model: &ModelName, stamp: Stamp) -> bool {
        let mut arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
        arriving.insert(model.clone(), stamp.clone()) == Some(stamp)
    }
}

impl Lifecycle {
    /// Follows the registry from now on, looking at it every `interval` at the latest.
    ///
    /// # Errors
    /// The system's, where the thread cannot be started.
    pub fn follow(self: &Arc<Self>, interval: Duration) -> std::io::Result<()> {
        let (waker, wakes) = sync_channel(WAKES_MAX);
        let watch = match Watch::start(&self.loader.registry) {
            Ok(watch) => Some(Arc::new(watch)),
            Err(error) => {
                tracing::warn!("the system tells of no changes in the registry ({error}): it is looked at regularly");
                None
            }
        };
        if let Some(watch) = &watch {
            let (watch, waker) = (Arc::clone(watch), waker.clone());
            std::thread::Builder::new().name("gudgeon-watch".to_owned()).spawn(move || tell(&watch, &waker))?;
        }
        let lifecycle = Arc::clone(self);
        let thread = std::thread::Builder::new().name("gudgeon-follow".to_owned());
        let thread = thread.spawn(move || {
            // So do the threads that it starts.
            step_back();
            lifecycle.look_on(watch.as_deref(), &wakes, interval);
            drop(wakes);
            watch.inspect(|watch| watch.close());
        })?;
        *self.follower.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some((waker, thread));
        Ok(())
    }

    fn look_on(self: &Arc<Self>, watch: Option<&Watch>, wakes: &Receiver<Wake>, interval: Duration) {
        loop {
            self.look(watch);
            let mut wait = interval;
            let mut burst_ends = None;
            // Changes come in bursts: one look sees them all.
            loop {
                match wakes.recv_timeout(wait) {
                    Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                    Ok(Wake::Changed) => {
                        let ends = *burst_ends.get_or_insert_with(|| Instant::now() + BURST);
                        wait = ends.saturating_duration_since(Instant::now());
                    }
                    Err(RecvTimeoutError::Timeout) => break,
                }
            }
        }
    }

    fn look(self: &Arc<Self>, watch: Option<&Watch>) {
        let registry = &self.loader.registry;
        if let Some(Err(error)) = watch.map(|watch| watch.cover_root(registry)) {
            tracing::debug!("the models directory cannot be watched: {error}; it is looked at regularly");
        }
        let models = match registry.models() {
            Ok(listing) => listing.models,
            Err(error) => {
                for slot in self.slots.all() {
                    self.astray(
                        slot.name(),
                        &format!("the registry cannot be read, what was loaded serves on: {error}"),
                    );
                }
                return;
            }
        };
        for model in &models {
            // Watched before it is looked at: what changes in between is told.
            if let Some(Err(error)) = watch.map(|watch| watch.cover(registry, model)) {
                tracing::debug!(%model, "{model}: {error}; it is looked at regularly");
            }
            self.look_at(model);
        }
        for slot in self.slots.all().iter().filter(|slot| models.binary_search(slot.name()).is_err()) {
            let gone = "its folder is gone from the registry, what was loaded serves on: restore it from a copy";
            self.astray(slot.name(), gone);
        }
    }

    fn look_at(self: &Arc<Self>, model: &ModelName) {
        if self.is_left_out(model) {
            return;
        }
        let present = self.present(model);
        let (wanted, only) = match self.wanted(model, present, false) {
            Ok(known) => known,
            Err(error) if self.slots.find(model.as_str()).is_some() => return self.astray(model, &error.to_string()),
            Err(_) => return,
        };
        let step = policy::converge(wanted, present, only);
        match step {
            Move::Nothing => self.settled(model, wanted),
            Move::Keep => {
                if let Some(version) = present.champion {
                    self.astray(model, &format!("the registry names no active version, version {version} serves on"));
                }
            }
            Move::Champion { .. } | Move::Others => self.converge_beside(model, wanted, step),
        }
    }

    /// What the registry wants in memory, and the version that needs nobody's decision. While the server runs only a bare graph
    /// is such a version: one that was registered waits for its activation.
    fn wanted(
        &self,
        model: &ModelName,
        present: Cast,
        is_start: bool,
    ) -> Result<(Cast, Option<Version>), LifecycleError> {
        let registry = &self.loader.registry;
        let aliases = registry.aliases(model)?;
        let mut wanted = Cast {
            champion: aliases.champion,
            challenger: aliases.challenger,
            previous: aliases.previous,
            tried: aliases.challenge.map(|Challenge { mode, share, step, .. }| Tried { mode, share, step }),
        };
        if wanted.previous != present.previous && !self.keeps_previous(model) {
            wanted.previous = None;
        }
        if wanted.champion.is_some() || present.champion.is_some() {
            return Ok((wanted, None));
        }
        // A gate is there to be asked, by a first version too.
        let is_gated = registry.policy_text(model, PolicyFile::Gate)?.is_some();
        let only = policy::at_start(None, &registry.model(model)?.versions).map(|(version, _)| version);
        let only = only.filter(|_| !is_gated);
        let Some(version) = only.filter(|_| !is_start) else { return Ok((wanted, only)) };
        let stamp = registry.stamp(model, version)?;
        let may_begin = stamp.is_bare() && self.follower.has_arrived(model, stamp);
        Ok((wanted, may_begin.then_some(version)))
    }

    pub(super) fn present(&self, model: &ModelName) -> Cast {
        self.slots.find(model.as_str()).map(|slot| lineup_cast(&slot.lineup())).unwrap_or_default()
    }

    /// Carries a move out on a thread of its own, unless the same failed a moment ago.
    fn converge_beside(self: &Arc<Self>, model: &ModelName, wanted: Cast, step: Move) {
        let situation = self.situation(model, wanted, step);
        if !self.follower.is_due(model, &situation) {
            return;
        }
        // Without a turn, the next look tries again.
        let Ok(permit) = self.follower.permits.take() else { return };
        let (lifecycle, model) = (Arc::clone(self), model.clone());
        let thread = std::thread::Builder::new().name("gudgeon-converge".to_owned());
        let spawned = thread.spawn(move || {
            lifecycle.converge_tracked(&model, situation, step);
            drop(permit);
        });
        if let Err(error) = spawned {
            tracing::error!("a thread to follow the registry could not be started: {error}");
        }
    }

    fn situation(&self, model: &ModelName, wanted: Cast, step: Move) -> Situation {
        let version = match step {
            Move::Champion { version, .. } => Some(version),
            Move::Nothing | Move::Keep | Move::Others => wanted.champion,
        };
        let stamp = version.and_then(|version| self.loader.registry.stamp(model, version).ok());
        Situation { wanted, stamp: stamp.unwrap_or_default() }
    }

    fn converge_tracked(self: &Arc<Self>, model: &ModelName, situation: Situation, step: Move) {
        let lock = self.lock_of(model);
        let _alone = match lock.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // An operation is under way; the next look finds what it has left to do.
            Err(TryLockError::WouldBlock) => return,
        };
        let Move::Champion { version, .. } = step else {
            return self.concluded_following(model, situation, self.converge(model, false));
        };
        let (actor, why) = self.decided_by(model, version);
        // The same again is no news.
        if !self.follower.has_failed(model, &situation) {
            tracing::info!(%model, %version, who = actor.who, why, "following the registry: {model} version {version}");
        }
        let digest = Digest::of(&[]);
        let mut ask = Ask { kind: Kind::Follow, model: model.clone(), version: Some(version), actor, why, digest };
        let Ok((tracked, _)) = self.operations.admit(&mut ask) else { return };
        let running = Running { lifecycle: Arc::clone(self), tracked };
        running.run(|lifecycle| {
            let converged = lifecycle.converge(model, false);
            let told = converged.as_ref().map(|()| version).map_err(ToString::to_string);
            lifecycle.concluded_following(model, situation, converged);
            told.map_err(LifecycleError::NotFollowed)
        });
    }

    fn concluded_following(&self, model: &ModelName, situation: Situation, result: Result<(), LifecycleError>) {
        let wanted = situation.wanted;
        match result {
            Ok(()) => self.settled(model, Cast { champion: self.present(model).champion, ..wanted }),
            Err(error) => {
                let is_champion = self.present(model).champion == wanted.champion;
                let is_first = self.follower.failed(model, situation);
                match wanted.champion {
                    // The champion answers; it is the way back or the candidate that is not there.
                    Some(_) if is_champion && is_first => tracing::warn!(%model, "{model}: {error}"),
                    Some(_) if is_champion => {}
                    _ => self.astray(model, &error.to_string()),
                }
            }
        }
    }

    /// Brings memory to what the registry says. The caller holds the model's lock.
    pub(super) fn converge(&self, model: &ModelName, is_start: bool) -> Result<(), LifecycleError> {
        if self.is_left_out(model) {
            return Ok(());
        }
        let present = self.present(model);
        let (wanted, only) = self.wanted(model, present, is_start)?;
        match policy::converge(wanted, present, only) {
            Move::Nothing => Ok(()),
            Move::Keep if present.champion.is_some() => Ok(()),
            Move::Keep => Err(LifecycleError::NoChampion { model: model.clone() }),
            Move::Others => self.fill(model, wanted),
            Move::Champion { version, must_record } => {
                self.make_champion(model, version, must_record)?;
                let (wanted, _) = self.wanted(model, self.present(model), is_start)?;
                let filled = self.fill(model, wanted);
                // The version that answers is right; the next look sees to the others.
                filled.unwrap_or_else(|error| tracing::warn!(%model, "{model}: {error}"));
                Ok(())
            }
        }
    }

    /// The model serves what the registry says.
    pub(super) fn settled(&self, model: &ModelName, wanted: Cast) {
        self.follower.attempts().remove(model);
        let was = self.problems().remove(model);
        if was.is_some() {
            tracing::info!(%model, "{model} is again as the registry says");
        }
        self.mark(model, wanted.champion, true);
    }

    /// The model does not serve what the registry says: that is told, and logged where it is new.
    pub(super) fn astray(&self, model: &ModelName, problem: &str) {
        let desired = self.loader.registry.aliases(model).ok().and_then(|aliases| aliases.champion);
        self.slot_of(model);
        self.mark(model, desired, false);
        let was = self.problems().insert(model.clone(), problem.to_owned());
        if was.as_deref() != Some(problem) {
            tracing::error!(%model, "{model} does not serve what the registry says: {problem}");
        }
    }

    pub(super) fn failed_at_start(&self, model: &ModelName, error: &LifecycleError) {
        let present = self.present(model);
        if let Ok((wanted, _)) = self.wanted(model, present, true) {
            let situation = self.situation(model, wanted, policy::converge(wanted, present, None));
            self.follower.failed(model, situation);
        }
        self.astray(model, &error.to_string());
    }

    fn mark(&self, model: &ModelName, desired: Option<Version>, is_converged: bool) {
        if let Some(slot) = self.slots.find(model.as_str()) {
            let desired = desired.map_or(0, Version::number);
            slot.metrics().desired_version.set(i64::try_from(desired).unwrap_or(i64::MAX));
            slot.metrics().converged.set(i64::from(is_converged));
        }
    }

    /// Who made `version` the champion, and why, as the history has it.
    fn decided_by(&self, model: &ModelName, version: Version) -> (Actor, Option<String>) {
        let events = self.loader.registry.history(model).unwrap_or_default().events;
        let decided = events.into_iter().rev().find(|event| {
            matches!(event.action, Action::Activate | Action::Rollback)
                && event.version == Some(version)
                && event.outcome == Outcome::Ok
        });
        match decided {
            // The call was another server's.
            Some(event) => (Actor { call: Call::default(), ..event.actor }, event.why),
            None => (Actor { who: "gudgeon serve".to_owned(), from: None, call: Call::default() }, None),
        }
    }
}

/// Hands on what the system tells, until nobody listens.
fn tell(watch: &Watch, waker: &SyncSender<Wake>) {
    step_back();
    loop {
        if let Err(error) = watch.wait() {
            tracing::warn!("the system tells no more of changes in the registry ({error}): it is looked at regularly");
            return;
        }
        if let Err(TrySendError::Disconnected(_)) = waker.try_send(Wake::Changed) {
            return;
        }
    }
}
