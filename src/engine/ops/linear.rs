//! LinearClassifier and LinearRegressor.

use tract_onnx::tract_hir::internal::*;

use super::OpError;
use super::attributes::Attributes;
use super::glue::{Kernel, OutputFact, row_dim, row_len, rows_of, tensor};
use super::labels::Labels;
use super::numeric::{as_f32, is_number};
use super::post::{PostTransform, logistic};

/// `x * coefficients + intercepts`: `n_targets` scores from `n_features` values a row.
#[derive(Debug)]
struct Linear {
    /// `[n_features, n_targets]`: the scores of a row are summed side by side.
    columns: Vec<f32>,
    intercepts: Vec<f32>,
    n_features: usize,
}

impl Linear {
    fn read(attributes: Attributes<'_>, n_targets: usize) -> Result<Self, OpError> {
        let coefficients = attributes.floats("coefficients")?;
        let intercepts = match attributes.floats("intercepts")? {
            [] => vec![0.0; n_targets],
            given if given.len() == n_targets => given.to_vec(),
            given => return Err(OpError::Bad(format!("{} intercepts for {n_targets} scores", given.len()))),
        };
        if n_targets == 0 || coefficients.is_empty() || !coefficients.len().is_multiple_of(n_targets) {
            return Err(OpError::Bad(format!("{} coefficients for {n_targets} scores", coefficients.len())));
        }
        let n_features = coefficients.len() / n_targets;
        let column = |feature| (0..n_targets).map(move |target| coefficients[target * n_features + feature]);
        let columns = (0..n_features).flat_map(column).collect();
        Ok(Self { columns, intercepts, n_features })
    }

    fn check(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<()> {
        ensure!(is_number(dtype), "a linear model takes numbers, got {dtype:?}");
        let got = row_len(shape);
        ensure!(got == Some(self.n_features), "a linear model of {} features got rows of {got:?}", self.n_features);
        Ok(())
    }

    fn n_targets(&self) -> usize {
        self.intercepts.len()
    }

    /// The scores of a row, added to `scores`.
    fn score(&self, row: &[f32], scores: &mut Vec<f32>) {
        let n_targets = self.n_targets();
        if n_targets == 1 {
            let sum: f32 = row.iter().zip(&self.columns).map(|(value, coefficient)| value * coefficient).sum();
            scores.push(sum + self.intercepts[0]);
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

/// LinearClassifier.
#[derive(Debug)]
pub(super) struct Classifier {
    linear: Linear,
    labels: Labels,
    post: PostTransform,
}

impl Classifier {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let labels = Labels::read(attributes, "classlabels_ints")?;
        let post = PostTransform::read(attributes)?;
        let n_targets = attributes.floats("intercepts")?.len();
        if labels.len() < 2 || (n_targets != labels.len() && (n_targets, labels.len()) != (1, 2)) {
            return Err(OpError::Bad(format!("{n_targets} intercepts for {} classes", labels.len())));
        }
        if n_targets == 1 && post == PostTransform::Probit {
            return Err(OpError::Unknown("LinearClassifier with PROBIT on one score".to_owned()));
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

    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>> {
        self.linear.check(dtype, shape)?;
        let rows = row_dim(shape);
        let scores = tvec!(rows.clone(), self.labels.len().to_dim());
        Ok(tvec!((self.labels.dtype(), tvec!(rows)), (f32::datum_type(), scores)))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let (n_rows, n_features) = rows_of(input.shape());
        ensure!(n_features == self.linear.n_features, "expected rows of {}", self.linear.n_features);
        let (values, n_classes) = (as_f32(input)?, self.labels.len());
        let mut scores = Vec::with_capacity(n_rows * n_classes);
        let mut classes = Vec::with_capacity(n_rows);
        for row in values.chunks_exact(n_features) {
            let start = scores.len();
            if self.linear.n_targets() == 1 {
                scores.push(0.0);
            }
            self.linear.score(row, &mut scores);
            classes.push(self.finish(&mut scores[start..]));
        }
        Ok(tvec!(self.labels.pick(&classes)?, tensor(&[n_rows, n_classes], scores)?))
    }
}

/// LinearRegressor.
#[derive(Debug)]
pub(super) struct Regressor {
    linear: Linear,
    post: PostTransform,
}

impl Regressor {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let n_targets = usize::try_from(attributes.int("targets")?.unwrap_or(1)).unwrap_or(0);
        Ok(Self { linear: Linear::read(attributes, n_targets)?, post: PostTransform::read(attributes)? })
    }
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        "LinearRegressor"
    }

    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>> {
        self.linear.check(dtype, shape)?;
        Ok(tvec!((f32::datum_type(), tvec!(row_dim(shape), self.linear.n_targets().to_dim()))))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let (n_rows, n_features) = rows_of(input.shape());
        ensure!(n_features == self.linear.n_features, "expected rows of {}", self.linear.n_features);
        let (values, n_targets) = (as_f32(input)?, self.linear.n_targets());
        let mut scores = Vec::with_capacity(n_rows * n_targets);
        for row in values.chunks_exact(n_features) {
            let start = scores.len();
            self.linear.score(row, &mut scores);
            self.post.apply_to_targets(&mut scores[start..]);
        }
        Ok(tvec!(tensor(&[n_rows, n_targets], scores)?))
    }
}
