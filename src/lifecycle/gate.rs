//! The gate, enforced: where a model has a `gate.toml`, a version becomes champion with a PASS against the champion of now, or
//! by a person's word, which is recorded.
//!
//! The report is computed in a child process under limits, by the command that a data scientist runs too. It is computed
//! without the model's lock, so that a roll back never waits for it; a champion that changed meanwhile makes it void.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::controller::Lifecycle;
use super::error::LifecycleError;
use crate::child::{self, ChildLimits, Isolation, Job};
use crate::engine::Onnxruntime;
use crate::evaluation::{Decision, Report, Verdict};
use crate::metrics::GateVerdict;
use crate::model::{Digest, ModelName, Version};
use crate::registry::{Aliases, PolicyFile};
use crate::slot::Servable;

/// Gates that may be computed at once: each keeps a core busy.
pub(super) const GATES_MAX: usize = 2;
/// Exit codes of `gudgeon evaluate` with a report on its standard output.
const EXIT_CODES: [i32; 3] = [0, 10, 11];
const ERROR_CHARS_MAX: usize = 1_000;

/// Where and how the gate is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateOptions {
    /// The gudgeon binary.
    pub isolation: Isolation,
    /// What a child of it may take.
    pub child_limits: ChildLimits,
}

/// Whether the gate's word may be overridden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// The gate decides.
    No,
    /// A person decides, and the history says so.
    Yes,
}

/// What the gate made of a wish, to be held against what is there when it is carried out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gated {
    /// The champion that it was held against.
    pub(super) champion: Option<Version>,
    /// The graph that it was about, where a report says so.
    pub(super) digest: Option<Digest>,
    /// For the history.
    pub(super) detail: String,
}

impl Gated {
    /// Holds what was asked about against what is there: `loaded` is the version in memory, where it is.
    pub(super) fn still_holds(
        &self,
        model: &ModelName,
        aliases: &Aliases,
        loaded: Option<&Arc<Servable>>,
    ) -> Result<(), LifecycleError> {
        if self.champion != aliases.champion {
            let (expected, got) = (self.champion, aliases.champion);
            return Err(LifecycleError::ChampionChanged { model: model.clone(), expected, got });
        }
        match (loaded, self.digest) {
            (Some(loaded), Some(digest)) if loaded.digest() != digest => Err(LifecycleError::GateNotComputed {
                model: model.clone(),
                version: loaded.version(),
                why: format!("the graph in memory is {}, the one in the registry {digest}", loaded.digest()),
            }),
            _ => Ok(()),
        }
    }
}

impl Lifecycle {
    /// Asks the gate about `version`; `None` where the model has none, or the version is the champion already.
    ///
    /// # Errors
    /// [`LifecycleError::Gate`] where it does not pass, [`LifecycleError::GateNotComputed`] where it cannot be told; with
    /// [`Force::Yes`] neither.
    pub(super) fn ask_gate(
        &self,
        model: &ModelName,
        version: Version,
        force: Force,
    ) -> Result<Option<Gated>, LifecycleError> {
        let registry = &self.loader.registry;
        let champion = registry.aliases(model)?.champion;
        if champion == Some(version) || registry.policy_text(model, PolicyFile::Gate)?.is_none() {
            return Ok(None);
        }
        self.before_gate(model, version)?;
        let metrics = self.slot_of(model).metrics().clone();
        let judged = self.judge(model, version, champion);
        let (verdict, said) = match &judged {
            Ok(decision) => (GateVerdict::from(decision.report.verdict), said(decision)),
            Err(LifecycleError::GateNotComputed { why, .. }) => {
                (GateVerdict::NotComputed, format!("the gate could not be computed: {why}"))
            }
            Err(_) => return judged.map(|_| None),
        };
        metrics.gate_decisions(verdict).inc();
        match (judged, force) {
            (Ok(decision), _) if decision.report.verdict == Verdict::Pass => {
                Ok(Some(Gated { champion, digest: decision.report.digests.challenger, detail: said }))
            }
            (_, Force::Yes) => {
                metrics.gate_overrides.inc();
                tracing::warn!(%model, %version, "{model} version {version}: forced although {said}");
                Ok(Some(Gated { champion, digest: None, detail: format!("forced although {said}") }))
            }
            (Ok(decision), Force::No) => {
                Err(LifecycleError::Gate { model: model.clone(), version, report: Box::new(decision.report) })
            }
            (Err(error), Force::No) => Err(error),
        }
    }

    /// What can be said without the gate is said first: files that have changed, and callers that would break.
    fn before_gate(&self, model: &ModelName, version: Version) -> Result<(), LifecycleError> {
        let artifact = self.loader.registry.read(model, version)?;
        let breaches = match (&artifact.manifest, self.contract(model)?) {
            (Some(manifest), Some(contract)) => contract.breaches(&manifest.signature),
            _ => Vec::new(),
        };
        if breaches.is_empty() { Ok(()) } else { Err(crate::verify::Refusal::Contract(breaches).into()) }
    }

    /// The gate's report about `version` against `champion`, from the registry where it still holds, else computed.
    fn judge(
        &self,
        model: &ModelName,
        version: Version,
        champion: Option<Version>,
    ) -> Result<Decision, LifecycleError> {
        let _permit = self.gate_permits.take()?;
        let not_computed = |why: String| LifecycleError::GateNotComputed { model: model.clone(), version, why };
        let Isolation::Child { binary } = &self.gate.isolation else {
            return Err(not_computed("this program does not run child processes".to_owned()));
        };
        let registry = &self.loader.registry;
        let root = registry.root().canonicalize().unwrap_or_else(|_| registry.root().to_owned());
        let mut args = arguments(model, version, champion, root.into());
        if let Some(Onnxruntime { library, providers, .. }) = &self.loader.examinations.examiner.engines.onnxruntime {
            args.extend(["--onnxruntime-library".into(), library.into()]);
            args.extend(["--onnxruntime-providers".into(), providers.to_string().into()]);
        }
        // Data may lie anywhere on this machine: the pipeline's author says where. What a graph makes of it goes nowhere.
        let readable = [PathBuf::from("/")];
        let job = Job { args: &args, input: &[], readable: &readable, library: None };
        let output =
            child::run(binary, job, self.gate.child_limits).map_err(|failure| not_computed(failure.to_string()))?;
        if !EXIT_CODES.contains(&output.code) {
            let said = output.complaint();
            let said = said.strip_prefix("gudgeon: ").unwrap_or(&said);
            return Err(not_computed(said.chars().take(ERROR_CHARS_MAX).collect()));
        }
        let decision: Decision = serde_json::from_slice(&output.stdout)
            .map_err(|error| not_computed(format!("its report cannot be read: {error}")))?;
        if decision.computed {
            self.keep(model, (version, champion), &decision.report);
        }
        Ok(decision)
    }

    /// A report that cannot be kept is computed again the next time.
    fn keep(&self, model: &ModelName, pair: (Version, Option<Version>), report: &Report) {
        let text = serde_json::to_vec_pretty(report).unwrap_or_default();
        if let Err(error) = self.loader.registry.keep_report(model, pair, &text) {
            tracing::warn!(%model, "{model}: the gate's report could not be kept: {error}");
        }
    }
}

fn arguments(model: &ModelName, version: Version, champion: Option<Version>, root: OsString) -> Vec<OsString> {
    let mut args: Vec<OsString> =
        ["evaluate", model.as_str(), "--reuse", "--json", "--challenger"].map(Into::into).into();
    args.push(version.to_string().into());
    if let Some(champion) = champion {
        args.extend(["--champion".into(), champion.to_string().into()]);
    }
    args.extend(["--models".into(), root]);
    args
}

/// What the gate said, in a line.
fn said(decision: &Decision) -> String {
    let Decision { computed, report } = decision;
    let how = if *computed { "computed now" } else { "as reported before" };
    let complaints = report.complaints();
    let figures = if complaints.is_empty() { String::new() } else { format!(": {}", complaints.join("; ")) };
    format!("the gate says {} ({how}){figures}", report.verdict)
}

impl From<Verdict> for GateVerdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
            Verdict::Inconclusive => Self::Inconclusive,
        }
    }
}
