//! Acts on what `policy` decides. It holds no "what next".

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::error::LifecycleError;
use super::load::{LoadOptions, Loader};
use super::permits::Permits;
use super::policy::{self, Snapshot, Step};
use super::reaper::Reaper;
use super::status::{ModelStatus, VersionState, VersionStatus};
use crate::batch::Pool;
use crate::engine;
use crate::metrics::{Metrics, OpResult};
use crate::model::{Alias, Contract, Manifest, ModelName, Producer, Version};
use crate::registry::{
    self, Action, Actor, Aliases, Draft, Event, History, ModelFolder, Outcome, Registered, Registry, RegistryError,
};
use crate::slot::{Lineup, Servable, Slot, Slots};
use crate::verify::{self, Candidate};

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
    /// Their limits.
    pub options: LoadOptions,
}

/// The controller of every model's lifecycle.
#[derive(Debug)]
pub struct Lifecycle {
    loader: Loader,
    slots: Arc<Slots>,
    metrics: Arc<Metrics>,
    /// One lock a model: its operations are serialised.
    locks: Mutex<BTreeMap<ModelName, Arc<Mutex<()>>>>,
    /// Why a model that should serve does not.
    problems: Mutex<BTreeMap<ModelName, String>>,
    permits: Permits,
    trial_permits: Permits,
    reaper: Reaper,
}

/// A graph to register, as it was uploaded.
pub struct Upload {
    /// The graph.
    pub model: Vec<u8>,
    /// A free label.
    pub label: Option<String>,
    /// The reason given.
    pub why: Option<String>,
    /// Who uploads.
    pub actor: Actor,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("bytes", &self.model.len()).field("label", &self.label).finish_non_exhaustive()
    }
}

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

impl Lifecycle {
    /// A controller; nothing is loaded yet.
    ///
    /// # Errors
    /// The system's, where the reaper's thread cannot be started.
    pub fn new(parts: LifecycleParts) -> std::io::Result<Arc<Self>> {
        let LifecycleParts { registry, slots, pool, metrics, options } = parts;
        Ok(Arc::new(Self {
            reaper: Reaper::start(Arc::clone(&metrics))?,
            loader: Loader { registry, pool, metrics: Arc::clone(&metrics), options },
            slots,
            metrics,
            locks: Mutex::default(),
            problems: Mutex::default(),
            permits: Permits::new(OPERATIONS_MAX),
            trial_permits: Permits::new(TRIALS_MAX),
        }))
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

    /// Loads every model of the registry. One that cannot serve is reported and keeps no other from serving.
    ///
    /// # Errors
    /// Where the registry itself cannot be read.
    pub fn load_all(&self) -> Result<(), LifecycleError> {
        let listing = self.loader.registry.models()?;
        if let Some(warning) = listing.ignored.warning() {
            tracing::warn!("registry: {warning}");
        }
        for model in listing.models {
            if let Err(error) = self.load_at_start(&model) {
                tracing::error!(%model, "{model} does not serve: {error}");
                self.note_problem(&model, Some(error.to_string()));
            }
        }
        Ok(())
    }

    fn load_at_start(&self, model: &ModelName) -> Result<(), LifecycleError> {
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.loader.registry.model(model);
        if folder.as_ref().is_ok_and(|folder| folder.versions.is_empty() && folder.aliases.champion.is_none()) {
            // Nothing was ever registered: there is nothing to be ready for.
            return Ok(());
        }
        // From here on it is a model that should serve, and says so with 503 where it cannot.
        let slot = self.slot_of(model);
        let ModelFolder { versions, aliases, ignored, .. } = folder?;
        if let Some(warning) = ignored.warning() {
            tracing::warn!(%model, "{model}: {warning}");
        }
        let Some((version, must_record)) = policy::at_start(aliases.champion, &versions) else {
            return Err(LifecycleError::NoChampion { model: model.clone() });
        };
        let champion = self.loader.load(&slot, version, None)?;
        if must_record {
            self.record_start(model, aliases, version);
        }
        // The way back is opened too, so that a roll back after a restart needs no loading; it may fail alone.
        let previous = aliases.previous.and_then(|version| {
            let loaded = self.loader.load(&slot, version, None);
            loaded.inspect_err(|error| tracing::warn!(%model, %version, "{model} version {version}: {error}")).ok()
        });
        slot.swap(Lineup { champion: Some(champion), previous, challenger: None });
        tracing::info!(%model, %version, "serving {model} version {version}");
        Ok(())
    }

    /// The active version is an explicit recorded pointer, also where there was nothing to decide.
    fn record_start(&self, model: &ModelName, aliases: Aliases, version: Version) {
        let actor = Actor { who: "gudgeon serve".to_owned(), from: None };
        let why = Some("the only version at start".to_owned());
        let event = event(actor, Action::Activate, Some(version), why);
        let recorded = self.loader.registry.set_aliases(model, Aliases { champion: Some(version), ..aliases }, event);
        if let Err(error) = recorded {
            tracing::warn!(%model, "{model}: the active version could not be recorded: {error}");
        }
    }

    /// Every model of the registry. One that cannot be read has that as its problem and hides no other.
    ///
    /// # Errors
    /// Where the registry itself cannot be read.
    pub fn list(&self) -> Result<Vec<ModelStatus>, LifecycleError> {
        let status = |model| self.inspect(model).unwrap_or_else(|error| ModelStatus::unreadable(model, &error));
        Ok(self.loader.registry.models()?.models.iter().map(status).collect())
    }

    /// One model.
    ///
    /// # Errors
    /// Where there is no such model, or it cannot be read.
    pub fn inspect(&self, model: &ModelName) -> Result<ModelStatus, LifecycleError> {
        let ModelFolder { versions, aliases, .. } = self.loader.registry.model(model)?;
        let lineup = self.slots.find(model.as_str()).map(|slot| slot.lineup()).unwrap_or_default();
        let champion = lineup.champion.as_ref();
        Ok(ModelStatus {
            model: model.to_string(),
            champion: aliases.champion,
            previous: aliases.previous,
            is_serving: champion.is_some(),
            problem: self.problems().get(model).cloned(),
            versions: versions.iter().map(|&version| self.version_status(model, version, &aliases, &lineup)).collect(),
            signature: champion.map(|servable| servable.signature().as_ref().clone()),
        })
    }

    fn version_status(&self, model: &ModelName, version: Version, aliases: &Aliases, lineup: &Lineup) -> VersionStatus {
        let state = match lineup.version(version) {
            Some(servable) if lineup.champion.as_ref().is_some_and(|champion| Arc::ptr_eq(champion, servable)) => {
                VersionState::Serving
            }
            Some(_) => VersionState::InMemory,
            None => VersionState::AtRest,
        };
        let all = [Alias::Champion, Alias::Challenger, Alias::Previous];
        let (manifest, problem) = match self.loader.registry.manifest(model, version) {
            Ok(manifest) => (manifest, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let loaded_digest = lineup.version(version).map(|servable| servable.digest());
        let recorded = |manifest: &Manifest| manifest.files.get(Manifest::MODEL_FILE).map(|entry| entry.sha256);
        VersionStatus {
            version,
            state,
            aliases: all.into_iter().filter(|&alias| aliases.get(alias) == Some(version)).collect(),
            label: manifest.as_ref().and_then(|manifest| manifest.label.clone()),
            created: manifest.as_ref().map(|manifest| manifest.created.clone()),
            producer: manifest
                .as_ref()
                .map(|manifest| format!("{} {}", manifest.producer.name, manifest.producer.version)),
            task: manifest.as_ref().map(|manifest| manifest.task),
            digest: manifest.as_ref().and_then(recorded).or(loaded_digest),
            problem,
        }
    }

    /// The manifest of one version; `None` where it is a bare graph.
    ///
    /// # Errors
    /// Where there is no such version, or its manifest cannot be read.
    pub fn manifest(&self, model: &ModelName, version: Version) -> Result<Option<Manifest>, LifecycleError> {
        Ok(self.loader.registry.manifest(model, version)?)
    }

    /// What happened to the model's versions.
    ///
    /// # Errors
    /// Where there is no such model, or the history cannot be read.
    pub fn history(&self, model: &ModelName) -> Result<History, LifecycleError> {
        Ok(self.loader.registry.history(model)?)
    }

    /// Registers an uploaded graph as a new version, once it has been opened and run.
    ///
    /// # Errors
    /// Where it is no model that can serve, or the registry cannot take it; nothing is registered then.
    pub fn register(&self, model: &ModelName, upload: Upload) -> Result<Registered, LifecycleError> {
        let limits = &self.loader.options.limits;
        let graph = engine::inspect(&upload.model, limits).map_err(LifecycleError::NotAModel)?;
        let candidate = Candidate { model: &upload.model, signature: None, golden: None, contract: None };
        verify::verify(candidate, limits)?;
        let draft = Draft {
            at: registry::now(),
            actor: upload.actor,
            why: upload.why,
            label: upload.label,
            producer: Producer { name: "upload".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            task: graph.task,
            signature: graph.signature,
            opset: graph.opset,
            training: None,
            model: upload.model,
            golden: None,
            profile: None,
            evaluation: None,
            extra: BTreeMap::new(),
        };
        let registered = self.loader.registry.register(model, draft)?;
        let version = registered.version;
        tracing::info!(%model, %version, "registered {model} version {version}");
        Ok(registered)
    }

    /// Tries a version out: digests, golden cases, contract, warm-up. What serves is not touched.
    ///
    /// # Errors
    /// Why it may not serve.
    pub fn verify(&self, model: &ModelName, version: Version, actor: Actor) -> Result<verify::Report, LifecycleError> {
        let contract = self.contract(model)?;
        let verified = self.loader.verify(model, version, contract.as_ref());
        let event = event(actor, Action::Verify, Some(version), None);
        match verified {
            Ok((_, verified)) => {
                self.note(model, &event);
                Ok(verified.report)
            }
            Err(error) => Err(self.refused(model, event, error)),
        }
    }

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
        let lock = self.lock_of(model);
        let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let event = event(actor, Action::Activate, Some(version), why);
        let activated = self.aliases_and_slot(model).and_then(|(aliases, slot)| {
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
            event.version = aliases.previous;
            let step = policy::roll_back(&snapshot(&aliases, &slot.lineup()))?;
            // No contract here: what callers lived with before, they can live with again.
            self.step((model, &slot), aliases, step, (None, event.clone()))
        });
        self.concluded(model, event, activated)
    }

    fn aliases_and_slot(&self, model: &ModelName) -> Result<(Aliases, Arc<Slot>), LifecycleError> {
        let aliases = self.loader.registry.aliases(model)?;
        Ok((aliases, self.slot_of(model)))
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
        let champion = match in_memory {
            Some(servable) => servable,
            None => self.loader.load(slot, version, contract)?,
        };
        let was = aliases.champion.filter(|&was| was != version);
        let wanted = Aliases { champion: Some(version), previous: was.or(aliases.previous), ..aliases };
        let recorded = match self.loader.registry.set_aliases(model, wanted, event) {
            Ok(recorded) => recorded,
            Err(error) => {
                if lineup.version(version).is_none() {
                    self.reaper.retire(champion, slot.metrics().clone());
                }
                return Err(error.into());
            }
        };
        self.swap(slot, champion, &recorded);
        Ok(Activation { model: model.to_string(), champion: version, previous: recorded.previous, changed: true })
    }

    fn swap(&self, slot: &Slot, champion: Arc<Servable>, aliases: &Aliases) {
        let old = slot.lineup();
        let find = |version: Option<Version>| version.and_then(|version| old.version(version).cloned());
        let lineup =
            Lineup { previous: find(aliases.previous), challenger: find(aliases.challenger), champion: Some(champion) };
        let kept: Vec<_> = lineup.iter().cloned().collect();
        slot.swap(lineup);
        for servable in old.iter().filter(|servable| kept.iter().all(|kept| !Arc::ptr_eq(kept, servable))) {
            self.reaper.retire(Arc::clone(servable), slot.metrics().clone());
        }
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
                self.note_problem(model, None);
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

    fn refused(&self, model: &ModelName, event: Event, error: LifecycleError) -> LifecycleError {
        let is_known = !matches!(error, LifecycleError::Registry(RegistryError::NoSuchModel { .. }));
        tracing::warn!(%model, action = ?event.action, "{model}: {error}");
        if is_known {
            let outcome = if error.result() == OpResult::Refused { Outcome::Refused } else { Outcome::Failed };
            self.note(model, &Event { outcome, detail: Some(error.to_string()), ..event });
        }
        error
    }

    /// What callers of the model rely on: the signature of the version that was activated first, else of the champion.
    fn contract(&self, model: &ModelName) -> Result<Option<Contract>, LifecycleError> {
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

    /// Ends the reaper; no operation may be started after that.
    pub fn stop(&self) {
        self.permits.close();
        self.trial_permits.close();
        self.reaper.stop();
    }

    fn slot_of(&self, model: &ModelName) -> Arc<Slot> {
        self.slots.find_or_add(model, || Slot::new(model.clone(), self.metrics.model(model.as_str())))
    }

    fn lock_of(&self, model: &ModelName) -> Arc<Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // Names that no model has leave nothing behind.
        locks.retain(|_, lock| 1 < Arc::strong_count(lock));
        Arc::clone(locks.entry(model.clone()).or_default())
    }

    fn problems(&self) -> std::sync::MutexGuard<'_, BTreeMap<ModelName, String>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_problem(&self, model: &ModelName, problem: Option<String>) {
        let mut problems = self.problems();
        match problem {
            Some(problem) => problems.insert(model.clone(), problem),
            None => problems.remove(model),
        };
    }

    /// Adds to the history what changed nothing; a registry that cannot be written to does not make it an error.
    fn note(&self, model: &ModelName, event: &Event) {
        if let Err(error) = self.loader.registry.append(model, event) {
            tracing::warn!(%model, "{model}: the history could not be written: {error}");
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

fn event(actor: Actor, action: Action, version: Option<Version>, why: Option<String>) -> Event {
    Event { at: registry::now(), actor, action, version, why, outcome: Outcome::Ok, detail: None }
}
