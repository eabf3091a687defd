//! A score made ready to be computed many times with other row weights, each time in one pass.
//!
//! A bootstrap replicate is a multiplicity a row. What does not depend on it (losses, the sorted order) is computed once.

use super::{EvaluationError, Labels, Metric, Predictions};

/// Probabilities are cut to this distance from 0 and 1 before their logarithm is taken.
const CLIP: f64 = 1e-15;
/// Bins of the calibration error.
const BINS: usize = 10;

/// The score of `predictions`.
///
/// # Errors
/// [`EvaluationError`] where rows do not match, the metric is for another task, or has no value on these rows.
pub fn score(metric: Metric, labels: &Labels, predictions: &Predictions) -> Result<f64, EvaluationError> {
    predictions.check("predictions", labels)?;
    let rows: Vec<usize> = (0..labels.len()).collect();
    let prepared = Prepared::new(metric, labels, predictions, &rows)?;
    prepared.score(&vec![1; labels.len()]).ok_or_else(|| undefined(metric))
}

/// The error of a metric without a value.
pub(super) fn undefined(metric: Metric) -> EvaluationError {
    let expected = match metric {
        Metric::RocAuc | Metric::PrAuc => "rows of both classes",
        Metric::R2 => "labels that differ",
        _ => "at least one row",
    };
    EvaluationError::Undefined { metric, expected }
}

/// A score over some rows of a holdout.
#[derive(Debug)]
pub(super) struct Prepared {
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// The mean of a loss a row, or its root.
    Mean { rows: Vec<(usize, f64)>, is_root: bool },
    /// In the order of the scores.
    Ranked { rows: Vec<Ranked>, is_roc: bool },
    /// Row, whether it is positive, whether it is called so.
    F1 { rows: Vec<(usize, bool, bool)> },
    /// Row, label, prediction.
    R2 { rows: Vec<(usize, f64, f64)> },
    /// Row, bin, prediction less label.
    Calibration { rows: Vec<(usize, usize, f64)> },
}

#[derive(Debug, Clone, Copy)]
struct Ranked {
    row: u32,
    is_positive: bool,
    /// The next row has another score.
    ends_tie: bool,
}

impl Prepared {
    /// The score over `rows` of checked predictions.
    pub(super) fn new(
        metric: Metric,
        labels: &Labels,
        predictions: &Predictions,
        rows: &[usize],
    ) -> Result<Self, EvaluationError> {
        let task = |expected| Err(EvaluationError::Task { metric, expected });
        let form = match (metric, labels, predictions) {
            (Metric::RocAuc | Metric::PrAuc, Labels::Classes(y), Predictions::Probability(p)) => {
                let is_roc = matches!(metric, Metric::RocAuc);
                Form::Ranked { rows: ranked(y, p, rows, is_roc), is_roc }
            }
            (Metric::F1(at), Labels::Classes(y), Predictions::Probability(p)) => {
                Form::F1 { rows: rows.iter().map(|&row| (row, y[row] == 1, at <= p[row])).collect() }
            }
            (Metric::CalibrationError, Labels::Classes(y), Predictions::Probability(p)) => {
                let entry = |&row: &usize| (row, bin(p[row]), p[row] - f64::from(y[row]));
                Form::Calibration { rows: rows.iter().map(entry).collect() }
            }
            (Metric::Cost { false_positive, false_negative }, Labels::Classes(y), Predictions::Probability(p)) => {
                let at = false_positive / (false_positive + false_negative);
                let cost = |&row: &usize| match (y[row] == 1, at <= p[row]) {
                    (false, true) => (row, false_positive),
                    (true, false) => (row, false_negative),
                    (true, true) | (false, false) => (row, 0.0),
                };
                Form::Mean { rows: rows.iter().map(cost).collect(), is_root: false }
            }
            (Metric::RocAuc | Metric::PrAuc | Metric::F1(_) | Metric::CalibrationError | Metric::Cost { .. }, ..) => {
                return task("a classifier with two classes");
            }
            (Metric::R2, Labels::Values(y), Predictions::Values(f)) => {
                Form::R2 { rows: rows.iter().map(|&row| (row, y[row], f[row])).collect() }
            }
            (Metric::LogLoss | Metric::Brier | Metric::Accuracy(_), Labels::Classes(y), _) => {
                if matches!(predictions, Predictions::Values(_)) {
                    return task("a classifier");
                }
                let loss = |&row: &usize| (row, class_loss(metric, y[row] as usize, predictions, row));
                Form::Mean { rows: rows.iter().map(loss).collect(), is_root: false }
            }
            (Metric::LogLoss | Metric::Brier | Metric::Accuracy(_), ..) => return task("a classifier"),
            (Metric::Rmse | Metric::Mae | Metric::Pinball(_), Labels::Values(y), Predictions::Values(f)) => {
                let loss = |&row: &usize| (row, value_loss(metric, y[row] - f[row]));
                Form::Mean { rows: rows.iter().map(loss).collect(), is_root: matches!(metric, Metric::Rmse) }
            }
            (Metric::R2 | Metric::Rmse | Metric::Mae | Metric::Pinball(_), ..) => return task("a regression"),
        };
        Ok(Self { form })
    }

    /// The score where row `i` of the holdout counts `weights[i]` times; `None` where it has no value.
    pub(super) fn score(&self, weights: &[u32]) -> Option<f64> {
        match &self.form {
            Form::Mean { rows, is_root } => {
                let (mut sum, mut total) = (0.0, 0_u64);
                for &(row, loss) in rows {
                    sum += f64::from(weights[row]) * loss;
                    total += u64::from(weights[row]);
                }
                let mean = (total > 0).then(|| sum / total as f64)?;
                Some(if *is_root { mean.sqrt() } else { mean })
            }
            Form::Ranked { rows, is_roc: true } => roc_auc(rows, weights),
            Form::Ranked { rows, is_roc: false } => average_precision(rows, weights),
            Form::F1 { rows } => f1(rows, weights),
            Form::R2 { rows } => r2(rows, weights),
            Form::Calibration { rows } => calibration_error(rows, weights),
        }
    }
}

/// Rows by score, ascending for the ROC curve and descending for precision and recall.
fn ranked(y: &[u32], p: &[f64], rows: &[usize], ascending: bool) -> Vec<Ranked> {
    let mut order: Vec<u32> = rows.iter().filter_map(|&row| u32::try_from(row).ok()).collect();
    // Adding zero makes -0 equal to 0.
    let key = |row: u32| p[row as usize] + 0.0;
    order.sort_by(|&a, &b| key(a).total_cmp(&key(b)));
    if !ascending {
        order.reverse();
    }
    let ends_tie = |at: usize| order.get(at + 1).is_none_or(|&next| key(order[at]).total_cmp(&key(next)).is_ne());
    let entry = |(at, &row): (usize, &u32)| Ranked { row, is_positive: y[row as usize] == 1, ends_tie: ends_tie(at) };
    order.iter().enumerate().map(entry).collect()
}

/// In whole numbers: twice the sum of ranks, so that the result does not depend on the order of addition.
fn roc_auc(rows: &[Ranked], weights: &[u32]) -> Option<f64> {
    let (mut twice, mut positives, mut negatives) = (0_u128, 0_u64, 0_u64);
    let mut tied = [0_u64; 2];
    for entry in rows {
        tied[usize::from(entry.is_positive)] += u64::from(weights[entry.row as usize]);
        if entry.ends_tie {
            twice += u128::from(tied[1]) * u128::from(2 * negatives + tied[0]);
            negatives += tied[0];
            positives += tied[1];
            tied = [0, 0];
        }
    }
    let pairs = positives as f64 * negatives as f64;
    (pairs > 0.0).then(|| twice as f64 / (2.0 * pairs))
}

fn average_precision(rows: &[Ranked], weights: &[u32]) -> Option<f64> {
    let (mut called, mut positives, mut sum) = (0_u64, 0_u64, 0.0);
    let mut tied = [0_u64; 2];
    for entry in rows {
        tied[usize::from(entry.is_positive)] += u64::from(weights[entry.row as usize]);
        if entry.ends_tie {
            called += tied[0] + tied[1];
            positives += tied[1];
            if tied[1] > 0 {
                sum += tied[1] as f64 * positives as f64 / called as f64;
            }
            tied = [0, 0];
        }
    }
    (0 < positives && positives < called).then(|| sum / positives as f64)
}

fn f1(rows: &[(usize, bool, bool)], weights: &[u32]) -> Option<f64> {
    let (mut right, mut wrong, mut total) = (0_u64, 0_u64, 0_u64);
    for &(row, is_positive, is_called) in rows {
        let weight = u64::from(weights[row]);
        total += weight;
        right += if is_positive && is_called { weight } else { 0 };
        wrong += if is_positive == is_called { 0 } else { weight };
    }
    let all = 2 * right + wrong;
    (total > 0).then(|| if all > 0 { (2 * right) as f64 / all as f64 } else { 0.0 })
}

fn r2(rows: &[(usize, f64, f64)], weights: &[u32]) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    for &(row, label, _) in rows {
        sum += f64::from(weights[row]) * label;
        total += f64::from(weights[row]);
    }
    let mean = sum / total;
    let (mut left, mut all) = (0.0, 0.0);
    for &(row, label, value) in rows {
        left += f64::from(weights[row]) * (label - value).powi(2);
        all += f64::from(weights[row]) * (label - mean).powi(2);
    }
    (all > 0.0).then(|| 1.0 - left / all)
}

fn calibration_error(rows: &[(usize, usize, f64)], weights: &[u32]) -> Option<f64> {
    let (mut gaps, mut total) = ([0.0; BINS], 0.0);
    for &(row, bin, gap) in rows {
        gaps[bin] += f64::from(weights[row]) * gap;
        total += f64::from(weights[row]);
    }
    (total > 0.0).then(|| gaps.iter().map(|gap| gap.abs()).sum::<f64>() / total)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the bins")]
fn bin(p: f64) -> usize {
    ((p * BINS as f64).max(0.0) as usize).min(BINS - 1)
}

fn class_loss(metric: Metric, label: usize, predictions: &Predictions, row: usize) -> f64 {
    let two;
    let p: &[f64] = match predictions {
        Predictions::Probabilities { n_classes, values } => &values[row * n_classes..(row + 1) * n_classes],
        Predictions::Probability(values) | Predictions::Values(values) => {
            two = [1.0 - values[row], values[row]];
            &two
        }
    };
    let is_two = matches!(predictions, Predictions::Probability(_));
    match metric {
        Metric::LogLoss => -p[label].clamp(CLIP, 1.0 - CLIP).ln(),
        Metric::Brier if is_two => (p[1] - label as f64).powi(2),
        Metric::Brier => p.iter().enumerate().map(|(class, p)| (p - f64::from(u8::from(class == label))).powi(2)).sum(),
        Metric::Accuracy(at) if is_two => f64::from(u8::from((at <= p[1]) == (label == 1))),
        _ => {
            let is_larger = |(class, &other): (usize, &f64)| p[label] < other || (p[label] <= other && class < label);
            f64::from(u8::from(!p.iter().enumerate().any(is_larger)))
        }
    }
}

fn value_loss(metric: Metric, difference: f64) -> f64 {
    match metric {
        Metric::Rmse => difference * difference,
        Metric::Pinball(q) => (q * difference).max((q - 1.0) * difference),
        _ => difference.abs(),
    }
}

#[cfg(test)]
#[path = "score_tests.rs"]
mod tests;
