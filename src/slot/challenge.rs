//! A challenger on live requests: which it sees or answers, and the comparison with the champion.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::comparison::{Comparison, Pair};
use super::difference::Comparer;
use super::feed::{Copied, Feed};
use super::{Servable, aside};
use crate::metrics::Metrics;
use crate::model::{Mode, Share, key_number, request_number};

/// Each comparison is timed until there are so many pairs, then one of [`TIMED_EVERY`].
const TIMED_ALWAYS: u64 = 64;
const TIMED_EVERY: u64 = 8;

/// How a challenger is tried.
#[derive(Debug, Clone, PartialEq)]
pub struct ChallengeOptions {
    /// Whether it answers.
    pub mode: Mode,
    /// The share of requests that it sees or answers.
    pub share: Share,
    /// The step of the rollout, from 1; none where a person decides what comes next.
    pub step: Option<u32>,
    /// When this began, as it is recorded: another time is another trial.
    pub since: String,
    /// The header field, in lower case, that holds the key by which requests stay with one version.
    pub key_header: String,
    /// A run of the challenger counts as slow where it takes more than this many times as long as the champion's.
    pub latency_ratio_max: f64,
    /// Numbers that differ by at most this, relative to the larger one, agree.
    pub tolerance: f64,
}

/// A challenger on live requests. It ends when it leaves the slot.
#[derive(Debug)]
pub struct Challenge {
    options: ChallengeOptions,
    count: AtomicU64,
    feed: Arc<Feed>,
    comparison: Arc<Comparison>,
    champion: Arc<Servable>,
    challenger: Arc<Servable>,
}

impl Challenge {
    /// Starts the thread that compares `challenger` with `champion`.
    ///
    /// # Errors
    /// The system's, where the thread cannot be started.
    pub fn start(
        champion: &Arc<Servable>,
        challenger: &Arc<Servable>,
        options: ChallengeOptions,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<Arc<Self>> {
        let handles = metrics.challenger(challenger.model().as_str(), challenger.version().number());
        let comparison = Arc::new(Comparison::new(handles, options.latency_ratio_max));
        // Of what a canary answers as much is compared as there is time for.
        let share = if options.mode == Mode::Shadow { options.share } else { Share::ALL };
        let feed = Arc::new(Feed::new(share, Arc::clone(&comparison)));
        let comparer = Comparer::new(champion.signature(), challenger.signature(), options.tolerance);
        let bench = Bench {
            mode: options.mode,
            champion: Arc::clone(champion),
            challenger: Arc::clone(challenger),
            comparer,
            comparison: Arc::clone(&comparison),
        };
        let source = Arc::clone(&feed);
        let metrics = Arc::clone(metrics);
        aside::spawn("gudgeon-shadow", move || bench.work(&source, &metrics))?;
        let (champion, challenger) = (Arc::clone(champion), Arc::clone(challenger));
        Ok(Arc::new(Self { options, count: AtomicU64::new(0), feed, comparison, champion, challenger }))
    }

    /// How it is tried.
    pub fn options(&self) -> &ChallengeOptions {
        &self.options
    }

    /// What is known of it so far.
    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// Whether these are the servables that are compared.
    pub fn is_between(&self, champion: &Arc<Servable>, challenger: &Arc<Servable>) -> bool {
        Arc::ptr_eq(&self.champion, champion) && Arc::ptr_eq(&self.challenger, challenger)
    }

    /// The challenger.
    pub fn challenger(&self) -> &Arc<Servable> {
        &self.challenger
    }

    /// Whether the challenger is to answer a request: by its key where it has one, so that a caller stays with one
    /// version, else by its turn.
    pub(super) fn answers<'k>(&self, key: impl FnOnce(&str) -> Option<&'k [u8]>) -> bool {
        if self.options.mode == Mode::Shadow {
            return false;
        }
        let number = match key(&self.options.key_header) {
            Some(key) => key_number(self.challenger.model(), self.challenger.version(), key),
            None => request_number(self.count.fetch_add(1, Ordering::Relaxed)),
        };
        self.options.share.has(number)
    }

    /// Answered requests of the version that answers begin to come.
    pub(super) fn open(&self) {
        let (source, other) = match self.options.mode {
            Mode::Shadow => (&self.champion, &self.challenger),
            Mode::Canary => (&self.challenger, &self.champion),
        };
        other.tapped().set(None);
        source.tapped().set(Some(Arc::clone(&self.feed)));
    }

    /// The end: no more requests come, and the thread lets go of both versions.
    pub(super) fn close(&self) {
        self.champion.tapped().set(None);
        self.challenger.tapped().set(None);
        self.feed.close();
    }
}

impl Drop for Challenge {
    fn drop(&mut self) {
        self.feed.close();
    }
}

/// What the comparing thread works with.
struct Bench {
    mode: Mode,
    champion: Arc<Servable>,
    challenger: Arc<Servable>,
    comparer: Comparer,
    comparison: Arc<Comparison>,
}

impl Bench {
    fn work(self, feed: &Feed, metrics: &Metrics) {
        let mut turn: u64 = 0;
        while let Some(copied) = feed.pop() {
            turn += 1;
            let compared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.compare(&copied, turn)));
            if compared.is_err() {
                metrics.count_observe_failure();
            }
        }
    }

    fn compare(&self, copied: &Copied, turn: u64) {
        let is_timed = self.comparison.n_pairs() < TIMED_ALWAYS || turn.is_multiple_of(TIMED_EVERY);
        let inputs = copied.inputs.tensors();
        let run = |servable: &Servable| {
            let started = Instant::now();
            let outputs = servable.run_aside(inputs);
            (outputs, started.elapsed().as_secs_f64())
        };
        let (source, other) = match self.mode {
            Mode::Shadow => (&self.champion, &self.challenger),
            Mode::Canary => (&self.challenger, &self.champion),
        };
        // Both on this thread, in turns: whatever else slows the machine down slows both.
        let before = (is_timed && turn.is_multiple_of(2)).then(|| run(source).1);
        let (outputs, other_took) = run(other);
        let source_took = before.or_else(|| is_timed.then(|| run(source).1));
        let outputs = match (outputs, self.mode) {
            (Ok(outputs), _) => outputs,
            (Err(_), Mode::Shadow) => return self.comparison.note_failed(),
            // The champion fails where the challenger answered: there is nothing to compare.
            (Err(_), Mode::Canary) => return self.comparison.note_dropped(),
        };
        let (first, second) = match self.mode {
            Mode::Shadow => (copied.outputs.as_slice(), outputs.as_slice()),
            Mode::Canary => (outputs.as_slice(), copied.outputs.as_slice()),
        };
        self.comparison.note_compared(&self.comparer.compare(first, second, copied.inputs.n_rows()));
        if let Some(source_took) = source_took {
            self.comparison.note_pair(match self.mode {
                Mode::Shadow => Pair { champion: source_took, challenger: other_took },
                Mode::Canary => Pair { champion: other_took, challenger: source_took },
            });
        }
    }
}
