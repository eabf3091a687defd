//! The operators of `trees` as kernels.

use super::attributes::Attributes;
use super::labels::Labels;
use super::trees::{self, Rows};
use crate::engine::kernel::{Args, Dim, Fact, Kernel, OpError, Outputs, as_f32, rows_of, tensor};
use crate::tensor::{Data, Dtype, Tensor};

/// That rows hold every feature that is read.
fn check(max_feature: usize, input: &Fact) -> Result<(), OpError> {
    input.number("trees")?;
    if input.rank().is_some_and(|rank| rank > 2) {
        return OpError::bad("trees take one or two axes");
    }
    match input.row_len() {
        Some(n_features) if n_features <= max_feature => {
            OpError::bad(format!("trees that read feature {max_feature} got rows of {n_features}"))
        }
        _ => Ok(()),
    }
}

/// Runs `run` on the rows of `input`: doubles as doubles, all else as floats.
fn on_rows<R>(input: &Tensor, max_feature: usize, run: impl FnOnce(Rows<'_>, usize) -> R) -> Result<R, String> {
    let (_, n_features) = rows_of(input.shape());
    if n_features <= max_feature {
        return Err(format!("trees that read feature {max_feature}: rows of {n_features}"));
    }
    match input.data() {
        Data::Fp64(rows) => Ok(run(Rows::Double(rows), n_features)),
        _ => Ok(run(Rows::Single(&as_f32(input)?), n_features)),
    }
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

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        check(self.trees.max_feature(), &inputs[0])?;
        let rows = inputs[0].rows();
        let scores = vec![rows, Dim::Fixed(self.labels.len())];
        Ok(vec![Fact::new(self.labels.dtype(), Some(vec![rows])), Fact::new(Dtype::Fp32, Some(scores))])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.get(0)?;
        let shape = vec![rows_of(input.shape()).0, self.labels.len()];
        args.room_for(&shape)?;
        let run = |rows: Rows<'_>, n_features| self.trees.run(rows, n_features);
        let (classes, scores) = on_rows(input, self.trees.max_feature(), run)?;
        Ok(Outputs::Two(self.labels.pick(&classes), tensor(shape, Data::Fp32(scores))?))
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

    fn dtype(&self, input: Dtype) -> Dtype {
        if self.keeps_type && input == Dtype::Fp64 { Dtype::Fp64 } else { Dtype::Fp32 }
    }
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        check(self.trees.max_feature(), &inputs[0])?;
        let shape = vec![inputs[0].rows(), Dim::Fixed(self.trees.n_targets())];
        Ok(vec![Fact::new(self.dtype(inputs[0].dtype), Some(shape))])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.get(0)?;
        let shape = vec![rows_of(input.shape()).0, self.trees.n_targets()];
        args.room_for(&shape)?;
        let max_feature = self.trees.max_feature();
        let data = match self.dtype(input.dtype()) {
            Dtype::Fp64 => {
                Data::Fp64(on_rows(input, max_feature, |rows, n_features| self.trees.run::<f64>(rows, n_features))?)
            }
            _ => Data::Fp32(on_rows(input, max_feature, |rows, n_features| self.trees.run::<f32>(rows, n_features))?),
        };
        Ok(Outputs::One(tensor(shape, data)?))
    }
}
