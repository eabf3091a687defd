//! Scores on the controlled holdout, and `evaluation.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::Plan;
use crate::evaluation::{
    Bootstrap, Digests, EvaluationError, Facts, HoldoutPredictions, Labels, Metric, Report, decide, interval, score,
};
use crate::model::{Contract, ContractPolicy, Digest, FeatureKind, Signature, Version};
use crate::trainer::TrainError;
use crate::trainer::fit::{Algorithm, Objective};

use super::latency::{Runner, p99_ratio};
use super::rows::{labels, predictions, texts};
use super::session::{Opponent, Session, source_digest};

const CONFIDENCE: f64 = 0.95;
/// Rows drawn over all replicates: fewer replicates for large holdouts, whose intervals are narrow anyway.
const DRAWS: usize = 5_000_000;
/// Groups smaller than this are not scored.
const SLICE_ROWS_MIN: usize = 200;
/// Features with more levels make no slices.
const SLICE_LEVELS_MAX: usize = 20;

/// A score, with the rows behind it and, where it was computed, its interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scored {
    /// The metric.
    pub metric: Metric,
    /// Rows behind it.
    pub n: usize,
    /// The score.
    pub value: f64,
    /// The lower end of the 95 % interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// The upper end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

/// A score of a group of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SliceScore {
    /// The feature.
    pub column: String,
    /// The level that the group has.
    pub level: String,
    /// Rows of the group.
    pub n: usize,
    /// The primary metric.
    pub metric: Metric,
    /// The version's score.
    pub value: f64,
    /// The champion's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub champion: Option<f64>,
}

/// `evaluation.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluationFile {
    /// `gudgeon-evaluation/1`.
    pub format: String,
    /// The digest of the holdout rows, in order.
    pub holdout_sha256: Digest,
    /// Rows of the holdout.
    pub holdout_rows: usize,
    /// How rows were split.
    pub split: String,
    /// What decides.
    pub primary: Metric,
    /// The algorithm that was chosen.
    pub algorithm: Algorithm,
    /// How the intervals were found (95 %, percentiles).
    pub bootstrap: Bootstrap,
    /// The version's scores.
    pub metrics: Vec<Scored>,
    /// Every algorithm's scores, without intervals.
    pub candidates: BTreeMap<&'static str, Vec<Scored>>,
    /// The champion's scores on the same rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub champion: Option<ChampionScores>,
    /// The primary metric by group.
    pub slices: Vec<SliceScore>,
    /// The largest difference between the server's and the trainer's predictions on the holdout.
    pub parity_max_abs: f64,
    /// What the gate said; none without `gate.toml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Report>,
}

/// Scores of the version that was champion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChampionScores {
    /// Its number.
    pub version: Version,
    /// The digest of its graph.
    pub sha256: Digest,
    /// Its scores.
    pub metrics: Vec<Scored>,
}

/// The metrics that fit an objective, `primary` first.
pub(super) fn metrics(objective: Objective, primary: Metric) -> Vec<Metric> {
    let usual: &[Metric] = match objective {
        Objective::Binary => {
            &[Metric::RocAuc, Metric::LogLoss, Metric::Brier, Metric::Accuracy(0.5), Metric::CalibrationError]
        }
        Objective::Multiclass { .. } => &[Metric::LogLoss, Metric::Brier, Metric::Accuracy(0.5)],
        Objective::Squared => &[Metric::Rmse, Metric::Mae, Metric::R2],
    };
    let mut metrics = vec![primary];
    metrics.extend(usual.iter().copied().filter(|metric| *metric != primary));
    metrics
}

/// Replicates for a holdout of `n_rows`.
pub(super) fn bootstrap(n_rows: usize, seed: u64) -> Bootstrap {
    Bootstrap { reps: (DRAWS / n_rows.max(1)).clamp(40, 1_000), seed }
}

/// The scores of `values` by each of `metrics` that has a value on these rows.
pub(super) fn all(
    metrics: &[Metric],
    labels: &Labels,
    values: &[f32],
    objective: Objective,
    draws: Option<Bootstrap>,
) -> Result<Vec<Scored>, TrainError> {
    let predictions = predictions(values, objective);
    let mut scores = Vec::with_capacity(metrics.len());
    for (place, &metric) in metrics.iter().enumerate() {
        let scored = match draws {
            Some(draws) => interval(metric, labels, &predictions, CONFIDENCE, draws)
                .map(|found| (found.value, Some(found.low), Some(found.high))),
            None => score(metric, labels, &predictions).map(|value| (value, None, None)),
        };
        match scored {
            Ok((value, low, high)) => scores.push(Scored { metric, n: labels.len(), value, low, high }),
            // The primary metric must have a value.
            Err(EvaluationError::Undefined { .. }) if 0 < place => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(scores)
}

/// The primary metric by the levels of the features that the gate slices by, or of those with few levels.
pub(super) fn slices(
    session: &Session<'_>,
    values: &[f32],
    champion: Option<&Opponent>,
) -> Result<Vec<SliceScore>, TrainError> {
    let (source, rows, metric) = (session.holdout_source(), &session.holdout.rows, session.metric());
    let width = session.objective.n_outputs();
    let named: BTreeMap<&str, usize> = session
        .gate
        .iter()
        .flat_map(|gate| &gate.gate.slice)
        .map(|slice| (slice.column.as_str(), usize::try_from(slice.min_rows).unwrap_or(usize::MAX)))
        .collect();
    let mut slices = Vec::new();
    for spec in session.specs.iter().filter(|spec| spec.kind == FeatureKind::Categorical) {
        let Some(column) = texts(source, &spec.name, rows) else { continue };
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        column.iter().enumerate().for_each(|(place, level)| groups.entry(level).or_default().push(place));
        let asked = named.get(spec.name.as_str());
        if SLICE_LEVELS_MAX < groups.len() && asked.is_none() {
            continue;
        }
        let least = asked.copied().unwrap_or(SLICE_ROWS_MIN);
        for (level, places) in groups.into_iter().filter(|(_, places)| least <= places.len()) {
            let group: Vec<u32> = places.iter().map(|&place| rows[place]).collect();
            let labels = labels(source.table, &group, session.objective);
            let of_group = |values: &[f32]| {
                let picked: Vec<f32> =
                    places.iter().flat_map(|place| &values[place * width..(place + 1) * width]).copied().collect();
                score(metric, &labels, &predictions(&picked, session.objective)).ok()
            };
            let Some(value) = of_group(values) else { continue };
            let champion = champion.and_then(|champion| of_group(&champion.predictions));
            let (column, level) = (spec.name.clone(), level.to_owned());
            slices.push(SliceScore { column, level, n: places.len(), metric, value, champion });
        }
    }
    Ok(slices)
}

/// A challenger: a version, or one to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Challenger<'a> {
    pub(super) sha256: Digest,
    pub(super) bytes: usize,
    pub(super) plan: &'a Plan,
    pub(super) signature: &'a Signature,
    pub(super) predictions: &'a [f32],
    /// Rows on which the server differs from the trainer, where that was compared.
    pub(super) parity_mismatches: Option<u64>,
    /// Holdout rows that it was fitted to, where that is known.
    pub(super) rows_in_training: Option<u64>,
}

/// Holds `challenger` against the gate; `None` without `gate.toml`. What callers rely on is `promised`, else what the champion
/// offers.
pub(super) fn judge(
    session: &Session<'_>,
    challenger: Challenger<'_>,
    (champion, promised): (Option<&Opponent>, Option<&(Signature, ContractPolicy)>),
    now: &str,
) -> Result<Option<Report>, TrainError> {
    let Some(gate) = &session.gate else { return Ok(None) };
    let (source, rows) = (session.holdout_source(), &session.holdout.rows);
    let columns = gate.gate.slice.iter().map(|slice| &slice.column);
    let slices = columns.filter_map(|name| Some((name.clone(), texts(source, name, rows)?))).collect();
    #[expect(clippy::cast_precision_loss, reason = "sizes of files")]
    let size_ratio = |champion: &Opponent| challenger.bytes as f64 / champion.bytes.max(1) as f64;
    let contract = match promised {
        Some((signature, policy)) => Some(
            Contract::new(signature.clone(), policy.clone())
                .map_err(|error| TrainError::ModelFile(error.to_string()))?,
        ),
        None => champion.map(|champion| Contract::from(champion.signature.clone())),
    };
    let breaches =
        |contract: Contract| contract.breaches(challenger.signature).iter().map(ToString::to_string).collect();
    let p99_ratio = |champion: &Opponent| {
        let runner = |plan, signature| Runner { plan, signature };
        let champion = runner(&champion.plan, &champion.signature);
        let challenger = runner(challenger.plan, challenger.signature);
        p99_ratio(champion, challenger, (source, rows), gate.gate.serving.p99_ratio_max)
    };
    let facts = Facts {
        age_days: session.holdout_age_days(now),
        rows_in_training: challenger.rows_in_training,
        parity_mismatches: challenger.parity_mismatches,
        p99_ratio: champion.and_then(p99_ratio),
        size_ratio: champion.map(size_ratio),
        breaches: contract.map(breaches),
    };
    let holdout = HoldoutPredictions {
        labels: labels(source.table, rows, session.objective),
        champion: champion.map(|champion| predictions(&champion.predictions, session.objective)),
        challenger: predictions(challenger.predictions, session.objective),
        slices,
        clusters: texts(source, &gate.gate.holdout.cluster, rows),
        facts,
        digests: Digests {
            champion: champion.map(|champion| champion.sha256),
            challenger: Some(challenger.sha256),
            holdout: Some(session.holdout.sha256),
            source: Some(source_digest(session.file, &gate.gate)?),
            gate: Some(gate.sha256),
        },
    };
    Ok(Some(decide(&gate.gate, &holdout)?))
}
