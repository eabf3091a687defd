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
    /// The holdout: of the bytes of its file, or of the rows that the pipeline's split holds out.
    pub holdout: Option<Digest>,
    /// What the holdout was made from: its files and how they are read. While this is the same, so is the holdout.
    #[serde(default)]
    pub source: Option<Digest>,
    /// The gate file's bytes.
    pub gate: Option<Digest>,
}

/// The gate's decision. Deterministic given the digests, but for the check of latency, which is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// FAIL where any check fails, else INCONCLUSIVE where any is, else PASS.
    pub verdict: Verdict,
    /// The program that decided, with its version: another one may decide differently.
    #[serde(default)]
    pub made_by: String,
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

impl Report {
    /// The program of this build, as [`Report::made_by`] has it.
    pub const MADE_BY: &'static str = concat!("gudgeon ", env!("CARGO_PKG_VERSION"));

    /// Every check that does not pass, with its figures, one a line.
    pub fn complaints(&self) -> Vec<String> {
        let failed = self.checks.iter().filter(|check| check.verdict != Verdict::Pass);
        failed.map(ToString::to_string).collect()
    }
}

/// A report, and whether it was computed for this question or was there already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Whether it was computed now.
    pub computed: bool,
    /// What it says.
    pub report: Report,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.name, self.verdict, self.reason)?;
        let figures = [
            ("champion", self.champion),
            ("challenger", self.challenger),
            ("better by", self.delta),
            ("from", self.ci_low),
            ("to", self.ci_high),
        ];
        let figures: Vec<String> =
            figures.iter().filter_map(|(name, value)| Some(format!("{name} {:.5}", (*value)?))).collect();
        write!(f, " ({}{}{} rows)", figures.join(", "), if figures.is_empty() { "" } else { ", " }, self.n)
    }
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
        let Digests { champion, challenger, holdout, source: _, gate } = &self.digests;
        let named = [("champion", champion), ("challenger", challenger), ("holdout", holdout), ("gate", gate)];
        for (name, digest) in named {
            if let Some(digest) = digest {
                writeln!(f, "{name}: sha256 {digest}")?;
            }
        }
        Ok(())
    }
}
