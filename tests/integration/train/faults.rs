//! What is wrong with a pipeline or its data is named, with the way out, and nothing is registered.

use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::super::harness::{TestRegistry, gudgeon};

const PIPELINE: &str = r#"task = "binary"
[data]
files = ["data.csv"]
label = "label"
id = "id"
time = "when"
[[feature]]
name = "x"
kind = "numeric"
[[feature]]
name = "level"
kind = "categorical"
[split]
by = "time"
train_until = "2024-01-15"
validation = 0.0
[fit]
algorithms = ["gbdt", "linear"]
[gbdt]
n_trees_max = 5
"#;

fn data() -> String {
    let rows = (0..400_u32).map(|row| {
        let (x, level) = (row * 37 % 100, ["a", "b", "c"][row as usize % 3]);
        format!("{row},2024-01-{:02},{x},{level},{}\n", 1 + row / 20, u32::from(x + row * 53 % 40 > 70))
    });
    format!("id,when,x,level,label\n{}", rows.collect::<String>())
}

/// A registry with one model, `sample`, that can be trained.
fn sample() -> TestRegistry {
    let registry = TestRegistry::empty();
    std::fs::create_dir(registry.file("sample")).unwrap();
    std::fs::write(registry.file("sample/pipeline.toml"), PIPELINE).unwrap();
    std::fs::write(registry.file("sample/data.csv"), data()).unwrap();
    registry
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Trains `sample`, which must fail with exit code 2 and a message with all of `expected`, and leave nothing behind.
#[track_caller]
fn check_refusal(registry: &TestRegistry, options: &[&str], expected: &[&str]) {
    let before = names_in(&registry.file("sample"));
    let pipeline = registry.file("sample/pipeline.toml");
    let (code, out, err) = gudgeon(&[&["train", pipeline.to_str().unwrap()], options].concat());
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    for part in expected {
        assert!(err.contains(part), "expected {part:?} in {err:?}");
    }
    assert_eq!(names_in(&registry.file("sample")), before);
}

#[track_caller]
fn check_pipeline(from: &str, to: &str, expected: &[&str]) {
    assert!(PIPELINE.contains(from), "the text to replace is there");
    let registry = sample();
    std::fs::write(registry.file("sample/pipeline.toml"), PIPELINE.replace(from, to)).unwrap();
    check_refusal(&registry, &[], expected);
}

#[track_caller]
fn check_data(bytes: &[u8], expected: &[&str]) {
    let registry = sample();
    std::fs::write(registry.file("sample/data.csv"), bytes).unwrap();
    check_refusal(&registry, &[], expected);
}

#[test]
fn a_sample_without_faults_is_trained() {
    let registry = sample();
    let (code, out, err) = gudgeon(&["train", registry.file("sample/pipeline.toml").to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("registered sample version 1"), "{out}");
    assert!(registry.file("sample/1/model.onnx").is_file());
}

#[test]
fn a_wrong_pipeline_is_refused() {
    check_pipeline("n_trees_max", "n_tree_max", &["pipeline.toml", "line 20", "`n_tree_max`", "`n_trees_max`"]);
    check_pipeline(
        "\"linear\"",
        "\"forest\"",
        &["pipeline.toml", "line 18", "`forest`", "expected `gbdt` or `linear`"],
    );
    check_pipeline("\"2024-01-15\"", "\"soon\"", &["split.train_until", "expected a time such as", "\"soon\""]);
    check_pipeline("2024-01-15", "2024-03-15", &["leaves no holdout rows of 400", "check [split]", "2024-03-15"]);
    check_pipeline("2024-01-15", "2023-03-15", &["leaves no training rows of 400", "check [split]"]);
    check_pipeline("\"data.csv\"", "\"none.csv\"", &["no data file matches \"none.csv\"", "check [data] files"]);
    check_pipeline("\"x\"", "\"y\"", &["data.csv: expected a column \"y\", got id, when, x, level, label", "correct"]);
}

#[test]
fn wrong_options_are_refused() {
    let registry = sample();
    check_refusal(&registry, &["--algorithm", "forest"], &["'forest'", "expected gbdt or linear"]);
    check_refusal(&registry, &["--train-until", "later"], &["split.train_until", "\"later\""]);
    check_refusal(&registry, &["--holdout-from", "2024-01-01"], &["split.holdout_from", "not before train_until"]);
    let (code, _, err) = gudgeon(&["train", registry.file("none/pipeline.toml").to_str().unwrap()]);
    assert!(code == 2 && err.contains("cannot read the pipeline"), "{err}");
}

#[test]
fn broken_data_are_refused() {
    let text = data().replacen("\n99,2024-01-05,63,", "\n99,2024-01-05,6O,", 1);
    let place = "data.csv, line 101, column \"x\": expected a number (or an empty value: missing), got \"6O\"";
    check_data(text.as_bytes(), &[place]);
    check_data(data().replacen("level", "grade", 1).as_bytes(), &["expected a column \"level\"", "grade"]);
    check_data(b"id,when,x,level,label\n", &["no rows"]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(data().as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    check_data(&whole[..whole.len() / 2], &["data.csv: cannot be read to its end", "cut short", "Copy it again"]);
}

#[test]
fn a_registry_that_cannot_be_written_to_is_named() {
    let registry = sample();
    // Nobody may make folders there, root neither.
    check_refusal(&registry, &["--models", "/sys"], &["make \"/sys/sample\""]);
    let none = registry.file("none");
    let none = none.to_str().unwrap();
    check_refusal(&registry, &["--models", none], &["no models directory at", "mkdir -p", "--models"]);
    let file = registry.file("sample/data.csv");
    check_refusal(&registry, &["--models", file.to_str().unwrap()], &["is not a directory", "--models"]);
}
