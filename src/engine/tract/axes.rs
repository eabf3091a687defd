//! Refuses axes out of range, which the library takes and computes nonsense with.

use std::collections::HashMap;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::InferenceModelExt;

use crate::engine::EngineError;
use crate::engine::onnx::{GraphProto, NodeProto};
use crate::engine::validate::shown;

/// Operators with an attribute `axis` that counts the axes of their first input.
const OF_INPUT: [&str; 13] = [
    "Softmax",
    "LogSoftmax",
    "Hardmax",
    "Concat",
    "Gather",
    "GatherElements",
    "ScatterElements",
    "Split",
    "ArgMax",
    "ArgMin",
    "TopK",
    "LayerNormalization",
    "Compress",
];

/// Checks the axes of the outer graph, where the library has found out the ranks.
pub(super) fn check(
    graph: &GraphProto,
    model: &mut InferenceModel,
    outlets: &HashMap<String, OutletId>,
) -> Result<(), EngineError> {
    // What the analysis cannot find out shows when the graph is optimised.
    if model.analyse(true).is_err() {
        return Ok(());
    }
    let rank = |name: &str| {
        let fact = model.outlet_fact(*outlets.get(name)?).ok()?;
        fact.shape.rank().concretize()
    };
    for (index, node) in graph.node.iter().enumerate() {
        let axes = axes_of(node);
        let Some(rank) = node.input.first().and_then(|input| rank(input)) else { continue };
        if let Some(axis) = axes.iter().find(|axis| !(-rank..rank).contains(*axis)) {
            let place = format!("graph, node {index} ({})", shown(&node.op_type));
            return Err(EngineError::invalid(place, format!("axis {axis} of a tensor with {rank} axes")));
        }
    }
    Ok(())
}

fn axes_of(node: &NodeProto) -> Vec<i64> {
    let takes_axis = OF_INPUT.contains(&node.op_type.as_str());
    let takes_axes = node.op_type.starts_with("Reduce") || node.op_type == "Squeeze";
    let mut axes = Vec::new();
    for attribute in &node.attribute {
        match attribute.name.as_str() {
            "axis" if takes_axis => axes.push(attribute.i),
            "axes" if takes_axes => axes.extend(&attribute.ints),
            _ => {}
        }
    }
    axes
}
