//! Operations that a caller may follow, or leave alone: begun here, remembered, ended on a thread of their own.

use std::sync::Arc;

use serde::Serialize;

use super::controller::Lifecycle;
use super::error::LifecycleError;
use super::operations::{Ask, Kind, OPERATIONS_KEPT, Operation, Tracked};
use super::permits::Permits;
use super::progress::Current;
use crate::child::step_back;
use crate::registry::{Action, Actor, Event, Outcome};

impl Lifecycle {
    /// Begins what is asked for, unless it has been asked for under the same key before: then that operation is it. It goes
    /// on whether or not somebody waits for it.
    ///
    /// # Errors
    /// [`LifecycleError::Busy`] where too many are under way, [`LifecycleError::Stopped`] at the end,
    /// [`LifecycleError::KeyReused`] where the key came with another request.
    pub fn begin<T: Serialize>(
        self: &Arc<Self>,
        mut ask: Ask,
        operation: impl FnOnce(&Self, Actor) -> Result<T, LifecycleError> + Send + 'static,
    ) -> Result<Arc<Tracked>, LifecycleError> {
        if let Some(known) = self.operations.repeated(&ask)? {
            return Ok(known);
        }
        let permits = self.permits_for(ask.kind);
        let permit = permits.take()?;
        let (tracked, is_new) = self.operations.admit(&mut ask)?;
        if !is_new {
            return Ok(tracked);
        }
        let (lifecycle, actor) = (Arc::clone(self), ask.actor);
        let running = Running { lifecycle, tracked: Arc::clone(&tracked) };
        let builder = std::thread::Builder::new().name("gudgeon-lifecycle".to_owned());
        let spawned = builder.spawn(move || {
            step_back();
            running.run(|lifecycle| operation(lifecycle, actor));
            drop(permit);
        });
        if spawned.is_err() {
            tracked.end(Err(LifecycleError::Busy { n_max: permits.n_max() }));
        }
        Ok(tracked)
    }

    fn permits_for(&self, kind: Kind) -> &Permits {
        match kind {
            Kind::Register | Kind::Verify => &self.trial_permits,
            Kind::Activate
            | Kind::Rollback
            | Kind::Challenge
            | Kind::Withdraw
            | Kind::Prune
            | Kind::Load
            | Kind::Unload
            | Kind::Follow => &self.permits,
        }
    }

    /// Every operation that is remembered, oldest first.
    pub fn operations(&self) -> Vec<Operation> {
        self.operations.all()
    }

    /// One operation.
    ///
    /// # Errors
    /// [`LifecycleError::UnknownOperation`].
    pub fn operation(&self, id: &str) -> Result<Arc<Tracked>, LifecycleError> {
        self.operations.find(id).ok_or(LifecycleError::UnknownOperation { n_max: OPERATIONS_KEPT })
    }
}

/// An operation under way: it ends, even by a panic.
pub(super) struct Running {
    pub(super) lifecycle: Arc<Lifecycle>,
    pub(super) tracked: Arc<Tracked>,
}

impl Running {
    pub(super) fn run<T: Serialize>(&self, operation: impl FnOnce(&Lifecycle) -> Result<T, LifecycleError>) {
        let _current = Current::enter(Arc::clone(&self.tracked));
        let result = operation(&self.lifecycle);
        // Results are plain structs: one that cannot be written is a fault here.
        let result = result.and_then(|value| serde_json::to_value(value).map_err(|_| LifecycleError::Panicked));
        self.tracked.end(result);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.lifecycle.metrics.count_panic();
            self.tracked.end(Err(LifecycleError::Panicked));
        }
    }
}

/// Whether the history has the answer to a request with this actor's key: a caller that lost it asks again, perhaps after the
/// server was killed, or on another replica.
pub(super) fn was_done(events: &[Event], actor: &Actor, action: Action) -> bool {
    let is_it = |event: &&Event| event.actor.call.key == actor.call.key && event.action == action;
    actor.call.key.is_some() && events.iter().rev().find(is_it).is_some_and(|event| event.outcome == Outcome::Ok)
}
