//! A version in memory, ready to answer.

use std::sync::Arc;
use std::time::Instant;

use super::Monitor;
use super::feed::Tapped;
use crate::batch::{Lane, LaneOptions, Outputs, RunError};
use crate::engine::{EngineError, Plan};
use crate::metrics::VersionMetrics;
use crate::model::{Checked, Digest, Head, Manifest, ModelName, Signature, Version};
use crate::tensor::{NamedTensor, Tensor};

/// What a servable is made of.
#[derive(Debug)]
pub struct ServableParts {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// The digest of the graph that was loaded.
    pub digest: Digest,
    /// The plan, as the lane runs it.
    pub plan: Arc<Plan>,
    /// What the version takes and gives.
    pub signature: Arc<Signature>,
    /// The artifact's description; a bare graph has none.
    pub manifest: Option<Manifest>,
    /// The queue in front of the plan.
    pub lane: Arc<Lane>,
    /// The version's metrics.
    pub metrics: VersionMetrics,
    /// The drift monitor; a model with neither features nor a prediction to watch has none.
    pub monitor: Option<Arc<Monitor>>,
    /// Where answered requests go on to be compared with another version; the lane knows it too.
    pub tapped: Arc<Tapped>,
    /// One row of inputs that make sense, for whoever describes the version; none where none is known.
    pub sample: Vec<NamedTensor>,
}

/// A version in memory, ready to answer. Immutable; shared by every request that acquired it.
#[derive(Debug)]
pub struct Servable {
    parts: ServableParts,
    head: Head,
    plain_row_len: Option<usize>,
    version_text: String,
}

impl Servable {
    /// A servable of `parts`.
    pub fn new(parts: ServableParts) -> Arc<Self> {
        let head = parts.signature.head();
        let plain_row_len = parts.signature.plain_row_len();
        let version_text = parts.version.to_string();
        Arc::new(Self { parts, head, plain_row_len, version_text })
    }

    /// The model.
    pub fn model(&self) -> &ModelName {
        &self.parts.model
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The version as every answer names it.
    pub fn version_text(&self) -> &str {
        &self.version_text
    }

    /// The digest of the graph that was loaded.
    pub fn digest(&self) -> Digest {
        self.parts.digest
    }

    /// What the version takes and gives.
    pub fn signature(&self) -> &Arc<Signature> {
        &self.parts.signature
    }

    /// Which outputs carry the prediction.
    pub fn head(&self) -> Head {
        self.head
    }

    /// [`Signature::plain_row_len`], found once.
    pub fn plain_row_len(&self) -> Option<usize> {
        self.plain_row_len
    }

    /// The artifact's description; a bare graph has none.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.parts.manifest.as_ref()
    }

    /// The version's metrics.
    pub fn metrics(&self) -> &VersionMetrics {
        &self.parts.metrics
    }

    /// One row of inputs that make sense; empty where none is known.
    pub fn sample(&self) -> &[NamedTensor] {
        &self.parts.sample
    }

    /// The limits of its queue.
    pub fn lane_options(&self) -> LaneOptions {
        self.parts.lane.options()
    }

    /// The drift monitor.
    pub fn monitor(&self) -> Option<&Arc<Monitor>> {
        self.parts.monitor.as_ref()
    }

    /// Runs a checked batch at once on this thread, where that is the shortest way. It is `now`.
    ///
    /// # Errors
    /// Gives `inputs` back where they have to queue, for [`Self::predict`]; then as that.
    pub fn predict_here(
        &self,
        inputs: Checked,
        (now, deadline): (Instant, Instant),
    ) -> Result<Result<Outputs, RunError>, Checked> {
        self.parts.lane.run_here(inputs, (now, deadline))
    }

    /// Whether there is room for one more request; asked before work is put into reading one.
    ///
    /// # Errors
    /// [`RunError::QueueFull`].
    pub fn check_room(&self) -> Result<(), RunError> {
        self.parts.lane.check_room()
    }

    /// Runs a checked batch; the answer comes before `deadline` or not at all.
    ///
    /// # Errors
    /// [`RunError`] where the queue is full, the deadline passes, the server stops or the engine fails.
    pub async fn predict(&self, inputs: Checked, deadline: Instant) -> Result<Outputs, RunError> {
        self.parts.lane.run(inputs, deadline).await
    }

    /// Runs `inputs` on the thread that calls, past the queue and uncounted: for comparisons.
    pub(super) fn run_aside(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        self.parts.plan.run(inputs)
    }

    pub(super) fn tapped(&self) -> &Tapped {
        &self.parts.tapped
    }

    /// Whether nobody but the caller of this holds the servable, its queue or its plan.
    pub fn is_drained(self: &Arc<Self>) -> bool {
        // The servable holds the plan once and the lane holds it once.
        Arc::strong_count(self) == 1
            && Arc::strong_count(&self.parts.lane) == 1
            && Arc::strong_count(&self.parts.plan) <= 2
    }
}
