use std::fs;

use proptest::prelude::*;
use serde_json::Value;

use super::super::delong;
use super::*;

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/evaluation/scores.json");
    let json: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    json["cases"].as_array().unwrap().clone()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn classes(value: &Value) -> Labels {
    Labels::Classes(
        value.as_array().unwrap().iter().map(|class| u32::try_from(class.as_u64().unwrap()).unwrap()).collect(),
    )
}

#[track_caller]
fn check(case: &Value, metrics: &str, labels: &Labels, predictions: &Predictions) {
    for (name, expected) in case[metrics].as_object().unwrap() {
        let got = score(name.parse().unwrap(), labels, predictions).unwrap();
        let expected = expected.as_f64().unwrap();
        assert!(
            (got - expected).abs() <= 1e-12 * expected.abs().max(1.0),
            "{}: {name}: {got} {expected}",
            case["name"]
        );
    }
}

#[test]
fn scores_equal_scikit_learns() {
    let cases = cases();
    assert_eq!(cases.len(), 5);
    for case in &cases {
        let first = floats(&case["first"]);
        match case["kind"].as_str().unwrap() {
            "binary" => {
                check(case, "metrics", &classes(&case["labels"]), &Predictions::Probability(first));
                let second = Predictions::Probability(floats(&case["second"]));
                check(case, "metrics_second", &classes(&case["labels"]), &second);
            }
            "multiclass" => {
                let predictions = Predictions::Probabilities { n_classes: 3, values: first };
                check(case, "metrics", &classes(&case["labels"]), &predictions);
            }
            _ => check(case, "metrics", &Labels::Values(floats(&case["labels"])), &Predictions::Values(first)),
        }
    }
}

#[test]
fn delongs_variance_equals_its_definition() {
    for case in cases().iter().filter(|case| case["kind"] == "binary") {
        let is_positive: Vec<bool> = floats(&case["labels"]).iter().map(|&label| label > 0.5).collect();
        let got = delong(&is_positive, &floats(&case["first"]), &floats(&case["second"])).unwrap();
        let close = |got: f64, expected: &Value| (got / expected.as_f64().unwrap() - 1.0).abs() < 1e-9;
        assert!(close(got.first, &case["metrics"]["roc_auc"]), "{}", case["name"]);
        assert!(close(got.second, &case["metrics_second"]["roc_auc"]), "{}", case["name"]);
        assert!(close(got.variance, &case["delong_variance"]), "{}", case["name"]);
    }
}

#[test]
fn what_cannot_be_scored_says_why() {
    let error = |metric: Metric, labels: &Labels, predictions: &Predictions| {
        score(metric, labels, predictions).unwrap_err().to_string()
    };
    let (ones, half) = (Labels::Classes(vec![1, 1]), Predictions::Probability(vec![0.5, 0.5]));
    assert_eq!(
        error(Metric::RocAuc, &ones, &half),
        "metric roc_auc has no value on these rows: expected rows of both classes; take a larger holdout"
    );
    assert_eq!(
        error(Metric::Rmse, &ones, &half),
        "metric rmse: expected a regression; choose a metric that fits the task"
    );
    assert_eq!(
        error(Metric::Brier, &ones, &Predictions::Probability(vec![0.5])),
        "predictions: expected 2 rows as there are labels, got 1"
    );
    let bad = Predictions::Probability(vec![0.5, f64::NAN]);
    assert!(error(Metric::Brier, &ones, &bad).starts_with("row 1: expected finite"));
    assert!(error(Metric::Brier, &Labels::Classes(vec![0, 2]), &half).starts_with("row 1: "));
}

proptest! {
    /// A weight is as many copies of a row.
    #[test]
    fn weights_are_copies(rows in prop::collection::vec((0_u32..2, 0_u8..8, 0_u32..4), 1..40)) {
        let labels: Vec<u32> = rows.iter().map(|row| row.0).collect();
        let values: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 7.0).collect();
        let weights: Vec<u32> = rows.iter().map(|row| row.2).collect();
        let copies: Vec<usize> = (0..rows.len()).flat_map(|row| vec![row; weights[row] as usize]).collect();
        let (label_copies, value_copies): (Vec<u32>, Vec<f64>) = copies.iter().map(|&row| (labels[row], values[row])).unzip();
        let all: Vec<usize> = (0..rows.len()).collect();
        for name in ["roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "f1@0.3", "calibration_error"] {
            let metric: Metric = name.parse().unwrap();
            let predictions = Predictions::Probability(values.clone());
            let prepared = Prepared::new(metric, &Labels::Classes(labels.clone()), &predictions, &all).unwrap();
            let got = prepared.score(&weights);
            let expected =
                score(metric, &Labels::Classes(label_copies.clone()), &Predictions::Probability(value_copies.clone())).ok();
            prop_assert_eq!(got.is_some(), expected.is_some(), "{}", name);
            prop_assert!((got.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-12, "{}", name);
        }
    }
}
