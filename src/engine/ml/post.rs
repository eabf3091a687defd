//! The transformations that ai.onnx.ml applies to scores, as onnxruntime computes them.

use super::attributes::Attributes;
use crate::engine::kernel::OpError;

/// The attribute `post_transform`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum PostTransform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl PostTransform {
    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        match attributes.text("post_transform")?.unwrap_or("NONE") {
            "NONE" => Ok(Self::None),
            "LOGISTIC" => Ok(Self::Logistic),
            "SOFTMAX" => Ok(Self::Softmax),
            "SOFTMAX_ZERO" => Ok(Self::SoftmaxZero),
            "PROBIT" => Ok(Self::Probit),
            other => Err(OpError::Bad(format!("unknown post_transform {other:?}"))),
        }
    }

    /// Transforms the scores of one row, two or more of them.
    pub(in crate::engine) fn apply(self, scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
            Self::Softmax => softmax(scores),
            Self::SoftmaxZero => softmax_zero(scores),
        }
    }

    /// The same for the targets of a regression: on one target only PROBIT does something, as in onnxruntime.
    pub(in crate::engine) fn apply_to_targets(self, scores: &mut [f32]) {
        match (self, scores) {
            (Self::Probit, [score]) => *score = probit(*score),
            (_, [_]) => {}
            (post, scores) => post.apply(scores),
        }
    }
}

/// 1 / (1 + e^-x), without overflow.
pub(in crate::engine) fn logistic(value: f32) -> f32 {
    let positive = 1.0 / (1.0 + (-value.abs()).exp());
    if value < 0.0 { 1.0 - positive } else { positive }
}

/// The normal quantile, by Winitzki's approximation of the inverse error function, as onnxruntime has it.
pub(in crate::engine) fn probit(value: f32) -> f32 {
    let x = 2.0 * value - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    #[expect(clippy::approx_constant, reason = "onnxruntime's constant: the same digits give the same answers")]
    let v = 2.0 / (3.14159 * 0.147) + 0.5 * log;
    let v2 = 1.0 / 0.147 * log;
    std::f32::consts::SQRT_2 * sign * (-v + (v * v - v2).sqrt()).sqrt()
}

fn softmax(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::MIN, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// As softmax, but a score of zero stays zero.
fn softmax_zero(scores: &mut [f32]) {
    let max = scores.iter().copied().fold(f32::MIN, f32::max);
    let exp_neg_max = (-max).exp();
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if score.abs() > 1e-7 {
            *score = (*score - max).exp();
            sum += *score;
        } else {
            *score *= exp_neg_max;
        }
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}
