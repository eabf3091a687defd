//! Where one model's servables sit: champion, challenger, previous; swapped atomically.
//!
//! A request acquires its servable once ([`Slot::acquire`]) and keeps it to the end, so no answer mixes versions. A swap
//! replaces one value. This is the only module that knows arc-swap.

mod aside;
mod challenge;
mod comparison;
mod difference;
mod feed;
mod monitor;
mod sample;
mod servable;

pub use challenge::{Challenge, ChallengeOptions};
pub use comparison::{Compared, Comparison};
pub use feed::{SHADOW_QUEUE_LEN_MAX, SHADOW_VALUES_MAX, Tapped};
pub use monitor::{Monitor, MonitorOptions};
pub use sample::{golden_sample, typical_sample};
pub use servable::{Servable, ServableParts};

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::metrics::ModelMetrics;
use crate::model::{Alias, Mode, ModelName, Version};

/// The servables of one model at one moment.
#[derive(Debug, Clone, Default)]
pub struct Lineup {
    /// The active version: it answers.
    pub champion: Option<Arc<Servable>>,
    /// The candidate.
    pub challenger: Option<Arc<Servable>>,
    /// How the candidate is tried; there only where a champion and a candidate are.
    pub challenge: Option<Arc<Challenge>>,
    /// The version that was active before: a roll back needs no loading.
    pub previous: Option<Arc<Servable>>,
}

/// Who answers a request that names no version.
#[derive(Debug)]
pub struct Route {
    /// The version that answers.
    pub servable: Arc<Servable>,
    /// Where that is the challenger: who answers instead when it fails.
    pub canary: Option<Canary>,
}

/// A request that the challenger is to answer.
#[derive(Debug)]
pub struct Canary {
    /// Answers when the challenger fails.
    pub champion: Arc<Servable>,
    /// Where it is counted.
    pub challenge: Arc<Challenge>,
}

impl Lineup {
    /// The servable under `alias`.
    pub fn get(&self, alias: Alias) -> Option<&Arc<Servable>> {
        match alias {
            Alias::Champion => self.champion.as_ref(),
            Alias::Challenger => self.challenger.as_ref(),
            Alias::Previous => self.previous.as_ref(),
        }
    }

    /// Every servable, champion first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Servable>> {
        [&self.champion, &self.challenger, &self.previous].into_iter().flatten()
    }

    /// The numbers of all servables, ascending, each once.
    pub fn versions(&self) -> Vec<Version> {
        let mut versions: Vec<_> = self.iter().map(|servable| servable.version()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    /// The servable of `version`, whatever its alias.
    pub fn version(&self, version: Version) -> Option<&Arc<Servable>> {
        self.iter().find(|servable| servable.version() == version)
    }
}

/// Where one model's servables sit.
#[derive(Debug)]
pub struct Slot {
    name: ModelName,
    lineup: ArcSwap<Lineup>,
    metrics: ModelMetrics,
}

impl Slot {
    /// An empty slot for `name`.
    pub fn new(name: ModelName, metrics: ModelMetrics) -> Self {
        Self { name, lineup: ArcSwap::default(), metrics }
    }

    /// The model's name.
    pub fn name(&self) -> &ModelName {
        &self.name
    }

    /// The model's metrics.
    pub fn metrics(&self) -> &ModelMetrics {
        &self.metrics
    }

    /// The champion, for the whole of one request. `None` where no version is active.
    pub fn acquire(&self) -> Option<Arc<Servable>> {
        self.lineup.load().champion.clone()
    }

    /// Who answers a request that names no version, decided once for the whole of it: the champion, or the challenger for
    /// its share of them. `key` looks up the header field that holds a request's key.
    pub fn route<'k>(&self, key: impl FnOnce(&str) -> Option<&'k [u8]>) -> Option<Route> {
        let lineup = self.lineup.load();
        let champion = lineup.champion.as_ref()?;
        let Some(challenge) = lineup.challenge.as_ref().filter(|challenge| challenge.answers(key)) else {
            return Some(Route { servable: Arc::clone(champion), canary: None });
        };
        let canary = Canary { champion: Arc::clone(champion), challenge: Arc::clone(challenge) };
        Some(Route { servable: Arc::clone(challenge.challenger()), canary: Some(canary) })
    }

    /// The servable under `alias`, for the whole of one request.
    pub fn acquire_alias(&self, alias: Alias) -> Option<Arc<Servable>> {
        self.lineup.load().get(alias).cloned()
    }

    /// The servable of `version`, for the whole of one request, where it is in memory.
    pub fn acquire_version(&self, version: Version) -> Option<Arc<Servable>> {
        self.lineup.load().version(version).cloned()
    }

    /// All servables at this moment.
    pub fn lineup(&self) -> Arc<Lineup> {
        self.lineup.load_full()
    }

    /// Replaces the lineup: one value, so that every request sees the old or the new one. Gives back the old lineup, whose
    /// servables answer on until their last request is done.
    pub fn swap(&self, lineup: Lineup) -> Arc<Lineup> {
        let number = |servable: &Option<Arc<Servable>>| {
            let number = servable.as_ref().map_or(0, |servable| servable.version().number());
            i64::try_from(number).unwrap_or(i64::MAX)
        };
        self.metrics.active_version.set(number(&lineup.champion));
        self.metrics.challenger_version.set(number(&lineup.challenger));
        let share = |mode| lineup.challenge.as_ref().map(|c| c.options()).filter(|options| options.mode == mode);
        let share = |mode| share(mode).map_or(0.0, |options| options.share.value());
        self.metrics.set_challenger_shares(share(Mode::Shadow), share(Mode::Canary));
        let new = lineup.challenge.clone();
        let old = self.lineup.swap(Arc::new(lineup));
        let has_ended = |challenge: &&Arc<Challenge>| new.as_ref().is_none_or(|new| !Arc::ptr_eq(new, challenge));
        if let Some(ended) = old.challenge.as_ref().filter(has_ended) {
            ended.close();
        }
        if let Some(challenge) = new {
            challenge.open();
        }
        old
    }
}

/// The slots of all models, by name: what a request looks its model up in.
#[derive(Debug, Default)]
pub struct Slots {
    by_name: ArcSwap<BTreeMap<String, Arc<Slot>>>,
}

impl Slots {
    /// The slot of the model called `name`.
    pub fn find(&self, name: &str) -> Option<Arc<Slot>> {
        self.by_name.load().get(name).cloned()
    }

    /// All slots, by name.
    pub fn all(&self) -> Vec<Arc<Slot>> {
        self.by_name.load().values().cloned().collect()
    }

    /// The slot of `name`, made by `make` where there is none yet.
    pub fn find_or_add(&self, name: &ModelName, make: impl Fn() -> Slot) -> Arc<Slot> {
        if let Some(slot) = self.find(name.as_str()) {
            return slot;
        }
        let made = Arc::new(make());
        self.by_name.rcu(|slots| {
            let mut slots = BTreeMap::clone(slots);
            slots.entry(name.as_str().to_owned()).or_insert_with(|| Arc::clone(&made));
            slots
        });
        self.find(name.as_str()).unwrap_or(made)
    }
}
