//! Watches a version's live rows for drift: counts on the compute threads, verdicts when someone asks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::Instant;

use super::aside;
use crate::batch::Observe;
use crate::drift::{
    ColumnCounts, ColumnProfile, ColumnReport, Counters, Counts, DriftError, Profile, ProfileBuilder, Tally,
    Thresholds, WindowReport, WindowSpec, Windows,
};
use crate::metrics::{ColumnSample, DriftSource, WindowSample};
use crate::model::{Checked, Digest, ModelName, Signature, Version};
use crate::tensor::Tensor;

/// Live rows that a missing reference profile is gathered from, where the rows are not wide.
const BOOTSTRAP_ROWS: usize = 5_000;
/// Wide rows are gathered up to so many values, which bounds the memory,
const BOOTSTRAP_VALUES_MAX: usize = 1 << 19;
/// but never fewer rows than these: deciles of fewer mean little.
const BOOTSTRAP_ROWS_MIN: usize = 500;
/// Columns that bin series are kept for; more are counted as dropped.
const BIN_COLUMNS_MAX: usize = 50;
/// Windows slide by a twelfth; the counters are looked at so often that none of them is late.
const SUB_WINDOWS: u64 = 12;
/// The counters are looked at after this time also where few rows come.
const PUSH_INTERVAL_MILLIS: u64 = 1_000;

/// What a monitor is told.
#[derive(Debug, Clone)]
pub struct MonitorOptions {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// Compute threads: one tally each.
    pub workers: usize,
    /// The live spans compared with the reference; `None` is one hour and one day.
    pub windows: Option<Vec<WindowSpec>>,
    /// What counts as a drift.
    pub thresholds: Thresholds,
}

/// Watches one version. Without a reference profile in the artifact it gathers one from the first live rows.
#[derive(Debug)]
pub struct Monitor {
    options: MonitorOptions,
    signature: Arc<Signature>,
    /// Once there is a profile.
    watch: Arc<OnceLock<Watch>>,
    /// The first live rows, until there are enough of them.
    sample: Mutex<Option<ProfileBuilder>>,
}

/// A value on cache lines of its own, so that workers do not wait for each other's.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

/// Counters and windows against one profile.
#[derive(Debug)]
struct Watch {
    profile: Profile,
    digest: Digest,
    counters: Counters,
    /// By worker.
    tallies: Vec<Apart<Mutex<Tally>>>,
    windows: Mutex<Windows>,
    started: Instant,
    rows: AtomicU64,
    pushed_rows: AtomicU64,
    pushed_millis: AtomicU64,
    push_every: u64,
}

impl Monitor {
    /// A monitor against `profile`, or one that gathers a profile first. `None` where there is nothing to watch: neither
    /// a feature nor a prediction.
    ///
    /// # Errors
    /// [`DriftError`] where the profile does not fit the signature.
    pub fn start(
        profile: Option<Profile>,
        signature: Arc<Signature>,
        options: MonitorOptions,
    ) -> Result<Option<Arc<Self>>, DriftError> {
        let sample = ProfileBuilder::sample(&signature, bootstrap_rows(&signature), options.version.number());
        let watch = match profile {
            Some(profile) => OnceLock::from(Watch::new(profile, &signature, &options)?),
            None if sample.finish()?.columns().is_empty() => return Ok(None),
            None => OnceLock::new(),
        };
        let sample = Mutex::new(watch.get().is_none().then_some(sample));
        Ok(Some(Arc::new(Self { options, signature, watch: Arc::new(watch), sample })))
    }

    /// The monitor as the metrics see it.
    pub fn source(self: &Arc<Self>) -> Arc<dyn DriftSource> {
        Arc::clone(self) as Arc<dyn DriftSource>
    }

    /// What every window says now; empty while the reference profile is still being gathered.
    pub fn reports(&self) -> Vec<WindowReport> {
        self.watch.get().map(|watch| watch.reports()).unwrap_or_default()
    }

    /// The reference profile; `None` while it is still being gathered.
    pub fn profile(&self) -> Option<Profile> {
        self.watch.get().map(|watch| watch.profile.clone())
    }

    /// Rows still wanted for the reference profile; 0 once there is one.
    pub fn bootstrap_rows_left(&self) -> usize {
        let sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.as_ref().map_or(0, |builder| bootstrap_rows(&self.signature) - builder.len())
    }

    fn gather(&self, inputs: &Checked, outputs: &[Tensor]) {
        // Rows that come while another thread holds the sample are no loss: they are one sample among many.
        let mut sample = match self.sample.try_lock() {
            Ok(sample) => sample,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let Some(builder) = sample.as_mut() else { return };
        builder.push(inputs, outputs);
        if bootstrap_rows(&self.signature) <= builder.len()
            && let Some(builder) = sample.take()
        {
            self.conclude(builder);
        }
    }

    /// Makes the profile out of the rows beside serving, for sorting them takes a while. What comes meanwhile is not watched.
    fn conclude(&self, builder: ProfileBuilder) {
        let (watch, signature) = (Arc::clone(&self.watch), Arc::clone(&self.signature));
        let options = self.options.clone();
        let (model, version) = (options.model.clone(), options.version);
        let work = move || {
            let made = builder.finish().and_then(|profile| Watch::new(profile, &signature, &options));
            drop(builder);
            match made {
                // There is one sample, and so one profile of it.
                Ok(made) => drop(watch.set(made)),
                Err(error) => {
                    let MonitorOptions { model, version, .. } = &options;
                    tracing::warn!(%model, %version, "drift of {model} version {version} is not watched: {error}");
                }
            }
        };
        if let Err(error) = aside::spawn("gudgeon-profile", work) {
            tracing::warn!(%model, %version, "drift of {model} version {version} is not watched: no thread: {error}");
        }
    }
}

/// How many live rows a reference profile is gathered from.
fn bootstrap_rows(signature: &Signature) -> usize {
    (BOOTSTRAP_VALUES_MAX / signature.features.len().max(1)).clamp(BOOTSTRAP_ROWS_MIN, BOOTSTRAP_ROWS)
}

impl Observe for Monitor {
    fn observe(&self, worker: usize, inputs: &Checked, outputs: &[Tensor]) {
        match self.watch.get() {
            Some(watch) => watch.observe(worker, inputs, outputs),
            None => self.gather(inputs, outputs),
        }
    }
}

impl Watch {
    fn new(profile: Profile, signature: &Signature, options: &MonitorOptions) -> Result<Self, DriftError> {
        let specs = options.windows.clone().unwrap_or_else(|| WindowSpec::DEFAULT.to_vec());
        let smallest = |spec: &WindowSpec| match spec {
            WindowSpec::Rows(rows) => Some(rows.div_ceil(SUB_WINDOWS)),
            WindowSpec::Time(_) => None,
        };
        let counters = Counters::new(&profile, signature)?;
        Ok(Self {
            digest: Digest::of(serde_json::to_string(&profile).unwrap_or_default().as_bytes()),
            tallies: (0..options.workers.max(1)).map(|_| Apart(Mutex::new(counters.tally()))).collect(),
            counters,
            windows: Mutex::new(Windows::new(&specs, profile.clone(), options.thresholds.clone())),
            profile,
            started: Instant::now(),
            rows: AtomicU64::new(0),
            pushed_rows: AtomicU64::new(0),
            pushed_millis: AtomicU64::new(0),
            push_every: specs.iter().filter_map(smallest).min().unwrap_or(u64::MAX),
        })
    }

    fn observe(&self, worker: usize, inputs: &Checked, outputs: &[Tensor]) {
        let Some(Apart(tally)) = self.tallies.get(worker % self.tallies.len()) else { return };
        // Its own, but for a moment now and then when somebody reads it.
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        let n_rows = self.counters.observe(&mut tally, inputs, outputs) as u64;
        drop(tally);
        if n_rows == 0 {
            return;
        }
        let rows = self.rows.fetch_add(n_rows, Ordering::Relaxed) + n_rows;
        let is_due = self.push_every <= rows.saturating_sub(self.pushed_rows.load(Ordering::Relaxed))
            || PUSH_INTERVAL_MILLIS <= self.millis().saturating_sub(self.pushed_millis.load(Ordering::Relaxed));
        if is_due && let Ok(mut windows) = self.windows.try_lock() {
            self.push(&mut windows);
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn push(&self, windows: &mut Windows) -> Counts {
        self.pushed_rows.store(self.rows.load(Ordering::Relaxed), Ordering::Relaxed);
        self.pushed_millis.store(self.millis(), Ordering::Relaxed);
        let counts = self.counts();
        windows.push(self.started.elapsed(), counts.clone());
        counts
    }

    /// What all workers have counted. They count on meanwhile.
    fn counts(&self) -> Counts {
        let mut counts = Counts::zero(&self.profile);
        for Apart(tally) in &self.tallies {
            counts.add(&self.counters.counts(&mut tally.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        counts
    }

    fn reports(&self) -> Vec<WindowReport> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        self.push(&mut windows);
        windows.reports()
    }
}

impl DriftSource for Monitor {
    fn model(&self) -> &str {
        self.options.model.as_str()
    }

    fn version(&self) -> u64 {
        self.options.version.number()
    }

    fn profile_digest(&self) -> String {
        self.watch.get().map(|watch| watch.digest.short()).unwrap_or_default()
    }

    fn reference_rows(&self) -> u64 {
        self.watch.get().map_or(0, |watch| watch.profile.n_rows())
    }

    fn dropped_columns(&self) -> u64 {
        let n_columns = self.watch.get().map_or(0, |watch| watch.profile.columns().len());
        n_columns.saturating_sub(BIN_COLUMNS_MAX) as u64
    }

    fn columns(&self) -> Vec<ColumnSample> {
        let Some(watch) = self.watch.get() else { return Vec::new() };
        let (counts, reports) = {
            let mut windows = watch.windows.lock().unwrap_or_else(PoisonError::into_inner);
            let counts = watch.push(&mut windows);
            (counts, windows.reports())
        };
        let column = |(index, (profile, counts)): (usize, (&ColumnProfile, &ColumnCounts))| {
            let windows =
                reports.iter().filter_map(|report| Some(window(report, report.columns.get(index)?))).collect();
            sample(profile, counts, windows, index < BIN_COLUMNS_MAX)
        };
        watch.profile.columns().iter().zip(&counts.columns).enumerate().map(column).collect()
    }
}

fn window(report: &WindowReport, column: &ColumnReport) -> WindowSample {
    WindowSample {
        window: report.window.to_string(),
        psi: column.psi,
        psi_corrected: column.psi_corrected,
        thresholds: [("warn", column.warn_at), ("critical", column.critical_at)],
        chi2_pvalue: column.p,
        rows: column.rows,
        status: column.status.code(),
    }
}

fn sample(profile: &ColumnProfile, counts: &ColumnCounts, windows: Vec<WindowSample>, with_bins: bool) -> ColumnSample {
    ColumnSample {
        feature: profile.name.clone(),
        bins: if with_bins { counts.bins.clone() } else { Vec::new() },
        states: vec![
            ("ok", counts.n().saturating_sub(counts.below_min + counts.above_max + counts.unseen)),
            ("missing", counts.missing),
            ("invalid", counts.invalid),
            ("below_min", counts.below_min),
            ("above_max", counts.above_max),
            ("unseen", counts.unseen),
        ],
        reference_shares: if with_bins { profile.smoothed_shares() } else { Vec::new() },
        reference_counts: if with_bins { profile.counts().to_vec() } else { Vec::new() },
        windows,
    }
}
