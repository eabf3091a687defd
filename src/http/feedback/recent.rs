//! The last predictions of one model, by the ids of their requests: a bounded number of rows. Of a prediction it keeps what it said, not
//! what was asked; of an id, a keyed hash.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::item::{Item, Truth};
use crate::http::v1;
use crate::metrics::{FeedbackMetrics, FeedbackOutcome, FeedbackOutcomes, Metrics};
use crate::model::{Head, ModelName, Signature, Version};
use crate::slot::Servable;
use crate::tensor::Tensor;

/// Parts of the memory with a lock each, so that requests seldom wait for each other.
const SHARDS: usize = 8;

/// The last predictions of one model.
#[derive(Debug)]
pub(super) struct Recent {
    model: ModelName,
    metrics: Arc<Metrics>,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    rows_max: usize,
    outcomes: FeedbackOutcomes,
    versions: Mutex<BTreeMap<Version, Arc<FeedbackMetrics>>>,
}

/// What a version said of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    /// A class: the hash of its name.
    Class(u64),
    Value(f64),
    /// No class, or no finite number.
    Nothing,
    /// It has met its feedback.
    Answered,
}

/// A prediction that waits for its feedback.
#[derive(Debug)]
struct Prediction {
    serial: u64,
    rows: Box<[Said]>,
    metrics: Arc<FeedbackMetrics>,
}

/// A part of the memory.
#[derive(Debug, Default)]
struct Shard {
    by_id: HashMap<u64, Prediction>,
    /// In the order in which they came; an id that came again is there twice, with another serial.
    order: VecDeque<(u64, u64)>,
    n_rows: usize,
    serial: u64,
    /// Ids that were remembered: as many as there are rows to remember.
    forgotten: HashSet<u64>,
    forgotten_order: VecDeque<u64>,
}

impl Recent {
    pub(super) fn new(model: &ModelName, rows_kept: usize, metrics: &Arc<Metrics>) -> Self {
        Self {
            model: model.clone(),
            metrics: Arc::clone(metrics),
            hasher: RandomState::new(),
            shards: Default::default(),
            rows_max: rows_kept.div_ceil(SHARDS),
            outcomes: metrics.feedback_outcomes(model.as_str()),
            versions: Mutex::default(),
        }
    }

    /// Remembers what `servable` gave for the request with this id. One with more rows than a part of the memory has is not
    /// remembered, nor is what is neither a class nor a number.
    pub(super) fn remember(&self, servable: &Servable, id: &str, outputs: (&[Tensor], usize)) {
        let Some(rows) = self.said(servable.signature(), outputs) else { return };
        let metrics = self.metrics_of(servable.version());
        let key = self.hasher.hash_one(id);
        self.shard(key).remember(key, (rows, metrics), self.rows_max);
    }

    /// What an item comes to; it is counted.
    pub(super) fn join(&self, item: &Item) -> FeedbackOutcome {
        let outcome = self.joined(item);
        self.outcomes.count(outcome);
        outcome
    }

    fn joined(&self, item: &Item) -> FeedbackOutcome {
        let key = self.hasher.hash_one(item.id.as_str());
        let mut shard = self.shard(key);
        let is_forgotten = shard.forgotten.contains(&key);
        let Some(prediction) = shard.by_id.get_mut(&key) else {
            return if is_forgotten { FeedbackOutcome::Late } else { FeedbackOutcome::Unknown };
        };
        let Some(said) = prediction.rows.get_mut(item.row) else { return FeedbackOutcome::Invalid };
        match (*said, &item.truth) {
            (Said::Answered, _) => return FeedbackOutcome::Duplicate,
            (Said::Class(class), Truth::Label(label)) => {
                prediction.metrics.class(class == self.hasher.hash_one(label.as_str()));
            }
            (Said::Value(value), Truth::Value(truth)) if (value - truth).is_finite() => {
                prediction.metrics.value(value - truth);
            }
            _ => return FeedbackOutcome::Invalid,
        }
        *said = Said::Answered;
        FeedbackOutcome::Joined
    }

    fn said(&self, signature: &Signature, (outputs, n_rows): (&[Tensor], usize)) -> Option<Box<[Said]>> {
        if n_rows == 0 || self.rows_max < n_rows {
            return None;
        }
        Some(match signature.head() {
            Head::Classes { .. } => {
                let class = |label: Option<_>| {
                    label.map_or(Said::Nothing, |label: std::borrow::Cow<'_, str>| {
                        Said::Class(self.hasher.hash_one(&*label))
                    })
                };
                v1::labels(signature, outputs, n_rows).map(class).collect()
            }
            Head::Value { output } => {
                let data = outputs.get(output)?.data();
                let value = |row| data.as_f64(row).filter(|value| value.is_finite()).map_or(Said::Nothing, Said::Value);
                (0..n_rows).map(value).collect()
            }
            Head::Raw => return None,
        })
    }

    fn metrics_of(&self, version: Version) -> Arc<FeedbackMetrics> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(self.metrics.feedback(self.model.as_str(), version.number()));
        Arc::clone(versions.entry(version).or_insert_with(made))
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        // The map in the shard looks at other bits first.
        let at = usize::try_from(key >> 32).unwrap_or_default() % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn remember(&mut self, key: u64, (rows, metrics): (Box<[Said]>, Arc<FeedbackMetrics>), rows_max: usize) {
        self.serial += 1;
        self.n_rows += rows.len();
        self.order.push_back((key, self.serial));
        let prediction = Prediction { serial: self.serial, rows, metrics };
        if let Some(before) = self.by_id.insert(key, prediction) {
            self.n_rows -= before.rows.len();
        }
        while rows_max < self.n_rows || rows_max < self.order.len() {
            let Some((oldest, serial)) = self.order.pop_front() else { return };
            // One whose id came again is not there any more.
            if self.by_id.get(&oldest).is_some_and(|prediction| prediction.serial == serial)
                && let Some(prediction) = self.by_id.remove(&oldest)
            {
                self.n_rows -= prediction.rows.len();
                self.forget(oldest, rows_max);
            }
        }
    }

    fn forget(&mut self, key: u64, n_max: usize) {
        if self.forgotten.insert(key) {
            self.forgotten_order.push_back(key);
        }
        if n_max < self.forgotten_order.len()
            && let Some(oldest) = self.forgotten_order.pop_front()
        {
            self.forgotten.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard_with(metrics: &Arc<Metrics>, ids: impl IntoIterator<Item = u64>) -> Shard {
        let mut shard = Shard::default();
        for key in ids {
            let rows = vec![Said::Value(1.0); 2].into();
            shard.remember(key, (rows, Arc::new(metrics.feedback("m", 1))), 6);
            assert!(shard.n_rows <= 6 && shard.order.len() <= 6 && shard.forgotten.len() <= 6);
            assert_eq!(shard.n_rows, shard.by_id.values().map(|prediction| prediction.rows.len()).sum::<usize>());
        }
        shard
    }

    #[test]
    fn the_oldest_are_forgotten_and_known_to_be() {
        let shard = shard_with(&Metrics::new().unwrap(), 0..20);
        assert_eq!(shard.by_id.len(), 3);
        assert!((17..20).all(|key| shard.by_id.contains_key(&key)));
        assert!((11..17).all(|key| shard.forgotten.contains(&key)));
        assert!(!shard.forgotten.contains(&10));
    }

    #[test]
    fn an_id_that_comes_again_takes_no_more_room() {
        let shard = shard_with(&Metrics::new().unwrap(), [1, 2, 2, 2, 2, 2, 2, 2, 2]);
        assert!(shard.by_id.contains_key(&2));
    }
}
