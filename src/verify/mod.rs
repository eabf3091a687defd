//! May this version serve? It is opened, held against its golden cases and its contract, and warmed up.
//!
//! Verification is what stands between the registry and a slot: nothing serves that has not come through an [`Examiner`],
//! which opens it in a child process. It never touches what serves now.

mod examine;
mod kept;
mod probe;
mod race;
mod refusal;
mod warm_up;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::child::Sandbox;
use crate::engine::{Engaged, EngineChoice, Engines, Plan};
use crate::model::{Contract, Golden, Signature};
use crate::tensor::NamedTensor;

pub use examine::{COMMAND, Examiner, Finding, answer};
pub use kept::Kept;
pub use refusal::Refusal;
pub use warm_up::{BatchLatency, WarmUp};

/// What is to be verified.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The graph.
    pub model: &'a [u8],
    /// The signature in the manifest; a bare graph has none.
    pub signature: Option<&'a Signature>,
    /// The golden cases, as the file has them; a bare graph has none.
    pub golden: Option<&'a [u8]>,
    /// The engine that the model's owner asks for.
    pub engine: EngineChoice,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Rows of the golden cases that came out right; 0 where there are none.
    pub golden_rows: usize,
    /// The engine that took the graph, in which all this was measured and which will serve.
    pub engine: Engaged,
    /// Time to parse and optimise the graph, milliseconds.
    pub open_ms: f64,
    /// The most memory that the child had resident; nothing where no child was used, or the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// How far the kernel held the child back from files and the network; nothing where no child was used.
    pub sandbox: Option<Sandbox>,
    /// Whether the outputs have one row a row of input, each as if it were run alone, so that requests can share a run.
    pub follows_rows: bool,
    /// Median time of a run by rows in the batch.
    pub latency: Vec<BatchLatency>,
}

crate::schema::described!(
    Report as "VerifyReport" { golden_rows, engine, open_ms, peak_memory_bytes, sandbox, follows_rows, latency }
);

/// Opens, checks and warms up a version in this process, in the first engine that takes it where none is asked for.
///
/// # Errors
/// [`Refusal`] says why it may not serve. Nothing else was touched.
pub fn verify(candidate: Candidate<'_>, engines: &Engines) -> Result<Verified, Refusal> {
    let started = Instant::now();
    let plan = Plan::load_in(candidate.engine, candidate.model, candidate.signature, engines)?;
    try_out(plan, millis(started.elapsed()), golden(candidate)?.as_ref())
}

fn golden(candidate: Candidate<'_>) -> Result<Option<Golden>, Refusal> {
    let parse = |text| serde_json::from_slice(text).map_err(|error| Refusal::GoldenText(error.to_string()));
    candidate.golden.map(parse).transpose()
}

/// Checks and warms up what has been opened.
fn try_out(plan: Plan, open_ms: f64, golden: Option<&Golden>) -> Result<Verified, Refusal> {
    let golden_rows = golden.map_or(Ok(0), |golden| check_golden(&plan, golden))?;
    let WarmUp { follows_rows, latency } = warm_up::warm_up(&plan, golden)?;
    let engine = plan.engaged().clone();
    let report = Report { golden_rows, engine, open_ms, peak_memory_bytes: None, sandbox: None, follows_rows, latency };
    Ok(Verified { plan, report })
}

/// Whether callers of the model can go on as they do; a first version has no contract to keep.
///
/// # Errors
/// [`Refusal::Contract`] says what they would miss.
pub fn keeps(contract: Option<&Contract>, signature: &Signature) -> Result<(), Refusal> {
    let breaches = contract.map_or_else(Vec::new, |contract| contract.breaches(signature));
    if breaches.is_empty() { Ok(()) } else { Err(Refusal::Contract(breaches)) }
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
