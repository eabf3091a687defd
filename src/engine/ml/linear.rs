//! LinearClassifier and LinearRegressor.

use super::attributes::Attributes;
use super::labels::Labels;
use super::post::{PostTransform, logistic};
use crate::engine::kernel::{Args, Dim, Fact, Kernel, OpError, Outputs, as_f32, rows_of, tensor};
use crate::tensor::{Data, Dtype};

/// `x * coefficients + intercepts`: `n_targets` scores from `n_features` values a row.
#[derive(Debug)]
struct Linear {
    /// `[n_features, n_targets]`: the scores of a row are summed side by side.
    columns: Vec<f32>,
    intercepts: Vec<f32>,
    n_features: usize,
}

/// Partial sums of a dot product, side by side.
const LANES: usize = 8;

impl Linear {
    fn read(attributes: Attributes<'_>, n_targets: usize) -> Result<Self, OpError> {
        let coefficients = attributes.floats("coefficients")?;
        let intercepts = match attributes.floats("intercepts")? {
            [] => vec![0.0; n_targets],
            given if given.len() == n_targets => given.to_vec(),
            given => return OpError::bad(format!("{} intercepts for {n_targets} scores", given.len())),
        };
        if n_targets == 0 || coefficients.is_empty() || !coefficients.len().is_multiple_of(n_targets) {
            return OpError::bad(format!("{} coefficients for {n_targets} scores", coefficients.len()));
        }
        let n_features = coefficients.len() / n_targets;
        let column = |feature| (0..n_targets).map(move |target| coefficients[target * n_features + feature]);
        let columns = (0..n_features).flat_map(column).collect();
        Ok(Self { columns, intercepts, n_features })
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

    /// The scores of a row, added to `scores`.
    fn score(&self, row: &[f32], scores: &mut Vec<f32>) {
        let n_targets = self.n_targets();
        if n_targets == 1 {
            scores.push(dot(row, &self.columns) + self.intercepts[0]);
            return;
        }
        let start = scores.len();
        scores.resize(start + n_targets, 0.0);
        let scores = &mut scores[start..];
        for (value, column) in row.iter().zip(self.columns.chunks_exact(n_targets)) {
            for (score, coefficient) in scores.iter_mut().zip(column) {
                *score += value * coefficient;
            }
        }
        for (score, intercept) in scores.iter_mut().zip(&self.intercepts) {
            *score += intercept;
        }
    }
}

/// The sum of the products, in partial sums that the processor adds up side by side.
pub(in crate::engine) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
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

    /// The class of one row from its scores, which become what the post-transform makes of them.
    fn finish(&self, scores: &mut [f32]) -> usize {
        if self.linear.n_targets() == 1 {
            let score = scores[1];
            scores[0] = 1.0 - score;
            if self.post == PostTransform::Logistic {
                (scores[0], scores[1]) = (logistic(-score), logistic(score));
            }
            return usize::from(score > 0.0);
        }
        let mut best = 0;
        for (class, &score) in scores.iter().enumerate() {
            if score > scores[best] {
                best = class;
            }
        }
        self.post.apply(scores);
        best
    }
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
        let (values, n_classes) = (as_f32(input)?, self.labels.len());
        let mut scores = Vec::with_capacity(n_rows * n_classes);
        let mut classes = Vec::with_capacity(n_rows);
        for row in values.chunks_exact(self.linear.n_features) {
            let start = scores.len();
            if self.linear.n_targets() == 1 {
                scores.push(0.0);
            }
            self.linear.score(row, &mut scores);
            classes.push(self.finish(&mut scores[start..]));
        }
        Ok(Outputs::Two(self.labels.pick(&classes), tensor(vec![n_rows, n_classes], Data::Fp32(scores))?))
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
        let (values, n_targets) = (as_f32(input)?, self.linear.n_targets());
        let mut scores = Vec::with_capacity(n_rows * n_targets);
        for row in values.chunks_exact(self.linear.n_features) {
            let start = scores.len();
            self.linear.score(row, &mut scores);
            self.post.apply_to_targets(&mut scores[start..]);
        }
        Ok(Outputs::One(tensor(vec![n_rows, n_targets], Data::Fp32(scores))?))
    }
}
