//! Fits a [`Kernel`] into tract: its type and shape rules, and its evaluation.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use prost::Message;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

use super::OpError;
use crate::engine::onnx::NodeProto;

/// Element type and shape of one output.
pub(in crate::engine) type OutputFact = (DatumType, TVec<TDim>);

/// An operator on one input.
pub(in crate::engine) trait Kernel: Debug + Send + Sync + 'static {
    /// The operator's name in ONNX.
    fn name(&self) -> &'static str;

    /// How many outputs it has.
    fn n_outputs(&self) -> usize {
        1
    }

    /// Types and shapes of the outputs for an input of type `dtype` and shape `shape`.
    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>>;

    /// The outputs.
    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>>;
}

/// A row-major `[n_rows, n_features]` view of an input of rank 1 (one row) or 2 and more.
pub(super) fn rows_of(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [n] => (1, *n),
        [n, rest @ ..] => (*n, rest.iter().product()),
    }
}

/// The row axis of an output of one value a row.
pub(super) fn row_dim(shape: &[TDim]) -> TDim {
    if shape.len() < 2 { 1.to_dim() } else { shape[0].clone() }
}

/// The size of a row, where it is fixed.
pub(super) fn row_len(shape: &[TDim]) -> Option<usize> {
    let skip = usize::from(shape.len() > 1);
    shape.iter().skip(skip).try_fold(1_usize, |product, dim| product.checked_mul(dim.to_usize().ok()?))
}

/// A tensor of `shape` over `values`.
pub(super) fn tensor<T: Datum>(shape: &[usize], values: Vec<T>) -> TractResult<TValue> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into_tensor().into_tvalue())
}

/// The operator inside a typed graph.
#[derive(Debug, Clone)]
struct KernelOp(Arc<dyn Kernel>);

impl PartialEq for KernelOp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for KernelOp {}

impl Op for KernelOp {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    op_as_typed_op!();
}

impl EvalOp for KernelOp {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [input] = inputs.as_slice() else { bail!("expected one input, got {}", inputs.len()) };
        self.0.eval(input)
    }
}

impl TypedOp for KernelOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [input] = inputs else { bail!("expected one input, got {}", inputs.len()) };
        let facts = self.0.facts(input.datum_type, &input.shape)?;
        Ok(facts.into_iter().map(|(dtype, shape)| dtype.fact(shape)).collect())
    }

    as_op!();
}

/// The operator inside a graph whose types are not known yet.
#[derive(Debug, Clone)]
struct KernelExpansion {
    kernel: Arc<dyn Kernel>,
    n_outputs: usize,
}

impl Expansion for KernelExpansion {
    fn name(&self) -> StaticName {
        self.kernel.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.n_outputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, self.n_outputs)?;
        solver.given_2(&inputs[0].datum_type, &inputs[0].shape, move |solver, dtype, shape| {
            let facts = self.kernel.facts(dtype, &shape)?;
            for (output, (dtype, shape)) in outputs.iter().zip(facts) {
                solver.equals(&output.datum_type, dtype)?;
                solver.equals(&output.shape, shape)?;
            }
            Ok(())
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let mut wires = model.wire_node(prefix, KernelOp(Arc::clone(&self.kernel)), inputs)?;
        wires.truncate(self.n_outputs);
        Ok(wires)
    }
}

/// Puts our operators in the place of the library's.
pub(in crate::engine) fn register(onnx: &mut Onnx) {
    const OURS: [&str; 11] = [
        "TreeEnsembleClassifier",
        "TreeEnsembleRegressor",
        "TreeEnsemble",
        "LinearClassifier",
        "LinearRegressor",
        "LabelEncoder",
        "CategoryMapper",
        "OneHotEncoder",
        "Scaler",
        "Imputer",
        "Normalizer",
    ];
    for name in OURS {
        onnx.op_register.insert(name, build);
    }
}

fn build(_context: &ParsingContext<'_>, node: &pb::NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let node = NodeProto::decode(node.encode_to_vec().as_slice())?;
    let kernel = match super::kernel(&node) {
        Ok(Some(kernel)) => kernel,
        Ok(None) => bail!("no operator of ours: {}", node.op_type),
        Err(OpError::Unknown(what) | OpError::Bad(what)) => bail!("{what}"),
    };
    let n_outputs = node.output.iter().filter(|output| !output.is_empty()).count();
    if node.output.first().is_some_and(String::is_empty) {
        bail!("{} without its first output", node.op_type);
    }
    Ok((expand(KernelExpansion { kernel, n_outputs }), vec![]))
}

/// Whether the library has an operator called `name`.
pub(super) fn library_has(name: &str) -> bool {
    static NAMES: LazyLock<HashSet<String>> =
        LazyLock::new(|| tract_onnx::onnx().op_register.0.keys().cloned().collect());
    NAMES.contains(name)
}
