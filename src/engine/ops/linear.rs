//! LinearClassifier and LinearRegressor.

use super::attributes::Attributes;
use super::labels::Labels;
use super::post::{PostTransform, logistic};
use crate::engine::gemm::Packed;
use crate::engine::kernel::{Args, Dim, Fact, Kernel, OpError, Outputs, as_f32, rows_of, tensor};
use crate::tensor::{Data, Dtype};

/// `x * coefficients + intercepts`: `n_targets` scores from `n_features` values a row.
#[derive(Debug)]
struct Linear {
    /// `[n_features, n_targets]`.
    coefficients: Packed,
    intercepts: Vec<f32>,
    n_features: usize,
}

impl Linear {
    fn read(attributes: Attributes<'_>, n_targets: usize) -> Result<Self, OpError> {
        let coefficients = attributes.floats("coefficients")?;
        // First: what is not as many as the coefficients at most is not allocated.
        if n_targets == 0 || coefficients.is_empty() || !coefficients.len().is_multiple_of(n_targets) {
            return OpError::bad(format!("{} coefficients for {n_targets} scores", coefficients.len()));
        }
        let intercepts = match attributes.floats("intercepts")? {
            [] => vec![0.0; n_targets],
            given if given.len() == n_targets => given.to_vec(),
            given => return OpError::bad(format!("{} intercepts for {n_targets} scores", given.len())),
        };
        let n_features = coefficients.len() / n_targets;
        let coefficients = Packed::of_attribute(coefficients, (n_features, n_targets), true);
        Ok(Self { coefficients, intercepts, n_features })
    }

    fn check(&self, input: &Fact) -> Result<(), OpError> {
        input.number("a linear model")?;
        match input.row_len() {
            Some(got) if got != self.n_features => {
                OpError::bad(format!("a linear model of {} features got rows of {got}", self.n_features))
            }
            _ => Ok(()),
        }
    }

    fn check_run(&self, shape: &[usize]) -> Result<usize, String> {
        let (n_rows, n_features) = rows_of(shape);
        if n_features == self.n_features {
            return Ok(n_rows);
        }
        Err(format!("expected rows of {}, got {n_features}", self.n_features))
    }

    fn n_targets(&self) -> usize {
        self.intercepts.len()
    }

    /// The scores of `rows`, `[n_rows, n_targets]`.
    fn scores(&self, rows: &[f32]) -> Vec<f32> {
        let mut scores = vec![0.0; rows.len() / self.n_features * self.n_targets()];
        self.coefficients.multiply(rows, &mut scores);
        for scores in scores.chunks_exact_mut(self.n_targets()) {
            scores.iter_mut().zip(&self.intercepts).for_each(|(score, intercept)| *score += intercept);
        }
        scores
    }
}

/// LinearClassifier.
#[derive(Debug)]
pub(in crate::engine) struct Classifier {
    linear: Linear,
    labels: Labels,
    post: PostTransform,
}

impl Classifier {
    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let labels = Labels::read(attributes, "classlabels_ints")?;
        let post = PostTransform::read(attributes)?;
        let n_targets = match attributes.floats("intercepts")?.len() {
            0 => labels.len(),
            n_targets => n_targets,
        };
        if labels.len() < 2 || (n_targets != labels.len() && (n_targets, labels.len()) != (1, 2)) {
            return OpError::bad(format!("{n_targets} intercepts for {} classes", labels.len()));
        }
        if n_targets == 1 && post == PostTransform::Probit {
            return OpError::unknown("LinearClassifier with PROBIT on one score");
        }
        Ok(Self { linear: Linear::read(attributes, n_targets)?, labels, post })
    }

    /// The class of each row, and what the post-transform makes of its scores; of one score, there are those of both classes.
    fn finish(&self, mut scores: Vec<f32>) -> (Vec<usize>, Vec<f32>) {
        if self.linear.n_targets() == 1 {
            let classes = scores.iter().map(|&score| usize::from(score > 0.0)).collect();
            let both = |score: f32| match self.post {
                PostTransform::Logistic => [logistic(-score), logistic(score)],
                _ => [1.0 - score, score],
            };
            return (classes, scores.into_iter().flat_map(both).collect());
        }
        let classes = scores.chunks_exact(self.labels.len()).map(largest).collect();
        if self.post == PostTransform::Logistic {
            // Not the transform's own, as onnxruntime has it.
            crate::engine::logistic::logistic(&mut scores);
        } else {
            scores.chunks_exact_mut(self.labels.len()).for_each(|scores| self.post.apply(scores));
        }
        (classes, scores)
    }
}

/// The place of the largest value, the first of equal ones.
fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (place, &value) in values.iter().enumerate() {
        if value > values[best] {
            best = place;
        }
    }
    best
}

impl Kernel for Classifier {
    fn name(&self) -> &'static str {
        "LinearClassifier"
    }

    fn n_outputs(&self) -> usize {
        2
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        self.linear.check(&inputs[0])?;
        let rows = inputs[0].rows();
        let scores = vec![rows, Dim::Fixed(self.labels.len())];
        Ok(vec![Fact::new(self.labels.dtype(), Some(vec![rows])), Fact::new(Dtype::Fp32, Some(scores))])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.get(0)?;
        let n_rows = self.linear.check_run(input.shape())?;
        let (classes, scores) = self.finish(self.linear.scores(&as_f32(input)?));
        Ok(Outputs::Two(self.labels.pick(&classes), tensor(vec![n_rows, self.labels.len()], Data::Fp32(scores))?))
    }
}

/// LinearRegressor.
#[derive(Debug)]
pub(in crate::engine) struct Regressor {
    linear: Linear,
    post: PostTransform,
}

impl Regressor {
    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let n_targets = usize::try_from(attributes.int("targets")?.unwrap_or(1)).unwrap_or(0);
        Ok(Self { linear: Linear::read(attributes, n_targets)?, post: PostTransform::read(attributes)? })
    }
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        "LinearRegressor"
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        self.linear.check(&inputs[0])?;
        let scores = vec![inputs[0].rows(), Dim::Fixed(self.linear.n_targets())];
        Ok(vec![Fact::new(Dtype::Fp32, Some(scores))])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.get(0)?;
        let n_rows = self.linear.check_run(input.shape())?;
        let (mut scores, n_targets) = (self.linear.scores(&as_f32(input)?), self.linear.n_targets());
        scores.chunks_exact_mut(n_targets).for_each(|scores| self.post.apply_to_targets(scores));
        Ok(Outputs::One(tensor(vec![n_rows, n_targets], Data::Fp32(scores))?))
    }
}
