//! Builds a graph node after node.

use crate::engine::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionValue, GraphProto, NodeProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};

use super::PREFIX;

/// Makes attributes with their type set.
pub(super) struct Attribute;

impl Attribute {
    fn empty(name: &str, r#type: AttributeType) -> AttributeProto {
        AttributeProto { name: name.to_owned(), r#type: r#type as i32, ..AttributeProto::default() }
    }

    pub(super) fn int(name: &str, i: i64) -> AttributeProto {
        AttributeProto { i, ..Self::empty(name, AttributeType::Int) }
    }

    pub(super) fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
        AttributeProto { ints, ..Self::empty(name, AttributeType::Ints) }
    }

    pub(super) fn floats(name: &str, floats: Vec<f32>) -> AttributeProto {
        AttributeProto { floats, ..Self::empty(name, AttributeType::Floats) }
    }

    pub(super) fn string(name: &str, text: &str) -> AttributeProto {
        AttributeProto { s: text.as_bytes().to_vec(), ..Self::empty(name, AttributeType::String) }
    }

    pub(super) fn strings<'t>(name: &str, texts: impl Iterator<Item = &'t str>) -> AttributeProto {
        let strings = texts.map(|text| text.as_bytes().to_vec()).collect();
        AttributeProto { strings, ..Self::empty(name, AttributeType::Strings) }
    }
}

/// A graph under construction. Values get names of their own.
#[derive(Default)]
pub(super) struct GraphBuilder {
    graph: GraphProto,
    n_names: usize,
}

/// A length or a count, as ONNX writes it.
pub(super) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl GraphBuilder {
    fn name(&mut self, kind: &str) -> String {
        self.n_names += 1;
        format!("{PREFIX}{kind}_{}", self.n_names)
    }

    /// An input `[n_rows, 1]`.
    pub(super) fn input(&mut self, name: &str, r#type: DataType) {
        self.graph.input.push(value_info(name, r#type, Some(1)));
    }

    /// An output `[n_rows, width]`, or `[n_rows]`.
    pub(super) fn output(&mut self, name: &str, r#type: DataType, width: Option<usize>) {
        self.graph.output.push(value_info(name, r#type, width));
    }

    /// A node with one output; gives back the output's name.
    pub(super) fn node(&mut self, op_type: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.name(op_type);
        self.node_to(op_type, inputs, &output, attributes);
        output
    }

    /// A node whose output is called `output`.
    pub(super) fn node_to(&mut self, op_type: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.push(op_type, inputs, vec![output.to_owned()], attribute);
    }

    /// A node of `ai.onnx.ml` with `n_outputs` outputs; gives back the name of the last.
    pub(super) fn ml_node(
        &mut self,
        op_type: &str,
        input: &str,
        n_outputs: usize,
        attribute: Vec<AttributeProto>,
    ) -> String {
        let outputs: Vec<String> = (0..n_outputs).map(|_| self.name(op_type)).collect();
        let last = outputs.last().cloned().unwrap_or_default();
        self.push(op_type, &[input], outputs, attribute);
        if let Some(node) = self.graph.node.last_mut() {
            "ai.onnx.ml".clone_into(&mut node.domain);
        }
        last
    }

    fn push(&mut self, op_type: &str, inputs: &[&str], output: Vec<String>, attribute: Vec<AttributeProto>) {
        let name = self.name("node");
        let input = inputs.iter().map(|&input| input.to_owned()).collect();
        let op_type = op_type.to_owned();
        self.graph.node.push(NodeProto { input, output, name, op_type, attribute, ..NodeProto::default() });
    }

    /// A constant of 32-bit floats.
    pub(super) fn floats(&mut self, dims: &[usize], values: &[f32]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(dims, DataType::Float, raw_data)
    }

    /// A constant of 64-bit integers.
    pub(super) fn ints(&mut self, dims: &[usize], values: &[i64]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(dims, DataType::Int64, raw_data)
    }

    fn constant(&mut self, dims: &[usize], data_type: DataType, raw_data: Vec<u8>) -> String {
        let name = self.name("constant");
        let dims = dims.iter().map(|&dim| signed(dim)).collect();
        let data_type = data_type as i32;
        self.graph.initializer.push(TensorProto {
            dims,
            data_type,
            name: name.clone(),
            raw_data,
            ..TensorProto::default()
        });
        name
    }

    /// Places of the levels of input `name`, `[n_rows, 1]`; `levels.len()` for any other text.
    pub(super) fn level_places(&mut self, name: &str, levels: &[String]) -> String {
        // An empty table is no valid attribute; no caller sends this text.
        let fallback = ["\u{0}".to_owned()];
        let (texts, places) = if levels.is_empty() { (&fallback[..], vec![0]) } else { (levels, places(levels)) };
        let attributes = vec![
            Attribute::ints("cats_int64s", places),
            Attribute::strings("cats_strings", texts.iter().map(String::as_str)),
            Attribute::int("default_int64", signed(levels.len())),
        ];
        self.ml_node("CategoryMapper", name, 1, attributes)
    }

    /// The finished graph.
    pub(super) fn finish(mut self, name: &str) -> GraphProto {
        name.clone_into(&mut self.graph.name);
        self.graph
    }
}

fn places(levels: &[String]) -> Vec<i64> {
    (0..signed(levels.len())).collect()
}

fn value_info(name: &str, r#type: DataType, width: Option<usize>) -> ValueInfoProto {
    let dimension = |value| Dimension { value: Some(value) };
    let mut dim = vec![dimension(DimensionValue::Param("N".to_owned()))];
    dim.extend(width.map(|width| dimension(DimensionValue::Value(signed(width)))));
    let tensor = TensorType { elem_type: r#type as i32, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) }),
        doc_string: String::new(),
    }
}
