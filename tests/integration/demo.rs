//! `gudgeon demo` tells the whole story, ends well, and leaves the registry as it was.

use std::collections::BTreeMap;
use std::path::Path;

use gudgeon::model::Digest;

use super::harness::{gudgeon, repository};

/// Every file below `folder` with its digest.
fn files(folder: &Path, into: &mut BTreeMap<String, Digest>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.insert(path.display().to_string(), Digest::of(&std::fs::read(&path).unwrap()));
        }
    }
}

#[test]
fn the_demo_ends_well_and_leaves_models_as_it_was() {
    let models = repository("models");
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    files(&models.join("flights"), &mut before);
    let free = ["--http-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0"];
    let arguments = [&["demo", "--models", models.to_str().unwrap()], free.as_slice()].concat();
    let (code, told, error) = gudgeon(&arguments);
    assert_eq!(code, 0, "{told}\n{error}");
    let parts = [
        "registered flights version 1",
        "flights version 1 serves now",
        "found in the first full window: distance",
        "The gate says PASS. Swap to version 2",
        "flights version 2 serves now",
        "0 failed, 0 mixed",
        "flights version 1 serves now; `gudgeon rollback flights` goes back to version 2",
        "models/ is as it was.",
    ];
    let mut rest = told.as_str();
    for part in parts {
        let place = rest.find(part).unwrap_or_else(|| panic!("{part:?} is missing, or out of order, in\n{told}"));
        rest = &rest[place + part.len()..];
    }
    assert!(told.lines().any(|line| line.trim_start().starts_with("Jul") && line.contains("temp")), "{told}");
    files(&models.join("flights"), &mut after);
    assert_eq!(before, after);
}

#[test]
fn the_demo_without_the_sample_says_where_to_run_it() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, error) = gudgeon(&["demo", "--models", folder.path().to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(error.contains("run the demo in the folder of the repository"), "{error}");
}
