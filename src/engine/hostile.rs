//! Hostile models: each is refused with an error, quickly, and nothing panics.

use std::time::Instant;

use prost::Message;

use super::onnx::{
    AttributeProto, AttributeType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};
use super::{EngineError, Limits, Plan, inspect};
use crate::tensor::{Data, Tensor};

fn value(name: &str, dims: &[Option<i64>]) -> ValueInfoProto {
    let dim = |dim: &Option<i64>| Dimension { value: dim.map(DimensionValue::Value) };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = TypeValue::Tensor(TensorType { elem_type: 1, shape });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { value: Some(tensor) }), ..Default::default() }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    NodeProto {
        input: names(inputs),
        output: names(outputs),
        op_type: op.to_owned(),
        attribute,
        domain: if op.starts_with("Tree") { "ai.onnx.ml".to_owned() } else { String::new() },
        ..Default::default()
    }
}

fn model(node: Vec<NodeProto>) -> ModelProto {
    let graph = GraphProto {
        node,
        name: "g".to_owned(),
        input: vec![value("x", &[None, Some(3)])],
        output: vec![value("y", &[None, Some(3)])],
        ..Default::default()
    };
    let import = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
    ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![import("", 17), import("ai.onnx.ml", 3)],
        ..Default::default()
    }
}

fn relu() -> ModelProto {
    model(vec![node("Relu", &["x"], &["y"], vec![])])
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.to_owned(), ints: ints.to_vec(), r#type, ..Default::default() }
}

fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    let r#type = AttributeType::Floats as i32;
    AttributeProto { name: name.to_owned(), floats: floats.to_vec(), r#type, ..Default::default() }
}

fn strings(name: &str, strings: &[&str]) -> AttributeProto {
    let strings = strings.iter().map(|text| text.as_bytes().to_vec()).collect();
    AttributeProto { name: name.to_owned(), strings, r#type: AttributeType::Strings as i32, ..Default::default() }
}

/// One branch with two leaves.
fn stump() -> Vec<AttributeProto> {
    vec![
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[2, 0, 0]),
        floats("nodes_values", &[0.5, 0.0, 0.0]),
        strings("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
        ints("target_treeids", &[0, 0]),
        ints("target_nodeids", &[1, 2]),
        ints("target_ids", &[0, 0]),
        floats("target_weights", &[1.0, 2.0]),
        AttributeProto { name: "n_targets".to_owned(), i: 1, r#type: AttributeType::Int as i32, ..Default::default() },
    ]
}

fn trees(attributes: Vec<AttributeProto>) -> ModelProto {
    let mut model = model(vec![node("TreeEnsembleRegressor", &["x"], &["y"], attributes)]);
    graph(&mut model).output = vec![value("y", &[None, Some(1)])];
    model
}

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

/// `what` is part of the message.
#[track_caller]
fn check(model: &ModelProto, what: &str) {
    let error = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains(what), "expected {what:?} in: {error}");
    assert!(!matches!(error, EngineError::Panicked(_)), "{error}");
    assert_eq!(error.public_message(), "the model cannot be opened");
}

#[track_caller]
fn check_graph(change: impl FnOnce(&mut GraphProto), what: &str) {
    let mut model = relu();
    change(graph(&mut model));
    check(&model, what);
}

/// The stump with one attribute replaced.
#[track_caller]
fn check_stump(attribute: AttributeProto, what: &str) {
    let mut attributes = stump();
    attributes.retain(|other| other.name != attribute.name);
    attributes.push(attribute);
    check(&trees(attributes), what);
}

#[test]
fn the_models_that_the_hostile_ones_are_made_of_are_good() {
    let input = Tensor::new(vec![2, 3], Data::Fp32(vec![-1.0, 2.0, 0.5, 0.0, 0.0, 0.75])).unwrap();
    let run = |model: &ModelProto| {
        let plan = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap();
        plan.run(std::slice::from_ref(&input)).unwrap().remove(0)
    };
    assert_eq!(run(&relu()).as_f32().unwrap(), [0.0, 2.0, 0.5, 0.0, 0.0, 0.75]);
    assert_eq!(run(&trees(stump())).as_f32().unwrap(), [1.0, 2.0]);
}

#[test]
fn a_model_cut_short_anywhere_is_refused() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/models");
    for case in ["iris_rf20_strlabels_zipmap", "mixed_onehot_logreg_zipmap", "digits_mlp"] {
        let bytes = std::fs::read(folder.join(case).join("model.onnx")).unwrap();
        let start = Instant::now();
        for end in (0..bytes.len()).step_by(97) {
            assert!(inspect(&bytes[..end], &Limits::default()).is_err(), "{case} cut at {end}");
        }
        assert!(start.elapsed().as_secs() < 20, "{case} took {:?}", start.elapsed());
    }
}

#[test]
fn foreign_bytes_are_called_no_onnx_model() {
    for bytes in [&b""[..], b"PK\x03\x04", b"<html>", b"{\"a\": 1}", &[0xff; 64], &[0; 64]] {
        let error = inspect(bytes, &Limits::default()).unwrap_err();
        assert!(matches!(error, EngineError::NotOnnx(_)), "{error}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        proptest::prop_assert!(inspect(&bytes, &Limits::default()).is_err());
    }

    #[test]
    fn a_flipped_byte_in_a_real_model_is_an_error_or_nothing(at in 0_usize..10_000, to in proptest::prelude::any::<u8>()) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/models");
        for case in ["mixed_onehot_logreg_zipmap", "iris_logreg_zipmap", "encoders"] {
            let mut bytes = std::fs::read(folder.join(case).join("model.onnx")).unwrap();
            let at = at % bytes.len();
            bytes[at] = to;
            // The library may panic on what is left of the graph; the caller sees an error or a plan.
            if let Err(error) = Plan::load(&bytes, None, &Limits::default()) {
                proptest::prop_assert_eq!(error.public_message(), match error {
                    EngineError::Panicked(_) => "the model failed on this input (internal)",
                    _ => "the model cannot be opened",
                });
            }
        }
    }

    #[test]
    fn a_flipped_byte_never_panics(at in 0_usize..1_000, to in proptest::prelude::any::<u8>()) {
        let mut bytes = trees(stump()).encode_to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        // The change may leave the model good; then it must load and run.
        let plan = Plan::load(&bytes, None, &Limits::default());
        if let Err(error) = &plan {
            proptest::prop_assert!(!matches!(error, EngineError::Panicked(_)), "{}", error);
        }
    }
}

#[test]
fn versions_that_nobody_knows_are_refused() {
    check(&ModelProto { ir_version: 9_999, ..relu() }, "IR version");
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
    check(&ModelProto { opset_import: vec![opset("", -1)], ..relu() }, "opset -1");
    check(&ModelProto { opset_import: vec![opset("", 17), opset("ai.onnx", 12)], ..relu() }, "two versions");
    check(&ModelProto { opset_import: vec![], ..relu() }, "at least one operator set");
    check(&ModelProto { opset_import: vec![opset("ai.onnx.ml", 3)], ..relu() }, "not imported");
    check(&ModelProto { graph: None, ..relu() }, "no graph");
}

#[test]
fn graphs_that_break_the_format_are_refused() {
    check_graph(|graph| graph.node.clear(), "at least one node");
    check_graph(|graph| graph.output.clear(), "one output");
    check_graph(|graph| graph.output[0].name = "z".to_owned(), "no node writes it");
    check_graph(|graph| graph.output.push(graph.output[0].clone()), "given twice");
    check_graph(|graph| graph.input.push(graph.input[0].clone()), "given twice");
    check_graph(|graph| graph.input.clear(), "reads \"x\" before");
    check_graph(|graph| graph.node.push(graph.node[0].clone()), "written twice");
    check_graph(|graph| graph.node[0].input[0] = "y".to_owned(), "before anything writes it");
    check_graph(|graph| graph.node[0].op_type = "Unheard".to_owned(), "operator \"Unheard\"");
    check_graph(|graph| graph.node[0].domain = "my.domain".to_owned(), "my.domain");
    check_graph(|graph| graph.node[0].domain = "ai.onnx.ml".to_owned(), "ai.onnx.ml");
    check_graph(|graph| graph.node[0].attribute = vec![ints("a", &[1]), ints("a", &[1])], "given twice");
    let cycle = vec![node("Add", &["x", "b"], &["a"], vec![]), node("Relu", &["a"], &["b"], vec![])];
    check_graph(|graph| graph.node.splice(0..0, cycle).for_each(drop), "before anything writes it");
}

#[test]
fn sizes_out_of_range_are_refused() {
    check_graph(|graph| graph.input[0] = value("x", &[None, Some(1 << 31)]), "is over");
    check_graph(|graph| graph.input[0] = value("x", &[None, Some(-7)]), "is over");
    check_graph(|graph| graph.input[0] = value("x", &[Some(1); 17]), "axes of a tensor");
    check_graph(|graph| graph.input[0] = value("x", &[]), "without a row axis");
    let named = |name: String| Dimension { value: Some(DimensionValue::Param(name)) };
    let with_dim = |dim: Dimension| {
        move |graph: &mut GraphProto| {
            let tensor = TensorType { elem_type: 1, shape: Some(TensorShapeProto { dim: vec![dim] }) };
            graph.input[0].r#type = Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) });
        }
    };
    check_graph(with_dim(named("(".repeat(50_000))), "dimension's name");
    check_graph(with_dim(named("(".repeat(200))), "nested too deeply");
    let relus = (0..20_001).map(|index| {
        let input = if index == 0 { "x".to_owned() } else { format!("r{index}") };
        node("Relu", &[&input], &[&format!("r{}", index + 1)], vec![])
    });
    let relus: Vec<_> = relus.collect();
    check_graph(|graph| graph.node = relus, "nodes");
    let limits = Limits { model_bytes_max: 10, ..Limits::default() };
    assert!(matches!(inspect(&relu().encode_to_vec(), &limits), Err(EngineError::TooLarge { .. })));
}

#[test]
fn initializers_must_hold_what_they_say() {
    let with = |tensor: TensorProto| move |graph: &mut GraphProto| graph.initializer.push(tensor);
    let tensor = TensorProto {
        name: "w".to_owned(),
        dims: vec![3],
        data_type: 1,
        float_data: vec![1.0; 3],
        ..Default::default()
    };
    check_graph(with(TensorProto { dims: vec![4], ..tensor.clone() }), "takes 4 values, got 3");
    check_graph(with(TensorProto { dims: vec![1 << 30, 1 << 30, 1 << 30], ..tensor.clone() }), "out of range");
    check_graph(with(TensorProto { dims: vec![-1], ..tensor.clone() }), "out of range");
    check_graph(with(TensorProto { data_type: 99, ..tensor.clone() }), "ONNX type 99");
    check_graph(with(TensorProto { raw_data: vec![0; 12], ..tensor.clone() }), "raw data");
    check_graph(with(TensorProto { raw_data: vec![0; 7], float_data: vec![], ..tensor.clone() }), "raw data");
    check_graph(with(TensorProto { data_location: 1, ..tensor.clone() }), "outside the model file");
    check_graph(|graph| graph.initializer = vec![tensor.clone(), tensor], "given twice");
}

#[test]
fn graphs_nested_too_deeply_are_refused() {
    let mut inner = relu().graph.unwrap();
    for _ in 0..12 {
        let attribute = AttributeProto {
            name: "body".to_owned(),
            g: Some(inner),
            r#type: AttributeType::Graph as i32,
            ..Default::default()
        };
        inner = graph(&mut model(vec![node("Scan", &["x"], &["y"], vec![attribute])])).clone();
    }
    check(&ModelProto { graph: Some(inner.clone()), ..relu() }, "nested graphs");
    // Deep enough for the decoder's own limit.
    for _ in 0..60 {
        let g = Some(inner);
        let attribute = AttributeProto { name: "body".to_owned(), g, r#type: 5, ..Default::default() };
        inner = graph(&mut model(vec![node("Scan", &["x"], &["y"], vec![attribute])])).clone();
    }
    check(&ModelProto { graph: Some(inner), ..relu() }, "not an ONNX model");
}

#[test]
fn what_the_library_is_known_to_compute_wrongly_is_refused() {
    let text = |name: &str, text: &str| AttributeProto {
        name: name.to_owned(),
        s: text.as_bytes().to_vec(),
        r#type: AttributeType::String as i32,
        ..Default::default()
    };
    let reverse = node("LSTM", &["x", "x", "x"], &["y"], vec![text("direction", "reverse")]);
    check(&model(vec![reverse]), "LSTM with direction \"reverse\"");
    check(&model(vec![node("DepthToSpace", &["x"], &["y"], vec![text("mode", "CRD")])]), "DepthToSpace");
}

#[test]
fn axes_out_of_range_are_refused() {
    let axis =
        |i| AttributeProto { name: "axis".to_owned(), i, r#type: AttributeType::Int as i32, ..Default::default() };
    check(&model(vec![node("Softmax", &["x"], &["y"], vec![axis(-99)])]), "axis -99");
    check(&model(vec![node("Softmax", &["x"], &["y"], vec![axis(2)])]), "axis 2");
}

#[test]
fn targets_without_coefficients_are_refused() {
    let int = |name: &str, i| AttributeProto { name: name.to_owned(), i, r#type: 2, ..Default::default() };
    let linear = |targets| {
        let attributes = vec![floats("coefficients", &[1.0, 2.0, 3.0]), int("targets", targets)];
        let mut model = model(vec![node("LinearRegressor", &["x"], &["y"], attributes)]);
        graph(&mut model).node[0].domain = "ai.onnx.ml".to_owned();
        model
    };
    for targets in [2, 1 << 40, i64::MAX] {
        check(&linear(targets), &format!("3 coefficients for {targets} scores"));
    }
}

#[test]
fn forests_that_are_no_forests_are_refused() {
    for missing in 0..stump().len() {
        let mut attributes = stump();
        let name = attributes.remove(missing).name;
        let start = Instant::now();
        check(&trees(attributes), "");
        assert!(start.elapsed().as_secs() < 5, "{name}");
    }
    check_stump(ints("nodes_nodeids", &[0, 1, 1]), "given twice");
    check_stump(ints("nodes_truenodeids", &[0, 0, 0]), "form a cycle");
    check_stump(ints("nodes_truenodeids", &[7, 0, 0]), "no node 7");
    check_stump(ints("nodes_truenodeids", &[2, 0, 0]), "more than one root");
    check_stump(ints("nodes_featureids", &[-1, 0, 0]), "out of range");
    check_stump(ints("nodes_featureids", &[i64::MAX, 0, 0]), "out of range");
    check_stump(ints("nodes_featureids", &[3, 0, 0]), "read feature 3");
    check_stump(ints("nodes_featureids", &[3, 0]), "expected 3 values, got 2");
    check_stump(floats("nodes_values", &[0.5]), "expected 3 values, got 1");
    check_stump(ints("nodes_missing_value_tracks_true", &[1]), "expected 3 values, got 1");
    check_stump(strings("nodes_modes", &["BRANCH_XOR", "LEAF", "LEAF"]), "unknown mode");
    check_stump(ints("nodes_modes", &[1, 2, 3]), "expected Strings");
    check_stump(ints("target_nodeids", &[1, 9]), "no node 9");
    check_stump(ints("target_nodeids", &[1, 0]), "no leaf");
    check_stump(ints("target_ids", &[0, 1]), "out of range");
    check_stump(floats("target_weights", &[1.0]), "expected 2 values, got 1");
    check_stump(strings("aggregate_function", &["SUM"]), "expected String");
    check_stump(floats("base_values", &[1.0, 2.0]), "2 base_values");
    let mut cycle = stump();
    cycle.retain(|attribute| !["nodes_truenodeids", "nodes_falsenodeids", "nodes_modes"].contains(&&*attribute.name));
    cycle.retain(|attribute| attribute.name != "target_nodeids");
    cycle.push(ints("target_nodeids", &[0, 0]));
    cycle.push(strings("nodes_modes", &["LEAF", "BRANCH_LEQ", "BRANCH_LEQ"]));
    cycle.push(ints("nodes_truenodeids", &[0, 2, 1]));
    cycle.push(ints("nodes_falsenodeids", &[0, 2, 1]));
    check(&trees(cycle), "form a cycle");
}

/// One branch with two leaves in the form of ai.onnx.ml 5; the branch asks for a set.
fn stump_v5() -> Vec<AttributeProto> {
    vec![
        ints("tree_roots", &[0]),
        ints("nodes_featureids", &[2]),
        tensor("nodes_splits", TensorProto { data_type: 1, float_data: vec![0.5], ..Default::default() }),
        tensor("nodes_modes", TensorProto { data_type: 2, raw_data: vec![6], ..Default::default() }),
        tensor("membership_values", TensorProto { data_type: 1, float_data: vec![0.75, 2.0], ..Default::default() }),
        ints("nodes_truenodeids", &[0]),
        ints("nodes_trueleafs", &[1]),
        ints("nodes_falsenodeids", &[1]),
        ints("nodes_falseleafs", &[1]),
        ints("leaf_targetids", &[0, 0]),
        tensor("leaf_weights", TensorProto { data_type: 1, float_data: vec![1.0, 2.0], ..Default::default() }),
        AttributeProto { name: "n_targets".to_owned(), i: 1, r#type: AttributeType::Int as i32, ..Default::default() },
    ]
}

fn tensor(name: &str, mut tensor: TensorProto) -> AttributeProto {
    let r#type = AttributeType::Tensor as i32;
    tensor.dims = vec![i64::try_from(tensor.float_data.len() + tensor.raw_data.len()).unwrap()];
    AttributeProto { name: name.to_owned(), t: Some(tensor), r#type, ..Default::default() }
}

fn trees_v5(attributes: Vec<AttributeProto>) -> ModelProto {
    let mut model = trees(attributes);
    graph(&mut model).node[0].op_type = "TreeEnsemble".to_owned();
    model.opset_import[1].version = 5;
    model
}

#[test]
fn forests_of_the_newer_form_that_are_no_forests_are_refused() {
    let input = Tensor::new(vec![2, 3], Data::Fp32(vec![-1.0, 2.0, 0.5, 0.0, 0.0, 0.75])).unwrap();
    let plan = Plan::load(&trees_v5(stump_v5()).encode_to_vec(), None, &Limits::default()).unwrap();
    assert_eq!(plan.run(std::slice::from_ref(&input)).unwrap()[0].as_f32().unwrap(), [2.0, 1.0]);
    let check_stump = |attribute: AttributeProto, what: &str| {
        let mut attributes = stump_v5();
        attributes.retain(|other| other.name != attribute.name);
        attributes.push(attribute);
        check(&trees_v5(attributes), what);
    };
    let floats = |data: &[f32]| TensorProto { data_type: 1, float_data: data.to_vec(), ..Default::default() };
    let bytes = |raw: &[u8]| TensorProto { data_type: 2, raw_data: raw.to_vec(), ..Default::default() };
    check_stump(ints("tree_roots", &[]), "tree_roots");
    check_stump(ints("tree_roots", &[1]), "no node 1");
    check_stump(ints("tree_roots", &[-1]), "no node -1");
    check_stump(ints("tree_roots", &[0, 0]), "belongs to two trees");
    check_stump(ints("nodes_featureids", &[3]), "read feature 3");
    check_stump(ints("nodes_featureids", &[-1]), "out of range");
    check_stump(ints("nodes_truenodeids", &[2]), "no leaf 2");
    check_stump(ints("nodes_truenodeids", &[i64::MIN]), "no leaf");
    check_stump(ints("nodes_trueleafs", &[0]), "form a cycle");
    check_stump(ints("nodes_trueleafs", &[]), "expected 1 values, got 0");
    check_stump(ints("leaf_targetids", &[0, 1]), "leaf_targetids: 1 is out of range");
    check_stump(ints("leaf_targetids", &[]), "leaf_weights");
    check_stump(ints("nodes_missing_value_tracks_true", &[1, 1]), "expected 1 values, got 2");
    check_stump(tensor("nodes_modes", bytes(&[7])), "unknown mode 7");
    check_stump(tensor("nodes_modes", bytes(&[6, 6])), "expected 1 values, got 2");
    check_stump(tensor("nodes_modes", floats(&[6.0])), "expected bytes");
    check_stump(tensor("nodes_splits", bytes(&[1])), "expected float or double numbers");
    check_stump(tensor("membership_values", floats(&[])), "a set for each node");
    check_stump(tensor("membership_values", floats(&[1.0, f32::NAN, 2.0])), "more sets");
    let torn = TensorProto { data_type: 1, raw_data: vec![0; 7], ..Default::default() };
    check_stump(tensor("leaf_weights", torn), "leaf_weights");
    let int = |name: &str, i| AttributeProto { name: name.to_owned(), i, r#type: 2, ..Default::default() };
    check_stump(int("aggregate_function", 4), "unknown aggregate_function 4");
    check_stump(int("post_transform", -1), "unknown post_transform -1");
    check_stump(int("n_targets", 0), "n_targets");
    for missing in 0..stump_v5().len() {
        let mut attributes = stump_v5();
        let name = attributes.remove(missing).name;
        assert!(Plan::load(&trees_v5(attributes).encode_to_vec(), None, &Limits::default()).is_err(), "{name}");
    }
}

#[test]
fn a_graph_that_takes_one_row_is_run_row_by_row() {
    let mut model = model(vec![node("Reshape", &["x", "shape"], &["z"], vec![]), node("Relu", &["z"], &["y"], vec![])]);
    let graph = graph(&mut model);
    graph.input[0] = value("x", &[Some(1), Some(3)]);
    graph.initializer.push(TensorProto {
        name: "shape".to_owned(),
        dims: vec![2],
        data_type: 7,
        int64_data: vec![1, 3],
        ..Default::default()
    });
    let plan = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap();
    let input = Tensor::new(vec![2, 3], Data::Fp32(vec![-1.0, 2.0, 3.0, 4.0, -5.0, 6.0])).unwrap();
    let output = plan.run(&[input]).unwrap().remove(0);
    assert_eq!(output.shape(), [2, 3]);
    assert_eq!(output.as_f32().unwrap(), [0.0, 2.0, 3.0, 4.0, 0.0, 6.0]);
}

#[test]
fn a_value_that_breaks_the_run_leaves_the_plan_good() {
    let mut model = model(vec![
        node(
            "Cast",
            &["x"],
            &["i"],
            vec![AttributeProto {
                name: "to".to_owned(),
                i: 7,
                r#type: AttributeType::Int as i32,
                ..Default::default()
            }],
        ),
        node("Gather", &["table", "i"], &["y"], vec![]),
    ]);
    graph(&mut model).initializer.push(TensorProto {
        name: "table".to_owned(),
        dims: vec![4],
        data_type: 1,
        float_data: vec![10.0, 11.0, 12.0, 13.0],
        ..Default::default()
    });
    let plan = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap();
    let input = |value: f32| [Tensor::new(vec![1, 3], Data::Fp32(vec![1.0, value, 3.0])).unwrap()];
    let before = plan.run(&input(2.0)).unwrap();
    assert_eq!(before[0].as_f32().unwrap(), [11.0, 12.0, 13.0]);
    let error = plan.run(&input(1e6)).unwrap_err();
    assert!(matches!(error, EngineError::Panicked(_) | EngineError::Run(_)), "{error}");
    assert!(error.public_message().starts_with("the model failed on this input"));
    assert_eq!(plan.run(&input(2.0)).unwrap(), before);
}

#[test]
fn a_run_that_would_hold_too_many_values_is_an_error() {
    let to = AttributeProto { name: "to".to_owned(), i: 7, r#type: AttributeType::Int as i32, ..Default::default() };
    let mut model = model(vec![
        node("Cast", &["x"], &["i"], vec![to]),
        node("Reshape", &["i", "flat"], &["shape"], vec![]),
        node("ConstantOfShape", &["shape"], &["y"], vec![]),
    ]);
    graph(&mut model).initializer.push(TensorProto {
        name: "flat".to_owned(),
        dims: vec![1],
        data_type: 7,
        int64_data: vec![-1],
        ..Default::default()
    });
    graph(&mut model).output = vec![value("y", &[None, Some(2), Some(2)])];
    let plan = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap();
    let run = |side: f32| plan.run(&[Tensor::new(vec![1, 3], Data::Fp32(vec![1.0, side, side])).unwrap()]);
    assert_eq!(run(2.0).unwrap()[0].shape(), [1, 2, 2]);
    for side in [1e5, 1e9, 9e18] {
        let error = run(side).unwrap_err().to_string();
        assert!(error.contains("run_values_max"), "{error}");
    }
    let wide =
        TensorProto { int64_data: vec![1 << 15, 1 << 15], dims: vec![2], ..graph(&mut model).initializer[0].clone() };
    graph(&mut model).initializer[0] = wide;
    graph(&mut model).node =
        vec![node("ConstantOfShape", &["flat"], &["z"], vec![]), node("Mul", &["x", "z"], &["y"], vec![])];
    let error = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap_err();
    assert!(matches!(&error, EngineError::OutOfMemory(why) if why.contains("run_values_max")), "{error}");
}

/// A tensor without values may have axes of any size, which a run would walk.
#[test]
fn an_empty_tensor_with_huge_axes_is_an_error_of_the_run() {
    let side = 2_147_483_647;
    let mut model = model(vec![node("ReduceMax", &["x"], &["y"], vec![ints("axes", &[2])])]);
    graph(&mut model).input = vec![value("x", &[None, Some(side), Some(0)])];
    graph(&mut model).output = vec![value("y", &[None, Some(side), Some(1)])];
    let plan = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap();
    let input = Tensor::new(vec![1, 2_147_483_647, 0], Data::Fp32(Vec::new())).unwrap();
    let error = plan.run(&[input]).unwrap_err();
    assert!(matches!(&error, EngineError::OutOfMemory(why) if why.contains("run_values_max")), "{error}");
}

/// Found by fuzzing: the square of the largest whole number is beyond 127 bits.
#[test]
fn squares_of_large_whole_numbers_wrap() {
    let of_type = |name: &str, n: i64| {
        let mut value = value(name, &[None, Some(n)]);
        if let Some(TypeValue::Tensor(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
            tensor.elem_type = 13;
        }
        value
    };
    let mut model = model(vec![node("ReduceSumSquare", &["x"], &["y"], vec![ints("axes", &[1])])]);
    graph(&mut model).input = vec![of_type("x", 3)];
    graph(&mut model).output = vec![of_type("y", 1)];
    let plan = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap();
    let input = Tensor::new(vec![1, 3], Data::Uint64(vec![u64::MAX; 3])).unwrap();
    assert_eq!(plan.run(&[input]).unwrap()[0].data(), &Data::Uint64(vec![3]));
}
