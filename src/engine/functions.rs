//! Functions inside a model, put in the place of the nodes that call them.
//!
//! A model may bring operators of its own (ONNX's `FunctionProto`, IR version 8 on): lists of nodes with inputs, outputs and
//! attributes. No engine sees one: each call becomes the function's nodes, their names made the call's own.

use std::collections::HashMap;

use prost::Message as _;

use super::onnx::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use super::validate::shown;
use super::{EngineError, Limits};

/// Calls inside calls: no function may call itself.
const DEPTH_MAX: usize = 32;

/// Puts the nodes of functions in the place of their calls; false where the model has no functions.
pub(super) fn inline(model: &mut ModelProto, limits: &Limits) -> Result<bool, EngineError> {
    if model.functions.is_empty() {
        return Ok(false);
    }
    let functions = std::mem::take(&mut model.functions);
    for function in &functions {
        import(&mut model.opset_import, function)?;
    }
    let mut by_name = HashMap::new();
    for function in &functions {
        if by_name.insert((domain(&function.domain), function.name.as_str()), function).is_some() {
            return Err(EngineError::invalid(place(function), "the name is given twice"));
        }
    }
    let n_nodes = model.graph.as_ref().map_or(0, |graph| count(&graph.node));
    let mut inliner = Inliner { functions: by_name, limits, n_nodes, n_bytes: 0, n_calls: 0 };
    if let Some(graph) = &mut model.graph {
        inliner.graph(graph, 0)?;
    }
    Ok(true)
}

fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

fn place(function: &FunctionProto) -> String {
    format!("function {}", shown(&function.name))
}

/// From this version of ai.onnx on an operator that takes the same inputs and attributes means the same, but for those
/// that [`has_changed`] names.
const STABLE_SINCE: i64 = 13;

/// Whether an operator means something else in some version since, or takes as an input what was an attribute.
fn has_changed(operator: &str) -> bool {
    let is_reduction = operator.starts_with("Reduce") && operator != "ReduceSum";
    let changed = ["AveragePool", "DFT", "GridSample", "GroupNormalization", "Resize", "Split"];
    is_reduction || changed.contains(&operator)
}

/// A function may import another version of the operators than the model, as whose its nodes are read: only where that means
/// the same.
fn import(imports: &mut Vec<OperatorSetIdProto>, function: &FunctionProto) -> Result<(), EngineError> {
    for wanted in &function.opset_import {
        let Some(import) = imports.iter().find(|import| domain(&import.domain) == domain(&wanted.domain)) else {
            imports.push(wanted.clone());
            continue;
        };
        let is_stable = domain(&wanted.domain).is_empty()
            && STABLE_SINCE <= wanted.version.min(import.version)
            && !any(&function.node, &|node| has_changed(&node.op_type));
        if import.version != wanted.version && !is_stable {
            let what = format!(
                "{} with version {} of the operators of {:?} in a model with version {}",
                place(function),
                wanted.version,
                wanted.domain,
                import.version
            );
            return Err(EngineError::Unsupported(what));
        }
    }
    Ok(())
}

fn inner(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

fn any(nodes: &[NodeProto], is: &impl Fn(&NodeProto) -> bool) -> bool {
    nodes.iter().any(|node| is(node) || inner(node).any(|graph| any(&graph.node, is)))
}

/// Has `look` look at `node`, and at those of the graphs inside it.
fn each(node: &NodeProto, look: &mut impl FnMut(&NodeProto)) {
    look(node);
    inner(node).flat_map(|graph| &graph.node).for_each(|node| each(node, look));
}

/// Nodes, and those of the graphs inside them.
fn count(nodes: &[NodeProto]) -> usize {
    nodes.iter().map(|node| 1 + inner(node).map(|graph| count(&graph.node)).sum::<usize>()).sum()
}

fn within(what: &str, limit: u64, got: u64) -> Result<(), EngineError> {
    if limit < got { Err(EngineError::TooLarge { what: what.to_owned(), limit, got }) } else { Ok(()) }
}

struct Inliner<'a> {
    functions: HashMap<(&'a str, &'a str), &'a FunctionProto>,
    limits: &'a Limits,
    /// Nodes of the model and in the place of calls: a small file may ask for any number of them.
    n_nodes: usize,
    /// What the nodes in the place of calls take, at most.
    n_bytes: u64,
    n_calls: usize,
}

impl<'a> Inliner<'a> {
    fn function(&self, node: &NodeProto) -> Option<&'a FunctionProto> {
        self.functions.get(&(domain(&node.domain), node.op_type.as_str())).copied()
    }

    fn graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), EngineError> {
        graph.node = self.nodes(std::mem::take(&mut graph.node), depth)?;
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<NodeProto>, depth: usize) -> Result<Vec<NodeProto>, EngineError> {
        let mut all = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for attribute in &mut node.attribute {
                for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                    self.graph(inner, depth)?;
                }
            }
            let Some(function) = self.function(&node) else {
                all.push(node);
                continue;
            };
            if depth == DEPTH_MAX {
                let problem = format!("calls go more than {DEPTH_MAX} deep: a function may not call itself");
                return Err(EngineError::invalid(place(function), problem));
            }
            let body = self.called(function, &node)?;
            all.extend(self.nodes(body, depth + 1)?);
        }
        Ok(all)
    }

    /// The function's nodes, as `call` has them.
    fn called(&mut self, function: &FunctionProto, call: &NodeProto) -> Result<Vec<NodeProto>, EngineError> {
        for (what, given, taken) in
            [("inputs", call.input.len(), function.input.len()), ("outputs", call.output.len(), function.output.len())]
        {
            if taken < given {
                let problem = format!("at most {taken} {what} of a call expected, got {given}");
                return Err(EngineError::invalid(place(function), problem));
            }
        }
        let prefix = format!("{}/{}", function.name, self.n_calls);
        self.n_calls += 1;
        let inputs = function.input.iter().zip(call.input.iter().map(String::as_str).chain(std::iter::repeat("")));
        let outputs = function.output.iter().zip(&call.output).filter(|(_, given)| !given.is_empty());
        let given = inputs.chain(outputs.map(|(own, given)| (own, given.as_str())));
        let scope = Scope { prefix, given: given.map(|(own, given)| (own.as_str(), given)).collect(), function, call };
        let mut nodes = Vec::with_capacity(function.node.len());
        for node in &function.node {
            // Before anything is copied.
            let (n_nodes, n_bytes) = scope.size(node);
            self.n_nodes = self.n_nodes.saturating_add(n_nodes);
            self.n_bytes = self.n_bytes.saturating_add(n_bytes as u64);
            within("nodes", self.limits.nodes_max as u64, self.n_nodes as u64)?;
            let what = "bytes of the model, functions in the place of their calls";
            within(what, self.limits.model_bytes_max, self.n_bytes)?;
            nodes.push(scope.node(node));
        }
        Ok(nodes)
    }
}

/// What names and attributes mean inside one call.
struct Scope<'a> {
    prefix: String,
    /// Names of the caller by the function's.
    given: HashMap<&'a str, &'a str>,
    function: &'a FunctionProto,
    call: &'a NodeProto,
}

impl Scope<'_> {
    /// Nodes and bytes that `node` becomes, at most.
    fn size(&self, node: &NodeProto) -> (usize, usize) {
        let longest = self.given.values().map(|given| given.len()).max().unwrap_or(0);
        // A name takes two bytes in the file at least, if it is empty.
        let n_bytes = node.encoded_len();
        let names = (n_bytes / 2).saturating_mul(longest.max(self.prefix.len() + 1));
        let names = if inner(node).next().is_some() { names } else { self.names(node) };
        let (mut n_nodes, mut n_bytes) = (count(std::slice::from_ref(node)), n_bytes.saturating_add(names));
        let mut add = |node: &NodeProto| {
            for attribute in node.attribute.iter().filter(|attribute| !attribute.ref_attr_name.is_empty()) {
                let Some(given) = self.given_attribute(attribute) else { continue };
                n_bytes = n_bytes.saturating_add(given.encoded_len());
                let graphs = given.g.iter().chain(&given.graphs);
                n_nodes = n_nodes.saturating_add(graphs.map(|graph| count(&graph.node)).sum());
            }
        };
        each(node, &mut add);
        (n_nodes, n_bytes)
    }

    /// Bytes of the names that take the place of the node's own.
    fn names(&self, node: &NodeProto) -> usize {
        let len = |name: &String| {
            self.given.get(name.as_str()).map_or(self.prefix.len() + 1 + name.len(), |given| given.len())
        };
        node.input.iter().chain(&node.output).map(len).sum::<usize>() + self.prefix.len()
    }

    fn given_attribute(&self, attribute: &AttributeProto) -> Option<&AttributeProto> {
        let mut given = self.call.attribute.iter().chain(&self.function.attribute_proto);
        given.find(|given| given.name == attribute.ref_attr_name)
    }

    fn name(&self, name: &str) -> String {
        match self.given.get(name) {
            Some(given) => (*given).to_owned(),
            None if name.is_empty() => String::new(),
            None => format!("{}/{name}", self.prefix),
        }
    }

    fn node(&self, node: &NodeProto) -> NodeProto {
        NodeProto {
            input: node.input.iter().map(|name| self.name(name)).collect(),
            output: node.output.iter().map(|name| self.name(name)).collect(),
            name: if node.name.is_empty() { String::new() } else { format!("{}/{}", self.prefix, node.name) },
            attribute: node.attribute.iter().filter_map(|attribute| self.attribute(attribute)).collect(),
            ..node.clone()
        }
    }

    /// `None` for an attribute that the caller leaves out and the function has no default for.
    fn attribute(&self, attribute: &AttributeProto) -> Option<AttributeProto> {
        if !attribute.ref_attr_name.is_empty() {
            let given = self.given_attribute(attribute)?;
            return Some(AttributeProto { name: attribute.name.clone(), ..given.clone() });
        }
        let mut attribute = attribute.clone();
        for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            self.graph(inner);
        }
        Some(attribute)
    }

    /// A graph inside reads the names around it, and so its own are made the call's too.
    fn graph(&self, graph: &mut GraphProto) {
        graph.node = graph.node.iter().map(|node| self.node(node)).collect();
        let values = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        let names = values.map(|value| &mut value.name);
        for name in names.chain(graph.initializer.iter_mut().map(|tensor| &mut tensor.name)) {
            *name = self.name(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::onnx::{
        AttributeType, Dimension, DimensionValue, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
    };
    use crate::engine::{EngineChoice, Engines, Plan};
    use crate::tensor::{Data, Tensor};

    fn node(op: &str, domain: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let (op_type, domain) = (op.to_owned(), domain.to_owned());
        NodeProto { input: names(inputs), output: names(outputs), op_type, domain, attribute, ..Default::default() }
    }

    fn float(name: &str, f: f32) -> AttributeProto {
        AttributeProto { name: name.to_owned(), f, r#type: AttributeType::Float as i32, ..Default::default() }
    }

    fn refers(name: &str, to: &str) -> AttributeProto {
        AttributeProto { ref_attr_name: to.to_owned(), ..float(name, 0.0) }
    }

    fn function(name: &str, inputs: &[&str], outputs: &[&str], node: Vec<NodeProto>) -> FunctionProto {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        FunctionProto {
            name: name.to_owned(),
            domain: "own".to_owned(),
            input: names(inputs),
            output: names(outputs),
            node,
            opset_import: vec![import("", 17)],
            ..Default::default()
        }
    }

    fn import(domain: &str, version: i64) -> OperatorSetIdProto {
        OperatorSetIdProto { domain: domain.to_owned(), version }
    }

    fn value(name: &str) -> ValueInfoProto {
        let dim = |size: Option<i64>| Dimension { value: size.map(DimensionValue::Value) };
        let shape = Some(TensorShapeProto { dim: vec![dim(None), dim(Some(2))] });
        let tensor = TypeValue::Tensor(TensorType { elem_type: 1, shape });
        ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { value: Some(tensor) }), ..Default::default() }
    }

    fn model(node: Vec<NodeProto>, functions: Vec<FunctionProto>) -> ModelProto {
        let graph = GraphProto {
            node,
            name: "g".to_owned(),
            input: vec![value("x")],
            output: vec![value("y")],
            ..Default::default()
        };
        let opset_import = vec![import("", 17), import("own", 1)];
        ModelProto { ir_version: 8, graph: Some(graph), opset_import, functions, ..Default::default() }
    }

    /// `leaky(x; slope = 0.5)`, and `both(x; slope)`, which calls it twice by the names that its caller uses too.
    fn functions() -> Vec<FunctionProto> {
        let leak = vec![refers("alpha", "slope")];
        let mut leaky = function("leaky", &["x"], &["y"], vec![node("LeakyRelu", "", &["x"], &["y"], leak)]);
        leaky.attribute_proto = vec![float("slope", 0.5)];
        let body = vec![
            node("leaky", "own", &["x"], &["h"], vec![refers("slope", "slope")]),
            node("leaky", "own", &["h"], &["t"], vec![]),
            node("Add", "", &["h", "t"], &["y"], vec![]),
        ];
        vec![leaky, function("both", &["x"], &["y"], body)]
    }

    #[track_caller]
    fn refused(model: &ModelProto, expected: &str) {
        let error = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }

    #[test]
    fn calls_come_out_as_their_nodes_would_in_every_engine() {
        let calls = vec![
            node("both", "own", &["x"], &["h"], vec![float("slope", 0.25)]),
            node("both", "own", &["h"], &["y"], vec![]),
        ];
        let mut older = functions();
        older[1].opset_import[0].version = 15;
        let bytes = &model(calls, older).encode_to_vec();
        let input = Tensor::new(vec![2, 2], Data::Fp32(vec![1.0, -8.0, -16.0, 0.0])).unwrap();
        let mut choices = vec![(EngineChoice::Native, Engines::default()), (EngineChoice::Tract, Engines::default())];
        #[cfg(feature = "onnxruntime")]
        choices.push((EngineChoice::Onnxruntime, crate::engine::with_onnxruntime()));
        for (engine, engines) in choices {
            let plan = Plan::load_in(engine, bytes, None, &engines).unwrap();
            let outputs = plan.run(std::slice::from_ref(&input)).unwrap();
            // -8 leaks to -2, that and half of it are -3; then -1.5, that and half of it -2.25.
            assert_eq!(outputs[0].as_f32().unwrap(), [4.0, -2.25, -4.5, 0.0], "{engine:?}");
        }
    }

    #[test]
    fn a_function_that_calls_itself_and_one_of_endless_calls_are_refused() {
        let call = |name: &str| node(name, "own", &["x"], &["y"], vec![]);
        let endless = function("f", &["x"], &["y"], vec![call("f")]);
        let expected = "function \"f\": calls go more than 32 deep: a function may not call itself";
        refused(&model(vec![call("f")], vec![endless]), expected);
        // Each calls the one before twice.
        let mut many = functions();
        for level in 0..24 {
            let before = if level == 0 { "both".to_owned() } else { format!("f{}", level - 1) };
            let body = vec![node(&before, "own", &["x"], &["h"], vec![]), node(&before, "own", &["h"], &["y"], vec![])];
            many.push(function(&format!("f{level}"), &["x"], &["y"], body));
        }
        let error = Plan::load(&model(vec![call("f23")], many).encode_to_vec(), None, &Limits::default()).unwrap_err();
        assert!(matches!(error, EngineError::TooLarge { .. }), "{error}");
    }

    /// Each is a small file.
    #[test]
    fn what_a_call_copies_is_bounded() {
        let large = |len: usize| AttributeProto {
            name: "v".to_owned(),
            floats: vec![0.0; len],
            r#type: AttributeType::Floats as i32,
            ..Default::default()
        };
        let reads: Vec<NodeProto> =
            (0..1_000).map(|_| node("Constant", "", &[], &["c"], vec![refers("value_floats", "v")])).collect();
        let limits = Limits { model_bytes_max: 64 << 20, ..Limits::default() };
        let call = node("f", "own", &["x"], &["y"], vec![large(1 << 20)]);
        let by_attribute = model(vec![call], vec![function("f", &["x"], &["y"], reads)]);
        let name = "n".repeat(1 << 20);
        let named = node("f", "own", &[&name], &["y"], vec![]);
        let many = node("Concat", "", &vec!["x"; 1_000], &["y"], vec![]);
        let by_name = model(vec![named], vec![function("f", &["x"], &["y"], vec![many])]);
        for model in [by_attribute, by_name] {
            let error = Plan::load(&model.encode_to_vec(), None, &limits).unwrap_err();
            assert!(matches!(error, EngineError::TooLarge { .. }), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let call = |inputs: &[&str]| vec![node("leaky", "own", inputs, &["y"], vec![])];
        let expected = "function \"leaky\": at most 1 inputs of a call expected, got 2";
        refused(&model(call(&["x", "x"]), functions()), expected);
        let twice = [functions(), functions()].concat();
        refused(&model(call(&["x"]), twice), "function \"leaky\": the name is given twice");
        let mut other = functions();
        other[0].opset_import[0].version = 12;
        let error = Plan::load(&model(call(&["x"]), other).encode_to_vec(), None, &Limits::default()).unwrap_err();
        let expected = "function \"leaky\" with version 12 of the operators of \"\" in a model with version 17";
        assert!(error.to_string().contains(expected), "{error}");
    }
}
