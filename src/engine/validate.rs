//! The strict check of a decoded model, before an inference library sees it: the library accepts much that it then
//! computes wrongly (names given twice, nodes out of order, dimensions cut to 32 bits).

use std::collections::HashSet;

use super::kernel::OpError;
use super::onnx::{
    AttributeProto, DataType, DimensionValue, GraphProto, ModelProto, NodeProto, TensorProto, TypeValue, ValueInfoProto,
};
use super::{EngineError, Limits, engines};

/// The versions that are known here: IR, ai.onnx, ai.onnx.ml.
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 3..=13;
const OPSETS: std::ops::RangeInclusive<i64> = 1..=25;
const ML_OPSETS: std::ops::RangeInclusive<i64> = 1..=5;

/// Checks the whole model. Gives back the graph and the opset of ai.onnx (0 where the model uses none).
pub(super) fn model<'a>(model: &'a ModelProto, limits: &Limits) -> Result<(&'a GraphProto, i64), EngineError> {
    if !IR_VERSIONS.contains(&model.ir_version) {
        let problem = format!("expected IR version {} to {}, got {}", 3, 13, model.ir_version);
        return Err(EngineError::invalid("model", problem));
    }
    let opset = opsets(model)?;
    let graph = model.graph.as_ref().ok_or_else(|| EngineError::NotOnnx("it holds no graph".to_owned()))?;
    if graph.node.is_empty() || graph.output.is_empty() {
        return Err(EngineError::invalid("graph", "expected at least one node and one output, got none"));
    }
    let mut checker = Checker { limits, n_nodes: 0, has_opset: opset > 0 };
    checker.graph(graph, &[], "graph")?;
    Ok((graph, opset))
}

fn opsets(model: &ModelProto) -> Result<i64, EngineError> {
    let mut versions: Vec<(&str, i64)> = Vec::new();
    for import in &model.opset_import {
        let domain = if import.domain == "ai.onnx" { "" } else { import.domain.as_str() };
        if versions.iter().any(|&(known, version)| known == domain && version != import.version) {
            return Err(EngineError::invalid("opset_import", format!("{domain:?} is given with two versions")));
        }
        let known = match domain {
            "" => OPSETS.contains(&import.version),
            "ai.onnx.ml" => ML_OPSETS.contains(&import.version),
            _ => true,
        };
        if !known {
            return Err(EngineError::Unsupported(format!("opset {} of {domain:?}", import.version)));
        }
        versions.push((domain, import.version));
    }
    if versions.is_empty() {
        return Err(EngineError::invalid("opset_import", "expected at least one operator set, got none"));
    }
    Ok(versions.iter().find(|(domain, _)| domain.is_empty()).map_or(0, |&(_, version)| version))
}

struct Checker<'l> {
    limits: &'l Limits,
    n_nodes: usize,
    has_opset: bool,
}

impl<'l> Checker<'l> {
    fn graph(&mut self, graph: &'l GraphProto, outer: &[&HashSet<&'l str>], place: &str) -> Result<(), EngineError> {
        if outer.len() > self.limits.nesting_max {
            return Err(too_large("nested graphs", self.limits.nesting_max, outer.len()));
        }
        self.count("inputs of the graph", graph.input.len(), self.limits.arity_max)?;
        self.count("outputs of the graph", graph.output.len(), self.limits.arity_max)?;
        self.count("initializers", graph.initializer.len(), self.limits.initializers_max)?;
        self.n_nodes = self.n_nodes.saturating_add(graph.node.len());
        self.count("nodes", self.n_nodes, self.limits.nodes_max)?;
        if !graph.sparse_initializer.is_empty() {
            return Err(EngineError::Unsupported("sparse initializers".to_owned()));
        }
        let mut names = self.declared(graph, place)?;
        for (index, node) in graph.node.iter().enumerate() {
            let place = format!("{place}, node {index} ({})", shown(&node.op_type));
            self.node(node, &place)?;
            for input in node.input.iter().filter(|input| !input.is_empty()) {
                let known = names.contains(input.as_str()) || outer.iter().any(|scope| scope.contains(input.as_str()));
                if !known {
                    let problem = format!("reads {} before anything writes it", shown(input));
                    return Err(EngineError::invalid(&place, problem));
                }
            }
            self.inner_graphs(node, outer, &names, &place)?;
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                self.name(output, &place)?;
                if !names.insert(output) {
                    return Err(EngineError::invalid(&place, format!("{} is written twice", shown(output))));
                }
            }
        }
        self.outputs(graph, &names, place)
    }

    fn inner_graphs(
        &mut self,
        node: &'l NodeProto,
        outer: &[&HashSet<&'l str>],
        names: &HashSet<&'l str>,
        place: &str,
    ) -> Result<(), EngineError> {
        for attribute in &node.attribute {
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                let mut scopes = outer.to_vec();
                scopes.push(names);
                self.graph(inner, &scopes, &format!("{place}, {}", shown(&attribute.name)))?;
            }
        }
        Ok(())
    }

    fn declared(&self, graph: &'l GraphProto, place: &str) -> Result<HashSet<&'l str>, EngineError> {
        let mut names = HashSet::new();
        for input in &graph.input {
            let place = format!("{place}, input {}", shown(&input.name));
            self.name(&input.name, &place)?;
            self.value(input, &place)?;
            if !names.insert(input.name.as_str()) {
                return Err(EngineError::invalid(place, "the name is given twice"));
            }
        }
        let mut initialized = HashSet::new();
        for tensor in &graph.initializer {
            let place = format!("{place}, initializer {}", shown(&tensor.name));
            self.name(&tensor.name, &place)?;
            self.tensor(tensor, &place)?;
            if !initialized.insert(tensor.name.as_str()) {
                return Err(EngineError::invalid(place, "the name is given twice"));
            }
            // An initializer may give an input its default value.
            names.insert(tensor.name.as_str());
        }
        Ok(names)
    }

    fn outputs(&self, graph: &GraphProto, names: &HashSet<&str>, place: &str) -> Result<(), EngineError> {
        let mut seen = HashSet::new();
        for output in &graph.output {
            let place = format!("{place}, output {}", shown(&output.name));
            self.name(&output.name, &place)?;
            self.value(output, &place)?;
            if !seen.insert(output.name.as_str()) {
                return Err(EngineError::invalid(place, "the name is given twice"));
            }
            if !names.contains(output.name.as_str()) {
                return Err(EngineError::invalid(place, "no node writes it"));
            }
        }
        Ok(())
    }

    fn node(&self, node: &NodeProto, place: &str) -> Result<(), EngineError> {
        self.count("inputs of a node", node.input.len(), self.limits.arity_max)?;
        self.count("outputs of a node", node.output.len(), self.limits.arity_max)?;
        if node.output.iter().all(String::is_empty) {
            return Err(EngineError::invalid(place, "it writes nothing"));
        }
        if !self.has_opset && matches!(node.domain.as_str(), "" | "ai.onnx") {
            return Err(EngineError::invalid("opset_import", "the graph uses ai.onnx, which is not imported"));
        }
        let mut seen = HashSet::new();
        for attribute in &node.attribute {
            if !seen.insert(attribute.name.as_str()) {
                let problem = format!("the attribute {} is given twice", shown(&attribute.name));
                return Err(EngineError::invalid(place, problem));
            }
            self.attribute(attribute, place)?;
        }
        engines::check(node).map_err(|error| match error {
            OpError::Unknown(what) => EngineError::Unsupported(what),
            OpError::Bad(problem) => EngineError::invalid(place, problem),
        })
    }

    fn attribute(&self, attribute: &AttributeProto, place: &str) -> Result<(), EngineError> {
        if !attribute.ref_attr_name.is_empty() {
            return Err(EngineError::invalid(
                place,
                "an attribute refers to a function's parameter outside a function",
            ));
        }
        if attribute.sparse_tensor.is_some() {
            return Err(EngineError::Unsupported("sparse tensors".to_owned()));
        }
        let place = format!("{place}, attribute {}", shown(&attribute.name));
        attribute.t.iter().chain(&attribute.tensors).try_for_each(|tensor| self.tensor(tensor, &place))
    }

    fn value(&self, value: &ValueInfoProto, place: &str) -> Result<(), EngineError> {
        let Some(TypeValue::Tensor(tensor)) = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
            return Ok(());
        };
        let Some(shape) = &tensor.shape else { return Ok(()) };
        self.count("axes of a tensor", shape.dim.len(), self.limits.rank_max)?;
        for dimension in &shape.dim {
            match &dimension.value {
                Some(DimensionValue::Value(size)) => self.dim(*size, place)?,
                Some(DimensionValue::Param(name)) => self.dim_name(name, place)?,
                None => {}
            }
        }
        Ok(())
    }

    /// The inference library parses a dimension's name as an expression, recursively.
    fn dim_name(&self, name: &str, place: &str) -> Result<(), EngineError> {
        self.count("bytes of a dimension's name", name.len(), self.limits.name_bytes_max)?;
        if name.chars().filter(|&c| c == '(').count() > 8 {
            return Err(EngineError::invalid(place, "the name of a dimension is nested too deeply"));
        }
        Ok(())
    }

    fn dim(&self, size: i64, place: &str) -> Result<(), EngineError> {
        match u64::try_from(size) {
            Ok(size) if size <= self.limits.dim_max => Ok(()),
            // Some exporters write -1 for an axis that may vary.
            Err(_) if size == -1 => Ok(()),
            _ => Err(EngineError::invalid(place, format!("dimension {size} is over {}", self.limits.dim_max))),
        }
    }

    fn tensor(&self, tensor: &TensorProto, place: &str) -> Result<(), EngineError> {
        if tensor.data_location != 0 || !tensor.external_data.is_empty() {
            return Err(EngineError::Unsupported("data outside the model file".to_owned()));
        }
        self.count("axes of a tensor", tensor.dims.len(), self.limits.rank_max)?;
        let mut expected: u64 = 1;
        for &dim in &tensor.dims {
            let size = u64::try_from(dim).ok().filter(|&size| size <= self.limits.dim_max);
            let product = size.and_then(|size| expected.checked_mul(size));
            expected =
                product.ok_or_else(|| EngineError::invalid(place, format!("dimension {dim} is out of range")))?;
        }
        let got = n_values(tensor, place)?;
        if got == expected {
            return Ok(());
        }
        let problem = format!("shape {:?} takes {expected} values, got {got}", tensor.dims);
        Err(EngineError::invalid(place, problem))
    }

    fn name(&self, name: &str, place: &str) -> Result<(), EngineError> {
        if name.is_empty() {
            return Err(EngineError::invalid(place, "the name is empty"));
        }
        // Exporters of deep networks write long paths as names.
        self.count("bytes of a name", name.len(), self.limits.name_bytes_max.saturating_mul(16))
    }

    #[expect(clippy::unused_self, reason = "reads as one of the checker's checks")]
    fn count(&self, what: &str, got: usize, limit: usize) -> Result<(), EngineError> {
        if got > limit { Err(too_large(what, limit, got)) } else { Ok(()) }
    }
}

fn too_large(what: &str, limit: usize, got: usize) -> EngineError {
    EngineError::TooLarge { what: what.to_owned(), limit: limit as u64, got: got as u64 }
}

/// How many values the tensor carries, in whichever of its fields.
fn n_values(tensor: &TensorProto, place: &str) -> Result<u64, EngineError> {
    let unknown = || EngineError::Unsupported(format!("tensors of ONNX type {}", tensor.data_type));
    let dtype = DataType::try_from(tensor.data_type).map_err(|_| unknown())?;
    let (bytes, typed) = match dtype {
        DataType::Float => (4, tensor.float_data.len()),
        DataType::Uint8 | DataType::Int8 | DataType::Bool => (1, tensor.int32_data.len()),
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => (2, tensor.int32_data.len()),
        DataType::Int32 => (4, tensor.int32_data.len()),
        DataType::Int64 => (8, tensor.int64_data.len()),
        DataType::String => (0, tensor.string_data.len()),
        DataType::Double => (8, tensor.double_data.len()),
        DataType::Uint32 => (4, tensor.uint64_data.len()),
        DataType::Uint64 => (8, tensor.uint64_data.len()),
        DataType::Undefined | DataType::Complex64 | DataType::Complex128 => return Err(unknown()),
    };
    if tensor.string_data.iter().any(|text| std::str::from_utf8(text).is_err()) {
        return Err(EngineError::invalid(place, "a string is not UTF-8"));
    }
    if tensor.raw_data.is_empty() {
        return Ok(typed as u64);
    }
    if bytes == 0 || !tensor.raw_data.len().is_multiple_of(bytes) || typed != 0 {
        return Err(EngineError::invalid(place, "the raw data does not fit the type"));
    }
    Ok((tensor.raw_data.len() / bytes) as u64)
}

/// A name, quoted and cut to what fits a message.
pub(super) fn shown(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    format!("{short:?}")
}
