//! The engine on the library of the tests' Python.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock};

use prost::Message;

use super::{Engines, Onnxruntime, Providers};
use crate::engine::onnx::{
    Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};
use crate::engine::{EngineChoice, EngineError, EngineName, Limits, Plan};
use crate::tensor::{Data, Tensor};

static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "a test is told by the environment where Python is")]
    let python = std::env::var_os("GUDGEON_TEST_PYTHON").map(PathBuf::from);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = python.unwrap_or_else(|| root.join("target/test-venv/bin/python"));
    let script = "import importlib.util as u; print(u.find_spec('onnxruntime').submodule_search_locations[0])";
    let output = Command::new(&python).args(["-c", script]).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}; scripts/test makes it", python.display()));
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join("capi");
    Onnxruntime::library_in(&folder).unwrap_or_else(|| panic!("no library of onnxruntime in {}", folder.display()))
});

/// Engines with onnxruntime.
pub(crate) fn engines() -> Engines {
    let onnxruntime = Onnxruntime::new(LIBRARY.clone(), Providers::default());
    Engines { onnxruntime: Some(onnxruntime), ..Engines::default() }
}

/// Rows of `sizes`.
fn value(name: &str, elem_type: i32, sizes: &[i64]) -> ValueInfoProto {
    let sizes = std::iter::once(None).chain(sizes.iter().copied().map(Some));
    let dim = sizes.map(|size| Dimension { value: size.map(DimensionValue::Value) }).collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor = TypeValue::Tensor(TensorType { elem_type, shape });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { value: Some(tensor) }), ..Default::default() }
}

fn model(node: NodeProto, elem_type: i32, size: i64) -> ModelProto {
    of((node, value("x", elem_type, &[3])), value("y", 1, &[size]))
}

fn of((node, input): (NodeProto, ValueInfoProto), output: ValueInfoProto) -> ModelProto {
    let (input, output) = (vec![input], vec![output]);
    let graph = GraphProto { node: vec![node], name: "g".to_owned(), input, output, ..Default::default() };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..Default::default() }
}

/// Determinants of matrices of two rows: an operator that neither native nor tract has.
fn determinants() -> ModelProto {
    let (input, output) = (vec!["x".to_owned()], vec!["y".to_owned()]);
    let det = NodeProto { op_type: "Det".to_owned(), input, output, ..Default::default() };
    of((det, value("x", 1, &[2, 2])), value("y", 1, &[]))
}

fn relu() -> ModelProto {
    let (input, output) = (vec!["x".to_owned()], vec!["y".to_owned()]);
    model(NodeProto { op_type: "Relu".to_owned(), input, output, ..Default::default() }, 1, 3)
}

fn load(engine: EngineChoice, model: &ModelProto) -> Result<Plan, EngineError> {
    Plan::load_in(engine, &model.encode_to_vec(), None, &engines())
}

#[test]
fn a_graph_that_only_onnxruntime_has_the_operators_of_runs_there_and_nowhere_else() {
    let model = determinants();
    let plan = load(EngineChoice::Auto, &model).unwrap();
    assert_eq!(plan.engaged().engine, EngineName::Onnxruntime);
    assert_eq!(plan.engaged().why, "native lacks Det; tract lacks operator \"Det\" of \"ai.onnx\"");
    let rows = Tensor::new(vec![2, 2, 2], Data::Fp32(vec![2.0, 0.0, 1.0, 3.0, 0.0, 4.0, 1.0, 0.0])).unwrap();
    let expected = Tensor::new(vec![2], Data::Fp32(vec![6.0, -4.0])).unwrap();
    assert_eq!(plan.run(&[rows]), Ok(vec![expected]));
    let without = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap_err();
    assert_eq!(
        without.to_string(),
        "needs onnxruntime: operator \"Det\" of \"ai.onnx\"; set onnxruntime_library, or put \
         libonnxruntime.so beside the binary"
    );
    for engine in [EngineChoice::Native, EngineChoice::Tract] {
        assert!(matches!(load(engine, &model), Err(EngineError::Lacks { .. })));
    }
}

#[test]
fn what_onnxruntime_lacks_is_named() {
    let mut model = relu();
    model.graph.as_mut().unwrap().node[0].op_type = "Unheard".to_owned();
    let error = load(EngineChoice::Auto, &model).unwrap_err();
    assert!(error.to_string().contains("Unheard"), "{error}");
    let error = load(EngineChoice::Onnxruntime, &model).unwrap_err();
    assert!(matches!(&error, EngineError::Lacks { engine: EngineName::Onnxruntime, .. }), "{error}");
}

#[test]
fn without_a_library_nothing_runs_in_it() {
    let bytes = relu().encode_to_vec();
    let error = Plan::load_in(EngineChoice::Onnxruntime, &bytes, None, &Engines::default()).unwrap_err();
    assert_eq!(error, EngineError::NeedsOnnxruntime("model.toml asks for it".to_owned()));
    // Another library than the one that this process has opened.
    load(EngineChoice::Onnxruntime, &relu()).unwrap();
    let onnxruntime = Some(Onnxruntime::new("/nowhere/libonnxruntime.so".into(), Providers::default()));
    let engines = Engines { onnxruntime, ..Engines::default() };
    let error = Plan::load_in(EngineChoice::Onnxruntime, &bytes, None, &engines).unwrap_err();
    assert!(matches!(error, EngineError::Library(_)), "{error}");
}

/// What was not looked at is not handed on, and what may not be is refused before.
#[test]
fn onnxruntime_is_given_what_was_checked() {
    let mut model = relu();
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
    let weights = TensorProto {
        dims: vec![3],
        data_type: 1,
        name: "w".to_owned(),
        data_location: 1,
        external_data: vec![entry("location", "../../etc/passwd")],
        ..Default::default()
    };
    model.graph.as_mut().unwrap().initializer = vec![weights];
    let error = load(EngineChoice::Onnxruntime, &model).unwrap_err();
    assert_eq!(error, EngineError::Unsupported("data outside the model file".to_owned()));
    // A field that onnx.proto does not have, or that nobody reads here: number 200, of one byte.
    let mut bytes = relu().encode_to_vec();
    bytes.extend([0xc0, 0x0c, 1]);
    let crate::engine::describe::Decoded { proto, described, .. } =
        crate::engine::describe::decode(&bytes, &Limits::default()).unwrap();
    assert_eq!(super::linked::graph::written(&proto, &described), relu().encode_to_vec());
}

#[test]
fn threads_that_share_a_plan_get_the_same_answers() {
    for runs_at_once_max in [1, 3] {
        let mut engines = engines();
        engines.onnxruntime.as_mut().unwrap().runs_at_once_max = runs_at_once_max;
        let plan = Plan::load_in(EngineChoice::Onnxruntime, &determinants().encode_to_vec(), None, &engines);
        let plan = Arc::new(plan.unwrap());
        let thread = |side: f32| {
            let plan = Arc::clone(&plan);
            std::thread::spawn(move || {
                let row = Tensor::new(vec![1, 2, 2], Data::Fp32(vec![side, 0.0, 0.0, 1.0])).unwrap();
                (0..50).map(|_| plan.run(std::slice::from_ref(&row)).unwrap()).collect::<Vec<_>>()
            })
        };
        for (side, thread) in [2.0, 3.0, 5.0, 7.0].map(|side| (side, thread(side))) {
            let expected = vec![Tensor::new(vec![1], Data::Fp32(vec![side])).unwrap()];
            assert!(thread.join().unwrap().iter().all(|outputs| *outputs == expected));
        }
    }
}
