//! What is lowered and what is refused; the answers are held by the `map_` cases.

use prost::Message;

use super::super::{EngineChoice, EngineError, EngineName, Engines, Limits, Plan, inspect};
use super::*;
use crate::model::Signature;
use crate::tensor::{Data, Dtype, Tensor};

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind as i32, ..AttributeProto::default() }
}

fn vocabulary(keys: &[&str]) -> AttributeProto {
    let strings = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
    AttributeProto { strings, ..attribute("string_vocabulary", AttributeType::Strings) }
}

fn text(name: &str, text: &str) -> AttributeProto {
    AttributeProto { s: text.as_bytes().to_vec(), ..attribute(name, AttributeType::String) }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, AttributeType::Int) }
}

fn ml(operator: &str, input: &str, output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { attribute, ..node("ai.onnx.ml", operator, &[input], output) }
}

fn map(name: &str, key: DataType, value: DataType) -> ValueInfoProto {
    let value = TypeValue::Tensor(TensorType { elem_type: value as i32, shape: None });
    let value_type = Some(Box::new(TypeProto { value: Some(value) }));
    let kind = TypeValue::Map(Box::new(MapType { key_type: key as i32, value_type }));
    value_info(name, kind)
}

fn value_info(name: &str, kind: TypeValue) -> ValueInfoProto {
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { value: Some(kind) }), ..ValueInfoProto::default() }
}

fn table(name: &str, n_columns: usize) -> ValueInfoProto {
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(table_type(DataType::Float, Some(n_columns))),
        ..Default::default()
    }
}

fn model(input: Vec<ValueInfoProto>, node: Vec<NodeProto>, outputs: &[&str]) -> ModelProto {
    let output = outputs.iter().map(|name| {
        let tensor = TensorType { elem_type: DataType::Float as i32, shape: None };
        value_info(name, TypeValue::Tensor(tensor))
    });
    let graph = GraphProto { node, input, output: output.collect(), ..GraphProto::default() };
    let opset_import = vec![OperatorSetIdProto { domain: "ai.onnx.ml".to_owned(), version: 3 }];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..ModelProto::default() }
}

fn texts_to_floats() -> ValueInfoProto {
    map("x", DataType::String, DataType::Float)
}

fn vectorizer(keys: &[&str]) -> NodeProto {
    ml("DictVectorizer", "x", "y", vec![vocabulary(keys)])
}

fn signature(model: &ModelProto) -> Signature {
    inspect(&model.encode_to_vec(), &Limits::default()).unwrap().signature
}

#[track_caller]
fn refused(model: &ModelProto, limits: &Limits, expected: &str) {
    let error = inspect(&model.encode_to_vec(), limits).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
    assert!(!matches!(error, EngineError::Panicked(_)));
}

#[test]
fn keys_are_optional_features_of_their_names() {
    let signature = signature(&model(vec![texts_to_floats()], vec![vectorizer(&["b", "a"])], &["y"]));
    assert_eq!(signature.maps, ["x"]);
    assert_eq!(signature.inputs[0].shape, [None, Some(2)]);
    assert_eq!(signature.inputs[0].datatype, Dtype::Fp32);
    let features: Vec<_> = signature.features.iter().map(|f| (f.name.as_str(), f.column, f.optional)).collect();
    assert_eq!(features, [("b", 0, true), ("a", 1, true)]);
}

#[test]
fn keys_that_are_other_features_too_are_named_with_their_input() {
    let inputs = vec![texts_to_floats(), map("n", DataType::Int64, DataType::Float), table("a", 1)];
    let nodes = vec![
        vectorizer(&["b", "a"]),
        ml("CastMap", "n", "z", vec![text("map_form", "SPARSE"), int("max_map", 2)]),
        node("ai.onnx.ml", "FeatureVectorizer", &["a"], "w"),
    ];
    let mut model = model(inputs, nodes, &["y", "z", "w"]);
    let widths = AttributeProto { ints: vec![1], ..attribute("inputdimensions", AttributeType::Ints) };
    model.graph.as_mut().unwrap().node[2].attribute.push(widths);
    let signature = signature(&model);
    let names: Vec<_> = signature.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["x_b", "x_a", "n_0", "n_1", "a"]);
    assert_eq!(signature.maps, ["n", "x"]);
}

#[test]
fn every_engine_takes_the_table() {
    let model = model(vec![texts_to_floats()], vec![vectorizer(&["a", "b"])], &["y"]).encode_to_vec();
    let rows = Tensor::new(vec![2, 2], Data::Fp32(vec![1.0, 2.0, 3.0, f32::NEG_INFINITY])).unwrap();
    for (asked, engine) in [(EngineChoice::Auto, EngineName::Native), (EngineChoice::Tract, EngineName::Tract)] {
        let plan = Plan::load_in(asked, &model, None, &Engines::default()).unwrap();
        assert_eq!(plan.engaged().engine, engine);
        assert_eq!(plan.run(std::slice::from_ref(&rows)).unwrap(), std::slice::from_ref(&rows));
    }
}

#[test]
fn a_manifests_signature_learns_which_inputs_are_maps() {
    let model = model(vec![texts_to_floats()], vec![vectorizer(&["a", "b"])], &["y"]);
    let older = Signature { maps: Vec::new(), ..signature(&model) };
    let plan = Plan::load(&model.encode_to_vec(), Some(&older), &Limits::default()).unwrap();
    assert_eq!(plan.signature().maps, ["x"]);
}

#[test]
fn more_keys_than_the_limit_are_refused() {
    let limits = Limits { map_keys_max: 2, ..Limits::default() };
    let refused = |model: &ModelProto| refused(model, &limits, "at most 2 keys of a map allowed");
    let fits = model(vec![texts_to_floats()], vec![vectorizer(&["a", "b"])], &["y"]);
    assert!(inspect(&fits.encode_to_vec(), &limits).is_ok());
    refused(&model(vec![texts_to_floats()], vec![vectorizer(&["a", "b", "c"])], &["y"]));
    let second = ml("DictVectorizer", "x", "z", vec![vocabulary(&["c"])]);
    refused(&model(vec![texts_to_floats()], vec![vectorizer(&["a", "b"]), second], &["y", "z"]));
    let numbers = map("x", DataType::Int64, DataType::Float);
    let sparse = |max| ml("CastMap", "x", "y", vec![text("map_form", "SPARSE"), int("max_map", max)]);
    refused(&model(vec![numbers.clone()], vec![sparse(3)], &["y"]));
    refused(&model(vec![numbers], vec![sparse(i64::MAX)], &["y"]));
}

#[test]
fn what_is_no_such_map_is_refused_with_its_reason() {
    let check = |input: ValueInfoProto, node: NodeProto, expected: &str| {
        refused(&model(vec![input], vec![node], &["y"]), &Limits::default(), expected);
    };
    let numbers = || map("x", DataType::Int64, DataType::Float);
    check(numbers(), vectorizer(&["a"]), "expected one vocabulary, of the type of the map's keys");
    check(texts_to_floats(), vectorizer(&[]), "expected one vocabulary");
    check(map("x", DataType::String, DataType::Bool), vectorizer(&["a"]), "a map of types that neither");
    check(texts_to_floats(), ml("Scaler", "x", "y", vec![]), "input \"x\": a map that \"Scaler\" reads");
    check(texts_to_floats(), ml("CastMap", "x", "y", vec![]), "CastMap of other maps than of whole numbers to floats");
    check(numbers(), ml("CastMap", "x", "y", vec![text("cast_to", "TO_STRING")]), "CastMap with cast_to \"TO_STRING\"");
    check(numbers(), ml("CastMap", "x", "y", vec![text("map_form", "ODD")]), "a map_form of DENSE or SPARSE");
    let none = vec![text("map_form", "SPARSE"), int("max_map", 0)];
    check(numbers(), ml("CastMap", "x", "y", none), "expected a max_map above 0, got 0");
    let two = vec![ml("CastMap", "x", "y", vec![]), ml("CastMap", "x", "z", vec![])];
    refused(&model(vec![numbers()], two, &["y", "z"]), &Limits::default(), "a dense CastMap reads beside another node");
    let unread = vec![texts_to_floats(), map("unread", DataType::String, DataType::Float)];
    refused(&model(unread, vec![vectorizer(&["a"])], &["y"]), &Limits::default(), "\"unread\": a map that no");
    let sequence = TypeValue::Sequence(Box::default());
    check(value_info("x", sequence), vectorizer(&["a"]), "input \"x\": a sequence (no operator takes a map out of one");
}

#[test]
fn a_map_that_a_graph_inside_reads_is_refused() {
    let inner = GraphProto { node: vec![vectorizer(&["a"])], ..GraphProto::default() };
    let mut outer = node("", "If", &["c"], "z");
    outer.attribute.push(AttributeProto { g: Some(inner), ..attribute("then_branch", AttributeType::Graph) });
    let model = model(vec![texts_to_floats()], vec![outer], &["z"]);
    refused(&model, &Limits::default(), "a map that is read otherwise than by a node");
}
