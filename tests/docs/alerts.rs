//! Alerts and dashboard against the metrics, and every alert's runbook.

use std::collections::{BTreeMap, BTreeSet};

use gudgeon::metrics::{DECLARED, DRIFT_DECLARED, Listener, OpResult, Outcome, SERVED_DECLARED, StatusClass};
use regex::Regex;

use super::page::{files, read, section};

const RULES: &str = "k8s/overlays/prometheus-operator/rules.yaml";

/// Everything under `k8s/` that speaks of metrics.
fn manifests() -> Vec<String> {
    let is_manifest =
        |file: &String| file.starts_with("k8s/") && [".yaml", ".json"].iter().any(|end| file.ends_with(end));
    let found: Vec<_> = files().into_iter().filter(is_manifest).collect();
    assert!(
        found.iter().any(|file| file == RULES) && found.iter().any(|file| file.contains("dashboards/")),
        "{found:?}"
    );
    found
}

#[test]
fn alerts_and_dashboard_speak_of_metrics_that_there_are() {
    let declared: BTreeSet<&str> =
        DECLARED.iter().chain(SERVED_DECLARED).chain(DRIFT_DECLARED).map(|(name, ..)| *name).collect();
    let metric = Regex::new(r"\bgudgeon_[a-z0-9_]+").unwrap();
    let is_known = |name: &str| {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        declared.contains(name) || base.is_some_and(|base| base.ends_with("_seconds") || declared.contains(base))
    };
    let mut n_seen = 0;
    for file in manifests() {
        for name in metric.find_iter(&read(&file)).map(|found| found.as_str()) {
            assert!(is_known(name), "{file}: there is no metric {name}");
            n_seen += 1;
        }
    }
    assert!(30 < n_seen, "only {n_seen} metrics were found in the manifests");
}

#[test]
fn alerts_and_dashboard_speak_of_label_values_that_there_are() {
    let values: BTreeMap<&str, Vec<&str>> = [
        ("outcome", Outcome::ALL.iter().map(|value| value.as_str()).collect()),
        ("result", OpResult::ALL.iter().map(|value| value.as_str()).collect()),
        ("listener", Listener::ALL.iter().map(|value| value.as_str()).collect()),
        ("status", StatusClass::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>()),
        ("state", vec!["ok", "missing", "invalid", "below_min", "above_max", "unseen"]),
    ]
    .into();
    let matcher = Regex::new(r#"[{, ](outcome|result|listener|status|state)(?:=~|!~|!=|=)\\?"([^"\\]*)"#).unwrap();
    let mut n_seen = 0;
    for file in manifests() {
        for found in matcher.captures_iter(&read(&file)) {
            for value in found[2].split('|') {
                assert!(values[&found[1]].contains(&value), "{file}: the label {} never is {value:?}", &found[1]);
                n_seen += 1;
            }
        }
    }
    assert!(10 < n_seen, "only {n_seen} label values were found in the manifests");
}

#[test]
fn every_alert_has_a_runbook() {
    let rules = read(RULES);
    let alert = Regex::new(r"(?m)^ *- alert: (\w+)$").unwrap();
    let alerts: Vec<_> = alert.captures_iter(&rules).map(|found| found[1].to_owned()).collect();
    assert!(10 < alerts.len(), "the alerts were not found");
    for alert in &alerts {
        let link = format!("docs/OPERATIONS.md#{}", alert.to_lowercase());
        assert!(rules.contains(&format!("runbook: {link}\n")), "{alert} does not name {link}");
        let text = section("docs/OPERATIONS.md", &format!("### {alert}"));
        assert!(200 < text.len(), "docs/OPERATIONS.md: the runbook of {alert} is empty");
    }
    let headings = section("docs/OPERATIONS.md", "## Alerts");
    let shown: BTreeSet<_> =
        headings.lines().filter_map(|line| line.strip_prefix("### ")).map(ToOwned::to_owned).collect();
    assert_eq!(shown, alerts.into_iter().collect(), "runbooks (left) against alerts (right)");
}
