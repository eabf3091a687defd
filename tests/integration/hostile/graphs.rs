//! Graphs that are meant to do harm, each with what must be said of it.

use std::path::Path;

use gudgeon::engine::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionValue, FunctionProto, GraphProto, ModelProto,
    NodeProto, OperatorSetIdProto, SparseTensorProto, StringStringEntryProto, TensorProto, TensorShapeProto,
    TensorType, TypeProto, TypeValue, ValueInfoProto,
};
use prost::Message as _;

use super::Kind;

/// Makes `model` the graph of the version in `folder`.
pub(crate) fn write(folder: &Path, model: &ModelProto) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("model.onnx"), model.encode_to_vec()).unwrap();
}

fn value(name: &str, dims: &[Option<i64>]) -> ValueInfoProto {
    with_dims(name, dims.iter().map(|dim| Dimension { value: dim.map(DimensionValue::Value) }).collect())
}

fn with_dims(name: &str, dim: Vec<Dimension>) -> ValueInfoProto {
    let tensor = TypeValue::Tensor(TensorType { elem_type: 1, shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { value: Some(tensor) }), ..Default::default() }
}

pub(super) fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let input = inputs.iter().map(|&name| name.to_owned()).collect();
    NodeProto { op_type: op.to_owned(), input, output: vec![output.to_owned()], attribute, ..Default::default() }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i, r#type: AttributeType::Int as i32, ..Default::default() }
}

/// Whole numbers; a scalar where there is one and no axis.
fn whole(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    let (dims, int64_data) = (dims.to_vec(), values.to_vec());
    TensorProto { name: name.to_owned(), dims, data_type: DataType::Int64 as i32, int64_data, ..Default::default() }
}

pub(super) fn floats(name: &str, values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![i64::try_from(values.len()).unwrap()],
        data_type: DataType::Float as i32,
        float_data: values.to_vec(),
        ..Default::default()
    }
}

/// From `x`, rows of three, to `y`, the same.
pub(super) fn model(node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    let graph = GraphProto {
        node,
        initializer,
        name: "g".to_owned(),
        input: vec![value("x", &[None, Some(3)])],
        output: vec![value("y", &[None, Some(3)])],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..Default::default() }
}

fn relu() -> ModelProto {
    model(vec![node("Relu", &["x"], "y", vec![])], vec![])
}

fn changed(change: impl FnOnce(&mut GraphProto)) -> ModelProto {
    let mut model = relu();
    change(model.graph.as_mut().unwrap());
    model
}

/// Ends in rows of three whatever `values` is: its largest value is added to each.
fn reduced(mut nodes: Vec<NodeProto>, values: &str, initializers: Vec<TensorProto>) -> ModelProto {
    nodes.push(node("ReduceMax", &[values], "largest", vec![int("keepdims", 0)]));
    nodes.push(node("Add", &["x", "largest"], "y", vec![]));
    model(nodes, initializers)
}

/// Rows that become 3 GiB.
pub(crate) fn expand() -> ModelProto {
    // HardSwish takes it to the engine that has no limit of its own on what a run holds.
    let nodes = vec![node("HardSwish", &["x"], "soft", vec![]), node("Expand", &["soft", "to"], "big", vec![])];
    reduced(nodes, "big", vec![whole("to", &[3], &[1 << 28, 1, 3])])
}

/// Twenty products of matrices of 3000 by 3000: seconds on a core, in little memory.
pub(crate) fn heavy() -> ModelProto {
    let mut nodes = vec![
        node("ReduceSum", &["x", "axes"], "sum", vec![int("keepdims", 1)]),
        node("Expand", &["sum", "to"], "m", vec![]),
        node("MatMul", &["m", "m"], "m0", vec![]),
    ];
    for index in 0..20 {
        nodes.push(node("MatMul", &[&format!("m{index}"), "m"], &format!("m{}", index + 1), vec![]));
    }
    reduced(nodes, "m20", vec![whole("axes", &[2], &[0, 1]), whole("to", &[2], &[3000, 3000])])
}

/// Each node holds what the one before holds, twice: 2^40 times three values.
fn doubling() -> ModelProto {
    let mut nodes = vec![node("Concat", &["x", "x"], "c0", vec![int("axis", 1)])];
    for index in 0..40 {
        let name = format!("c{index}");
        nodes.push(node("Concat", &[&name, &name], &format!("c{}", index + 1), vec![int("axis", 1)]));
    }
    reduced(nodes, "c40", vec![])
}

fn named_dim(name: String) -> ModelProto {
    changed(|graph| graph.input[0] = with_dims("x", vec![Dimension { value: Some(DimensionValue::Param(name)) }]))
}

fn nested(depth: usize) -> ModelProto {
    let mut inner = relu().graph.unwrap();
    for _ in 0..depth {
        let r#type = AttributeType::Graph as i32;
        let body = AttributeProto { name: "body".to_owned(), g: Some(inner), r#type, ..Default::default() };
        inner = model(vec![node("Scan", &["x"], "y", vec![body])], vec![]).graph.unwrap();
    }
    ModelProto { graph: Some(inner), ..relu() }
}

fn external(location: &str) -> ModelProto {
    let location = StringStringEntryProto { key: "location".to_owned(), value: location.to_owned() };
    let mut weights = floats("w", &[]);
    (weights.dims, weights.data_location, weights.external_data) = (vec![3], 1, vec![location]);
    model(vec![node("Add", &["x", "w"], "y", vec![])], vec![weights])
}

fn relus(n: usize) -> ModelProto {
    let name = |index: usize| if index == 0 { "x".to_owned() } else { format!("r{index}") };
    let nodes = (0..n).map(|index| node("Relu", &[&name(index)], &name(index + 1), vec![]));
    model(nodes.collect(), vec![])
}

/// Functions `f0` to `fN`: the first of the operators `body`, each other calling the one before it twice. The graph calls the last.
fn with_functions(body: &[&str], n: usize) -> ModelProto {
    let calls = |ops: &[&str]| -> Vec<NodeProto> {
        let name = |at: usize| if at == 0 { "x".to_owned() } else { format!("h{at}") };
        let last = ops.len() - 1;
        let output = |at: usize| if at == last { "y".to_owned() } else { name(at + 1) };
        ops.iter().enumerate().map(|(at, op)| node(op, &[&name(at)], &output(at), vec![])).collect()
    };
    let function = |at: usize| {
        let before = format!("f{}", at.saturating_sub(1));
        let node = if at == 0 { calls(body) } else { calls(&[&before, &before]) };
        let (input, output) = (vec!["x".to_owned()], vec!["y".to_owned()]);
        FunctionProto { name: format!("f{at}"), input, output, node, ..Default::default() }
    };
    let graph = calls(&[&format!("f{}", n - 1)]);
    ModelProto { functions: (0..n).map(function).collect(), ..model(graph, vec![]) }
}

/// Two bytes a node in the file, and some two hundred once it is decoded.
fn empty_nodes() -> Vec<u8> {
    let graph = [0x0a, 0x00].repeat(4 << 20);
    let mut bytes = ModelProto { graph: None, ..relu() }.encode_to_vec();
    bytes.push(0x3a);
    prost::encoding::encode_varint(graph.len() as u64, &mut bytes);
    bytes.extend(graph);
    bytes
}

fn opset(version: i64) -> ModelProto {
    ModelProto { opset_import: vec![OperatorSetIdProto { domain: String::new(), version }], ..relu() }
}

/// What breaks the format, or a limit of the engine.
fn malformed() -> Vec<Kind> {
    let kind = |name, model: ModelProto, part| Kind { name, bytes: model.encode_to_vec(), code: "not_a_model", part };
    let bytes = |name, bytes: &[u8], part| Kind { name, bytes: bytes.to_vec(), code: "not_a_model", part };
    let whole_file = relu().encode_to_vec();
    let cycle = vec![node("Add", &["x", "b"], "a", vec![]), node("Relu", &["a"], "b", vec![])];
    let sparse = SparseTensorProto { values: Some(floats("w", &[1.0])), indices: None, dims: vec![1 << 40] };
    vec![
        bytes("an empty file", b"", "the file is empty"),
        bytes("a file of text", b"<html>not found</html>", "not an ONNX model"),
        bytes("an archive", b"PK\x03\x04", "not an ONNX model"),
        bytes("ones", &[0xff; 4096], "not an ONNX model"),
        bytes("a file cut short", &whole_file[..whole_file.len() / 2], "not an ONNX model"),
        kind("no graph", ModelProto { graph: None, ..relu() }, "no graph"),
        kind("an unknown IR", ModelProto { ir_version: 9_999, ..relu() }, "IR version"),
        kind("an unknown opset", opset(9_999), "opset 9999"),
        kind("a negative opset", opset(-1), "opset -1"),
        kind("a cycle", changed(|graph| graph.node.splice(0..0, cycle).for_each(drop)), "before anything writes it"),
        kind("a name written twice", changed(|graph| graph.node.push(graph.node[0].clone())), "written twice"),
        kind("an output that nobody writes", changed(|graph| graph.output[0].name = "z".to_owned()), "no node writes"),
        kind("an unknown operator", changed(|graph| graph.node[0].op_type = "Pwn".to_owned()), "operator \"Pwn\""),
        kind("an unknown domain", changed(|graph| graph.node[0].domain = "evil".to_owned()), "evil"),
        kind("17 axes", changed(|graph| graph.input[0] = value("x", &[Some(1); 17])), "axes of a tensor"),
        kind("2^40 columns", changed(|graph| graph.input[0] = value("x", &[None, Some(1 << 40)])), "is over"),
        kind(
            "an axis out of range",
            model(vec![node("Softmax", &["x"], "y", vec![int("axis", -99)])], vec![]),
            "axis -99",
        ),
        kind("50,000 brackets", named_dim("(".repeat(50_000)), "dimension's name"),
        kind("200 brackets", named_dim("(".repeat(200)), "nested too deeply"),
        kind("graphs in graphs", nested(12), "nested graphs"),
        kind("graphs in graphs in graphs", nested(200), "not an ONNX model"),
        kind("data above the folder", external("../../../../etc/passwd"), "data outside the model file"),
        kind("data anywhere", external("/etc/passwd"), "data outside the model file"),
        kind(
            "a tensor that is larger than it says",
            changed(|graph| graph.initializer.push(whole("w", &[1 << 30, 1 << 30, 1 << 30], &[1]))),
            "out of range",
        ),
        kind(
            "an initializer given twice",
            changed(|graph| graph.initializer = vec![floats("w", &[1.0]), floats("w", &[2.0])]),
            "given twice",
        ),
        kind("sparse weights", changed(|graph| graph.sparse_initializer.push(sparse)), "sparse"),
        kind("a function that calls itself", with_functions(&["Relu", "f0"], 1), "may not call itself"),
        kind("functions that call each other twice over and over", with_functions(&["Relu"], 30), "nodes"),
        kind("20,001 nodes", relus(20_001), "nodes"),
        kind("a loop", model(vec![node("Loop", &["x"], "y", vec![])], vec![]), "operator \"Loop\""),
    ]
}

/// What the format allows, and what takes all there is.
fn greedy() -> Vec<Kind> {
    let kind = |name, model: ModelProto| Kind {
        name,
        bytes: model.encode_to_vec(),
        code: "verify_memory_exceeded",
        part: "verify_memory_max (256 MiB)",
    };
    let range = reduced(
        vec![
            node("Range", &["from", "to", "by"], "numbers", vec![]),
            node("Cast", &["numbers"], "f", vec![int("to", 1)]),
        ],
        "f",
        vec![whole("from", &[], &[0]), whole("to", &[], &[1 << 40]), whole("by", &[], &[1])],
    );
    let pad = vec![whole("by", &[4], &[0, 0, 0, 1 << 29])];
    vec![
        kind("rows expanded to 3 GiB", expand()),
        kind(
            "a constant of 3 GiB",
            reduced(
                vec![node("ConstantOfShape", &["of"], "big", vec![])],
                "big",
                vec![whole("of", &[2], &[1 << 28, 3])],
            ),
        ),
        kind("rows padded to 2 GiB", reduced(vec![node("Pad", &["x", "by"], "big", vec![])], "big", pad)),
        kind(
            "rows tiled to 3 GiB",
            reduced(vec![node("Tile", &["x", "by"], "big", vec![])], "big", vec![whole("by", &[2], &[1, 1 << 28])]),
        ),
        kind("numbers up to 2^40", range),
        kind("rows doubled forty times", doubling()),
        Kind {
            name: "four million empty nodes",
            bytes: empty_nodes(),
            code: "verify_memory_exceeded",
            part: "verify_memory_max (256 MiB)",
        },
        Kind {
            name: "hours of products",
            bytes: heavy().encode_to_vec(),
            code: "verify_cpu_exceeded",
            part: "verify_cpu_max (2 s)",
        },
    ]
}

/// Every graph of the corpus.
pub(super) fn all() -> Vec<Kind> {
    malformed().into_iter().chain(greedy()).collect()
}

/// A graph that fails on some values of its input: an index out of range.
pub(super) fn gather() -> ModelProto {
    let table = floats("table", &[10.0, 11.0, 12.0, 13.0]);
    model(
        vec![node("Cast", &["x"], "i", vec![int("to", 7)]), node("Gather", &["table", "i"], "y", vec![])],
        vec![table],
    )
}

/// A graph that divides whole numbers by its input.
pub(super) fn division() -> ModelProto {
    let nodes = vec![
        node("Cast", &["x"], "i", vec![int("to", 7)]),
        node("Div", &["one", "i"], "q", vec![]),
        node("Cast", &["q"], "y", vec![int("to", 1)]),
    ];
    model(nodes, vec![whole("one", &[1], &[1])])
}
