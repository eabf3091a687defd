//! Which engine serves a version: asked for, or found out by trying them. onnxruntime's library is that of the tests' Python.

use std::path::PathBuf;
use std::process::Command;

use gudgeon::engine::Onnxruntime;
use gudgeon::engine::onnx::{
    AttributeProto, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};
use prost::Message as _;
use serde_json::{Value, json};

use super::harness::{TestRegistry, TestServer, gudgeon, python};

/// The library of the tests' Python.
fn library() -> PathBuf {
    let script = "import importlib.util as u; print(u.find_spec('onnxruntime').submodule_search_locations[0])";
    let output = Command::new(python()).args(["-c", script]).output().unwrap();
    let folder = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).join("capi");
    Onnxruntime::library_in(&folder).unwrap_or_else(|| panic!("no library of onnxruntime in {}", folder.display()))
}

/// Rows of `sizes`.
fn value(name: &str, elem_type: i32, sizes: &[i64]) -> ValueInfoProto {
    let sizes = std::iter::once(None).chain(sizes.iter().copied().map(Some));
    let dim = sizes.map(|size| Dimension { value: size.map(DimensionValue::Value) }).collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor = TypeValue::Tensor(TensorType { elem_type, shape });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { value: Some(tensor) }), ..Default::default() }
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let input = inputs.iter().map(|&name| name.to_owned()).collect();
    NodeProto { op_type: op.to_owned(), input, output: vec![output.to_owned()], attribute, ..Default::default() }
}

fn model(graph: GraphProto) -> Vec<u8> {
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let graph = Some(GraphProto { name: "g".to_owned(), ..graph });
    ModelProto { ir_version: 8, graph, opset_import, ..Default::default() }.encode_to_vec()
}

/// Determinants of matrices of two rows: only onnxruntime has the operator.
fn determinants() -> Vec<u8> {
    model(GraphProto {
        node: vec![node("Det", &["x"], "y", vec![])],
        input: vec![value("x", 1, &[2, 2])],
        output: vec![value("y", 1, &[])],
        ..Default::default()
    })
}

/// A network that takes any engine some time: 64 to 4,096 and back.
fn network() -> Vec<u8> {
    let weights = |name: &str, dims: [i64; 2]| TensorProto {
        dims: dims.to_vec(),
        data_type: 1,
        name: name.to_owned(),
        float_data: (0..dims[0] * dims[1]).map(|index| f32::from(u8::try_from(index % 13).unwrap()) / 1e3).collect(),
        ..Default::default()
    };
    model(GraphProto {
        node: vec![
            node("MatMul", &["x", "a"], "wide", vec![]),
            node("Relu", &["wide"], "positive", vec![]),
            node("MatMul", &["positive", "b"], "y", vec![]),
        ],
        initializer: vec![weights("a", [64, 4096]), weights("b", [4096, 64])],
        input: vec![value("x", 1, &[64])],
        output: vec![value("y", 1, &[64])],
        ..Default::default()
    })
}

fn with_model(name: &str, bytes: &[u8], policy: Option<&str>) -> TestRegistry {
    let registry = TestRegistry::empty();
    std::fs::create_dir_all(registry.file(name).join("1")).unwrap();
    std::fs::write(registry.file(name).join("1/model.onnx"), bytes).unwrap();
    if let Some(policy) = policy {
        std::fs::write(registry.file(name).join("model.toml"), policy).unwrap();
    }
    registry
}

async fn engaged(server: &TestServer, model: &str) -> Value {
    let (status, answer) = server.activate(model, 1).await;
    assert_eq!(status, 200, "{answer}");
    let (_, status) = server.admin_get(&format!("/models/{model}/versions/1")).await;
    assert_eq!(status["verified"]["sandbox"], "full", "{status}");
    status["verified"]["engine"].clone()
}

#[tokio::test]
async fn a_graph_that_only_onnxruntime_has_the_operators_of_is_served_where_its_library_is() {
    let server = TestRegistry::empty().serve_with(|config| config.onnxruntime_library = library()).await;
    let (status, answer) = server.upload("areas", determinants()).await;
    assert_eq!(status, 201, "{answer}");
    let engine = engaged(&server, "areas").await;
    assert_eq!((&engine["asked"], &engine["engine"]), (&json!("auto"), &json!("onnxruntime")), "{engine}");
    let why = engine["why"].as_str().unwrap();
    assert!(why.starts_with("native and tract: lack operator \"Det\" of \"ai.onnx\"; onnxruntime: "), "{why}");
    let response =
        server.post("/v1/models/areas:predict", json!({ "instances": [[[2, 0], [1, 3]]] }).to_string()).await;
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["predictions"], json!([6.0]), "{answer}");
    server.stop().await;

    let server = TestRegistry::empty().serve().await;
    let (status, answer) = server.upload("areas", determinants()).await;
    let (code, error) = (answer["code"].as_str().unwrap(), answer["error"].as_str().unwrap());
    assert_eq!((status.as_u16(), code), (422, "not_a_model"));
    let expected = "needs onnxruntime: operator \"Det\" of \"ai.onnx\"; set onnxruntime_library, or put \
                    libonnxruntime.so beside the binary";
    assert!(error.contains(expected), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn auto_takes_an_engine_by_measuring_and_remembers_it() {
    let registry = with_model("net", &network(), None);
    let server = registry.serve_with(|config| config.onnxruntime_library = library()).await;
    let engine = engaged(&server, "net").await;
    let why = engine["why"].as_str().unwrap();
    for name in ["native: ", "tract: ", "onnxruntime: "] {
        assert!(why.contains(name), "{why}");
    }
    assert_eq!((why.matches(" us a row").count(), &engine["asked"]), (3, &json!("auto")), "{why}");
    assert!(engine["onnxruntime"].as_str().unwrap().contains("libonnxruntime.so"), "{engine}");
    let kept = || std::fs::read(server.registry.file("net/.verified/1.json")).unwrap();
    let before = kept();
    let registry = std::sync::Arc::clone(&server.registry);
    server.stop().await;

    let again = TestServer::start(registry, |config| config.onnxruntime_library = library()).await;
    let read = |server: &TestServer| std::fs::read(server.registry.file("net/.verified/1.json")).unwrap();
    assert_eq!(engaged(&again, "net").await, engine);
    assert_eq!(read(&again), before, "it was raced again");
    let registry = std::sync::Arc::clone(&again.registry);
    again.stop().await;

    // There is less to choose from.
    let without = TestServer::start(registry, |_| {}).await;
    let engine = engaged(&without, "net").await;
    let why = engine["why"].as_str().unwrap();
    assert!(why.contains("tract: ") && !why.contains("onnxruntime"), "{why}");
    assert_eq!(engine["onnxruntime"], Value::Null);
    without.stop().await;
}

#[tokio::test]
async fn the_engine_that_model_toml_asks_for_serves() {
    let registry = with_model("net", &network(), Some("engine = \"onnxruntime\""));
    let server = registry.serve_with(|config| config.onnxruntime_library = library()).await;
    let engine = engaged(&server, "net").await;
    assert_eq!((&engine["engine"], &engine["why"]), (&json!("onnxruntime"), &json!("asked for")));
    server.stop().await;
}

#[tokio::test]
async fn a_library_that_is_none_is_told() {
    let registry = with_model("net", &network(), Some("engine = \"onnxruntime\""));
    let wrong = registry.file("libonnxruntime.so");
    std::fs::write(&wrong, "no library").unwrap();
    let server = registry.serve_with(|config| config.onnxruntime_library = wrong.clone()).await;
    let (status, answer) = server.activate("net", 1).await;
    assert_eq!(status, 422, "{answer}");
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains(&format!("onnxruntime cannot be used: {}: ", wrong.display())), "{error}");
    assert!(error.contains("set onnxruntime_library to the library of onnxruntime 1.24 or newer"), "{error}");
    server.stop().await;

    let (code, _, complaint) = gudgeon(&["serve", "--onnxruntime-library", "/nowhere/libonnxruntime.so"]);
    assert_eq!(code, 2);
    let expected = "onnxruntime_library: expected the file of onnxruntime's library, got /nowhere/libonnxruntime.so";
    assert!(complaint.contains(expected), "{complaint}");
}

#[test]
fn the_command_line_tries_out_the_same_engines() {
    let registry = with_model("areas", &determinants(), None);
    let (models, library) = (registry.path().to_str().unwrap(), library());
    let verify = ["verify", "areas", "1", "--models", models];
    let (code, _, complaint) = gudgeon(&verify);
    assert!(code == 2 && complaint.contains("needs onnxruntime: "), "{complaint}");
    let library = ["--onnxruntime-library", library.to_str().unwrap()];
    let (code, said, complaint) = gudgeon(&[&verify[..], &library[..]].concat());
    assert!(code == 0 && said.contains("engine         onnxruntime: "), "{said} {complaint}");
}
