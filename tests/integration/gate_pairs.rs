//! The gate's decisions, held against those that scikit-learn's scores and numpy's bootstrap come to.

use std::collections::BTreeMap;
use std::process::Command;

use gudgeon::evaluation::{Digests, Facts, Gate, HoldoutPredictions, Labels, Predictions, Report, decide};
use serde_json::Value;

use super::harness::{python, repository};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let values = value.as_array()?.iter();
    Some(values.map(|text| text.as_str().unwrap().to_owned()).collect())
}

fn holdout(pair: &Value) -> HoldoutPredictions {
    let [labels, champion, challenger] = ["labels", "champion", "challenger"].map(|name| numbers(&pair[name]));
    let (labels, champion, challenger) = match pair["task"].as_str().unwrap() {
        "binary" => {
            let classes = labels.iter().map(|&label| u32::from(label > 0.5)).collect();
            let [champion, challenger] = [champion, challenger].map(Predictions::Probability);
            (Labels::Classes(classes), champion, challenger)
        }
        _ => (Labels::Values(labels), Predictions::Values(champion), Predictions::Values(challenger)),
    };
    HoldoutPredictions {
        labels,
        champion: Some(champion),
        challenger,
        slices: texts(&pair["groups"]).map(|groups| ("group".to_owned(), groups)).into_iter().collect(),
        clusters: texts(&pair["clusters"]),
        facts: Facts::default(),
        digests: Digests::default(),
    }
}

/// Holds one report against the independent decision.
#[track_caller]
fn check(what: &str, report: &Report, pair: &Value) {
    assert_eq!(report.verdict.to_string(), pair["verdict"], "{what}\n{report}");
    let expected: BTreeMap<String, Value> = serde_json::from_value(pair["checks"].clone()).unwrap();
    let mut names: Vec<_> = report.checks.iter().map(|check| check.name.clone()).collect();
    names.sort();
    assert_eq!(names, expected.keys().cloned().collect::<Vec<_>>(), "{what}");
    for check in &report.checks {
        let expected = &expected[&check.name];
        assert_eq!(check.verdict.to_string(), expected["verdict"], "{what}, {}\n{report}", check.name);
        let error = expected["error_of_bounds"].as_f64().unwrap_or(0.0);
        let figures = [
            ("champion", check.champion, 1e-9),
            ("challenger", check.challenger, 1e-9),
            ("delta", check.delta, 1e-9),
            // Two bootstraps of other draws differ by their own standard error: four of them are granted.
            ("ci_low", check.ci_low, 4.0 * error),
            ("ci_high", check.ci_high, 4.0 * error),
        ];
        for (key, got, allowed) in figures {
            let Some(expected) = expected[key].as_f64() else { continue };
            let got = got.unwrap_or_else(|| panic!("{what}, {}: no {key}", check.name));
            let difference = (got - expected).abs();
            assert!(difference <= allowed, "{what}, {} {key}: {got} here, {expected} there", check.name);
        }
    }
}

#[test]
fn thirty_made_up_pairs_are_decided_as_scikit_learn_and_numpy_decide_them() {
    let output = Command::new(python()).arg(repository("tests/python/gate_pairs.py")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(pairs.len(), 30);
    let mut verdicts = BTreeMap::<String, usize>::new();
    for (number, pair) in pairs.iter().enumerate() {
        let gate = Gate::parse(pair["gate"].as_str().unwrap()).unwrap();
        let report = decide(&gate, &holdout(pair)).unwrap();
        check(&format!("pair {number}, {}", gate.primary.metric), &report, pair);
        *verdicts.entry(report.verdict.to_string()).or_default() += 1;
    }
    assert!(verdicts.len() == 3 && verdicts.values().all(|&n| 3 <= n), "all three verdicts come up: {verdicts:?}");
}
