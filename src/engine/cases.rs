//! Every model under tests/cases/models, held against the outputs recorded with onnxruntime.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;

use super::onnx::{DataType, TensorProto};
use super::{EngineChoice, EngineError, EngineName, Engines, Limits, Plan, inspect};
use crate::model::{FeatureKind, Head, Task, TensorSpec};
use crate::tensor::{Data, Tensor};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/models")
}

fn bytes(case: &str) -> Vec<u8> {
    std::fs::read(root().join(case).join("model.onnx")).unwrap()
}

fn load(case: &str) -> Result<Plan, EngineError> {
    Plan::load(&bytes(case), None, &Limits::default())
}

fn tensor(path: &Path) -> Option<Tensor> {
    let proto = TensorProto::decode(std::fs::read(path).ok()?.as_slice()).unwrap();
    let shape = proto.dims.iter().map(|&dim| usize::try_from(dim).unwrap()).collect();
    let raw = &proto.raw_data;
    let data = match DataType::try_from(proto.data_type).unwrap() {
        DataType::Float => Data::Fp32(raw.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()),
        DataType::Double => Data::Fp64(raw.as_chunks().0.iter().map(|&chunk| f64::from_le_bytes(chunk)).collect()),
        DataType::Int64 => Data::Int64(raw.as_chunks().0.iter().map(|&chunk| i64::from_le_bytes(chunk)).collect()),
        DataType::Int32 => Data::Int32(raw.as_chunks().0.iter().map(|&chunk| i32::from_le_bytes(chunk)).collect()),
        DataType::String => {
            Data::String(proto.string_data.iter().map(|text| String::from_utf8(text.clone()).unwrap()).collect())
        }
        other => panic!("{other:?} in {}", path.display()),
    };
    Some(Tensor::new(shape, data).unwrap())
}

fn inputs(case: &str) -> Vec<Tensor> {
    let folder = root().join(case).join("test_data_set_0");
    (0..).map_while(|index| tensor(&folder.join(format!("input_{index}.pb")))).collect()
}

/// The recorded output: a tensor, or the list of maps of a ZipMap, in the order of the classes.
fn expected(case: &str, index: usize, name: &str, classes: &[String]) -> Tensor {
    let folder = root().join(case);
    if let Some(tensor) = tensor(&folder.join(format!("test_data_set_0/output_{index}.pb"))) {
        return tensor;
    }
    let text = std::fs::read_to_string(folder.join(format!("output_{index}.{name}.json"))).unwrap();
    let rows: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&text).unwrap();
    let value = |row: &serde_json::Map<String, serde_json::Value>, class: &String| {
        serde_json::from_value::<f32>(row[class].clone()).unwrap()
    };
    let values = rows.iter().flat_map(|row| classes.iter().map(|class| value(row, class))).collect();
    Tensor::new(vec![rows.len(), classes.len()], Data::Fp32(values)).unwrap()
}

#[track_caller]
fn compare(place: &str, want: &Tensor, got: &Tensor, (rel, abs): (f32, f32)) {
    assert_eq!(got.dtype(), want.dtype(), "{place}");
    // A signature may add axes of size 1 to what the graph gives, or take them away.
    let trimmed = |shape: &[usize]| shape.iter().copied().filter(|&size| size != 1).collect::<Vec<_>>();
    assert_eq!(trimmed(got.shape()), trimmed(want.shape()), "{place}");
    let (Some(want), Some(got)) = (want.as_f32(), got.as_f32()) else {
        assert_eq!(got.data(), want.data(), "{place}");
        return;
    };
    for (index, (want, got)) in want.iter().zip(got).enumerate() {
        let close = (want - got).abs() <= abs + rel * want.abs() || want.to_bits() == got.to_bits();
        let close = close || (want.is_nan() && got.is_nan());
        assert!(close, "{place} value {index}: expected {want}, got {got}");
    }
}

#[track_caller]
fn check(case: &str, plan: &Plan, tolerance: (f32, f32)) {
    let signature = plan.signature().clone();
    signature.validate().unwrap();
    let inputs = inputs(case);
    let outputs = plan.run(&inputs).unwrap_or_else(|error| panic!("{case}: {error}"));
    let n_rows = inputs[0].n_rows();
    for (index, (spec, got)) in signature.outputs.iter().zip(&outputs).enumerate() {
        let place = format!("{case}, output {:?}", spec.name);
        assert!(spec.takes_shape(got.shape()), "{place}: {:?} is not {:?}", got.shape(), spec.shape);
        compare(&place, &expected(case, index, &spec.name, &signature.classes), got, tolerance);
    }
    for row in [0, n_rows / 2, n_rows - 1] {
        let one: Vec<_> = inputs.iter().map(|input| input.slice_rows(row..row + 1)).collect();
        for ((alone, together), spec) in plan.run(&one).unwrap().iter().zip(&outputs).zip(&signature.outputs) {
            let place = format!("{case}, row {row} alone");
            // onnxruntime adds up the terms of these in another order where there are several rows.
            let is_other = ["sk_svr_", "sk_svc_linear", "sk_one_class"].iter().any(|kind| case.starts_with(kind));
            if is_other && plan.engaged().engine == EngineName::Onnxruntime {
                continue;
            }
            compare(&place, &of_row(together, spec, row), alone, (1e-5, 1e-6));
        }
    }
}

/// What an output of several rows says of one of them.
fn of_row(output: &Tensor, spec: &TensorSpec, row: usize) -> Tensor {
    let Some(axis) = spec.row_axis() else { return output.clone() };
    let (outer, inner) = (&output.shape()[..axis], &output.shape()[axis + 1..]);
    let (n_rows, width) = (output.shape()[axis], inner.iter().product::<usize>());
    let start = |block: usize| (block * n_rows + row) * width;
    let places = (0..outer.iter().product()).flat_map(|block| start(block)..start(block) + width);
    Tensor::new([outer, &[1], inner].concat(), output.data().pick(places)).unwrap()
}

fn tolerance(case: &str) -> (f32, f32) {
    match case {
        // A quantised value may fall on the next step of its scale.
        _ if case.contains("int8") => (1e-3, 5e-3),
        // Sums of large terms that cancel: onnxruntime's own last digits depend on the order in which it adds.
        "sk_complement_nb" | "sk_kmeans" | "sk_minibatch_kmeans" => (1e-3, 1e-4),
        // The quantile's formula cancels near 0.
        _ if case.contains("probit") => (1e-3, 1e-3),
        _ => (1e-5, 1e-5),
    }
}

fn all_cases() -> Vec<String> {
    let folders = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut cases: Vec<_> = folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    cases.sort();
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    cases
}

/// Runs `check` on every case, and tells all that failed.
#[track_caller]
fn check_all(check: impl Fn(&str) + std::panic::RefUnwindSafe) {
    let cases = all_cases();
    let failed: Vec<_> = cases.iter().filter(|case| std::panic::catch_unwind(|| check(case)).is_err()).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn every_case_answers_as_recorded_in_the_native_engine() {
    check_all(|case| {
        let plan = Plan::load_in(EngineChoice::Native, &bytes(case), None, &Engines::default());
        check(case, &plan.unwrap_or_else(|error| panic!("{case}: {error}")), tolerance(case));
        let plan = load(case).unwrap();
        assert_eq!(plan.engaged().engine, EngineName::Native, "{case}: {}", plan.engaged());
    });
}

/// What scikit-learn exports asks for more than tract has; it must never be answered wrongly.
#[test]
fn tract_answers_every_case_as_recorded_or_refuses_it() {
    check_all(|case| {
        let plan = Plan::load_in(EngineChoice::Tract, &bytes(case), None, &Engines::default());
        match plan.and_then(|plan| plan.run(&inputs(case)).map(|_| plan)) {
            Ok(plan) => check(case, &plan, tolerance(case)),
            Err(error) => {
                let known = ["iris_svc_noprob", "label_encoder_nan_opset_3"];
                assert!(case.starts_with("sk_") || known.contains(&case), "{case}: {error}");
            }
        }
    });
}

/// The outputs were recorded with it.
#[cfg(feature = "onnxruntime")]
#[test]
fn every_case_answers_as_recorded_in_onnxruntime() {
    let engines = super::with_onnxruntime();
    check_all(|case| {
        let plan = Plan::load_in(EngineChoice::Onnxruntime, &bytes(case), None, &engines);
        let tolerance = match case {
            _ if case.contains("int8") => (1e-3, 1e-3),
            _ => (1e-5, 1e-6),
        };
        check(case, &plan.unwrap_or_else(|error| panic!("{case}: {error}")), tolerance);
    });
}

#[test]
fn class_names_and_tasks_are_read_from_the_file() {
    let describe = |case: &str| inspect(&bytes(case), &Limits::default()).unwrap();
    let iris = describe("iris_rf20_strlabels_zipmap");
    assert_eq!(iris.signature.classes, ["setosa", "versicolor", "virginica"]);
    assert_eq!(iris.task, Task::Multiclass);
    assert_eq!(iris.signature.outputs[1].name, "output_probability");
    assert_eq!(describe("bc_lgbm100_nan_zipmap").task, Task::Binary);
    assert_eq!(describe("diabetes_ridge").task, Task::Regression);
    assert_eq!(describe("digits_mlp").signature.classes.len(), 10);
    assert_eq!(describe("bc_logreg").opset, 18);
    let mixed = describe("mixed_onehot_rf").signature;
    let features: Vec<_> = mixed.features.iter().map(|feature| (feature.name.as_str(), feature.kind)).collect();
    let (number, category) = (FeatureKind::Numeric, FeatureKind::Categorical);
    assert_eq!(features, [("age", number), ("fare", number), ("sex", category), ("city", category)]);
    let wide = describe("iris_logreg").signature;
    assert_eq!(wide.features[3].name, "X_3");
    assert_eq!(wide.head(), Head::Classes { label: Some(0), probabilities: Some(1) });
}

/// onnxruntime answers the labels 1 and 0 whatever the one class is called; its scores are ours.
#[test]
fn a_forest_of_one_class_answers_that_class() {
    let mut model = super::onnx::ModelProto::decode(bytes("sk_rf_one_class").as_slice()).unwrap();
    for node in &mut model.graph.as_mut().unwrap().node {
        node.attribute.iter_mut().filter(|each| each.name == "classlabels_int64s").for_each(|each| each.ints = vec![7]);
    }
    let plan = Plan::load(&model.encode_to_vec(), None, &Limits::default()).unwrap();
    assert_eq!(plan.signature().classes, ["7"]);
    let outputs = plan.run(&inputs("sk_rf_one_class")).unwrap();
    assert_eq!(outputs[0].data(), &Data::Int64(vec![7; 15]));
    assert_eq!(outputs[1].as_f32().unwrap(), [1.0; 15]);
}

#[test]
fn threads_that_share_a_plan_get_the_same_answers() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    let plan = Arc::new(load("mixed_onehot_logreg_zipmap").unwrap());
    is_shared(&plan);
    let inputs = Arc::new(inputs("mixed_onehot_logreg_zipmap"));
    let expected = plan.run(&inputs).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (plan, inputs) = (Arc::clone(&plan), Arc::clone(&inputs));
            std::thread::spawn(move || (0..50).map(|_| plan.run(&inputs).unwrap()).collect::<Vec<_>>())
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap().iter().all(|outputs| *outputs == expected));
    }
}

#[test]
fn inputs_that_do_not_fit_are_refused_before_the_run() {
    let plan = load("iris_logreg").unwrap();
    let check = |inputs: &[Tensor], expected: &str| {
        let error = plan.run(inputs).unwrap_err();
        assert_eq!(error.public_message(), expected);
    };
    check(&[], "inputs: expected 1 inputs, got 0");
    let narrow = Tensor::new(vec![1, 3], Data::Fp32(vec![0.0; 3])).unwrap();
    check(&[narrow], "inputs: expected FP32 [-1, 4] for \"X\", got FP32 [1, 3]");
    let ints = Tensor::new(vec![1, 4], Data::Int64(vec![0; 4])).unwrap();
    check(&[ints], "inputs: expected FP32 [-1, 4] for \"X\", got INT64 [1, 4]");
}

#[test]
fn a_manifests_signature_is_kept_where_it_fits_the_graph() {
    let mut signature = load("iris_logreg").unwrap().signature().clone();
    signature.features[0].name = "sepal_length".to_owned();
    signature.classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    let plan = Plan::load(&bytes("iris_logreg"), Some(&signature), &Limits::default()).unwrap();
    assert_eq!(plan.signature().features[0].name, "sepal_length");
    assert_eq!(plan.signature().classes, ["a", "b", "c"]);
    signature.inputs[0].name = "Y".to_owned();
    signature.features.clear();
    let error = Plan::load(&bytes("iris_logreg"), Some(&signature), &Limits::default()).unwrap_err();
    assert!(matches!(error, EngineError::Signature(_)), "{error}");
}
