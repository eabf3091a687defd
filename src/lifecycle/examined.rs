//! Versions are opened in a child before they are opened here, and what was found is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::error::LifecycleError;
use super::load::Loader;
use super::model_policy::ModelPolicy;
use crate::child::Isolation;
use crate::engine::EngineChoice;
use crate::model::{ModelName, Version};
use crate::registry::{Artifact, PolicyFile, RegistryError};
use crate::verify::{Candidate, Examiner, Finding, Kept, Refusal, Report};

/// What an operator waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// A version is to serve.
    Serving,
    /// A version is only tried out.
    Trial,
}

/// Opens versions in children: two at most, so that their memory can be planned for, and never a version that is to serve
/// behind one that is only tried out.
#[derive(Debug)]
pub(super) struct Examinations {
    pub(super) examiner: Examiner,
    serving_turn: Mutex<()>,
    trial_turn: Mutex<()>,
    /// What the registry could not keep.
    kept: Mutex<BTreeMap<(ModelName, Version), Kept>>,
    has_warned: AtomicBool,
}

impl Examinations {
    pub(super) fn new(examiner: Examiner) -> Self {
        Self {
            examiner,
            serving_turn: Mutex::default(),
            trial_turn: Mutex::default(),
            kept: Mutex::default(),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Opens a version in a child, however often that was done before.
    pub(super) fn examine(&self, candidate: Candidate<'_>, purpose: For) -> Result<Finding, Refusal> {
        let turn = match purpose {
            For::Serving => &self.serving_turn,
            For::Trial => &self.trial_turn,
        };
        let _alone = turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.examiner.examine(candidate)
    }
}

impl Loader {
    /// Opens a version in a child and keeps what was found.
    pub(super) fn examine(
        &self,
        model: &ModelName,
        artifact: &Artifact,
        purpose: For,
    ) -> Result<Finding, LifecycleError> {
        let candidate = Candidate {
            model: &artifact.model,
            signature: artifact.manifest.as_ref().map(|manifest| &manifest.signature),
            golden: artifact.golden.as_deref(),
            engine: self.engine(model)?,
        };
        let finding = self.examinations.examine(candidate, purpose)?;
        if finding.report.peak_memory_bytes.is_some() {
            let kept = Kept::new(artifact.model_digest, artifact.manifest_digest, finding.report.clone());
            self.keep(model, artifact.version, kept);
        }
        Ok(finding)
    }

    /// The owner's policy for a model; the defaults for a model that is yet to come.
    pub(super) fn policy(&self, model: &ModelName) -> Result<ModelPolicy, LifecycleError> {
        let text = match self.registry.policy_text(model, PolicyFile::Model) {
            Err(RegistryError::NoSuchModel { .. }) => None,
            text => text?,
        };
        Ok(text.map_or_else(|| Ok(ModelPolicy::default()), |text| ModelPolicy::parse(&text))?)
    }

    /// The engine that the owner asks for.
    pub(super) fn engine(&self, model: &ModelName) -> Result<EngineChoice, LifecycleError> {
        Ok(self.policy(model)?.engine)
    }

    /// Whether what is found is kept: nothing is taken for tried out that was opened in this process.
    pub(super) fn keeps_findings(&self) -> bool {
        self.examinations.examiner.isolation != Isolation::None
    }

    /// What is known of a version from a child that opened these bytes before; else one opens them now.
    pub(super) fn examined(&self, model: &ModelName, artifact: &Artifact) -> Result<Report, LifecycleError> {
        let Examiner { child_limits, engines, .. } = &self.examinations.examiner;
        let engine = self.engine(model)?;
        let digests = (artifact.model_digest, artifact.manifest_digest);
        let kept = self.kept(model, artifact.version);
        match kept.filter(|kept| kept.holds(digests, (engine, engines), child_limits.memory_bytes_max)) {
            Some(kept) => Ok(kept.report),
            None => Ok(self.examine(model, artifact, For::Serving)?.report),
        }
    }

    /// The last verification of a version, whether or not it still holds.
    pub(super) fn kept(&self, model: &ModelName, version: Version) -> Option<Kept> {
        let in_memory = self.examinations.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = in_memory.get(&(model.clone(), version)) {
            return Some(kept.clone());
        }
        drop(in_memory);
        // What cannot be read is made again.
        Kept::parse(&self.registry.verification(model, version).ok()??)
    }

    fn keep(&self, model: &ModelName, version: Version, kept: Kept) {
        let place = (model.clone(), version);
        let written = self.registry.keep_verification(model, version, &kept.text());
        let mut in_memory = self.examinations.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(()) => drop(in_memory.remove(&place)),
            Err(error) => {
                in_memory.insert(place, kept);
                if !self.examinations.has_warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%model, %version, "verifications are kept until the server ends: {error}");
                }
            }
        }
    }
}
