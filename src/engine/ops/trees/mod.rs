//! TreeEnsembleClassifier and TreeEnsembleRegressor over one flattened forest, with the answers of onnxruntime.

mod binary;
mod flat;
mod parse;

use tract_onnx::tract_hir::internal::*;

use super::OpError;
use super::attributes::Attributes;
use super::glue::{Kernel, OutputFact, row_dim, row_len, rows_of, tensor};
use super::labels::Labels;
use super::linear::post_targets;
use super::numeric::{as_f32, is_number};
use super::post::PostTransform;
use flat::{Flat, Real, Scores};
use parse::{Aggregate, Forest};

/// A forest in the precision that its input asks for: doubles are compared as doubles, all else as floats.
#[derive(Debug)]
struct Trees {
    single: Option<Flat<f32>>,
    double: Flat<f64>,
    max_feature: usize,
}

impl Trees {
    fn new(forest: &Forest) -> Self {
        let single = (!forest.is_double).then(|| Flat::new(forest));
        Self { single, double: Flat::new(forest), max_feature: forest.max_feature }
    }

    fn check(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<()> {
        ensure!(is_number(dtype), "trees take numbers, got {dtype:?}");
        match row_len(shape) {
            Some(n_features) if self.max_feature < n_features && shape.len() <= 2 => Ok(()),
            n_features => bail!("trees that read feature {} got rows of {n_features:?}", self.max_feature),
        }
    }

    /// Calls `finish` with every row's scores.
    fn each_row(&self, input: &Tensor, finish: &mut dyn FinishRow) -> TractResult<()> {
        let (_, n_features) = rows_of(input.shape());
        ensure!(self.max_feature < n_features, "trees that read feature {}: rows of {n_features}", self.max_feature);
        match &self.single {
            Some(flat) if input.datum_type() != f64::datum_type() => {
                flat.each_row(&as_f32(input)?, n_features, |scores| finish.single(scores));
            }
            _ => {
                let values = input.cast_to::<f64>()?;
                let values = values.try_as_plain_ram()?;
                self.double.each_row(values.as_slice::<f64>()?, n_features, |scores| finish.double(scores));
            }
        }
        Ok(())
    }
}

/// What is done with the scores of one row.
trait FinishRow {
    fn single(&mut self, scores: Scores<'_, f32>);
    fn double(&mut self, scores: Scores<'_, f64>);
}

/// TreeEnsembleClassifier.
#[derive(Debug)]
pub(in crate::engine::ops) struct Classifier {
    trees: Trees,
    labels: Labels,
    post: PostTransform,
    base: Vec<f64>,
    binary: binary::Binary,
}

impl Classifier {
    pub(in crate::engine::ops) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let labels = Labels::read(attributes, "classlabels_int64s")?;
        if labels.len() < 2 {
            return Err(OpError::Unknown("TreeEnsembleClassifier with one class".to_owned()));
        }
        let forest = Forest::read(attributes, "class", labels.len())?;
        let (base, _) = attributes.numbers("base_values")?;
        if !(base.is_empty() || base.len() == labels.len() || (base.len() == 1 && labels.len() == 2)) {
            return Err(OpError::Bad(format!("{} base_values for {} classes", base.len(), labels.len())));
        }
        let binary = binary::Binary::of(&forest);
        let post = PostTransform::read(attributes)?;
        Ok(Self { trees: Trees::new(&forest), labels, post, base, binary })
    }
}

struct ClassifyRow<'a> {
    of: &'a Classifier,
    classes: Vec<usize>,
    scores: Vec<f32>,
}

impl ClassifyRow<'_> {
    fn finish<T: Real>(&mut self, scores: Scores<'_, T>) {
        let Classifier { post, base, binary, .. } = self.of;
        let start = self.scores.len();
        if scores.values.len() == 2 {
            let (class, pair) = binary.finish(scores, base, *post);
            self.classes.push(class);
            self.scores.extend_from_slice(&pair);
            return;
        }
        let mut best: Option<(usize, T)> = None;
        for (class, (&value, &scored)) in scores.values.iter().zip(scores.scored).enumerate() {
            let base = base.get(class).map(|&base| T::of(base));
            let value = base.map_or(value, |base| value.plus(base));
            if (scored || base.is_some()) && best.is_none_or(|(_, most)| value > most) {
                best = Some((class, value));
            }
            self.scores.push(value.single());
        }
        self.classes.push(best.map_or(0, |(class, _)| class));
        post.apply(&mut self.scores[start..]);
    }
}

impl FinishRow for ClassifyRow<'_> {
    fn single(&mut self, scores: Scores<'_, f32>) {
        self.finish(scores);
    }

    fn double(&mut self, scores: Scores<'_, f64>) {
        self.finish(scores);
    }
}

impl Kernel for Classifier {
    fn name(&self) -> &'static str {
        "TreeEnsembleClassifier"
    }

    fn n_outputs(&self) -> usize {
        2
    }

    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>> {
        self.trees.check(dtype, shape)?;
        let rows = row_dim(shape);
        let scores = tvec!(rows.clone(), self.labels.len().to_dim());
        Ok(tvec!((self.labels.dtype(), tvec!(rows)), (f32::datum_type(), scores)))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let (n_rows, _) = rows_of(input.shape());
        let n_classes = self.labels.len();
        let (classes, scores) = (Vec::with_capacity(n_rows), Vec::with_capacity(n_rows * n_classes));
        let mut rows = ClassifyRow { of: self, classes, scores };
        self.trees.each_row(input, &mut rows)?;
        Ok(tvec!(self.labels.pick(&rows.classes)?, tensor(&[n_rows, n_classes], rows.scores)?))
    }
}

/// TreeEnsembleRegressor.
#[derive(Debug)]
pub(in crate::engine::ops) struct Regressor {
    trees: Trees,
    n_targets: usize,
    average_over: Option<f64>,
    post: PostTransform,
    base: Vec<f64>,
}

impl Regressor {
    pub(in crate::engine::ops) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let n_targets = attributes.int("n_targets")?.unwrap_or(0);
        let n_targets = usize::try_from(n_targets).ok().filter(|n| (1..=4096).contains(n));
        let n_targets = n_targets.ok_or_else(|| OpError::Bad("n_targets: expected 1 to 4096".to_owned()))?;
        let forest = Forest::read(attributes, "target", n_targets)?;
        let (base, _) = attributes.numbers("base_values")?;
        if !(base.is_empty() || base.len() == n_targets) {
            return Err(OpError::Bad(format!("{} base_values for {n_targets} targets", base.len())));
        }
        #[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^52 trees")]
        let average_over = (forest.aggregate == Aggregate::Average).then_some(forest.trees.len() as f64);
        let post = PostTransform::read(attributes)?;
        Ok(Self { trees: Trees::new(&forest), n_targets, average_over, post, base })
    }
}

struct RegressRow<'a> {
    of: &'a Regressor,
    scores: Vec<f32>,
}

impl RegressRow<'_> {
    fn finish<T: Real>(&mut self, scores: Scores<'_, T>) {
        let Regressor { average_over, base, post, .. } = self.of;
        let start = self.scores.len();
        let only_one = scores.values.len() == 1;
        for (target, (&value, &scored)) in scores.values.iter().zip(scores.scored).enumerate() {
            // onnxruntime leaves a target at 0 where no leaf scored it, whatever its base value, if there are several.
            if !scored && !only_one {
                self.scores.push(0.0);
                continue;
            }
            let value = average_over.map_or(value, |n| value.over(T::of(n)));
            let value = base.get(target).map_or(value, |&base| value.plus(T::of(base)));
            self.scores.push(value.single());
        }
        post_targets(*post, &mut self.scores[start..]);
    }
}

impl FinishRow for RegressRow<'_> {
    fn single(&mut self, scores: Scores<'_, f32>) {
        self.finish(scores);
    }

    fn double(&mut self, scores: Scores<'_, f64>) {
        self.finish(scores);
    }
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        "TreeEnsembleRegressor"
    }

    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>> {
        self.trees.check(dtype, shape)?;
        Ok(tvec!((f32::datum_type(), tvec!(row_dim(shape), self.n_targets.to_dim()))))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let (n_rows, _) = rows_of(input.shape());
        let mut rows = RegressRow { of: self, scores: Vec::with_capacity(n_rows * self.n_targets) };
        self.trees.each_row(input, &mut rows)?;
        Ok(tvec!(tensor(&[n_rows, self.n_targets], rows.scores)?))
    }
}
