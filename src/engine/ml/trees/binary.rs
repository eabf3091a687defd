//! How onnxruntime turns the scores of a forest of two classes into a label and two scores.
//!
//! The rules depend on which classes the leaves name and on the signs of their weights; onnx leaves them open, so they are
//! those of onnxruntime's `TreeAggregatorClassifier`. One thing differs: where leaves name both classes, onnxruntime
//! answers the labels 1 and 0 whatever the labels of the model are; here they are the model's second and first.

use super::forest::Forest;
use super::real::{Real, Scores};
use crate::engine::ml::post::{PostTransform, logistic, probit};

#[derive(Debug, Clone, Copy)]
pub(super) struct Binary {
    /// All leaves name one and the same class.
    one_class_named: bool,
    weights_are_positive: bool,
}

impl Binary {
    pub(super) fn of(forest: &Forest) -> Self {
        let mut targets = forest.weights().map(|weight| weight.target);
        let first = targets.next();
        Self {
            one_class_named: targets.all(|target| Some(target) == first),
            weights_are_positive: forest.weights().all(|weight| 0.0 <= weight.value),
        }
    }

    /// The class (0 or 1) and the scores of both.
    pub(super) fn finish<T: Real>(self, scores: Scores<'_, T>, base: &[f64], post: PostTransform) -> (usize, [f32; 2]) {
        let (mut first, mut second) = (scores.values[0], scores.values[1]);
        let (mut has_first, has_second) = (scores.scored[0], scores.scored[1]);
        match *base {
            [_, base] if has_second => {
                second = first.plus(T::of(base));
                first = second.minus();
            }
            [a, b] => (first, second) = (first.plus(T::of(a)), second.plus(T::of(b))),
            [base] => {
                first = first.plus(T::of(base));
                has_first = has_first || !has_second;
            }
            _ => {}
        }
        let both_written = has_second || base.len() == 2;
        let positive = match (has_second, has_first) {
            (true, _) => second,
            (false, true) => first,
            (false, false) => T::of(0.0),
        };
        let bar = if self.one_class_named && self.weights_are_positive { 0.5 } else { 0.0 };
        let class = usize::from(T::of(bar) < positive);
        if both_written {
            let written = |has, score: T| if has { score.single() } else { 0.0 };
            // onnxruntime leaves a score at 0 where no leaf scored it, whatever its base value.
            let mut pair = [written(has_first, first), written(has_second, second)];
            post.apply(&mut pair);
            return (class, pair);
        }
        (class, self.expand(first.single(), base.len(), post))
    }

    /// Two scores from one.
    fn expand(self, score: f32, n_base: usize, post: PostTransform) -> [f32; 2] {
        match post {
            PostTransform::Probit => [probit(score), 0.0],
            // onnxruntime leaves the second score unset in this case.
            _ if !self.one_class_named && n_base == 1 => [score, 0.0],
            PostTransform::Logistic => [logistic(-score), logistic(score)],
            _ if self.one_class_named && self.weights_are_positive => [1.0 - score, score],
            _ => [-score, score],
        }
    }
}
