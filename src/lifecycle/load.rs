//! From a version at rest to a servable: read, examined in a child, opened here, set up its queue and its drift monitor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::LifecycleError;
use super::examined::Examinations;
use super::operations::Stage;
use super::progress;
use crate::batch::{Lane, LaneMetrics, LaneOptions, Observe, Pace, Pool, Tap};
use crate::drift::Profile;
use crate::engine::Plan;
use crate::metrics::{Metrics, OpResult};
use crate::model::{Contract, Golden, Signature, Version};
use crate::registry::Registry;
use crate::slot::{Monitor, MonitorOptions, Servable, ServableParts, Slot, Tapped, golden_sample, typical_sample};
use crate::tensor::NamedTensor;
use crate::verify::{self, BatchLatency, Refusal, Report};

/// Limits of the queue of a loaded version.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Requests that may wait for one version.
    pub queue_len_max: usize,
    /// Rows up to which waiting requests run as one batch.
    pub batch_rows_max: usize,
    /// Whether live rows are compared with the reference profile.
    pub watches_drift: bool,
}

/// What loading needs to reach.
#[derive(Debug)]
pub(super) struct Loader {
    pub(super) registry: Registry,
    pub(super) pool: Arc<Pool>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) examinations: Examinations,
    pub(super) options: LoadOptions,
}

impl Loader {
    /// Makes a version ready to answer in `slot`'s model, counted by result and time.
    pub(super) fn load(
        &self,
        slot: &Slot,
        version: Version,
        contract: Option<&Contract>,
    ) -> Result<Arc<Servable>, LifecycleError> {
        let started = Instant::now();
        let loaded = self.load_uncounted(slot, version, contract);
        let result = match &loaded {
            Ok(_) => OpResult::Ok,
            Err(error) => error.result(),
        };
        slot.metrics().loads(result).inc();
        if loaded.is_ok() {
            slot.metrics().load_duration.observe(started.elapsed().as_secs_f64());
            slot.metrics().loaded_versions.inc();
        }
        loaded
    }

    fn load_uncounted(
        &self,
        slot: &Slot,
        version: Version,
        contract: Option<&Contract>,
    ) -> Result<Arc<Servable>, LifecycleError> {
        let model = slot.name();
        progress::stage(Stage::Reading);
        let artifact = self.registry.read(model, version)?;
        progress::stage(Stage::Verifying);
        let report = self.examined(model, &artifact)?;
        // The bytes that a child has survived. It ran the golden cases, and measured.
        let known = artifact.manifest.as_ref().map(|manifest| &manifest.signature);
        progress::stage(Stage::Loading);
        let engines = &self.examinations.examiner.engines;
        let plan = Plan::load_as(&report.engine, &artifact.model, known, engines).map_err(Refusal::Engine)?;
        verify::keeps(contract, plan.signature())?;
        tracing::info!(%model, %version, engine = %plan.engaged().engine, "{model} {version} runs in {}", plan.engaged());
        let policy = self.policy(model)?;
        let signature = Arc::new(plan.signature().clone());
        let profile = artifact.profile.as_deref().map(parse_profile).transpose()?;
        let sample = sample(artifact.golden.as_deref(), &signature, profile.as_ref());
        let monitor_options = MonitorOptions {
            model: model.clone(),
            version,
            workers: self.pool.n_threads(),
            windows: policy.drift.windows,
            thresholds: policy.drift.thresholds,
        };
        let start = || Monitor::start(profile, Arc::clone(&signature), monitor_options);
        let monitor = if self.options.watches_drift { start()? } else { None };
        if let Some(monitor) = &monitor {
            self.metrics.add_drift(&monitor.source());
        }
        let plan = Arc::new(plan);
        let metrics = self.metrics.version(model.as_str(), version.number(), artifact.model.len());
        let tapped = Arc::new(Tapped::default());
        let lane_metrics = LaneMetrics {
            all: Arc::clone(&self.metrics),
            model: slot.metrics().clone(),
            version: metrics.clone(),
            observer: monitor.clone().map(|monitor| monitor as Arc<dyn Observe>),
            tap: Some(Arc::clone(&tapped) as Arc<dyn Tap>),
        };
        let lane_options = LaneOptions {
            queue_len_max: self.options.queue_len_max,
            batch_rows_max: self.options.batch_rows_max,
            coalesce: report.follows_rows,
            pace: pace(&report, &signature),
        };
        let lane = Lane::new(Arc::clone(&plan), lane_options, Arc::clone(&self.pool), lane_metrics);
        Ok(Servable::new(ServableParts {
            model: model.clone(),
            version,
            digest: artifact.model_digest,
            plan,
            signature,
            manifest: artifact.manifest,
            lane,
            metrics,
            monitor,
            tapped,
            sample,
        }))
    }
}

/// What the verification found out about short runs. Where rows vary in size, one says nothing about the next.
fn pace(report: &Report, signature: &Signature) -> Pace {
    if signature.inputs.iter().any(|spec| spec.row_len().is_none()) {
        return Pace::default();
    }
    let time = |batch: &BatchLatency| (batch.rows, Duration::from_secs_f64(batch.median_ms.max(0.0) / 1e3));
    Pace::of(&report.latency.iter().map(time).collect::<Vec<_>>())
}

/// One row for whoever describes the version. The golden cases were read by the child that tried the version out: what it could
/// make nothing of would not have come so far.
fn sample(golden: Option<&[u8]>, signature: &Signature, profile: Option<&Profile>) -> Vec<NamedTensor> {
    let golden = golden.and_then(|text| serde_json::from_slice::<Golden>(text).ok());
    let recorded = golden.as_ref().map(golden_sample).unwrap_or_default();
    match profile {
        Some(profile) if recorded.is_empty() => typical_sample(signature, profile),
        _ => recorded,
    }
}

fn parse_profile(text: &[u8]) -> Result<Profile, LifecycleError> {
    serde_json::from_slice(text).map_err(|error| LifecycleError::ProfileText(error.to_string()))
}

impl LifecycleError {
    /// How the metrics call this failure.
    pub(super) fn result(&self) -> OpResult {
        match self.kind().0 {
            super::ErrorKind::Refused | super::ErrorKind::NotFound | super::ErrorKind::Conflict => OpResult::Refused,
            super::ErrorKind::Storage | super::ErrorKind::Stopped | super::ErrorKind::Failed => OpResult::Failed,
        }
    }
}
