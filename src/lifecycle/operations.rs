//! Operations as callers see them: what was asked, how far it is, how it ended. The last ones are kept, a bounded number.
//!
//! ```text
//! queued --> running --> succeeded | refused | failed
//! ```
//!
//! An operation goes on when its caller goes away. A request that carries a key it has carried before is the same operation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::error::LifecycleError;
use crate::metrics::OpResult;
use crate::model::{Digest, ModelName, Version};
use crate::registry::{self, Actor};
use crate::schema::{Described, Members, Schemas};

/// Operations that are remembered: the last ones, and those under way.
pub const OPERATIONS_KEPT: usize = 256;
/// Steps of one operation that are remembered.
const PROGRESS_MAX: usize = 64;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A graph becomes a version.
    Register,
    /// A version is tried out.
    Verify,
    /// A version becomes the champion.
    Activate,
    /// The version before becomes the champion again.
    Rollback,
    /// A version becomes the challenger.
    Challenge,
    /// It is the challenger no more.
    Withdraw,
    /// Versions are removed.
    Prune,
    /// The model is taken up into memory.
    Load,
    /// It is taken out of memory.
    Unload,
    /// The server follows a change of the registry that was made elsewhere.
    Follow,
}

crate::schema::described_words!(Kind as "OperationKind" {
    Register, Verify, Activate, Rollback, Challenge, Withdraw, Prune, Load, Unload, Follow,
});

/// Where an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// It waits for another operation of the same model.
    Queued,
    /// It is under way.
    Running,
    /// It was done.
    Succeeded,
    /// A rule forbade it; nothing was changed.
    Refused,
    /// It went wrong; nothing was changed.
    Failed,
}

crate::schema::described_words!(OperationState as "OperationState" { Queued, Running, Succeeded, Refused, Failed });

impl OperationState {
    /// Whether it has ended.
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Refused | Self::Failed => true,
        }
    }
}

/// What an operation that runs is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Files are read and held against their digests.
    Reading,
    /// The graph is opened, its golden cases are run, it is warmed up and measured.
    Verifying,
    /// Its queue and its drift monitor are set up.
    Loading,
    /// The registry is written.
    Recording,
    /// The slot gets its new version.
    Swapping,
    /// Files are removed.
    Removing,
}

crate::schema::described_words!(Stage as "Stage" { Reading, Verifying, Loading, Recording, Swapping, Removing });

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Where the operation was from then on.
    pub state: OperationState,
    /// What it was doing from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
}

crate::schema::described!(Progress as "Progress" { at, state } omitted { stage });

/// Why an operation did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In a sentence.
    pub error: String,
    /// In a word that does not change.
    pub code: String,
    /// What a program may want beside it: `breaches` of a contract, the gate's `report`.
    #[serde(flatten)]
    pub data: BTreeMap<String, Value>,
}

impl Described for Failure {
    fn schema(schemas: &mut Schemas) -> Value {
        schemas.named::<Self>("Failure", |schemas| {
            let mut members = Members::default();
            members.required("error", json!({ "type": "string" }));
            members.required("code", json!({ "type": "string" }));
            super::error::described_data(schemas, &mut members);
            members.into_object()
        })
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its name; ids of later operations sort after it.
    pub id: String,
    /// What is done.
    pub kind: Kind,
    /// To which model.
    pub model: String,
    /// To which version, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Who asked.
    pub who: String,
    /// Where they asked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The reason given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Where it is.
    pub state: OperationState,
    /// Every step so far, oldest first.
    pub progress: Vec<Progress>,
    /// What came of it, where it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

crate::schema::described!(
    Operation as "Operation" { id, kind, model, who, state, progress } omitted { version, from, why, result, failure }
);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// What is to be done.
    pub kind: Kind,
    /// To which model.
    pub model: ModelName,
    /// To which version, where that is said.
    pub version: Option<Version>,
    /// Who asks; a key of theirs makes a repetition the same operation.
    pub actor: Actor,
    /// The reason given.
    pub why: Option<String>,
    /// The digest of everything that is asked for: another request under the same key is refused.
    pub digest: Digest,
}

/// An operation that is remembered. Cheap to share; whoever waits for it sees every step.
#[derive(Debug)]
pub struct Tracked {
    id: String,
    kind: Kind,
    model: ModelName,
    key: Option<String>,
    digest: Digest,
    operation: Mutex<Operation>,
    error: OnceLock<LifecycleError>,
    steps: watch::Sender<usize>,
}

impl Tracked {
    pub(super) fn new(ask: &mut Ask) -> Arc<Self> {
        let id = Uuid::now_v7().to_string();
        ask.actor.call.operation = Some(id.clone());
        let queued = Progress { at: registry::now(), state: OperationState::Queued, stage: None };
        let operation = Operation {
            id: id.clone(),
            kind: ask.kind,
            model: ask.model.to_string(),
            version: ask.version,
            who: ask.actor.who.clone(),
            from: ask.actor.from.clone(),
            why: ask.why.clone(),
            state: OperationState::Queued,
            progress: vec![queued],
            result: None,
            failure: None,
        };
        Arc::new(Self {
            id,
            kind: ask.kind,
            model: ask.model.clone(),
            key: ask.actor.call.key.clone(),
            digest: ask.digest,
            operation: Mutex::new(operation),
            error: OnceLock::new(),
            steps: watch::Sender::new(1),
        })
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As it is now.
    pub fn now(&self) -> Operation {
        self.lock().clone()
    }

    /// Waits until there are more than `n_seen` steps; gives back the operation as it is then.
    pub async fn after(&self, n_seen: usize) -> Operation {
        let mut steps = self.steps.subscribe();
        // The sender is this value's own: it cannot have gone.
        drop(steps.wait_for(|n_steps| n_seen < *n_steps).await);
        self.now()
    }

    /// Waits for its end: what came of it.
    ///
    /// # Errors
    /// What ended it otherwise.
    pub async fn ended(&self) -> Result<Value, &LifecycleError> {
        let mut operation = self.now();
        while !operation.state.is_final() {
            operation = self.after(operation.progress.len()).await;
        }
        match self.error.get() {
            Some(error) => Err(error),
            None => Ok(operation.result.unwrap_or_default()),
        }
    }

    pub(super) fn reach(&self, stage: Stage) {
        let mut operation = self.lock();
        if !operation.state.is_final() {
            self.step(&mut operation, OperationState::Running, Some(stage));
        }
    }

    pub(super) fn concern(&self, version: Version) {
        self.lock().version = Some(version);
    }

    /// Notes the end; what comes after it changes nothing.
    pub(super) fn end(&self, result: Result<Value, LifecycleError>) {
        let mut operation = self.lock();
        if operation.state.is_final() {
            return;
        }
        let state = match result {
            Ok(result) => {
                operation.result = Some(result);
                OperationState::Succeeded
            }
            Err(error) => {
                let data = error.data().map(|(name, data)| (name.to_owned(), data)).into_iter().collect();
                operation.failure = Some(Failure { error: error.to_string(), code: error.kind().1.to_owned(), data });
                let is_refused = error.result() == OpResult::Refused;
                drop(self.error.set(error));
                if is_refused { OperationState::Refused } else { OperationState::Failed }
            }
        };
        self.step(&mut operation, state, None);
    }

    fn step(&self, operation: &mut Operation, state: OperationState, stage: Option<Stage>) {
        operation.state = state;
        // The end is a step however many there were.
        if operation.progress.len() < PROGRESS_MAX - 1 || state.is_final() {
            operation.progress.push(Progress { at: registry::now(), state, stage });
            self.steps.send_replace(operation.progress.len());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Operation> {
        self.operation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The operations that are remembered, oldest first.
#[derive(Debug, Default)]
pub(super) struct Operations {
    all: Mutex<VecDeque<Arc<Tracked>>>,
}

impl Operations {
    /// The operation that was asked for under the same key before.
    ///
    /// # Errors
    /// [`LifecycleError::KeyReused`] where the key came with another request.
    pub(super) fn repeated(&self, ask: &Ask) -> Result<Option<Arc<Tracked>>, LifecycleError> {
        repeated(&self.lock(), ask)
    }

    /// Remembers a new operation, in place of the oldest that has ended; says whether it is new, or one that was asked for
    /// under the same key meanwhile.
    ///
    /// # Errors
    /// As [`Self::repeated`].
    pub(super) fn admit(&self, ask: &mut Ask) -> Result<(Arc<Tracked>, bool), LifecycleError> {
        let mut all = self.lock();
        if let Some(known) = repeated(&all, ask)? {
            return Ok((known, false));
        }
        if OPERATIONS_KEPT <= all.len() {
            let mut ended = all.iter().enumerate().filter(|(_, tracked)| tracked.lock().state.is_final());
            let oldest = ended.clone().next().map(|(index, _)| index);
            // What the server does by itself again and again does not push out what callers asked for.
            let followed = ended.find(|(_, tracked)| tracked.kind == Kind::Follow).map(|(index, _)| index);
            followed.or(oldest).map(|index| all.remove(index));
        }
        let tracked = Tracked::new(ask);
        all.push_back(Arc::clone(&tracked));
        Ok((tracked, true))
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Tracked>> {
        self.lock().iter().find(|tracked| tracked.id == id).cloned()
    }

    /// Every operation, oldest first.
    pub(super) fn all(&self) -> Vec<Operation> {
        self.lock().iter().map(|tracked| tracked.now()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Tracked>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn repeated(all: &VecDeque<Arc<Tracked>>, ask: &Ask) -> Result<Option<Arc<Tracked>>, LifecycleError> {
    let Some(key) = &ask.actor.call.key else { return Ok(None) };
    let found = all.iter().rev().find(|tracked| tracked.model == ask.model && tracked.key.as_ref() == Some(key));
    match found {
        Some(tracked) if tracked.digest != ask.digest => Err(LifecycleError::KeyReused),
        found => Ok(found.cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(key: Option<&str>, digest: &[u8]) -> Ask {
        let call = registry::Call { operation: None, key: key.map(str::to_owned) };
        Ask {
            kind: Kind::Activate,
            model: "flights".parse().unwrap(),
            version: None,
            actor: Actor { who: "ada".to_owned(), from: None, call },
            why: None,
            digest: Digest::of(digest),
        }
    }

    #[test]
    fn a_repeated_key_is_the_same_operation_and_another_request_under_it_is_refused() {
        let operations = Operations::default();
        assert!(operations.repeated(&ask(Some("k"), b"one")).unwrap().is_none());
        let (tracked, is_new) = operations.admit(&mut ask(Some("k"), b"one")).unwrap();
        assert!(is_new);
        let (again, is_new) = operations.admit(&mut ask(Some("k"), b"one")).unwrap();
        assert_eq!((again.id(), is_new), (tracked.id(), false));
        assert!(operations.repeated(&ask(None, b"one")).unwrap().is_none());
        assert!(matches!(operations.repeated(&ask(Some("k"), b"two")), Err(LifecycleError::KeyReused)));
    }

    #[test]
    fn the_oldest_that_has_ended_makes_room() {
        let operations = Operations::default();
        let (under_way, _) = operations.admit(&mut ask(None, b"")).unwrap();
        for _ in 0..OPERATIONS_KEPT * 2 {
            operations.admit(&mut ask(None, b"")).unwrap().0.end(Ok(Value::Null));
        }
        assert_eq!(operations.all().len(), OPERATIONS_KEPT);
        assert!(operations.find(under_way.id()).is_some());
    }

    #[test]
    fn steps_are_bounded_and_the_end_is_always_one_of_them() {
        let tracked = Tracked::new(&mut ask(None, b""));
        (0..PROGRESS_MAX * 2).for_each(|_| tracked.reach(Stage::Reading));
        tracked.end(Err(LifecycleError::Stopped));
        tracked.end(Ok(Value::Null));
        let operation = tracked.now();
        assert_eq!(operation.progress.len(), PROGRESS_MAX);
        assert_eq!(operation.progress.last().map(|step| step.state), Some(OperationState::Failed));
        assert_eq!(operation.failure.map(|failure| failure.code), Some("stopping".to_owned()));
    }
}
