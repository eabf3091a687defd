//! `gudgeon register`: a graph from elsewhere becomes a version.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::harness::{TestRegistry, gudgeon, repository};

const HEADER: &str = "carrier,origin,dest,weekday,hour,distance,plane_age,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,visib";

/// A sample of flights in `registry`; `change` makes another text of it.
fn sample(registry: &TestRegistry, change: impl Fn(String) -> String) -> PathBuf {
    let rows = (0..300_u32).map(|row| {
        let (carrier, dest) = (["UA", "B6", "DL"][row as usize % 3], ["IAH", "BOS"][row as usize % 2]);
        let temp = if row % 10 == 0 { String::new() } else { (30 + row % 40).to_string() };
        let hour = 5 + row % 19;
        format!("{carrier},EWR,{dest},Tue,{hour},{},14,{temp},28,64.4,260,12.7,,0,1011.9,10\n", 200 + row)
    });
    let path = registry.file("sample.csv");
    std::fs::write(&path, change(format!("{HEADER}\n{}", rows.collect::<String>()))).unwrap();
    path
}

fn register(registry: &TestRegistry, graph: &Path, options: &[&str]) -> (i32, String, String) {
    let models = registry.path().to_str().unwrap();
    let command = ["register", graph.to_str().unwrap(), "--model", "guest", "--models", models];
    gudgeon(&[&command[..], options].concat())
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_sample_becomes_golden_cases_and_a_profile() {
    let registry = TestRegistry::empty();
    let graph = repository("models/flights/1/model.onnx");
    let sample = sample(&registry, |text| text);
    let options = ["--sample", sample.to_str().unwrap(), "--label", "v7", "--classes", "on_time,late"];
    let (code, out, err) = register(&registry, &graph, &options);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("registered guest version 1") && out.contains("gudgeon activate guest 1"), "{out}");
    let manifest = read(&registry.file("guest/1/manifest.json"));
    assert_eq!(manifest["label"], "v7");
    assert_eq!(manifest["signature"]["classes"], serde_json::json!(["on_time", "late"]));
    let carrier = &manifest["signature"]["features"][0];
    assert_eq!((&carrier["name"], carrier["levels"].as_array().unwrap().len()), (&"carrier".into(), 3));
    let profile = read(&registry.file("guest/1/profile.json"));
    assert!(profile.to_string().contains("\"plane_age\""), "{profile}");
    let golden = read(&registry.file("guest/1/golden.json"));
    assert_eq!(golden["inputs"].as_array().unwrap().len(), 16);
    let models = registry.path().to_str().unwrap();
    let (code, out, err) = gudgeon(&["verify", "guest", "1", "--models", models]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("20 rows right") && out.contains("guest version 1 may serve"), "{out}");
}

#[test]
fn a_graph_may_come_without_a_sample() {
    let registry = TestRegistry::empty();
    let (code, out, err) = register(&registry, &repository("models/flights/1/model.onnx"), &[]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("without --sample it has no golden cases"), "{out}");
    assert!(!registry.file("guest/1/golden.json").exists() && !registry.file("guest/1/profile.json").exists());
    let models = registry.path().to_str().unwrap();
    let (code, out, _) = gudgeon(&["verify", "guest", "1", "--models", models]);
    assert!(code == 0 && out.contains("none; register with --sample"), "{out}");
}

#[test]
fn what_cannot_be_registered_leaves_nothing() {
    #[track_caller]
    fn check(graph: &Path, change: impl Fn(String) -> String, expected: &[&str]) {
        let registry = TestRegistry::empty();
        let sample = sample(&registry, change);
        let (code, out, err) = register(&registry, graph, &["--sample", sample.to_str().unwrap()]);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        for part in expected {
            assert!(err.contains(part), "expected {part:?} in {err:?}");
        }
        assert!(!registry.file("guest").exists());
    }
    let graph = repository("models/flights/1/model.onnx");
    check(&graph, |text| text.replacen("visib", "visibility", 1), &["sample.csv", "expected a column \"visib\""]);
    check(&graph, |text| text.replacen(",14,", ",old,", 1), &["sample.csv, line 2, column \"plane_age\"", "\"old\""]);
    check(&repository("Cargo.toml"), |text| text, &["not an ONNX model"]);
    check(Path::new("none.onnx"), |text| text, &["cannot read none.onnx", "check the path"]);
}
