//! Versions whose files are meant to do harm, whatever their graph is.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use gudgeon::engine::onnx::ModelProto;
use gudgeon::model::{Digest, Golden, Signature, TensorSpec, Tolerance};
use gudgeon::tensor::{Data, Dtype, NamedTensor, Tensor};
use prost::Message as _;
use serde_json::{Value, json};

use super::graphs;

/// What is done to a whole version to make it hostile, and what must be said of it.
pub(super) struct Folder {
    pub(super) name: &'static str,
    /// Gets the folder of a version that is good, and does its harm.
    pub(super) harm: fn(&Path),
    pub(super) code: &'static str,
    pub(super) part: &'static str,
}

fn change(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Replaces a file together with its entry in the manifest, so that only the change itself can be refused.
fn replace(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).unwrap();
    change(&folder.join("manifest.json"), |manifest| {
        manifest["files"][name] = json!({ "sha256": Digest::of(bytes).to_string(), "bytes": bytes.len() });
    });
}

fn model(folder: &Path) -> PathBuf {
    folder.join("model.onnx")
}

/// Moves the graph out of the folder; gives back where it lies now.
fn moved(folder: &Path) -> PathBuf {
    let outside = folder.with_extension("outside");
    fs::rename(model(folder), &outside).unwrap();
    outside
}

/// Makes `graph`, from rows of three to rows of three, the version's, with golden cases of these values.
fn with_golden(folder: &Path, graph: &ModelProto, inputs: [f32; 3]) {
    let named = |name: &str, values: Vec<f32>| NamedTensor {
        name: name.to_owned(),
        tensor: Tensor::new(vec![1, 3], Data::Fp32(values)).unwrap(),
    };
    let golden = Golden {
        tolerance: Tolerance::default(),
        inputs: vec![named("x", inputs.to_vec())],
        outputs: vec![named("y", vec![0.0; 3])],
    };
    let spec = |name: &str| TensorSpec { name: name.to_owned(), datatype: Dtype::Fp32, shape: vec![None, Some(3)] };
    let signature = Signature {
        inputs: vec![spec("x")],
        outputs: vec![spec("y")],
        features: Vec::new(),
        classes: Vec::new(),
        maps: Vec::new(),
    };
    change(&folder.join("manifest.json"), |manifest| manifest["signature"] = json!(signature));
    replace(folder, "model.onnx", &graph.encode_to_vec());
    replace(folder, "golden.json", json!(golden).to_string().as_bytes());
}

fn golden(folder: &Path, change: impl FnOnce(&mut Value)) {
    let mut golden = serde_json::from_slice(&fs::read(folder.join("golden.json")).unwrap()).unwrap();
    change(&mut golden);
    replace(folder, "golden.json", golden.to_string().as_bytes());
}

const fn case(name: &'static str, harm: fn(&Path), code: &'static str, part: &'static str) -> Folder {
    Folder { name, harm, code, part }
}

/// Links, FIFOs and files that are not those that were registered.
const FILES: [Folder; 10] = [
    case(
        "a graph that is a link",
        |folder| symlink(moved(folder), model(folder)).unwrap(),
        "invalid_artifact",
        "a symbolic link",
    ),
    case(
        "a graph with a second name",
        |folder| fs::hard_link(model(folder), folder.with_extension("outside")).unwrap(),
        "invalid_artifact",
        "a hard link",
    ),
    case(
        "a graph that is a FIFO",
        |folder| {
            moved(folder);
            assert!(std::process::Command::new("mkfifo").arg(model(folder)).status().unwrap().success());
        },
        "invalid_artifact",
        "a FIFO",
    ),
    case(
        "a graph that is a folder",
        |folder| {
            moved(folder);
            fs::create_dir(model(folder)).unwrap();
        },
        "invalid_artifact",
        "a folder",
    ),
    case(
        "a version that is a link",
        |folder| {
            let outside = folder.with_extension("outside");
            fs::rename(folder, &outside).unwrap();
            symlink(outside, folder).unwrap();
        },
        "invalid_artifact",
        "a link",
    ),
    case(
        "a graph of other bytes",
        |folder| {
            let mut bytes = fs::read(model(folder)).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(model(folder), bytes).unwrap();
        },
        "digest_mismatch",
        "expected SHA-256",
    ),
    case("a graph of another size", |folder| fs::write(model(folder), b"short").unwrap(), "digest_mismatch", "got 5"),
    case(
        "a graph of 100 GB that is all hole",
        |folder| fs::File::options().write(true).open(model(folder)).unwrap().set_len(100_000_000_000).unwrap(),
        "digest_mismatch",
        "got 100000000000",
    ),
    case(
        "a file that is not there",
        |folder| fs::remove_file(folder.join("golden.json")).unwrap(),
        "digest_mismatch",
        "is missing",
    ),
    case("a broken profile", |folder| replace(folder, "profile.json", b"{}"), "invalid_profile", "profile.json"),
];

/// Manifests and golden cases.
const TEXTS: [Folder; 12] = [
    case(
        "a manifest of 17 MiB",
        |folder| fs::write(folder.join("manifest.json"), " ".repeat(17 << 20)).unwrap(),
        "invalid_artifact",
        "expected at most",
    ),
    case(
        "a manifest nested a million deep",
        |folder| fs::write(folder.join("manifest.json"), "[".repeat(1_000_000)).unwrap(),
        "invalid_artifact",
        "manifest.json",
    ),
    case(
        "a manifest that lists a file above its folder",
        |folder| {
            change(&folder.join("manifest.json"), |manifest| {
                manifest["files"]["../aliases.json"] = manifest["files"]["model.onnx"].clone();
            });
        },
        "invalid_artifact",
        "names of files beside the manifest",
    ),
    case(
        "a manifest with a key that nobody knows",
        |folder| change(&folder.join("manifest.json"), |manifest| manifest["run"] = json!("/bin/sh")),
        "invalid_artifact",
        "unknown field",
    ),
    case(
        "a manifest that claims the largest file",
        |folder| {
            change(&folder.join("manifest.json"), |manifest| {
                manifest["files"]["model.onnx"]["bytes"] = json!(u64::MAX);
            });
        },
        "invalid_artifact",
        "expected at most",
    ),
    case(
        "a signature of another graph",
        |folder| {
            change(&folder.join("manifest.json"), |manifest| {
                manifest["signature"]["outputs"][0]["name"] = json!("another");
            });
        },
        "model_unusable",
        "the signature does not fit the graph",
    ),
    case(
        "golden cases that come out differently",
        |folder| golden(folder, |golden| golden["outputs"][1]["data"][0] = json!(0.123)),
        "golden_mismatch",
        "golden case: output",
    ),
    case(
        "golden cases of another model",
        |folder| golden(folder, |golden| golden["inputs"][0]["name"] = json!("another")),
        "golden_mismatch",
        "golden.json",
    ),
    case(
        "golden cases nested a million deep",
        |folder| replace(folder, "golden.json", "[".repeat(1_000_000).as_bytes()),
        "invalid_artifact",
        "golden.json",
    ),
    case(
        "golden cases that read beyond a table",
        |folder| with_golden(folder, &graphs::gather(), [1.0, 1e6, 2.0]),
        "model_unusable",
        "the model cannot be served",
    ),
    case(
        "golden cases that divide by zero",
        |folder| with_golden(folder, &graphs::division(), [1.0, 0.0, 2.0]),
        "model_unusable",
        "the model cannot be served",
    ),
    case(
        "another contract",
        |folder| {
            fs::remove_file(folder.join("manifest.json")).unwrap();
            let other = "tests/cases/models/iris_rf100/model.onnx";
            fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(other), model(folder)).unwrap();
        },
        "contract_broken",
        "the contract promises",
    ),
];

pub(super) fn all() -> impl Iterator<Item = &'static Folder> {
    FILES.iter().chain(&TEXTS)
}
