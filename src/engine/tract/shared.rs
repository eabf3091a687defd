//! Our operators inside the library's graphs.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use prost::Message;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb;
use tract_onnx::tract_hir::internal::*;

use super::values;
use crate::engine::kernel::{Args, Dim, Fact, Frame, Kernel, OpError, Outputs, Source};
use crate::engine::onnx::NodeProto;
use crate::engine::ops;
use crate::tensor::Tensor as Ours;

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

/// An operator has few inputs, but FeatureVectorizer may have thousands.
fn run(kernel: &dyn Kernel, inputs: &[TValue]) -> TractResult<Vec<Ours>> {
    let ours = inputs.iter().map(|input| ours(input)).collect::<TractResult<Vec<_>>>()?;
    let mut frame = Frame { inputs: &ours, constants: &[], slots: Vec::new(), room: usize::MAX };
    let sources: Vec<Source> = (0..ours.len()).map(Source::Input).collect();
    let outputs = kernel.run(&mut Args { sources: &sources, frame: &mut frame });
    Ok(match outputs.map_err(|problem| format_err!("{problem}"))? {
        Outputs::One(tensor) => vec![tensor],
        Outputs::Two(first, second) => vec![first, second],
        Outputs::Many(tensors) => tensors,
    })
}

/// Sizes that the library computes are whole numbers to us.
fn ours(tensor: &Tensor) -> TractResult<Ours> {
    let dtype = our_dtype(tensor.datum_type())?;
    Ok(Ours::new(tensor.shape().to_vec(), values::from_library(tensor, dtype)?)?)
}

fn our_dtype(dtype: DatumType) -> TractResult<crate::tensor::Dtype> {
    let dtype = if dtype.is_tdim() { i64::datum_type() } else { dtype };
    values::dtype(dtype).ok_or_else(|| format_err!("no operator of ours takes {dtype:?}"))
}

impl EvalOp for KernelOp {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let outputs = run(self.0.as_ref(), &inputs)?;
        outputs.iter().map(|output| Ok(values::to_library(output)?.into_tvalue())).collect()
    }
}

impl TypedOp for KernelOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let types: Vec<DatumType> = inputs.iter().map(|input| input.datum_type).collect();
        let shapes: Vec<TVec<TDim>> = inputs.iter().map(|input| input.shape.iter().cloned().collect()).collect();
        Ok(facts(self.0.as_ref(), &types, &shapes)?.into_iter().map(|(dtype, shape)| dtype.fact(shape)).collect())
    }

    as_op!();
}

/// Types and shapes of the outputs. Each size that is not a number gets a number of its own on the way.
fn facts(kernel: &dyn Kernel, types: &[DatumType], shapes: &[TVec<TDim>]) -> TractResult<Vec<(DatumType, TVec<TDim>)>> {
    let mut symbols: Vec<TDim> = Vec::new();
    let mut inputs = Vec::with_capacity(types.len());
    for (dtype, shape) in types.iter().zip(shapes) {
        let mut dims = Vec::with_capacity(shape.len());
        for dim in shape {
            dims.push(match dim.to_usize() {
                Ok(size) => Dim::Fixed(size),
                Err(_) => {
                    let known = symbols.iter().position(|symbol| symbol == dim);
                    let index = known.unwrap_or(symbols.len());
                    if known.is_none() {
                        symbols.push(dim.clone());
                    }
                    Dim::Symbol(u32::try_from(index)?)
                }
            });
        }
        inputs.push(Fact::new(our_dtype(*dtype)?, Some(dims)));
    }
    let found = kernel.facts(&inputs).map_err(|error| match error {
        OpError::Unknown(what) | OpError::Bad(what) => format_err!("{what}"),
    })?;
    let size = |dim: Dim| match dim {
        Dim::Fixed(size) => Ok(size.to_dim()),
        Dim::Symbol(index) => Ok(symbols[index as usize].clone()),
        Dim::Unknown => bail!("{}: a shape that is only known in the run", kernel.name()),
    };
    let fact = |fact: Fact| {
        let Some(shape) = fact.shape else { bail!("{}: a shape that is only known in the run", kernel.name()) };
        Ok((values::datum_type(fact.dtype), shape.into_iter().map(size).collect::<TractResult<TVec<TDim>>>()?))
    };
    found.into_iter().map(fact).collect()
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
        check_output_arity(outputs, self.n_outputs)?;
        let types = inputs.iter().map(|input| &input.datum_type);
        solver.given_all(types, move |solver, types| {
            let shapes = inputs.iter().map(|input| &input.shape);
            solver.given_all(shapes, move |solver, shapes| {
                for (output, (dtype, shape)) in outputs.iter().zip(facts(self.kernel.as_ref(), &types, &shapes)?) {
                    solver.equals(&output.datum_type, dtype)?;
                    solver.equals(&output.shape, shape)?;
                }
                Ok(())
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let mut wires = model.wire_node(prefix, KernelOp(Arc::clone(&self.kernel)), inputs)?;
        wires.truncate(self.n_outputs);
        Ok(wires)
    }
}

/// Puts our operators in the place of the library's.
pub(super) fn register(onnx: &mut Onnx) {
    // The library follows the shapes of this one through sizes that are products, and computes it rightly.
    for name in ops::NAMES.into_iter().filter(|&name| name != "ArrayFeatureExtractor") {
        onnx.op_register.insert(name, build);
    }
}

fn build(_context: &ParsingContext<'_>, node: &pb::NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let node = NodeProto::decode(node.encode_to_vec().as_slice())?;
    let kernel = match ops::kernel(&node, ops::NEWEST) {
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
