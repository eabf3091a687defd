//! The checks that compare no two models: the holdout, the floor, and what serving asks for.

use super::decide::{HoldoutPredictions, compare};
use super::gate::{Gate, Schema};
use super::report::{Check, Verdict};
use super::{EvaluationError, Labels, Metric, Predictions, score};

fn check(name: impl Into<String>, n: u64, verdict: Verdict, reason: impl Into<String>) -> Check {
    Check {
        name: name.into(),
        champion: None,
        challenger: None,
        delta: None,
        ci_low: None,
        ci_high: None,
        n,
        verdict,
        reason: reason.into(),
    }
}

fn pass_or(otherwise: Verdict, holds: bool) -> Verdict {
    if holds { Verdict::Pass } else { otherwise }
}

/// Whether the holdout can tell anything.
pub(super) fn holdout(gate: &Gate, holdout: &HoldoutPredictions, notes: &mut Vec<String>) -> Vec<Check> {
    let policy = &gate.holdout;
    let n = holdout.labels.len() as u64;
    let verdict = pass_or(Verdict::Inconclusive, policy.min_rows <= n);
    let mut checks = vec![check("holdout rows", n, verdict, format!("at least {}", policy.min_rows))];
    if let (Labels::Classes(classes), Predictions::Probability(_)) = (&holdout.labels, &holdout.challenger) {
        let positives = classes.iter().filter(|&&class| class == 1).count() as u64;
        let rarer = positives.min(n - positives);
        let verdict = pass_or(Verdict::Inconclusive, policy.min_positives <= rarer);
        checks.push(check(
            "holdout positives",
            rarer,
            verdict,
            format!("at least {} of each class", policy.min_positives),
        ));
    }
    if let Some(expected) = policy.sha256 {
        let same = holdout.digests.holdout == Some(expected);
        let reason = if same { "the bytes that the gate names" } else { "not the bytes that the gate names" };
        checks.push(check("holdout digest", n, pass_or(Verdict::Fail, same), reason));
    }
    if let Some(max) = policy.max_age_days {
        match holdout.facts.age_days {
            Some(age) => {
                let reason = format!("{age:.0} days old, at most {max:.0}");
                checks.push(check("holdout age", n, pass_or(Verdict::Inconclusive, age <= max), reason));
            }
            None => notes.push("holdout age: not known, not checked".to_owned()),
        }
    }
    if policy.disjoint_from_training {
        match holdout.facts.rows_in_training {
            Some(rows) => {
                let reason = format!("{rows} of its rows were trained on");
                checks.push(check("holdout disjoint", n, pass_or(Verdict::Fail, rows == 0), reason));
            }
            None => notes.push("holdout disjoint from training: not known, not checked".to_owned()),
        }
    }
    checks
}

/// What holds for the first version too.
pub(super) fn floor(gate: &Gate, holdout: &HoldoutPredictions) -> Result<Vec<Check>, EvaluationError> {
    let mut checks = Vec::new();
    for &(metric, floor) in &gate.floor.metrics {
        let value = score(metric, &holdout.labels, &holdout.challenger)?;
        let side = if metric.higher_is_better() { "at least" } else { "at most" };
        let verdict = pass_or(Verdict::Fail, 0.0 <= metric.improvement(floor, value));
        let n = holdout.labels.len() as u64;
        let check = check(format!("floor {metric}"), n, verdict, format!("{side} {floor}"));
        checks.push(Check { challenger: Some(value), ..check });
    }
    if gate.floor.beats_trivial {
        let trivial = trivial(gate.primary.metric, &holdout.labels, &holdout.challenger);
        checks.extend(compare(gate, holdout, &trivial)?);
    }
    Ok(checks)
}

/// The best constant answer, knowing the holdout's labels: the hardest of its kind to beat.
fn trivial(metric: Metric, labels: &Labels, challenger: &Predictions) -> Predictions {
    let n = labels.len();
    match (labels, challenger) {
        (Labels::Classes(classes), Predictions::Probabilities { n_classes, .. }) => {
            let mut shares = vec![0.0; *n_classes];
            for &class in classes {
                if let Some(share) = shares.get_mut(class as usize) {
                    *share += 1.0 / n as f64;
                }
            }
            Predictions::Probabilities { n_classes: *n_classes, values: shares.repeat(n) }
        }
        (Labels::Classes(classes), _) => {
            let rate = classes.iter().filter(|&&class| class == 1).count() as f64 / n.max(1) as f64;
            let constant = match metric {
                Metric::Accuracy(_) if rate < 0.5 => 0.0,
                Metric::Accuracy(_) | Metric::F1(_) => 1.0,
                Metric::Cost { false_positive, false_negative } => {
                    f64::from(u8::from((1.0 - rate) * false_positive < rate * false_negative))
                }
                _ => rate,
            };
            Predictions::Probability(vec![constant; n])
        }
        (Labels::Values(values), _) => {
            let quantile = |q: f64| {
                let mut sorted = values.clone();
                sorted.sort_unstable_by(f64::total_cmp);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "q is between 0 and 1")]
                let at = ((q * n as f64) as usize).min(n.saturating_sub(1));
                sorted.get(at).copied().unwrap_or(0.0)
            };
            let constant = match metric {
                Metric::Mae => quantile(0.5),
                Metric::Pinball(q) => quantile(q),
                _ => values.iter().sum::<f64>() / n.max(1) as f64,
            };
            Predictions::Values(vec![constant; n])
        }
    }
}

/// What was measured while serving.
pub(super) fn serving(gate: &Gate, holdout: &HoldoutPredictions, notes: &mut Vec<String>) -> Vec<Check> {
    let (policy, facts) = (&gate.serving, &holdout.facts);
    let n = holdout.labels.len() as u64;
    let mut checks = Vec::new();
    match facts.parity_mismatches {
        Some(rows) => {
            let reason = format!("{rows} rows beyond {:e} + {:e} of the value", policy.parity_abs, policy.parity_rel);
            checks.push(check("serving parity", n, pass_or(Verdict::Fail, rows == 0), reason));
        }
        None => notes.push("serving parity: not measured, not checked".to_owned()),
    }
    let ratios = [
        ("serving p99", facts.p99_ratio, policy.p99_ratio_max),
        ("serving size", facts.size_ratio, policy.size_ratio_max),
    ];
    for (name, ratio, max) in ratios {
        match ratio {
            Some(ratio) => {
                let reason = format!("{ratio:.2} times the champion's, at most {max}");
                checks.push(check(name, n, pass_or(Verdict::Fail, ratio <= max), reason));
            }
            None => notes.push(format!("{name}: not measured, not checked")),
        }
    }
    match (&facts.breaches, policy.schema) {
        (_, Schema::Any) => {}
        (Some(breaches), Schema::Compatible) => {
            let holds = breaches.is_empty();
            let reason = if holds { "satisfies the contract".to_owned() } else { breaches.join("; ") };
            checks.push(check("serving schema", n, pass_or(Verdict::Fail, holds), reason));
        }
        (None, Schema::Compatible) => notes.push("serving schema: not checked here".to_owned()),
    }
    checks
}
