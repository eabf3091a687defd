//! Does the challenger beat the champion?

use std::collections::BTreeMap;

use super::bootstrap::{Clusters, Spread, replicate};
use super::checks;
use super::delong::delong;
use super::gate::{Gate, Rule};
use super::prepared::{Prepared, undefined};
use super::report::{Check, Digests, Report, Verdict};
use super::{EvaluationError, Labels, Metric, Predictions};

/// Rows above which the area under the ROC curve is compared by DeLong's formula and not by drawing.
pub(super) const DELONG_ROWS: usize = 50_000;

/// What both models said about the same holdout, and what is known about it.
#[derive(Debug, Clone)]
pub struct HoldoutPredictions {
    /// What really happened.
    pub labels: Labels,
    /// What the champion said; `None` for the first version of a model.
    pub champion: Option<Predictions>,
    /// What the challenger said.
    pub challenger: Predictions,
    /// Columns that slices are made of, by name, as text.
    pub slices: BTreeMap<String, Vec<String>>,
    /// The column `holdout.cluster`, as text.
    pub clusters: Option<Vec<String>>,
    /// What was measured elsewhere.
    pub facts: Facts,
    /// What was compared.
    pub digests: Digests,
}

/// What was measured elsewhere; what is `None` is not checked, and noted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The age of the holdout's newest row, in days.
    pub age_days: Option<f64>,
    /// Holdout rows that the challenger was trained on.
    pub rows_in_training: Option<u64>,
    /// Rows on which the server's answer is farther from the trainer's than the gate allows.
    pub parity_mismatches: Option<u64>,
    /// The challenger's 99th percentile of latency over the champion's.
    pub p99_ratio: Option<f64>,
    /// The challenger's size over the champion's.
    pub size_ratio: Option<f64>,
    /// How the challenger's signature breaks the contract.
    pub breaches: Option<Vec<String>>,
}

/// Holds the challenger against the gate.
///
/// - `superior`: PASS where the one-sided lower bound of the improvement is above `min_delta`; `non_inferior`: above
///   `-margin`. Where it is not: INCONCLUSIVE as long as the upper bound is above 0, else FAIL.
/// - A guardrail is non-inferiority with the margin `max_worse_rel * |champion|`; `beats_trivial` is superiority over the
///   best constant answer.
/// - Slices: non-inferiority of the primary metric, and inferiority where that fails, each corrected over all slices by
///   Holm's method (Scandinavian Journal of Statistics 6, 1979).
/// - Without a champion only holdout, floor and serving are checked.
///
/// # Errors
/// [`EvaluationError`] where rows do not match, a column is missing, or the primary metric has no value on the holdout.
pub fn decide(gate: &Gate, holdout: &HoldoutPredictions) -> Result<Report, EvaluationError> {
    holdout.challenger.check("challenger", &holdout.labels)?;
    if let Some(champion) = &holdout.champion {
        champion.check("champion", &holdout.labels)?;
    }
    let clusters = clusters(gate, holdout)?;
    let mut notes = Vec::new();
    let jobs = jobs(gate, holdout, &mut notes)?;
    let spreads = spreads(gate, holdout, clusters.as_ref(), &jobs);
    let mut checks = checks::holdout(gate, holdout, &mut notes);
    checks.extend(checks::floor(gate, holdout)?);
    checks.extend(compared(gate, &jobs, &spreads));
    checks.extend(checks::serving(gate, holdout, &mut notes));
    if holdout.champion.is_none() {
        notes.push("no champion: the floor alone decides about a first version".to_owned());
    }
    let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Pass);
    let (metric, confidence) = (gate.primary.metric, gate.primary.confidence);
    let made_by = Report::MADE_BY.to_owned();
    Ok(Report { verdict, made_by, metric, confidence, checks, notes, digests: holdout.digests })
}

fn clusters(gate: &Gate, holdout: &HoldoutPredictions) -> Result<Option<Clusters>, EvaluationError> {
    let name = &gate.holdout.cluster;
    if name.is_empty() {
        return Ok(None);
    }
    let ids = holdout.clusters.as_ref().ok_or_else(|| EvaluationError::Column(name.clone()))?;
    same_rows(name, ids, holdout)?;
    Ok(Some(Clusters::new(ids)))
}

fn same_rows(name: &str, column: &[String], holdout: &HoldoutPredictions) -> Result<(), EvaluationError> {
    let (expected, got) = (holdout.labels.len(), column.len());
    if expected == got {
        Ok(())
    } else {
        Err(EvaluationError::Rows { what: format!("column {name:?}"), expected, got })
    }
}

/// What a comparison is for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// The lower bound must be above a threshold.
    Bound { threshold: f64 },
    /// As one of a family.
    Slice { margin: f64 },
}

/// Two sets of predictions that are compared on some rows.
#[derive(Debug)]
struct Job<'a> {
    name: String,
    metric: Metric,
    purpose: Purpose,
    rows: Vec<usize>,
    predictions: [&'a Predictions; 2],
    prepared: [Prepared; 2],
    scores: [f64; 2],
}

impl<'a> Job<'a> {
    /// `None` where the metric has no value on the rows.
    fn new(
        (name, metric, purpose): (String, Metric, Purpose),
        labels: &Labels,
        predictions: [&'a Predictions; 2],
        rows: Vec<usize>,
    ) -> Result<Option<Self>, EvaluationError> {
        let prepare = |predictions| Prepared::new(metric, labels, predictions, &rows);
        let prepared = [prepare(predictions[0])?, prepare(predictions[1])?];
        let once = vec![1; labels.len()];
        let (Some(first), Some(second)) = (prepared[0].score(&once), prepared[1].score(&once)) else {
            return Ok(None);
        };
        Ok(Some(Self { name, metric, purpose, rows, predictions, prepared, scores: [first, second] }))
    }

    fn delta(&self) -> f64 {
        self.metric.improvement(self.scores[0], self.scores[1])
    }

    fn draw(&self, weights: &[u32]) -> Option<f64> {
        let [first, second] = &self.prepared;
        Some(self.metric.improvement(first.score(weights)?, second.score(weights)?))
    }

    /// By formula, where there is one and it is worth it.
    fn formula(&self, labels: &Labels) -> Option<Spread> {
        let (Metric::RocAuc, Labels::Classes(classes)) = (self.metric, labels) else { return None };
        let [Predictions::Probability(first), Predictions::Probability(second)] = self.predictions else { return None };
        if self.rows.len() <= DELONG_ROWS {
            return None;
        }
        let pick = |scores: &[f64]| self.rows.iter().map(|&row| scores[row]).collect::<Vec<_>>();
        let is_positive: Vec<bool> = self.rows.iter().map(|&row| classes[row] == 1).collect();
        let found = delong(&is_positive, &pick(first), &pick(second))?;
        Some(Spread::Normal { mean: found.second - found.first, sd: found.variance.max(0.0).sqrt() })
    }
}

fn jobs<'a>(
    gate: &Gate,
    holdout: &'a HoldoutPredictions,
    notes: &mut Vec<String>,
) -> Result<Vec<Job<'a>>, EvaluationError> {
    let labels = &holdout.labels;
    let all = || (0..labels.len()).collect::<Vec<_>>();
    let Some(champion) = &holdout.champion else { return Ok(Vec::new()) };
    let pair = [champion, &holdout.challenger];
    let metric = gate.primary.metric;
    let threshold = match gate.primary.rule {
        Rule::Superior => gate.primary.min_delta,
        Rule::NonInferior => -gate.primary.margin,
    };
    let what = (format!("primary {metric}"), metric, Purpose::Bound { threshold });
    let mut jobs = vec![Job::new(what, labels, pair, all())?.ok_or_else(|| undefined(metric))?];
    for guardrail in &gate.guardrail {
        let metric = guardrail.metric;
        let what = (format!("guardrail {metric}"), metric, Purpose::Bound { threshold: 0.0 });
        let mut job = Job::new(what, labels, pair, all())?.ok_or_else(|| undefined(metric))?;
        job.purpose = Purpose::Bound { threshold: -guardrail.max_worse_rel * job.scores[0].abs() };
        jobs.push(job);
    }
    for slice in &gate.slice {
        let column = holdout.slices.get(&slice.column).ok_or_else(|| EvaluationError::Column(slice.column.clone()))?;
        same_rows(&slice.column, column, holdout)?;
        let mut groups = BTreeMap::<&str, Vec<usize>>::new();
        for (row, value) in column.iter().enumerate() {
            groups.entry(value).or_default().push(row);
        }
        for (value, rows) in groups {
            let name = format!("slice {}={value}", slice.column);
            let n_rows = rows.len() as u64;
            if n_rows < slice.min_rows {
                notes.push(format!("{name}: {n_rows} rows, fewer than {}: not judged", slice.min_rows));
                continue;
            }
            let what = (name.clone(), metric, Purpose::Slice { margin: slice.margin });
            match Job::new(what, labels, pair, rows)? {
                Some(job) => jobs.push(job),
                None => notes.push(format!("{name}: {metric} has no value there: not judged")),
            }
        }
    }
    Ok(jobs)
}

/// How the improvement of each job scatters. All jobs share the draws.
fn spreads(gate: &Gate, holdout: &HoldoutPredictions, clusters: Option<&Clusters>, jobs: &[Job]) -> Vec<Spread> {
    let by_formula = |job: &Job| if clusters.is_none() { job.formula(&holdout.labels) } else { None };
    let mut spreads: Vec<Option<Spread>> = jobs.iter().map(by_formula).collect();
    let drawn: Vec<usize> = (0..jobs.len()).filter(|&job| spreads[job].is_none()).collect();
    if !drawn.is_empty() {
        let statistic = |index: usize, weights: &[u32]| jobs[drawn[index]].draw(weights);
        let draws = replicate(holdout.labels.len(), clusters, gate.primary.bootstrap(), drawn.len(), statistic);
        drawn.iter().zip(draws).for_each(|(&job, draws)| spreads[job] = Some(draws));
    }
    spreads.into_iter().flatten().collect()
}

fn compared(gate: &Gate, jobs: &[Job], spreads: &[Spread]) -> Vec<Check> {
    let confidence = gate.primary.confidence;
    let alpha = 1.0 - confidence;
    let slices = jobs.iter().zip(spreads).filter_map(|(job, spread)| match job.purpose {
        Purpose::Slice { margin } => Some((spread.share_at_most(-margin), spread.negated().share_at_most(0.0))),
        Purpose::Bound { .. } => None,
    });
    let (not_worse, worse): (Vec<f64>, Vec<f64>) = slices.unzip();
    let mut judged = holm(&not_worse, alpha).into_iter().zip(holm(&worse, alpha));
    let check = |(job, spread): (&Job, &Spread)| {
        let (low, high) = (spread.quantile(alpha), spread.quantile(confidence));
        let (verdict, reason) = match job.purpose {
            Purpose::Bound { threshold } => bound(low, high, threshold),
            Purpose::Slice { margin } => match judged.next() {
                Some((true, _)) => (Verdict::Pass, format!("not worse by {margin} (Holm)")),
                Some((false, true)) => (Verdict::Fail, format!("worse, and not shown to be within {margin} (Holm)")),
                _ => (Verdict::Inconclusive, format!("not shown to be within {margin} (Holm); take more rows")),
            },
        };
        Check {
            name: job.name.clone(),
            champion: Some(job.scores[0]),
            challenger: Some(job.scores[1]),
            delta: Some(job.delta()),
            ci_low: low,
            ci_high: high,
            n: job.rows.len() as u64,
            verdict,
            reason,
        }
    };
    jobs.iter().zip(spreads).map(check).collect()
}

/// The rule for an improvement between two bounds.
pub(super) fn bound(low: Option<f64>, high: Option<f64>, threshold: f64) -> (Verdict, String) {
    match (low, high) {
        (Some(low), _) if threshold < low => (Verdict::Pass, format!("lower bound above {threshold:.5}")),
        (_, Some(high)) if high <= 0.0 => (Verdict::Fail, "surely no better: upper bound not above 0".to_owned()),
        (Some(_), Some(_)) => {
            (Verdict::Inconclusive, format!("lower bound not above {threshold:.5}, upper bound above 0"))
        }
        _ => (Verdict::Inconclusive, "no draw had a value; take more rows".to_owned()),
    }
}

/// Which hypotheses Holm's step-down method rejects at `alpha`.
fn holm(p_values: &[f64], alpha: f64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut rejected = vec![false; p_values.len()];
    for (step, &index) in order.iter().enumerate() {
        if alpha / ((p_values.len() - step) as f64) < p_values[index] {
            break;
        }
        rejected[index] = true;
    }
    rejected
}

/// The lower and upper bound of how much better `challenger` is than `other` on all rows, and both scores.
pub(super) fn compare(
    gate: &Gate,
    holdout: &HoldoutPredictions,
    other: &Predictions,
) -> Result<Vec<Check>, EvaluationError> {
    let metric = gate.primary.metric;
    let what = ("floor beats_trivial".to_owned(), metric, Purpose::Bound { threshold: 0.0 });
    let rows = (0..holdout.labels.len()).collect();
    let job = Job::new(what, &holdout.labels, [other, &holdout.challenger], rows)?;
    let jobs = [job.ok_or_else(|| undefined(metric))?];
    let clusters = clusters(gate, holdout)?;
    let spreads = spreads(gate, holdout, clusters.as_ref(), &jobs);
    Ok(compared(gate, &jobs, &spreads))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
