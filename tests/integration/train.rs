//! The trainer through the binary, held against independent implementations: scikit-learn, scipy, onnxruntime, LightGBM.

mod activate;
mod exports;
mod faults;
mod foreign;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::harness::{TestRegistry, gudgeon, python, repository};

/// A registry with the pipeline and the gate of `flights`, without versions; the data stay where they are.
pub(super) fn flights_without_versions() -> TestRegistry {
    let registry = TestRegistry::empty();
    let flights = registry.file("flights");
    std::fs::create_dir(&flights).unwrap();
    for name in ["pipeline.toml", "gate.toml", "model.toml"] {
        std::fs::copy(repository("models/flights").join(name), flights.join(name)).unwrap();
    }
    std::os::unix::fs::symlink(repository("models/flights/data"), flights.join("data")).unwrap();
    registry
}

fn pipeline(registry: &TestRegistry) -> String {
    registry.file("flights/pipeline.toml").to_str().unwrap().to_owned()
}

/// Runs `gudgeon train` on `flights`, which must register; gives back the report.
#[track_caller]
pub(super) fn trained(registry: &TestRegistry, options: &[&str]) -> Value {
    let file = pipeline(registry);
    let (code, out, err) = gudgeon(&[&["train", &file, "--json"], options].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// Runs one of tests/python; gives back the JSON that it prints.
#[track_caller]
pub(super) fn by_python<A: AsRef<OsStr>>(script: &str, arguments: &[A]) -> Value {
    let script = repository("tests/python").join(script);
    let output = Command::new(python()).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// One holdout: its first day, the day after its last, and the months that it lies in.
struct Span {
    from: &'static str,
    until: &'static str,
    months: std::ops::RangeInclusive<u8>,
}

const SPANS: [Span; 6] = [
    Span { from: "2013-09-01", until: "2013-10-01", months: 9..=9 },
    Span { from: "2013-10-01", until: "2013-11-01", months: 10..=10 },
    Span { from: "2013-11-01", until: "2013-12-01", months: 11..=11 },
    Span { from: "2013-12-01", until: "2014-01-01", months: 12..=12 },
    Span { from: "2013-12-01", until: "2013-12-08", months: 12..=12 },
    Span { from: "2013-09-01", until: "2014-01-01", months: 9..=12 },
];

/// What scikit-learn and scipy decide about what onnxruntime answers.
fn independent(registry: &TestRegistry, champion: &str, challenger: &str, span: &Span) -> Value {
    let graph = |version: &str| registry.file(&format!("flights/{version}/model.onnx"));
    let months = span.months.clone().map(|month| repository(&format!("models/flights/data/2013-{month:02}.csv.gz")));
    let dates = [span.from, span.until].map(PathBuf::from);
    let arguments: Vec<_> = [graph(champion), graph(challenger)].into_iter().chain(dates).chain(months).collect();
    by_python("gate_of_versions.py", &arguments)
}

#[track_caller]
fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// Runs `gudgeon evaluate`, whose exit code must be the verdict's; gives back the report.
#[track_caller]
fn evaluated(registry: &TestRegistry, champion: &str, challenger: &str, dates: &[&str]) -> Value {
    let file = pipeline(registry);
    let versions = ["evaluate", &file, "--json", "--champion", champion, "--challenger", challenger];
    let (code, out, err) = gudgeon(&[&versions[..], dates].concat());
    assert_eq!(err, "");
    let report: Value = serde_json::from_str(&out).unwrap();
    let expected_code = json!({ "PASS": 0, "FAIL": 10, "INCONCLUSIVE": 11 });
    assert_eq!(expected_code[report["verdict"].as_str().unwrap()], code);
    report
}

#[track_caller]
fn of_check<'r>(report: &'r Value, name: &str) -> &'r Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name:?} in {report}"))
}

/// Holds the verdict of `gudgeon evaluate`, the scores and the bounds behind it, against the independent ones.
#[track_caller]
fn check_decision(registry: &TestRegistry, champion: &str, challenger: &str, span: &Span) -> Value {
    let what = format!("{challenger} against {champion} from {}", span.from);
    let dates = ["--train-until", "2013-09-01", "--holdout-from", span.from, "--holdout-until", span.until];
    let report = evaluated(registry, champion, challenger, &dates);
    let primary = of_check(&report, "primary roc_auc");
    let expected = independent(registry, champion, challenger, span);
    assert_eq!(primary["verdict"], expected["verdict"], "{what}: {primary} and {expected}");
    assert_eq!(primary["n"], expected["n"], "{what}");
    for key in ["champion", "challenger", "delta"] {
        // onnxruntime's probabilities differ in their last bits, which may swap a few of a hundred million pairs.
        let difference = (number(primary, key) - number(&expected, key)).abs();
        assert!(difference < 1e-7, "{what}: {key} differs by {difference:.2e}");
    }
    for key in ["ci_low", "ci_high"] {
        let difference = (number(primary, key) - number(&expected, key)).abs();
        let allowed = 4.0 * number(&expected, "error_of_bounds") + 1e-7;
        assert!(difference < allowed, "{what}: {key} differs by {difference:.2e}, more than {allowed:.2e}");
    }
    report
}

#[test]
fn the_gate_decides_as_scikit_learn_and_scipy_do() {
    let registry = flights_without_versions();
    trained(&registry, &["--train-until", "2013-05-01", "--holdout-until", "2013-09-01"]);
    trained(&registry, &["--train-until", "2013-09-01"]);
    let mut verdicts = Vec::new();
    for span in &SPANS {
        let report = check_decision(&registry, "1", "2", span);
        verdicts.push(report["verdict"].as_str().unwrap().to_owned());
    }
    // The older model is worse on the whole holdout, and the gate can tell.
    let report = check_decision(&registry, "2", "1", &SPANS[5]);
    verdicts.push(report["verdict"].as_str().unwrap().to_owned());
    for verdict in ["PASS", "INCONCLUSIVE", "FAIL"] {
        assert!(verdicts.iter().any(|said| said == verdict), "no {verdict} in {verdicts:?}");
    }
}

#[test]
fn evaluate_fails_a_version_that_was_trained_on_the_holdout() {
    let registry = flights_without_versions();
    trained(&registry, &["--train-until", "2013-03-01", "--holdout-until", "2013-04-01", "--algorithm", "linear"]);
    trained(&registry, &["--train-until", "2013-03-15", "--holdout-until", "2013-04-01", "--algorithm", "linear"]);
    let disjoint = |challenger: &str, until: &str, from: &str| {
        let dates = ["--train-until", until, "--holdout-from", from, "--holdout-until", "2013-04-01"];
        let champion = if challenger == "1" { "2" } else { "1" };
        evaluated(&registry, champion, challenger, &dates)
    };
    let report = disjoint("2", "2013-03-01", "2013-03-15");
    assert_eq!(of_check(&report, "holdout disjoint")["verdict"], "PASS");
    let report = disjoint("2", "2013-03-01", "2013-03-01");
    let check = of_check(&report, "holdout disjoint");
    assert_eq!((&check["verdict"], &report["verdict"]), (&json!("FAIL"), &json!("FAIL")));
    let n_trained: usize = check["reason"].as_str().unwrap().split(' ').next().unwrap().parse().unwrap();
    // Half of March's 27,902 flights, more or less.
    assert!((10_000..18_000).contains(&n_trained), "{check}");
    let report = disjoint("1", "2013-03-01", "2013-03-01");
    assert_eq!(of_check(&report, "holdout disjoint")["verdict"], "PASS");
}

#[test]
fn the_graph_is_the_same_for_any_number_of_threads() {
    let registry = flights_without_versions();
    let mut graphs = Vec::new();
    for (version, threads) in [(1, "1"), (2, "2"), (3, "5")] {
        let split = ["--train-until", "2013-04-01", "--holdout-until", "2013-05-01"];
        let report = trained(&registry, &[&split[..], &["--threads", threads]].concat());
        assert_eq!(report["version"], version);
        graphs.push(std::fs::read(registry.file(&format!("flights/{version}/model.onnx"))).unwrap());
    }
    assert!(graphs[0] == graphs[1] && graphs[1] == graphs[2]);
}

#[test]
fn the_flights_model_ranks_as_well_as_lightgbms() {
    let registry = flights_without_versions();
    let report = trained(&registry, &["--train-until", "2013-09-01", "--algorithm", "gbdt"]);
    let ours = number(&report["fits"][0]["scores"], "roc_auc");
    let expected = by_python("lightgbm_auc.py", &[repository("models/flights/data")]);
    // All of them train once the validation rows have chosen the number of rounds.
    let rows = |key: &str| report["split"][key].as_u64().unwrap();
    assert_eq!(rows("train_rows") + rows("validation_rows"), expected["train_rows"].as_u64().unwrap());
    assert_eq!(report["split"]["holdout_rows"], expected["holdout_rows"]);
    let theirs = number(&expected, "roc_auc");
    assert!((ours - theirs).abs() < 0.005, "{ours:.5} here, {theirs:.5} there");
}
