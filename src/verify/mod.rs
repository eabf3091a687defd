//! May this version serve? It is opened, held against its golden cases and its contract, and warmed up.
//!
//! Verification is what stands between the registry and a slot: nothing serves that has not come through
//! [`verify`]. It never touches what serves now.

mod warm_up;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::engine::{EngineError, Limits, Plan};
use crate::model::{Breach, Contract, Golden, GoldenMismatch, Mismatch, Signature};
use crate::tensor::NamedTensor;

pub use warm_up::{BatchLatency, WarmUp};

/// What is to be verified.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The graph.
    pub model: &'a [u8],
    /// The signature in the manifest; a bare graph has none.
    pub signature: Option<&'a Signature>,
    /// The golden cases; a bare graph has none.
    pub golden: Option<&'a Golden>,
    /// What callers of the model rely on; a first version has none to keep.
    pub contract: Option<&'a Contract>,
}

/// A version that may serve.
#[derive(Debug)]
pub struct Verified {
    /// Ready to run.
    pub plan: Plan,
    /// What the warm-up showed.
    pub report: Report,
}

/// What verification measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Rows of the golden cases that came out right; 0 where there are none.
    pub golden_rows: usize,
    /// Time to parse and optimise the graph, milliseconds.
    pub open_ms: f64,
    /// Whether the outputs have one row a row of input, each as if it were run alone, so that requests can share a run.
    pub follows_rows: bool,
    /// Median time of a run by rows in the batch.
    pub latency: Vec<BatchLatency>,
}

/// Why a version may not serve.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The engine cannot open or run it.
    #[error("the model cannot be served: {0}")]
    Engine(#[from] EngineError),
    /// A golden case comes out differently.
    #[error(
        "{0}; the graph does not do here what it did where it was made: register it again with golden cases made from it"
    )]
    Golden(#[from] GoldenMismatch),
    /// The golden cases do not fit the signature.
    #[error("golden.json: {0}; make the golden cases again")]
    GoldenInputs(#[from] Mismatch),
    /// Callers could not go on as they do.
    #[error("it breaks the model's contract: {}; register it under another model name, which is served side by side, and move callers over", breaches_text(.0))]
    Contract(Vec<Breach>),
}

fn breaches_text(breaches: &[Breach]) -> String {
    breaches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Refusal {
    /// A stable word for the kind of refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Engine(_) => "model_unusable",
            Self::Golden(_) | Self::GoldenInputs(_) => "golden_mismatch",
            Self::Contract(_) => "contract_broken",
        }
    }
}

/// Opens, checks and warms up a version.
///
/// # Errors
/// [`Refusal`] says why it may not serve. Nothing else was touched.
pub fn verify(candidate: Candidate<'_>, limits: &Limits) -> Result<Verified, Refusal> {
    let started = Instant::now();
    let plan = Plan::load(candidate.model, candidate.signature, limits)?;
    let open_ms = millis(started.elapsed());
    if let Some(contract) = candidate.contract {
        let breaches = contract.breaches(plan.signature());
        if !breaches.is_empty() {
            return Err(Refusal::Contract(breaches));
        }
    }
    let golden_rows = candidate.golden.map_or(Ok(0), |golden| check_golden(&plan, golden))?;
    let WarmUp { follows_rows, latency } = warm_up::warm_up(&plan, candidate.golden);
    Ok(Verified { plan, report: Report { golden_rows, open_ms, follows_rows, latency } })
}

/// Runs the golden cases; gives back how many rows were right.
fn check_golden(plan: &Plan, golden: &Golden) -> Result<usize, Refusal> {
    let inputs = plan.signature().check(golden.inputs.clone())?;
    let outputs = plan.run(inputs.tensors())?;
    let named = plan.signature().outputs.iter().zip(outputs);
    let named: Vec<_> = named.map(|(spec, tensor)| NamedTensor { name: spec.name.clone(), tensor }).collect();
    golden.compare(&named)?;
    Ok(inputs.n_rows())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
