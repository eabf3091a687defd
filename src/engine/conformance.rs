//! The cases of the ONNX standard's own test suite in the native engine, held against the recorded list of those that pass.
//!
//! They are made by `scripts/node-cases.py` from the `onnx` package, and run without [`Plan`](super::Plan): most of them have
//! no row axis. `UPDATE_CONFORMANCE=1` writes the list anew.

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message;

use super::native;
use super::onnx::{ModelProto, TensorProto};
use super::tensors;
use crate::tensor::{Data, Tensor};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn list() -> PathBuf {
    root().join("tests/cases/onnx-node-native.txt")
}

/// The folder of the cases that a script makes, made new.
fn made(script: &str, name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a test is told by the environment where Python is")]
    let python = std::env::var("GUDGEON_TEST_PYTHON");
    let python = python.map_or_else(|_| root().join("target/test-venv/bin/python"), PathBuf::from);
    let folder = root().join("target").join(name);
    let output = Command::new(&python).arg(root().join(script)).arg(&folder).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}; scripts/test makes it", python.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

fn tensor(path: &Path) -> Option<Result<Tensor, String>> {
    let proto = TensorProto::decode(std::fs::read(path).ok()?.as_slice()).unwrap();
    Some(tensors::read(&proto).map_err(|error| format!("{error:?}")))
}

fn read(case: &Path, role: &str) -> Result<Vec<Tensor>, String> {
    (0..).map_while(|index| tensor(&case.join(format!("test_data_set_0/{role}_{index}.pb")))).collect()
}

fn close(want: &Tensor, got: &Tensor) -> bool {
    let near = |want: f64, got: f64| {
        (want - got).abs() <= 1e-6 + 1e-4 * want.abs()
            || want.total_cmp(&got).is_eq()
            || (want.is_nan() && got.is_nan())
    };
    let same_kind = want.dtype() == got.dtype() && want.shape() == got.shape();
    same_kind
        && match (want.data(), got.data()) {
            (Data::Fp32(want), Data::Fp32(got)) => want.iter().zip(got).all(|(&a, &b)| near(a.into(), b.into())),
            (Data::Fp64(want), Data::Fp64(got)) => want.iter().zip(got).all(|(&a, &b)| near(a, b)),
            (want, got) => want == got,
        }
}

/// Runs one case; the text says what went wrong.
fn run(case: &Path) -> Result<(), String> {
    let bytes = std::fs::read(case.join("model.onnx")).map_err(|error| error.to_string())?;
    let proto = ModelProto::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
    let inputs = read(case, "input")?;
    let wanted = read(case, "output")?;
    let got = native::run_alone(&proto, &inputs)?;
    let differs = wanted.iter().zip(&got).position(|(want, got)| !close(want, got));
    match differs {
        Some(index) => Err(format!("output {index}: expected {:?}, got {:?}", wanted[index], got[index])),
        None if wanted.len() == got.len() => Ok(()),
        None => Err(format!("expected {} outputs, got {}", wanted.len(), got.len())),
    }
}

#[test]
fn the_standards_own_cases_pass_as_recorded_and_none_panics() {
    let folder = made("scripts/node-cases.py", "onnx-node");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let (mut passed, mut failed) = (BTreeSet::new(), Vec::new());
    for case in &cases {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let outcome = catch_unwind(|| run(case)).unwrap_or_else(|_| panic!("{name} panicked"));
        match outcome {
            Ok(()) => drop(passed.insert(name)),
            Err(problem) => failed.push((name, problem)),
        }
    }
    #[expect(clippy::disallowed_methods, reason = "the switch of this test")]
    if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
        let text: String = passed.iter().map(|name| format!("{name}\n")).collect();
        std::fs::write(list(), text).unwrap();
    }
    let recorded = std::fs::read_to_string(list()).unwrap();
    let broken: Vec<_> = failed.iter().filter(|(name, _)| recorded.lines().any(|line| line == name)).collect();
    assert!(broken.is_empty(), "passed before: {broken:#?}");
    let known: Vec<_> = recorded.lines().filter(|line| passed.contains(*line)).collect();
    assert!(600 <= known.len() && recorded.lines().count() <= known.len() * 10 / 9, "only {} cases", known.len());
    let of_ml: Vec<_> = failed.iter().filter(|(name, _)| name.starts_with("test_ai_onnx_ml_")).collect();
    assert!(of_ml.is_empty(), "ai.onnx.ml: {of_ml:#?}");
}

/// Random nodes of ai.onnx.ml with random attributes, which models of real exporters do not have all of.
#[test]
fn random_operators_of_ai_onnx_ml_answer_as_onnxruntime_does() {
    let folder = made("scripts/ml-cases.py", "onnx-ml");
    let cases: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(450 < cases.len(), "only {} cases", cases.len());
    let failed: Vec<_> = cases.iter().filter_map(|case| Some((case.file_name()?, run(case).err()?))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
