//! The operators of `trees` as kernels of the inference library.

use tract_onnx::tract_hir::internal::*;

use super::OpError;
use super::attributes::Attributes;
use super::glue::{Kernel, OutputFact, row_dim, row_len, rows_of, tensor};
use super::labels::Labels;
use super::numeric::{as_f32, is_number};
use super::trees::{self, Rows};

/// That rows of `shape` hold every feature that is read.
fn check(max_feature: usize, dtype: DatumType, shape: &[TDim]) -> TractResult<()> {
    ensure!(is_number(dtype), "trees take numbers, got {dtype:?}");
    match row_len(shape) {
        Some(n_features) if max_feature < n_features && shape.len() <= 2 => Ok(()),
        n_features => bail!("trees that read feature {max_feature} got rows of {n_features:?}"),
    }
}

/// Runs `run` on the rows of `input`: doubles as doubles, all else as floats.
fn on_rows<R>(input: &Tensor, max_feature: usize, run: impl FnOnce(Rows<'_>, usize) -> R) -> TractResult<R> {
    let (_, n_features) = rows_of(input.shape());
    ensure!(max_feature < n_features, "trees that read feature {max_feature}: rows of {n_features}");
    if input.datum_type() == f64::datum_type() {
        return Ok(run(Rows::Double(input.try_as_plain_ram()?.as_slice::<f64>()?), n_features));
    }
    Ok(run(Rows::Single(&as_f32(input)?), n_features))
}

/// TreeEnsembleClassifier.
#[derive(Debug)]
pub(super) struct Classifier {
    trees: trees::Classifier,
    labels: Labels,
}

impl Classifier {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let labels = Labels::read(attributes, "classlabels_int64s")?;
        Ok(Self { trees: trees::Classifier::read(attributes, labels.len())?, labels })
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
        check(self.trees.max_feature(), dtype, shape)?;
        let rows = row_dim(shape);
        let scores = tvec!(rows.clone(), self.labels.len().to_dim());
        Ok(tvec!((self.labels.dtype(), tvec!(rows)), (f32::datum_type(), scores)))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let (n_rows, _) = rows_of(input.shape());
        let run = |rows: Rows<'_>, n_features| self.trees.run(rows, n_features);
        let (classes, scores) = on_rows(input, self.trees.max_feature(), run)?;
        Ok(tvec!(self.labels.pick(&classes)?, tensor(&[n_rows, self.labels.len()], scores)?))
    }
}

/// TreeEnsembleRegressor, and TreeEnsemble of ai.onnx.ml 5.
#[derive(Debug)]
pub(super) struct Regressor {
    name: &'static str,
    trees: trees::Regressor,
    /// Whether outputs are of the input's type; else they are floats.
    keeps_type: bool,
}

impl Regressor {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let trees = trees::Regressor::read(attributes)?;
        Ok(Self { name: "TreeEnsembleRegressor", trees, keeps_type: false })
    }

    pub(super) fn read_v5(attributes: Attributes<'_>) -> Result<Self, OpError> {
        Ok(Self { name: "TreeEnsemble", trees: trees::Regressor::read_v5(attributes)?, keeps_type: true })
    }

    fn is_double(&self, dtype: DatumType) -> bool {
        self.keeps_type && dtype == f64::datum_type()
    }
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>> {
        check(self.trees.max_feature(), dtype, shape)?;
        let dtype = if self.is_double(dtype) { dtype } else { f32::datum_type() };
        Ok(tvec!((dtype, tvec!(row_dim(shape), self.trees.n_targets().to_dim()))))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let (n_rows, _) = rows_of(input.shape());
        let shape = [n_rows, self.trees.n_targets()];
        if self.is_double(input.datum_type()) {
            let run = |rows: Rows<'_>, n_features| self.trees.run::<f64>(rows, n_features);
            return Ok(tvec!(tensor(&shape, on_rows(input, self.trees.max_feature(), run)?)?));
        }
        let run = |rows: Rows<'_>, n_features| self.trees.run::<f32>(rows, n_features);
        Ok(tvec!(tensor(&shape, on_rows(input, self.trees.max_feature(), run)?)?))
    }
}
