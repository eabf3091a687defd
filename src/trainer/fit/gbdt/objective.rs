//! Losses: their best constant, their derivatives, and their mean.

use std::thread;

use crate::trainer::fit::Objective;

/// Rows from which derivatives are worth a second thread.
const PARALLEL_ROWS: usize = 16_384;

/// Scores, targets and weights of a set of rows.
#[derive(Debug)]
pub(super) struct Scored {
    pub(super) objective: Objective,
    /// `[n_scores, n_rows]`: a block a score.
    pub(super) scores: Vec<f64>,
    pub(super) target: Vec<f32>,
    pub(super) weights: Vec<f32>,
}

/// A row's first and second derivative.
pub(super) type Derivatives = (f64, f64);

/// The logistic function.
pub(crate) fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// Turns scores into probabilities that sum to 1, in place.
pub(crate) fn softmax(scores: &mut [f64]) {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|score| *score = (*score - max).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

impl Scored {
    pub(super) fn n_rows(&self) -> usize {
        self.target.len()
    }

    pub(super) fn total_weight(&self) -> f64 {
        self.weights.iter().map(|&weight| f64::from(weight)).sum()
    }

    /// The constant scores that minimise the loss: the log-odds, the logs of the classes' shares, or the mean.
    pub(super) fn best_constants(&self) -> Vec<f64> {
        let total = self.total_weight();
        let pairs = || self.target.iter().zip(&self.weights).map(|(&y, &w)| (f64::from(y), f64::from(w)));
        match self.objective {
            Objective::Squared => vec![pairs().map(|(y, w)| y * w).sum::<f64>() / total],
            Objective::Binary => {
                let share = pairs().map(|(y, w)| y * w).sum::<f64>() / total;
                let share = share.clamp(1e-9, 1.0 - 1e-9);
                vec![(share / (1.0 - share)).ln()]
            }
            Objective::Multiclass { n_classes } => {
                let mut sums = vec![0.0; n_classes];
                self.target.iter().zip(&self.weights).for_each(|(&y, &w)| sums[class_of(y)] += f64::from(w));
                sums.into_iter().map(|sum| (sum / total).max(1e-9).ln()).collect()
            }
        }
    }

    /// The derivatives of the loss of `row` by score `output`.
    fn derivatives(&self, row: usize, output: usize) -> Derivatives {
        let n_rows = self.n_rows();
        let (target, weight) = (self.target[row], f64::from(self.weights[row]));
        match self.objective {
            Objective::Squared => (weight * (self.scores[row] - f64::from(target)), weight),
            Objective::Binary => {
                let probability = sigmoid(self.scores[row]);
                let hessian = (probability * (1.0 - probability)).max(1e-16);
                (weight * (probability - f64::from(target)), weight * hessian)
            }
            Objective::Multiclass { n_classes } => {
                let scores = || (0..n_classes).map(|class| self.scores[class * n_rows + row]);
                let max = scores().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores().map(|score| (score - max).exp()).sum();
                let probability = (self.scores[output * n_rows + row] - max).exp() / sum;
                let is_class = f64::from(u8::from(class_of(target) == output));
                // Friedman's factor makes one step per class the Newton step of all of them.
                #[expect(clippy::cast_precision_loss, reason = "a number of classes")]
                let factor = n_classes as f64 / (n_classes as f64 - 1.0);
                let hessian = (factor * probability * (1.0 - probability)).max(1e-16);
                (weight * (probability - is_class), weight * hessian)
            }
        }
    }

    /// The derivatives of every row by score `output`.
    pub(super) fn all_derivatives(&self, output: usize, threads: usize) -> Vec<Derivatives> {
        let mut all = vec![(0.0, 0.0); self.n_rows()];
        let fill = |start: usize, part: &mut [Derivatives]| {
            part.iter_mut().enumerate().for_each(|(place, pair)| *pair = self.derivatives(start + place, output));
        };
        if threads < 2 || all.len() < PARALLEL_ROWS {
            fill(0, &mut all);
            return all;
        }
        let size = all.len().div_ceil(threads);
        thread::scope(|scope| {
            for (index, part) in all.chunks_mut(size).enumerate() {
                scope.spawn(move || fill(index * size, part));
            }
        });
        all
    }

    /// The weighted mean loss: cross-entropy in nats, or half the squared error.
    pub(super) fn mean_loss(&self) -> f64 {
        let n_rows = self.n_rows();
        let mut sum = 0.0;
        for row in 0..n_rows {
            let (target, weight) = (self.target[row], f64::from(self.weights[row]));
            let loss = match self.objective {
                Objective::Squared => 0.5 * (self.scores[row] - f64::from(target)).powi(2),
                Objective::Binary => {
                    let sign = if target > 0.5 { -1.0 } else { 1.0 };
                    log_of_one_plus_exp(sign * self.scores[row])
                }
                Objective::Multiclass { n_classes } => {
                    let scores = || (0..n_classes).map(|class| self.scores[class * n_rows + row]);
                    let max = scores().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = scores().map(|score| (score - max).exp()).sum();
                    max + sum.ln() - self.scores[class_of(target) * n_rows + row]
                }
            };
            sum += weight * loss;
        }
        sum / self.total_weight()
    }
}

fn log_of_one_plus_exp(value: f64) -> f64 {
    value.max(0.0) + (-value.abs()).exp().ln_1p()
}

/// The class that a target stands for.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "targets of classes are small whole numbers"
)]
pub(crate) fn class_of(target: f32) -> usize {
    target as usize
}
