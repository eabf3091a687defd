//! The tree ensembles, as kernels over the inference library's tensors, and what joins them to [`Kernel`].
//!
//! [`Kernel`]: super::kernel::Kernel

mod glue;
mod labels;
mod linear;
mod numeric;
mod trees;

use std::sync::Arc;

use tract_onnx::tract_hir::internal::{DimLike, SymbolScope, TDim, ToDim};

use super::kernel::{Args, Dim, Fact, Kernel, OpError, Outputs};
use super::onnx::NodeProto;
use super::tract::values;
use crate::tensor::Tensor;

pub(in crate::engine) use super::ml::{attributes, post};

/// The kernel of a node of trees; `None` where the node is another.
pub(super) fn kernel(node: &NodeProto) -> Result<Option<Arc<dyn Kernel>>, OpError> {
    let attributes = attributes::Attributes::new(node);
    let kernel: Arc<dyn glue::Kernel> = match node.op_type.as_str() {
        "TreeEnsembleClassifier" => Arc::new(trees::Classifier::read(attributes)?),
        "TreeEnsembleRegressor" => Arc::new(trees::Regressor::read(attributes)?),
        _ => return Ok(None),
    };
    Ok(Some(Arc::new(OfLibrary(kernel))))
}

/// A kernel over the library's tensors as one over ours.
#[derive(Debug)]
struct OfLibrary(Arc<dyn glue::Kernel>);

impl Kernel for OfLibrary {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn n_outputs(&self) -> usize {
        self.0.n_outputs()
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        let input = &inputs[0];
        let Some(shape) = &input.shape else { return OpError::unknown("trees behind a shape that is computed") };
        let symbols = SymbolScope::default();
        let dims: Vec<TDim> = shape
            .iter()
            .enumerate()
            .map(|(axis, dim)| {
                dim.fixed().map_or_else(|| symbols.sym(&format!("axis_{axis}")).to_dim(), |size| size.to_dim())
            })
            .collect();
        let facts = self.0.facts(values::datum_type(input.dtype), &dims);
        let facts = facts.map_err(|error| OpError::Bad(format!("{error:#}")))?;
        let back = |dim: &TDim| match dim.to_usize() {
            Ok(size) => Dim::Fixed(size),
            Err(_) => dims.iter().position(|given| given == dim).map_or(Dim::Unknown, |axis| shape[axis]),
        };
        let fact = |(dtype, shape): (_, tract_onnx::prelude::TVec<TDim>)| {
            let dtype = values::dtype(dtype).ok_or_else(|| OpError::Unknown(format!("values of {dtype:?}")))?;
            Ok(Fact::new(dtype, Some(shape.iter().map(back).collect())))
        };
        facts.into_iter().map(fact).collect()
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = values::to_library(args.get(0)?).map_err(|error| format!("{error:#}"))?;
        let outputs = self.0.eval(&input).map_err(|error| format!("{error:#}"))?;
        let ours = outputs.iter().map(|output| {
            let dtype = values::dtype(output.datum_type()).ok_or("an unexpected type")?;
            let data = values::from_library(output, dtype).map_err(|error| format!("{error:#}"))?;
            Tensor::new(output.shape().to_vec(), data).map_err(|error| error.to_string())
        });
        Ok(Outputs::Many(ours.collect::<Result<_, String>>()?))
    }
}
