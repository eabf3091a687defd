//! What the gate decided, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Metric;
use crate::model::Digest;

/// What a check says, or all of them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// The data cannot tell: never activated without a person's word.
    Inconclusive,
    /// It does not hold.
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Fail => "FAIL",
        })
    }
}

/// One check of the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Which one, for example `primary roc_auc` or `slice origin=JFK`.
    pub name: String,
    /// The champion's score (or that of what the challenger is held against).
    pub champion: Option<f64>,
    /// The challenger's score.
    pub challenger: Option<f64>,
    /// How much better the challenger is: positive is better, whichever way the metric runs.
    pub delta: Option<f64>,
    /// The one-sided lower bound of `delta` at the gate's confidence.
    pub ci_low: Option<f64>,
    /// The one-sided upper bound.
    pub ci_high: Option<f64>,
    /// Rows behind it.
    pub n: u64,
    /// What it says.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

/// What was compared, by SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digests {
    /// The champion's graph.
    pub champion: Option<Digest>,
    /// The challenger's graph.
    pub challenger: Option<Digest>,
    /// The holdout's bytes.
    pub holdout: Option<Digest>,
    /// The gate file's bytes.
    pub gate: Option<Digest>,
}

/// The gate's decision. Deterministic given the digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// FAIL where any check fails, else INCONCLUSIVE where any is, else PASS.
    pub verdict: Verdict,
    /// What decides.
    pub metric: Metric,
    /// The confidence of the one-sided bounds.
    pub confidence: f64,
    /// Every check.
    pub checks: Vec<Check>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// What was compared.
    pub digests: Digests,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0).max(5);
        writeln!(f, "{}: {} at {} % confidence", self.verdict, self.metric, 100.0 * self.confidence)?;
        let head = ["champion", "challenger", "better by", "from", "to"];
        write!(f, "{:width$}  {:12}", "check", "verdict")?;
        head.iter().try_for_each(|name| write!(f, " {name:>10}"))?;
        writeln!(f, " {:>8}  reason", "rows")?;
        for check in &self.checks {
            write!(f, "{:width$}  {:12}", check.name, check.verdict)?;
            for value in [check.champion, check.challenger, check.delta, check.ci_low, check.ci_high] {
                match value {
                    Some(value) => write!(f, " {value:>10.5}")?,
                    None => write!(f, " {:>10}", "-")?,
                }
            }
            writeln!(f, " {:>8}  {}", check.n, check.reason)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        let Digests { champion, challenger, holdout, gate } = &self.digests;
        let named = [("champion", champion), ("challenger", challenger), ("holdout", holdout), ("gate", gate)];
        for (name, digest) in named {
            if let Some(digest) = digest {
                writeln!(f, "{name}: sha256 {digest}")?;
            }
        }
        Ok(())
    }
}
