//! TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble: `trees` as [`Kernel`]s.

use super::attributes::Attributes;
use super::labels::Labels;
use super::trees::{self, Rows};
use crate::engine::kernel::{Args, Dim, Fact, Kernel, OpError, Outputs, as_f32, rows_of, tensor};
use crate::tensor::{Data, Dtype, Tensor};

/// That rows of `input` hold every feature that is read.
fn check(max_feature: usize, input: &Fact) -> Result<(), OpError> {
    input.number("a tree ensemble")?;
    let is_deep = input.rank().is_some_and(|rank| 2 < rank);
    match input.row_len() {
        Some(n_features) if n_features <= max_feature || is_deep => {
            OpError::bad(format!("trees that read feature {max_feature} got rows of {n_features}"))
        }
        None if is_deep => OpError::bad("trees take rows, got more than two axes"),
        _ => Ok(()),
    }
}

/// Runs `run` on the rows of `input` (`[n_rows, n_features]`): doubles as doubles, all else as floats. Gives the number of rows too.
fn on_rows<R>(
    input: &Tensor,
    max_feature: usize,
    run: impl FnOnce(Rows<'_>, usize) -> R,
) -> Result<(usize, R), String> {
    let (n_rows, n_features) = rows_of(input.shape());
    if n_features <= max_feature {
        return Err(format!("trees that read feature {max_feature} got rows of {n_features}"));
    }
    let result = match input.data() {
        Data::Fp64(values) => run(Rows::Double(values), n_features),
        _ => run(Rows::Single(&as_f32(input)?), n_features),
    };
    Ok((n_rows, result))
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
        let run = |rows: Rows<'_>, n_features| self.trees.run(rows, n_features);
        let (n_rows, (classes, scores)) = on_rows(args.get(0)?, self.trees.max_feature(), run)?;
        let scores = tensor(vec![n_rows, self.labels.len()], Data::Fp32(scores))?;
        Ok(Outputs::Two(self.labels.pick(&classes), scores))
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

    fn gives(&self, input: Dtype) -> Dtype {
        if self.keeps_type && input == Dtype::Fp64 { Dtype::Fp64 } else { Dtype::Fp32 }
    }
}

impl Kernel for Regressor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        check(self.trees.max_feature(), &inputs[0])?;
        let scores = vec![inputs[0].rows(), Dim::Fixed(self.trees.n_targets())];
        Ok(vec![Fact::new(self.gives(inputs[0].dtype), Some(scores))])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let (input, max_feature) = (args.get(0)?, self.trees.max_feature());
        let (n_rows, data) = if self.gives(input.dtype()) == Dtype::Fp64 {
            let run = |rows: Rows<'_>, n_features| Data::Fp64(self.trees.run::<f64>(rows, n_features));
            on_rows(input, max_feature, run)?
        } else {
            let run = |rows: Rows<'_>, n_features| Data::Fp32(self.trees.run::<f32>(rows, n_features));
            on_rows(input, max_feature, run)?
        };
        Ok(Outputs::One(tensor(vec![n_rows, self.trees.n_targets()], data)?))
    }
}
