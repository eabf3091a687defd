//! Carries out what `rollout` decides: a thread that looks at every challenger, and at every new champion.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::challenge::Subject;
use super::challenger::{drift_of, evidence};
use super::controller::Lifecycle;
use super::error::LifecycleError;
use super::rollout::{self, Decision, Record};
use crate::child::step_back;
use crate::metrics::{Outcome, RolloutStep};
use crate::model::{ModelName, Version};
use crate::registry::{Actor, Call};
use crate::slot::{Lineup, Servable, Slot};

/// How often challengers are looked at.
const TICK: Duration = Duration::from_millis(500);

/// The thread that carries out rollouts.
#[derive(Debug)]
pub(super) struct Conductor {
    is_stopped: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Conductor {
    pub(super) fn start(lifecycle: Weak<Lifecycle>) -> std::io::Result<Self> {
        let is_stopped = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = Arc::clone(&is_stopped);
        let thread =
            std::thread::Builder::new().name("gudgeon-rollout".to_owned()).spawn(move || work(&lifecycle, &stopped))?;
        Ok(Self { is_stopped, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread, once what it does now is done.
    pub(super) fn stop(&self) {
        let (is_stopped, woken) = self.is_stopped.as_ref();
        *is_stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        woken.notify_all();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the rollouts ended by a panic");
        }
    }
}

fn work(lifecycle: &Weak<Lifecycle>, (is_stopped, woken): &(Mutex<bool>, Condvar)) {
    step_back();
    let desk = Arc::new(Desk::default());
    loop {
        let stopped = is_stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = woken.wait_timeout_while(stopped, TICK, |stopped| !*stopped);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 {
            return;
        }
        let Some(lifecycle) = lifecycle.upgrade() else { return };
        for slot in lifecycle.slots.all() {
            contained(&lifecycle, || look(&lifecycle, &slot, &desk));
        }
    }
}

fn contained(lifecycle: &Lifecycle, work: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
        lifecycle.metrics.count_panic();
    }
}

/// What is under way, and what went wrong.
#[derive(Debug, Default)]
struct Desk {
    /// Models whose challenger is being activated: the gate may take minutes, and the other models do not wait for it.
    activating: Mutex<BTreeSet<ModelName>>,
    /// What went wrong the last time, so that it is logged once.
    problems: Mutex<BTreeMap<ModelName, String>>,
}

impl Desk {
    fn activating(&self) -> MutexGuard<'_, BTreeSet<ModelName>> {
        self.activating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs what went wrong where that is news.
    fn note(&self, model: &ModelName, acted: Result<(), LifecycleError>) {
        let is_passing = |error: &LifecycleError| error.kind().0 == super::ErrorKind::Conflict;
        let problem = acted.err().filter(|error| !is_passing(error)).map(|error| error.to_string());
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(text) = problem else {
            problems.remove(model);
            return;
        };
        if problems.insert(model.clone(), text.clone()).as_ref() != Some(&text) {
            tracing::error!(%model, "{model}: the rollout is held up: {text}");
        }
    }
}

/// Ends an activation on the desk, even by a panic.
struct Activating<'a>(&'a Desk, &'a ModelName);

impl Drop for Activating<'_> {
    fn drop(&mut self) {
        self.0.activating().remove(self.1);
    }
}

/// A new champion that may still be rolled back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    champion: Version,
    until: Instant,
    /// What it had done before it became the champion.
    before: Record,
}

/// Looks at one model.
fn look(lifecycle: &Arc<Lifecycle>, slot: &Slot, desk: &Arc<Desk>) {
    let lineup = slot.lineup();
    let conducted = match lineup.challenge {
        Some(_) if !desk.activating().contains(slot.name()) => conduct(lifecycle, slot, (&lineup, desk)),
        Some(_) => Ok(Acted::Beside),
        None => Ok(Acted::Here),
    };
    let watched = watch(lifecycle, slot, &lineup);
    match conducted {
        Ok(Acted::Beside) if watched.is_ok() => {}
        Ok(_) => desk.note(slot.name(), watched),
        Err(error) => desk.note(slot.name(), Err(error)),
    }
}

/// Where a decision is carried out.
enum Acted {
    Here,
    Beside,
}

fn actor() -> Actor {
    Actor { who: "gudgeon rollout".to_owned(), from: None, call: Call::default() }
}

fn conduct(
    lifecycle: &Arc<Lifecycle>,
    slot: &Slot,
    (lineup, desk): (&Lineup, &Arc<Desk>),
) -> Result<Acted, LifecycleError> {
    let model = slot.name();
    let Some(subject) = Subject::of(&lifecycle.loader.registry.aliases(model)?) else { return Ok(Acted::Here) };
    let is_tried = |lineup: &&Lineup| {
        lineup.challenge.as_ref().is_some_and(|challenge| {
            challenge.options().since == subject.challenge.since.to_string()
                && challenge.challenger().version() == subject.version
        })
    };
    let Some(evidence) = Some(lineup).filter(is_tried).and_then(|lineup| evidence(lineup, &subject.challenge)) else {
        // The aliases have gone on, and the slot follows.
        return Ok(Acted::Here);
    };
    let policy = lifecycle.model_policy(model)?.rollout;
    let (step, was_done) = match rollout::decide(&policy, &evidence) {
        Decision::Wait(_) => return Ok(Acted::Here),
        Decision::Advance(step, why) => {
            (RolloutStep::Advance, lifecycle.advance(model, (subject, step), (actor(), why))?)
        }
        Decision::Activate(why) => return Ok(activate_beside(lifecycle, model, desk, (subject, why))),
        Decision::RollBack(why) => {
            let why = format!("rolled back automatically: {why}");
            (RolloutStep::Rollback, lifecycle.roll_back_challenger(model, subject, (actor(), why))?)
        }
    };
    if was_done {
        slot.metrics().rollout_steps(step).inc();
    }
    Ok(Acted::Here)
}

/// Activates the challenger on a thread of its own; where there is none to be had, the next look tries again.
fn activate_beside(
    lifecycle: &Arc<Lifecycle>,
    model: &ModelName,
    desk: &Arc<Desk>,
    (subject, why): (Subject, String),
) -> Acted {
    desk.activating().insert(model.clone());
    let (lifecycle, model, desk) = (Arc::clone(lifecycle), model.clone(), Arc::clone(desk));
    let work = {
        let (model, desk) = (model.clone(), Arc::clone(&desk));
        move || {
            let _activating = Activating(&desk, &model);
            contained(&lifecycle, || {
                let activated = lifecycle.crown(&model, subject, (actor(), why));
                if matches!(activated, Ok(true)) {
                    lifecycle.slot_of(&model).metrics().rollout_steps(RolloutStep::Activate).inc();
                }
                desk.note(&model, activated.map(|_| ()));
            });
        }
    };
    if let Err(error) = std::thread::Builder::new().name("gudgeon-rollout".to_owned()).spawn(work) {
        drop(Activating(&desk, &model));
        tracing::error!(%model, "{model}: the rollout is held up: no thread to activate on: {error}");
    }
    Acted::Beside
}

impl Lifecycle {
    /// Begins to watch the champion of `new` where it came after that of `old`: not where it is a way back.
    pub(super) fn begin_watch(&self, model: &ModelName, old: &Lineup, new: &Lineup) {
        let version = |servable: &Option<Arc<Servable>>| servable.as_ref().map(|servable| servable.version());
        let Some(champion) = &new.champion else { return };
        let now = Some(champion.version());
        if now == version(&old.champion) {
            return;
        }
        let is_new = old.champion.is_some() && version(&new.previous) == version(&old.champion);
        let is_way_back = now == version(&old.previous);
        let watch_after = self.model_policy(model).map(|policy| policy.rollout.watch_after).unwrap_or_default();
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if is_new && !is_way_back && !watch_after.is_zero() {
            let (version, until) = (champion.version(), Instant::now() + watch_after);
            watches.insert(model.clone(), Watch { champion: version, until, before: record(champion) });
        } else {
            watches.remove(model);
        }
    }
}

fn watch(lifecycle: &Lifecycle, slot: &Slot, lineup: &Lineup) -> Result<(), LifecycleError> {
    let model = slot.name();
    let watches = || lifecycle.watches.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(watch) = watches().get(model).copied() else { return Ok(()) };
    let (Some(champion), Some(previous)) = (&lineup.champion, &lineup.previous) else { return Ok(()) };
    if champion.version() != watch.champion {
        return Ok(());
    }
    if watch.until <= Instant::now() {
        watches().remove(model);
        return Ok(());
    }
    let limits = lifecycle.model_policy(model)?.rollout.conditions;
    let records = [record(previous), since(record(champion), watch.before)];
    let drift = [drift_of(Some(previous)), drift_of(Some(champion))];
    let Some(why) = rollout::after(&limits, records, drift) else { return Ok(()) };
    let aliases = lifecycle.loader.registry.aliases(model)?;
    if (aliases.champion, aliases.previous) != (Some(champion.version()), Some(previous.version())) {
        return Ok(());
    }
    lifecycle.roll_back(model, actor(), Some(format!("rolled back automatically: {why}")))?;
    slot.metrics().rollout_steps(RolloutStep::Rollback).inc();
    Ok(())
}

fn record(servable: &Servable) -> Record {
    let metrics = servable.metrics();
    let failed = metrics.n_requests(Outcome::Failed);
    let (runs, rows, time) = metrics.runs();
    let requests = failed + metrics.n_requests(Outcome::Ok);
    Record { requests, failed, runs, rows, seconds: time.as_secs_f64() }
}

fn since(now: Record, before: Record) -> Record {
    Record {
        requests: now.requests.saturating_sub(before.requests),
        failed: now.failed.saturating_sub(before.failed),
        runs: now.runs.saturating_sub(before.runs),
        rows: now.rows.saturating_sub(before.rows),
        seconds: (now.seconds - before.seconds).max(0.0),
    }
}
