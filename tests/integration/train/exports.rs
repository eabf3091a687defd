//! Exported graphs of every task and algorithm, held against onnx.checker and onnxruntime.

use serde_json::Value;

use super::super::harness::{TestRegistry, gudgeon, python, repository};

/// Trains on one of scikit-learn's data sets; onnxruntime must accept the graph and answer as the golden cases say.
#[track_caller]
fn check(set: &str, algorithm: &str) {
    let registry = TestRegistry::empty();
    let folder = registry.file(set);
    let script = repository("tests/python/sklearn_sets.py");
    let status = std::process::Command::new(python()).arg(script).arg(set).arg(&folder).status().unwrap();
    assert!(status.success());
    let pipeline = folder.join("pipeline.toml");
    let command = ["train", pipeline.to_str().unwrap(), "--json", "--algorithm", algorithm];
    let (code, out, err) = gudgeon(&command);
    assert_eq!(code, 0, "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let checked = super::by_python("check_export.py", &[folder.join("1")]);
    assert!(15 <= checked["golden_rows"].as_u64().unwrap(), "{checked}");
    let difference = checked["largest_relative_difference"].as_f64().unwrap();
    assert!(difference < 1e-5, "{set} {algorithm}: onnxruntime's answers differ by {difference:.2e}");
    let (metric, least) = match set {
        "iris" => ("accuracy@0.5", 0.85),
        _ => ("r2", 0.2),
    };
    let score = report["fits"][0]["scores"][metric].as_f64().unwrap();
    assert!(least < score, "{set} {algorithm}: {metric} is {score}");
}

#[test]
fn onnxruntime_serves_the_exported_graphs_of_several_classes() {
    check("iris", "gbdt");
    check("iris", "linear");
}

#[test]
fn onnxruntime_serves_the_exported_graphs_of_regressions() {
    check("diabetes", "gbdt");
    check("diabetes", "linear");
}
