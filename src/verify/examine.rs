//! A version is opened for the first time where it can do no harm: in a child process that gets its bytes through a pipe and
//! may read nothing else.
//!
//! The parent writes a line of JSON ([`Head`]), the graph and the golden cases; the child writes one JSON ([`Answer`]).

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, BufRead as _, Read};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::probe::Probe;
use super::race::race;
use super::{Candidate, Refusal, Report, Verified, golden, millis, try_out};
use crate::child::{self, ChildLimits, ChildOutput, Isolation, Job};
use crate::engine::{EngineChoice, EngineName, Engines, Onnxruntime, Plan, Providers};
use crate::model::{Digest, Signature, Task};

/// The command of the binary whose standard input and output this is ([`answer`]).
pub const COMMAND: &str = "examine";

/// Opens versions for the first time.
#[derive(Debug, Clone)]
pub struct Examiner {
    /// Where.
    pub isolation: Isolation,
    /// What a child may take; each is a setting by the name that [`Refusal`] uses.
    pub child_limits: ChildLimits,
    /// What models are opened with.
    pub engines: Engines,
}

/// What was found out about a version that may serve, the contract aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The digest of the graph that was opened.
    pub model_sha256: Digest,
    /// What it takes and gives.
    pub signature: Signature,
    /// What the prediction is, as far as the graph tells.
    pub task: Task,
    /// The version of ai.onnx; 0 where the graph uses none of its operators.
    pub opset: i64,
    /// What was measured.
    pub report: Report,
}

/// What precedes the bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Head<'a> {
    engines: Engines,
    engine: EngineChoice,
    signature: Option<Cow<'a, Signature>>,
    model_bytes: u64,
    golden_bytes: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    MayServe(Box<Found>),
    Refused { code: String, message: String, engine: Option<EngineName>, elsewhere: Option<String> },
}

/// A version that may serve in the engine that was tried.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) finding: Finding,
    /// What it says of a few rows; nothing where it fails on them.
    pub(super) probe: Option<Probe>,
}

impl Found {
    pub(super) fn engine(&self) -> EngineName {
        self.finding.report.engine.engine
    }
}

/// A version that may not serve in the engine that was tried.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) refusal: Box<Refusal>,
    /// The engine that had taken it.
    pub(super) engine: Option<EngineName>,
    /// Why, in a few words, where that says nothing about other engines.
    pub(super) elsewhere: Option<String>,
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self { elsewhere: refusal.elsewhere(), refusal: Box::new(refusal), engine: None }
    }
}

impl Examiner {
    /// Opens a version, runs its golden cases and measures it: in the engine that is asked for, or in those that there are.
    ///
    /// # Errors
    /// [`Refusal`] says why it may not serve; a child that did not survive it is one.
    pub fn examine(&self, candidate: Candidate<'_>) -> Result<Finding, Refusal> {
        let mut finding = match candidate.engine {
            EngineChoice::Auto => race(self, candidate)?,
            EngineChoice::Native | EngineChoice::Tract | EngineChoice::Onnxruntime => {
                self.try_out(candidate, self.child_limits).map_err(|failed| *failed.refusal)?.finding
            }
        };
        finding.report.engine.onnxruntime = self.engines.onnxruntime_identity(candidate.engine);
        Ok(finding)
    }

    /// Opens and tries out a version in one engine; [`EngineChoice::Auto`] is native, or tract where native lacks something.
    pub(super) fn try_out(&self, candidate: Candidate<'_>, limits: ChildLimits) -> Result<Found, Failed> {
        let onnxruntime = self.engines.onnxruntime.as_ref().filter(|_| candidate.engine == EngineChoice::Onnxruntime);
        // Devices are out of a child's reach.
        let onnxruntime = onnxruntime.map(|found| Onnxruntime::new(found.library.clone(), Providers::default()));
        let library = onnxruntime.as_ref().map(|found| found.library.clone());
        let engines = Engines { limits: self.engines.limits, onnxruntime };
        let binary = match &self.isolation {
            Isolation::Child { binary } => binary,
            Isolation::None => return found(candidate, &engines),
        };
        let head = Head {
            engines,
            engine: candidate.engine,
            signature: candidate.signature.map(Cow::Borrowed),
            model_bytes: candidate.model.len() as u64,
            golden_bytes: candidate.golden.map(|golden| golden.len() as u64),
        };
        let mut line = serde_json::to_vec(&head).map_err(|error| Refusal::NoChild(error.to_string()))?;
        line.push(b'\n');
        let input = [line.as_slice(), candidate.model, candidate.golden.unwrap_or_default()];
        let args = [OsString::from(COMMAND)];
        let job = Job { args: &args, input: &input, readable: &[], library: library.as_deref() };
        let output = child::run(binary, job, limits).map_err(Refusal::from)?;
        let found = understood(&output, limits)?;
        let (expected, got) = (Digest::of(candidate.model), found.finding.model_sha256);
        if expected == got {
            Ok(found)
        } else {
            Err(Refusal::NoChild(format!("it opened the bytes of SHA-256 {got}, expected {expected}")).into())
        }
    }
}

fn understood(output: &ChildOutput, limits: ChildLimits) -> Result<Found, Failed> {
    let nonsense = |what: String| Refusal::NoChild(format!("{what} {}", output.complaint()));
    if output.code != 0 {
        return Err(nonsense(format!("exit code {}:", output.code)).into());
    }
    match serde_json::from_slice(&output.stdout).map_err(|error| nonsense(error.to_string()))? {
        Answer::MayServe(mut found) => {
            let report = &mut found.finding.report;
            report.peak_memory_bytes = output.farewell.and_then(|farewell| farewell.peak_memory_bytes);
            report.sandbox = output.farewell.map(|farewell| farewell.sandbox);
            Ok(*found)
        }
        Answer::Refused { code, message, engine, elsewhere } => {
            let refusal = Box::new(Refusal::told(&code, message, limits.memory_bytes_max));
            Err(Failed { refusal, engine, elsewhere })
        }
    }
}

fn found(candidate: Candidate<'_>, engines: &Engines) -> Result<Found, Failed> {
    let started = Instant::now();
    let plan = Plan::load_in(candidate.engine, candidate.model, candidate.signature, engines).map_err(Refusal::from)?;
    let open_ms = millis(started.elapsed());
    let engine = Some(plan.engaged().engine);
    let golden = golden(candidate)?;
    let tried = try_out(plan, open_ms, golden.as_ref()).map_err(|refusal| Failed { engine, ..refusal.into() });
    let Verified { plan, report } = tried?;
    let probe = Probe::take(&plan, golden.as_ref());
    let model_sha256 = Digest::of(candidate.model);
    let (signature, task, opset) = (plan.signature().clone(), plan.task(), plan.opset());
    Ok(Found { finding: Finding { model_sha256, signature, task, opset, report }, probe })
}

/// The child's side: reads a version from `input` and gives back what to write, also where it may not serve.
///
/// # Errors
/// Where `input` is not what [`Examiner::examine`] writes.
pub fn answer(input: impl Read) -> io::Result<String> {
    let mut input = io::BufReader::new(input);
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    let head: Head<'_> = serde_json::from_slice(&line)?;
    let model = part(&mut input, head.model_bytes)?;
    let golden = head.golden_bytes.map(|bytes| part(&mut input, bytes)).transpose()?;
    let candidate = Candidate {
        model: &model,
        signature: head.signature.as_deref(),
        golden: golden.as_deref(),
        engine: head.engine,
    };
    let answer = match found(candidate, &head.engines) {
        Ok(found) => Answer::MayServe(Box::new(found)),
        Err(Failed { refusal, engine, elsewhere }) => {
            let (code, message) = (refusal.code().to_owned(), refusal.to_string());
            Answer::Refused { code, message, engine, elsewhere }
        }
    };
    Ok(serde_json::to_string(&answer)?)
}

fn part(input: &mut impl Read, bytes: u64) -> io::Result<Vec<u8>> {
    let mut part = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    input.read_exact(&mut part)?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_model_is_answered_with_a_refusal_and_a_broken_input_with_an_error() {
        let head = Head {
            engines: Engines::default(),
            engine: EngineChoice::Auto,
            signature: None,
            model_bytes: 3,
            golden_bytes: None,
        };
        let mut input = serde_json::to_vec(&head).unwrap();
        input.extend(b"\nabc");
        let Answer::Refused { code, .. } = serde_json::from_str(&answer(input.as_slice()).unwrap()).unwrap() else {
            panic!("abc is no model");
        };
        assert_eq!(code, "not_a_model");
        assert!(answer(&input[..input.len() - 1]).is_err());
        assert!(answer(&b"{}\n"[..]).is_err());
    }
}
