//! `gate.toml`: what the data scientist means by better, kept in git beside the model's code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bootstrap::Bootstrap;
use super::{EvaluationError, Metric};
use crate::model::Digest;

/// The policy. Everything but the primary metric has a default.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The controlled holdout.
    #[serde(default)]
    pub holdout: Holdout,
    /// What decides.
    pub primary: Primary,
    /// What holds for the first version too.
    #[serde(default)]
    pub floor: Floor,
    /// Metrics that may not become much worse.
    #[serde(default)]
    pub guardrail: Vec<Guardrail>,
    /// Groups of rows in which the primary metric may not become much worse.
    #[serde(default)]
    pub slice: Vec<Slice>,
    /// What serving asks for.
    #[serde(default)]
    pub serving: Serving,
}

/// `[holdout]`: the same bytes for champion and challenger.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Holdout {
    /// Where it is, relative to the gate file.
    pub uri: Option<String>,
    /// The SHA-256 of its bytes.
    pub sha256: Option<Digest>,
    /// The column with what really happened.
    pub label: Option<String>,
    /// The column that names a row.
    pub id: Option<String>,
    /// Fewest rows.
    pub min_rows: u64,
    /// Fewest rows of each class.
    pub min_positives: u64,
    /// The greatest age of its newest row in days.
    pub max_age_days: Option<f64>,
    /// The column whose rows belong together and are drawn together; empty for none.
    pub cluster: String,
    /// Whether none of its rows may have been trained on.
    pub disjoint_from_training: bool,
}

impl Default for Holdout {
    fn default() -> Self {
        Self {
            uri: None,
            sha256: None,
            label: None,
            id: None,
            min_rows: 1000,
            min_positives: 100,
            max_age_days: None,
            cluster: String::new(),
            disjoint_from_training: true,
        }
    }
}

/// How the challenger's improvement is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Its lower bound is above `min_delta`.
    #[default]
    Superior,
    /// Its lower bound is above `-margin`.
    NonInferior,
}

/// `[primary]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Primary {
    /// The metric that decides.
    pub metric: Metric,
    /// How.
    #[serde(default)]
    pub rule: Rule,
    /// For superior.
    #[serde(default)]
    pub min_delta: f64,
    /// For non-inferior.
    #[serde(default = "default_margin")]
    pub margin: f64,
    /// Of the one-sided bounds.
    #[serde(default = "default_confidence")]
    pub confidence: f64,
    /// How the bounds are found.
    #[serde(default)]
    bootstrap: RawBootstrap,
}

impl Primary {
    /// How often to draw, and from which seed.
    pub fn bootstrap(&self) -> Bootstrap {
        Bootstrap { reps: self.bootstrap.reps, seed: self.bootstrap.seed }
    }
}

fn default_margin() -> f64 {
    0.005
}

fn default_confidence() -> f64 {
    0.95
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawBootstrap {
    method: Method,
    reps: usize,
    seed: u64,
}

impl Default for RawBootstrap {
    fn default() -> Self {
        Self { method: Method::Paired, reps: 1000, seed: 1 }
    }
}

/// How the bounds are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Both models on the same draws.
    Paired,
}

/// `[floor]`: what any version must reach, the first one too.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, FloorValue>")]
pub struct Floor {
    /// Metrics with the value that must be reached (at most, where less is better).
    pub metrics: Vec<(Metric, f64)>,
    /// Whether the primary metric must be surely better than that of the best constant answer.
    pub beats_trivial: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum FloorValue {
    Flag(bool),
    Number(f64),
}

impl TryFrom<BTreeMap<String, FloorValue>> for Floor {
    type Error = String;

    fn try_from(raw: BTreeMap<String, FloorValue>) -> Result<Self, Self::Error> {
        let mut floor = Self::default();
        for (name, value) in raw {
            match (name.as_str(), value) {
                ("beats_trivial", FloorValue::Flag(flag)) => floor.beats_trivial = flag,
                ("beats_trivial", FloorValue::Number(_)) => {
                    return Err("beats_trivial: expected true or false".to_owned());
                }
                (_, FloorValue::Flag(_)) => return Err(format!("{name}: expected a number")),
                (metric, FloorValue::Number(value)) => {
                    floor.metrics.push((metric.parse::<Metric>().map_err(|error| error.to_string())?, value));
                }
            }
        }
        Ok(floor)
    }
}

/// `[[guardrail]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guardrail {
    /// The metric.
    pub metric: Metric,
    /// How much worse it may be, as a share of the champion's.
    pub max_worse_rel: f64,
}

/// `[[slice]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The column whose values are the groups.
    pub column: String,
    /// Fewest rows of a group that is judged.
    #[serde(default = "default_slice_rows")]
    pub min_rows: u64,
    /// How much worse the primary metric may be.
    #[serde(default = "default_slice_margin")]
    pub margin: f64,
}

fn default_slice_rows() -> u64 {
    200
}

fn default_slice_margin() -> f64 {
    0.02
}

/// What the signature must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schema {
    /// It satisfies the contract.
    Compatible,
    /// Nothing is asked.
    Any,
}

/// `[serving]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Serving {
    /// How far the server's answer may be from the trainer's, absolutely.
    pub parity_abs: f64,
    /// The same, relative to it.
    pub parity_rel: f64,
    /// The challenger's 99th percentile of latency over the champion's, at most.
    pub p99_ratio_max: f64,
    /// The challenger's size over the champion's, at most.
    pub size_ratio_max: f64,
    /// What the signature must be.
    pub schema: Schema,
}

impl Default for Serving {
    fn default() -> Self {
        let (p99_ratio_max, size_ratio_max) = (1.5, 3.0);
        Self { parity_abs: 1e-5, parity_rel: 1e-5, p99_ratio_max, size_ratio_max, schema: Schema::Compatible }
    }
}

impl Gate {
    /// Reads `gate.toml`.
    ///
    /// # Errors
    /// [`EvaluationError::Gate`] says where the text is not of this form, or which number makes no sense.
    pub fn parse(text: &str) -> Result<Self, EvaluationError> {
        let gate: Self = toml::from_str(text).map_err(|error| EvaluationError::Gate(error.to_string()))?;
        gate.flaw().map_or(Ok(gate), |flaw| Err(EvaluationError::Gate(flaw.to_owned())))
    }

    fn flaw(&self) -> Option<&'static str> {
        let primary = &self.primary;
        let is_amount = |value: f64| value.is_finite() && 0.0 <= value;
        if !(0.5 < primary.confidence && primary.confidence < 1.0) {
            return Some("primary.confidence: expected a number between 0.5 and 1");
        }
        if !(100..=100_000).contains(&primary.bootstrap.reps) {
            return Some("primary.bootstrap.reps: expected 100 to 100000");
        }
        if !is_amount(primary.min_delta) || !is_amount(primary.margin) {
            return Some("primary.min_delta and primary.margin: expected 0 or more");
        }
        if !self.guardrail.iter().all(|guardrail| is_amount(guardrail.max_worse_rel)) {
            return Some("guardrail.max_worse_rel: expected 0 or more");
        }
        (!self.slice.iter().all(|slice| is_amount(slice.margin))).then_some("slice.margin: expected 0 or more")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
[holdout]
uri = "data/holdout.csv.gz"; label = "late"; id = "row_id"
min_rows = 1000; min_positives = 100; max_age_days = 90; cluster = ""; disjoint_from_training = true
[primary]
metric = "roc_auc"
rule = "non_inferior"
min_delta = 0.0; margin = 0.005; confidence = 0.95
bootstrap = { method = "paired", reps = 1000, seed = 1 }
[floor]
roc_auc = 0.60; beats_trivial = true
[[guardrail]]
metric = "log_loss"; max_worse_rel = 0.02
[[slice]]
column = "origin"; min_rows = 200; margin = 0.02
[serving]
parity_abs = 1e-5; parity_rel = 1e-5; p99_ratio_max = 1.5; size_ratio_max = 3.0; schema = "compatible"
"#;

    #[test]
    fn the_documented_form_is_read() {
        let gate = Gate::parse(&FULL.replace("; ", "\n")).unwrap();
        assert_eq!(gate.primary.rule, Rule::NonInferior);
        assert_eq!(gate.floor, Floor { metrics: vec![(Metric::RocAuc, 0.6)], beats_trivial: true });
        assert_eq!(gate.guardrail, [Guardrail { metric: Metric::LogLoss, max_worse_rel: 0.02 }]);
        assert_eq!(gate.serving, Serving::default());
        assert_eq!(gate.holdout.max_age_days, Some(90.0));
    }

    #[test]
    fn only_the_primary_metric_is_required() {
        let gate = Gate::parse("[primary]\nmetric = \"rmse\"").unwrap();
        assert_eq!((gate.holdout, gate.floor), (Holdout::default(), Floor::default()));
        assert_eq!(gate.primary.bootstrap(), Bootstrap { reps: 1000, seed: 1 });
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = Gate::parse(text).unwrap_err().to_string();
        assert!(error.starts_with("gate.toml: ") && error.contains(expected), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        check("", "primary");
        check("[primary]\nmetric = \"cost\"", "\"cost\": expected the cost of a false positive");
        check("[primary]\nmetric = \"exec\"", "no command of the owner's");
        check("[primary]\nmetric = \"mae\"\nmargni = 1", "margni");
        check("[primary]\nmetric = \"mae\"\nconfidence = 95", "primary.confidence");
        check("[primary]\nmetric = \"mae\"\nbootstrap = { reps = 1 }", "primary.bootstrap.reps");
        check("[primary]\nmetric = \"mae\"\n[floor]\nauc = 0.5", "expected roc_auc");
        check("[primary]\nmetric = \"mae\"\n[floor]\nmae = true", "mae: expected a number");
        check("[primary]\nmetric = \"mae\"\n[[slice]]\ncolumn = \"x\"\nmargin = -1", "slice.margin");
    }
}
