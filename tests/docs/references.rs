//! docs/CONFIGURATION.md and docs/METRICS.md.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::Args as _;
use gudgeon::config::{RawConfig, settings};
use gudgeon::metrics::{
    Agreement, CanaryOutcome, ColumnSample, DECLARED, DRIFT_DECLARED, DriftSource, FeedbackOutcome, FeedbackResult,
    GateVerdict, Listener, Metrics, OpResult, Outcome, Role, RolloutStep, SERVED_DECLARED, ShadowOutcome, StatusClass,
    WindowSample,
};
use regex::Regex;

use super::page::{check_generated, code, files, read, table};

#[test]
fn every_setting_is_in_the_reference() {
    let defaults: BTreeMap<_, _> = settings().into_iter().map(|setting| (setting.key, setting.default)).collect();
    let command = RawConfig::augment_args(clap::Command::new("serve"));
    let rows = command.get_arguments().map(|argument| {
        let key = argument.get_id().as_str();
        let in_file = if key == "config" { String::new() } else { code(key) };
        let env = argument.get_env().map(|env| env.to_string_lossy().into_owned()).unwrap_or_default();
        let default = defaults.get(key).cloned().unwrap_or_default();
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        [in_file, code(&format!("--{}", argument.get_long().unwrap_or_default())), code(&env), code(&default), help]
    });
    let expected = table(["key in the file", "flag", "environment", "default", "what it does"], rows);
    check_generated("docs/CONFIGURATION.md", "settings", &expected);
}

#[test]
fn every_environment_variable_of_ours_is_in_the_reference_and_the_other_way_round() {
    let ours = Regex::new("GUDGEON_[A-Z_]*[A-Z]").unwrap();
    let named = |text: &str| ours.find_iter(text).map(|found| found.as_str().to_owned()).collect::<BTreeSet<_>>();
    let sources = files().into_iter().filter(|file| file.starts_with("src/") && file.ends_with(".rs"));
    let mut in_code: BTreeSet<_> = sources.flat_map(|file| named(&read(&file))).collect();
    // What tests beside the code are told by scripts/test.
    in_code.retain(|name| !name.starts_with("GUDGEON_TEST_"));
    assert_eq!(named(&read("docs/CONFIGURATION.md")), in_code, "docs/CONFIGURATION.md (left) against src/ (right)");
}

#[test]
fn every_metric_is_in_the_reference() {
    let types = types();
    let row = |&(name, help, labels): &(&str, &str, &[&str])| {
        let labels: Vec<_> = labels.iter().map(|label| code(label)).collect();
        let kind = types.get(name).unwrap_or_else(|| panic!("{name} is declared and not written"));
        [code(name), kind.clone(), labels.join(", "), help.to_owned()]
    };
    let head = ["metric", "type", "labels", "what it says"];
    check_generated("docs/METRICS.md", "metrics", &table(head, SERVED_DECLARED.iter().chain(DECLARED).map(row)));
    check_generated("docs/METRICS.md", "drift metrics", &table(head, DRIFT_DECLARED.iter().map(row)));
    let process = types.iter().filter(|(name, _)| name.starts_with("process_"));
    let process = process.map(|(name, kind)| [code(name), kind.clone()]);
    check_generated("docs/METRICS.md", "process metrics", &table(["metric", "type"], process));
}

#[test]
fn every_label_value_is_in_the_reference() {
    let values = |values: Vec<&str>| values.into_iter().map(code).collect::<Vec<_>>().join(", ");
    let rows = [
        ("outcome", values(Outcome::ALL.iter().map(|value| value.as_str()).collect())),
        ("result", values(OpResult::ALL.iter().map(|value| value.as_str()).collect())),
        ("verdict", values(GateVerdict::ALL.iter().map(|value| value.as_str()).collect())),
        ("listener", values(Listener::ALL.iter().map(|value| value.as_str()).collect())),
        ("status", values(StatusClass::ALL.iter().map(|value| value.as_str()).collect())),
    ];
    let of_challengers = [
        ("gudgeon_shadow_requests_total", "outcome", values(ShadowOutcome::ALL.iter().map(|v| v.as_str()).collect())),
        ("gudgeon_shadow_rows_total", "result", values(Agreement::ALL.iter().map(|value| value.as_str()).collect())),
        ("gudgeon_canary_requests_total", "outcome", values(CanaryOutcome::ALL.iter().map(|v| v.as_str()).collect())),
        ("gudgeon_shadow_run_duration_seconds", "role", values(Role::ALL.iter().map(|v| v.as_str()).collect())),
        ("gudgeon_feedback_total", "outcome", values(FeedbackOutcome::ALL.iter().map(|v| v.as_str()).collect())),
        ("gudgeon_feedback_classes_total", "result", values(FeedbackResult::ALL.iter().map(|v| v.as_str()).collect())),
        ("gudgeon_rollout_steps_total", "step", values(RolloutStep::ALL.iter().map(|value| value.as_str()).collect())),
    ];
    let of_one = of_challengers.map(|(metric, label, values)| [format!("{} of {}", code(label), code(metric)), values]);
    let rows = rows.map(|(label, values)| [code(label), values]);
    let expected = table(["label", "values"], rows.into_iter().chain(of_one));
    check_generated("docs/METRICS.md", "label values", &expected);
}

/// The type of every metric, as Prometheus reads it.
fn types() -> BTreeMap<String, String> {
    let metrics = Metrics::new().unwrap();
    metrics.version("flights", 1, 1);
    metrics.model("flights");
    metrics.key_requests("shop");
    let _challenger = metrics.challenger("flights", 2);
    metrics.feedback_outcomes("flights");
    metrics.feedback("flights", 1);
    let source: Arc<dyn DriftSource> = Arc::new(OneColumn);
    metrics.add_drift(&source);
    let text = metrics.encode();
    let type_of = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some((name.to_owned(), kind.to_owned()))
    };
    text.lines().filter_map(type_of).collect()
}

/// A version with one monitored column.
struct OneColumn;

impl DriftSource for OneColumn {
    fn model(&self) -> &str {
        "flights"
    }

    fn version(&self) -> u64 {
        1
    }

    fn profile_digest(&self) -> String {
        "0123456789ab".to_owned()
    }

    fn reference_rows(&self) -> u64 {
        1
    }

    fn dropped_columns(&self) -> u64 {
        0
    }

    fn columns(&self) -> Vec<ColumnSample> {
        let window = "1h".to_owned();
        let window = WindowSample {
            window,
            psi: 0.0,
            psi_corrected: 0.0,
            thresholds: [("warn", 0.1), ("critical", 0.25)],
            chi2_pvalue: 1.0,
            rows: 1,
            status: -1,
        };
        vec![ColumnSample {
            feature: "hour".to_owned(),
            bins: vec![1],
            states: vec![("ok", 1)],
            reference_shares: vec![1.0],
            reference_counts: vec![1],
            windows: vec![window],
        }]
    }
}
