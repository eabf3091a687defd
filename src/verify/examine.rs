//! A version is opened for the first time where it can do no harm: in a child process that gets its bytes through a pipe and
//! may read nothing else.
//!
//! The parent writes a line of JSON ([`Head`]), the graph and the golden cases; the child writes one JSON ([`Answer`]).

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, BufRead as _, Read};

use serde::{Deserialize, Serialize};

use super::{Candidate, Refusal, Report, Verified, verify};
use crate::child::{self, ChildLimits, ChildOutput, Isolation, Job};
use crate::engine::{EngineChoice, Limits};
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
    /// How large a model may be.
    pub limits: Limits,
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
    limits: Limits,
    engine: EngineChoice,
    signature: Option<Cow<'a, Signature>>,
    model_bytes: u64,
    golden_bytes: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    MayServe(Box<Finding>),
    Refused { code: String, message: String },
}

impl Examiner {
    /// Opens a version, runs its golden cases and measures it.
    ///
    /// # Errors
    /// [`Refusal`] says why it may not serve; a child that did not survive it is one.
    pub fn examine(&self, candidate: Candidate<'_>) -> Result<Finding, Refusal> {
        let binary = match &self.isolation {
            Isolation::Child { binary } => binary,
            Isolation::None => return finding(candidate, &self.limits),
        };
        let head = Head {
            limits: self.limits,
            engine: candidate.engine,
            signature: candidate.signature.map(Cow::Borrowed),
            model_bytes: candidate.model.len() as u64,
            golden_bytes: candidate.golden.map(|golden| golden.len() as u64),
        };
        let mut line = serde_json::to_vec(&head).map_err(|error| Refusal::NoChild(error.to_string()))?;
        line.push(b'\n');
        let input = [line.as_slice(), candidate.model, candidate.golden.unwrap_or_default()];
        let job = Job { args: &[OsString::from(COMMAND)], input: &input, readable: &[] };
        let output = child::run(binary, job, self.child_limits)?;
        let finding = understood(&output, self.child_limits)?;
        let (expected, got) = (Digest::of(candidate.model), finding.model_sha256);
        if expected == got {
            Ok(finding)
        } else {
            Err(Refusal::NoChild(format!("it opened the bytes of SHA-256 {got}, expected {expected}")))
        }
    }
}

fn understood(output: &ChildOutput, limits: ChildLimits) -> Result<Finding, Refusal> {
    let nonsense = |what: String| Refusal::NoChild(format!("{what} {}", output.complaint()));
    if output.code != 0 {
        return Err(nonsense(format!("exit code {}:", output.code)));
    }
    match serde_json::from_slice(&output.stdout).map_err(|error| nonsense(error.to_string()))? {
        Answer::MayServe(mut finding) => {
            finding.report.peak_memory_bytes = output.farewell.and_then(|farewell| farewell.peak_memory_bytes);
            finding.report.sandbox = output.farewell.map(|farewell| farewell.sandbox);
            Ok(*finding)
        }
        Answer::Refused { code, message } => Err(Refusal::told(&code, message, limits.memory_bytes_max)),
    }
}

fn finding(candidate: Candidate<'_>, limits: &Limits) -> Result<Finding, Refusal> {
    let Verified { plan, report } = verify(candidate, limits)?;
    let model_sha256 = Digest::of(candidate.model);
    Ok(Finding { model_sha256, signature: plan.signature().clone(), task: plan.task(), opset: plan.opset(), report })
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
    let answer = match finding(candidate, &head.limits) {
        Ok(finding) => Answer::MayServe(Box::new(finding)),
        Err(refusal) => Answer::Refused { code: refusal.code().to_owned(), message: refusal.to_string() },
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
            limits: Limits::default(),
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
