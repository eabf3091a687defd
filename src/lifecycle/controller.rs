//! The controller of every model's lifecycle: what it reaches, its threads and its locks. What it does lies beside it: `start`,
//! `queries`, `trial`, `steer`. None of them holds a "what next": `policy` decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::oneshot;

use super::conduct::{Conductor, Watch};
use super::converge::Follower;
use super::error::LifecycleError;
use super::examined::Examinations;
use super::gate::{GATES_MAX, GateOptions};
use super::load::{LoadOptions, Loader};
use super::operations::Operations;
use super::permits::Permits;
use super::policy::{Cast, Tried};
use super::reaper::Reaper;
use crate::batch::Pool;
use crate::child::step_back;
use crate::metrics::{Metrics, OpResult};
use crate::model::{ModelName, Version};
use crate::registry::{self, Action, Actor, Event, Outcome, Registry, RegistryError};
use crate::slot::{Lineup, Servable, Slot, Slots};
use crate::verify::Examiner;

/// Operations that may be under way at once.
const OPERATIONS_MAX: usize = 8;
/// Uploads and verifications that may be under way at once: they take memory and time that a model decides, and must not
/// keep an operator from rolling back.
const TRIALS_MAX: usize = 4;

/// What the controller reaches.
#[derive(Debug)]
pub struct LifecycleParts {
    /// Versions at rest.
    pub registry: Registry,
    /// Where servables sit.
    pub slots: Arc<Slots>,
    /// Where they run.
    pub pool: Arc<Pool>,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// What opens them for the first time.
    pub examiner: Examiner,
    /// Their limits.
    pub options: LoadOptions,
    /// How the gate is computed.
    pub gate: GateOptions,
}

/// The controller of every model's lifecycle.
#[derive(Debug)]
pub struct Lifecycle {
    pub(super) loader: Loader,
    pub(super) slots: Arc<Slots>,
    pub(super) metrics: Arc<Metrics>,
    /// One lock a model: its operations are serialised.
    locks: Mutex<BTreeMap<ModelName, Arc<Mutex<()>>>>,
    /// Why a model that should serve does not.
    problems: Mutex<BTreeMap<ModelName, String>>,
    /// Models that were taken out of memory.
    pub(super) left_out: Mutex<BTreeSet<ModelName>>,
    pub(super) permits: Permits,
    pub(super) trial_permits: Permits,
    pub(super) reaper: Reaper,
    conductor: OnceLock<Conductor>,
    /// New champions that may still be rolled back.
    pub(super) watches: Mutex<BTreeMap<ModelName, Watch>>,
    pub(super) gate: GateOptions,
    pub(super) gate_permits: Permits,
    pub(super) operations: Operations,
    pub(super) follower: Follower,
}

impl Lifecycle {
    /// A controller; nothing is loaded yet.
    ///
    /// # Errors
    /// The system's, where a thread cannot be started.
    pub fn new(parts: LifecycleParts) -> std::io::Result<Arc<Self>> {
        let LifecycleParts { registry, slots, pool, metrics, examiner, options, gate } = parts;
        let lifecycle = Arc::new(Self {
            reaper: Reaper::start(Arc::clone(&metrics))?,
            loader: Loader {
                registry,
                pool,
                metrics: Arc::clone(&metrics),
                examinations: Examinations::new(examiner),
                options,
            },
            slots,
            metrics,
            locks: Mutex::default(),
            problems: Mutex::default(),
            left_out: Mutex::default(),
            permits: Permits::new(OPERATIONS_MAX),
            trial_permits: Permits::new(TRIALS_MAX),
            gate,
            gate_permits: Permits::new(GATES_MAX),
            operations: Operations::default(),
            follower: Follower::default(),
            conductor: OnceLock::new(),
            watches: Mutex::default(),
        });
        let conductor = Conductor::start(Arc::downgrade(&lifecycle))?;
        lifecycle.conductor.get_or_init(|| conductor);
        Ok(lifecycle)
    }

    /// Runs `operation` on a thread of its own and waits for it. The thread has a name; a panic in it is
    /// an error here and nothing else.
    ///
    /// # Errors
    /// What `operation` gives; [`LifecycleError::Busy`] where too many are under way, [`LifecycleError::Stopped`] at the
    /// end.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        operation: impl FnOnce(&Self) -> Result<T, LifecycleError> + Send + 'static,
    ) -> Result<T, LifecycleError> {
        self.run_under(&self.permits, operation).await
    }

    /// As [`Self::run`], for operations that try out a model and change nothing of what serves.
    ///
    /// # Errors
    /// As there.
    pub async fn run_trial<T: Send + 'static>(
        self: &Arc<Self>,
        operation: impl FnOnce(&Self) -> Result<T, LifecycleError> + Send + 'static,
    ) -> Result<T, LifecycleError> {
        self.run_under(&self.trial_permits, operation).await
    }

    async fn run_under<T: Send + 'static>(
        self: &Arc<Self>,
        permits: &Permits,
        operation: impl FnOnce(&Self) -> Result<T, LifecycleError> + Send + 'static,
    ) -> Result<T, LifecycleError> {
        let permit = permits.take()?;
        let (reply, answer) = oneshot::channel();
        let lifecycle = Arc::clone(self);
        let builder = std::thread::Builder::new().name("gudgeon-lifecycle".to_owned());
        let spawned = builder.spawn(move || {
            step_back();
            let result = operation(&lifecycle);
            drop(permit);
            // A caller that went away does not undo the operation; the history has it.
            drop(reply.send(result));
        });
        if spawned.is_err() {
            return Err(LifecycleError::Busy { n_max: permits.n_max() });
        }
        answer.await.unwrap_or_else(|_| {
            self.metrics.count_panic();
            Err(LifecycleError::Panicked)
        })
    }

    /// Ends the follower, the rollouts and the reaper; no operation may be started after that.
    pub fn stop(&self) {
        self.follower.stop();
        self.permits.close();
        self.trial_permits.close();
        if let Some(conductor) = self.conductor.get() {
            conductor.stop();
        }
        self.reaper.stop();
    }

    pub(super) fn slot_of(&self, model: &ModelName) -> Arc<Slot> {
        self.slots.find_or_add(model, || Slot::new(model.clone(), self.metrics.model(model.as_str())))
    }

    pub(super) fn lock_of(&self, model: &ModelName) -> Arc<Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Names that no model has leave nothing behind.
        locks.retain(|_, lock| 1 < Arc::strong_count(lock));
        Arc::clone(locks.entry(model.clone()).or_default())
    }

    pub(super) fn problems(&self) -> std::sync::MutexGuard<'_, BTreeMap<ModelName, String>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the history what changed nothing; a registry that cannot be written to does not make it an error.
    pub(super) fn note(&self, model: &ModelName, event: &Event) {
        if let Err(error) = self.loader.registry.append(model, event) {
            tracing::warn!(%model, "{model}: the history could not be written: {error}");
        }
    }

    pub(super) fn refused(&self, model: &ModelName, event: Event, error: LifecycleError) -> LifecycleError {
        let is_known = !matches!(error, LifecycleError::Registry(RegistryError::NoSuchModel { .. }));
        tracing::warn!(%model, action = ?event.action, "{model}: {error}");
        if is_known {
            let outcome = if error.result() == OpResult::Refused { Outcome::Refused } else { Outcome::Failed };
            self.note(model, &Event { outcome, detail: Some(error.to_string()), ..event });
        }
        error
    }
}

/// An event of now that went well.
pub(super) fn event(actor: Actor, action: Action, version: Option<Version>, why: Option<String>) -> Event {
    Event { at: registry::now(), actor, action, version, why, outcome: Outcome::Ok, detail: None }
}

/// Which versions a lineup holds.
pub(super) fn lineup_cast(lineup: &Lineup) -> Cast {
    let version = |servable: &Option<Arc<Servable>>| servable.as_ref().map(|servable| servable.version());
    Cast {
        champion: version(&lineup.champion),
        challenger: version(&lineup.challenger),
        tried: lineup.challenge.as_ref().map(|challenge| {
            let options = challenge.options();
            Tried { mode: options.mode, share: options.share, step: options.step }
        }),
        previous: version(&lineup.previous),
    }
}
