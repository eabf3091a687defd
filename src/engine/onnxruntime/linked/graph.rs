//! The graph as onnxruntime is given it.

use prost::Message;

use crate::engine::describe::Graph;
use crate::engine::onnx::{
    DataType, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorType, TypeProto, TypeValue,
};

/// The version of ai.onnx that a graph gets which uses none of it, for the operator in the place of ZipMap.
const OPSET: i64 = 13;

/// The bytes of the checked model and nothing that was not checked. ZipMap makes maps out of rows; the tensor that it reads is
/// what is served, under ZipMap's name.
pub(in crate::engine::onnxruntime) fn written(model: &ModelProto, described: &Graph) -> Vec<u8> {
    let has_zip_map = model.graph.iter().flat_map(|graph| &graph.node).any(is_zip_map);
    if !has_zip_map {
        return model.encode_to_vec();
    }
    let mut model = model.clone();
    if let Some(graph) = &mut model.graph {
        cut_zip_maps(graph, described);
    }
    if !model.opset_import.iter().any(|import| matches!(import.domain.as_str(), "" | "ai.onnx")) {
        model.opset_import.push(OperatorSetIdProto { domain: String::new(), version: OPSET });
    }
    model.encode_to_vec()
}

fn is_zip_map(node: &NodeProto) -> bool {
    node.op_type == "ZipMap" && node.domain == "ai.onnx.ml"
}

fn cut_zip_maps(graph: &mut GraphProto, described: &Graph) {
    let mut cut = Vec::new();
    for node in graph.node.iter_mut().filter(|node| is_zip_map(node)) {
        cut.extend(node.output.iter().cloned());
        "Identity".clone_into(&mut node.op_type);
        node.domain.clear();
        node.attribute.clear();
    }
    let outputs = &described.signature.outputs;
    for value in graph.output.iter_mut().filter(|value| cut.contains(&value.name)) {
        if outputs.iter().any(|spec| spec.name == value.name) {
            let tensor = TensorType { elem_type: DataType::Float as i32, shape: None };
            value.r#type = Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) });
        }
    }
}
