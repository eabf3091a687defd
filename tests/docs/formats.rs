//! docs/FORMATS.md: the fields of every file on disk, held against the types that write and read it.

use std::collections::{BTreeMap, BTreeSet};

use gudgeon::drift::{CategoricalReference, ColumnProfile, NumericReference, Profile, Reference, Rung};
use gudgeon::engine::{Engaged, EngineChoice, EngineName};
use gudgeon::evaluation::{Bootstrap, Check, Digests, Gate, Metric, Report, Verdict};
use gudgeon::lifecycle::ModelPolicy;
use gudgeon::model::{
    CodeRevision, DataFile, Digest, Feature, FeatureKind, FileEntry, Golden, Manifest, Mode, Producer, Share,
    Signature, Split, Task, TensorSpec, Tolerance, Training, Version,
};
use gudgeon::registry::{
    Action, Actor, Aliases, Call, Challenge, Event, Moment, Outcome, PolicyFile, RecordedContract,
};
use gudgeon::tensor::{Data, Dtype, NamedTensor, Tensor};
use gudgeon::trainer::fit::Algorithm;
use gudgeon::trainer::pipeline::Pipeline;
use gudgeon::trainer::{ChampionScores, EvaluationFile, Scored, SliceScore};
use gudgeon::verify::{BatchLatency, Kept};
use regex::Regex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::page::{check_first_column, section};

const PAGE: &str = "docs/FORMATS.md";

/// Holds the fields that `value` is written with against the table under `heading`. The structures below are written out to
/// the last field, so that a new one does not compile until it is here and in the page.
#[track_caller]
fn check_json(heading: &str, values: &[Value]) {
    let mut fields = BTreeSet::new();
    values.iter().for_each(|value| collect(value, "", &mut fields));
    check_first_column(PAGE, heading, &fields);
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

/// The paths of the leaves: `a.b`, `a[].b` for a list of objects.
fn collect(value: &Value, path: &str, fields: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                collect(value, &if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, fields);
            }
        }
        Value::Array(values) if values.iter().any(Value::is_object) => {
            values.iter().for_each(|value| collect(value, &format!("{path}[]"), fields));
        }
        _ => drop(fields.insert(path.to_owned())),
    }
}

#[test]
fn the_fields_of_the_manifest() {
    let digest = Digest::of(b"");
    let feature = Feature {
        name: "hour".to_owned(),
        kind: FeatureKind::Categorical,
        input: "input".to_owned(),
        column: 1,
        optional: true,
        levels: vec!["a".to_owned()],
        min: Some(0.0),
        max: Some(1.0),
    };
    let spec = || TensorSpec { name: "input".to_owned(), datatype: Dtype::Fp32, shape: vec![None, Some(1)] };
    let training = Training {
        algorithm: "gbdt".to_owned(),
        label_column: "late".to_owned(),
        data: vec![DataFile { uri: "data.csv".to_owned(), sha256: digest, rows: 1 }],
        time_range: Some(["2013-01-01".to_owned(), "2013-02-01".to_owned()]),
        split: Split { rule: String::new(), train_rows: 1, validation_rows: 1, holdout_rows: 1 },
        pipeline_sha256: digest,
        holdout_sha256: Some(digest),
        parameters: BTreeMap::from([("*".to_owned(), Value::Null)]),
        seed: 1,
        code: Some(CodeRevision { commit: String::new(), dirty: false }),
        parent_version: Some(Version::FIRST),
    };
    let manifest = Manifest {
        format: Manifest::FORMAT.to_owned(),
        created: String::new(),
        label: Some(String::new()),
        producer: Producer { name: String::new(), version: String::new() },
        files: BTreeMap::from([("*".to_owned(), FileEntry { sha256: digest, bytes: 1 })]),
        task: Task::Binary,
        signature: Signature {
            inputs: vec![spec()],
            outputs: vec![spec()],
            features: vec![feature],
            classes: vec!["on time".to_owned()],
            maps: vec!["input".to_owned()],
        },
        opset: 17,
        training: Some(training),
    };
    check_json("### manifest.json", &[json(&manifest)]);
    assert!(section(PAGE, "### manifest.json").contains(&format!("`{}`", Manifest::FORMAT)));
}

#[test]
fn the_fields_of_a_kept_verification() {
    let report = gudgeon::verify::Report {
        golden_rows: 1,
        engine: Engaged {
            asked: EngineChoice::Auto,
            engine: EngineName::Native,
            why: String::new(),
            onnxruntime: Some(String::new()),
        },
        open_ms: 1.0,
        peak_memory_bytes: Some(1),
        sandbox: Some(gudgeon::child::Sandbox::Full),
        follows_rows: true,
        latency: vec![BatchLatency { rows: 1, median_ms: 1.0 }],
    };
    let digest = Digest::of(b"");
    check_json("### .verified/&lt;version&gt;.json", &[json(&Kept::new(digest, Some(digest), report))]);
    assert!(section(PAGE, "### .verified/&lt;version&gt;.json").contains(&format!("`{}`", Kept::FORMAT)));
}

#[test]
fn the_fields_of_golden_cases() {
    let tensor = || NamedTensor { name: "x".to_owned(), tensor: Tensor::column(Data::Fp32(vec![1.0])) };
    let golden =
        Golden { tolerance: Tolerance { abs: 0.0, rel: 0.0 }, inputs: vec![tensor()], outputs: vec![tensor()] };
    check_json("### golden.json", &[json(&golden)]);
}

#[test]
fn the_fields_of_a_profile() {
    let numeric = NumericReference {
        edges: vec![0.0],
        counts: vec![1, 1],
        range: Some((0.0, 1.0)),
        mean: 0.5,
        sd: 0.5,
        infinite: 0,
    };
    let categorical = CategoricalReference {
        levels: vec!["a".to_owned()],
        counts: vec![1, 1],
        rest: vec!["b".to_owned()],
        rest_cut: true,
        seen_once: 1,
        seen_twice: 0,
    };
    let calibrated = vec![Rung { rows: 400, psi: Some(0.1), missing: 0.0 }];
    let column = |name: &str, reference| ColumnProfile {
        name: name.to_owned(),
        missing: 0,
        calibrated: calibrated.clone(),
        reference,
    };
    let columns = vec![column("x", Reference::Numeric(numeric)), column("y", Reference::Categorical(categorical))];
    check_json("### profile.json", &[json(&Profile::new(2, columns).unwrap())]);
    assert!(section(PAGE, "### profile.json").contains(&format!("`{}`", Profile::FORMAT)));
}

#[test]
fn the_fields_of_an_evaluation() {
    let metric = Metric::RocAuc;
    let scored = || vec![Scored { metric, n: 1, value: 0.5, low: Some(0.4), high: Some(0.6) }];
    let digest = Digest::of(b"");
    let check = Check {
        name: String::new(),
        champion: Some(0.5),
        challenger: Some(0.5),
        delta: Some(0.0),
        ci_low: Some(0.0),
        ci_high: Some(0.0),
        n: 1,
        verdict: Verdict::Pass,
        reason: String::new(),
    };
    let slice =
        SliceScore { column: String::new(), level: String::new(), n: 1, metric, value: 0.5, champion: Some(0.5) };
    let digests = Digests {
        champion: Some(digest),
        challenger: Some(digest),
        holdout: Some(digest),
        source: Some(digest),
        gate: Some(digest),
    };
    let evaluation = EvaluationFile {
        format: String::new(),
        holdout_sha256: digest,
        holdout_rows: 1,
        split: String::new(),
        primary: metric,
        algorithm: Algorithm::Gbdt,
        bootstrap: Bootstrap { reps: 1, seed: 1 },
        metrics: scored(),
        candidates: BTreeMap::from([("*", scored())]),
        champion: Some(ChampionScores { version: Version::FIRST, sha256: digest, metrics: scored() }),
        slices: vec![slice],
        parity_max_abs: 0.0,
        gate: Some(Report {
            verdict: Verdict::Pass,
            made_by: String::new(),
            metric,
            confidence: 0.95,
            checks: vec![check],
            notes: vec![String::new()],
            digests,
        }),
    };
    check_json("### evaluation.json", &[json(&evaluation)]);
}

#[test]
fn the_fields_of_aliases_and_history() {
    let version = Some(Version::FIRST);
    let share = Share::ALL;
    let challenge = Challenge { mode: Mode::Shadow, share, step: Some(1), since: Moment::now() };
    let challenge = Some(challenge);
    let aliases = Aliases {
        generation: 1,
        champion: version,
        challenger: version,
        challenge,
        previous: version,
        contract: version,
    };
    check_json("### aliases.json", &[json(&aliases)]);
    let specs = || vec![TensorSpec { name: "x".to_owned(), datatype: Dtype::Fp32, shape: vec![None, Some(1)] }];
    let signature =
        Signature { inputs: specs(), outputs: specs(), features: Vec::new(), classes: Vec::new(), maps: Vec::new() };
    let format = RecordedContract::FORMAT.to_owned();
    let contract = RecordedContract { format, version: Version::FIRST, signature };
    check_json("### contract.json", &[json(&contract)]);
    assert!(section(PAGE, "### contract.json").contains(&format!("`{}`", RecordedContract::FORMAT)));
    let event = Event {
        at: String::new(),
        actor: Actor {
            who: String::new(),
            from: Some(String::new()),
            call: Call { operation: Some(String::new()), key: Some(String::new()) },
        },
        action: Action::Register,
        version,
        why: Some(String::new()),
        outcome: Outcome::Ok,
        detail: Some(String::new()),
    };
    check_json("### history.jsonl", &[json(&event)]);
    let text = section(PAGE, "### history.jsonl");
    let actions =
        [Action::Register, Action::Verify, Action::Evaluate, Action::Activate, Action::Rollback, Action::Retire]
            .into_iter()
            .chain([Action::Prune, Action::Challenge, Action::Advance, Action::Withdraw])
            .map(|a| json(&a))
            .collect::<Vec<_>>();
    let outcomes = [Outcome::Ok, Outcome::Refused, Outcome::Failed].map(|outcome| json(&outcome));
    for word in actions.iter().chain(&outcomes) {
        let word = word.as_str().unwrap();
        assert!(text.contains(&format!("`{word}`")), "{PAGE}, history.jsonl: no `{word}`");
    }
}

/// The keys that a TOML file's reader knows at a place, from what it says about one that it does not. `text` is a file with
/// the key `zzz` there.
#[track_caller]
fn keys<T: DeserializeOwned>(text: &str) -> BTreeSet<String> {
    let Err(error) = toml::from_str::<T>(text) else { panic!("an unknown key is taken: {text}") };
    let message = error.to_string();
    let (_, expected) =
        message.split_once("unknown field `zzz`, expected ").unwrap_or_else(|| panic!("{text}\n{message}"));
    let name = Regex::new("`([a-z0-9_]+)`").unwrap();
    name.captures_iter(expected).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_keys_of_model_toml() {
    check_first_column(PAGE, "### model.toml", &keys::<ModelPolicy>("zzz = 1"));
    check_first_column(PAGE, "#### [contract]", &keys::<ModelPolicy>("[contract]\nzzz = 1"));
    check_first_column(PAGE, "#### [retention]", &keys::<ModelPolicy>("[retention]\nzzz = 1"));
    check_first_column(PAGE, "#### [drift]", &keys::<ModelPolicy>("[drift]\nzzz = 1"));
    check_first_column(PAGE, "#### [rollout]", &keys::<ModelPolicy>("[rollout]\nzzz = 1"));
    check_first_column(PAGE, "#### [[rollout.step]]", &keys::<ModelPolicy>("[[rollout.step]]\nzzz = 1"));
    check_first_column(PAGE, "#### [rollout.conditions]", &keys::<ModelPolicy>("[rollout.conditions]\nzzz = 1"));
    check_first_column(PAGE, "#### [drift.thresholds]", &keys::<ModelPolicy>("[drift.thresholds]\nzzz = 1"));
    assert!(ModelPolicy::parse(&example("### model.toml")).is_ok());
}

#[test]
fn the_keys_of_gate_toml() {
    let sections = [
        ("#### [holdout]", "[holdout]\nzzz = 1"),
        ("#### [primary]", "[primary]\nzzz = 1"),
        ("#### bootstrap", "[primary]\nbootstrap = { zzz = 1 }"),
        ("#### [[guardrail]]", "[[guardrail]]\nzzz = 1"),
        ("#### [[slice]]", "[[slice]]\nzzz = 1"),
        ("#### [serving]", "[serving]\nzzz = 1"),
    ];
    for (heading, text) in sections {
        check_first_column(PAGE, heading, &keys::<Gate>(text));
    }
    let known: BTreeSet<_> =
        ["holdout", "primary", "floor", "guardrail", "slice", "serving"].map(ToOwned::to_owned).into();
    assert_eq!(keys::<Gate>("zzz = 1"), known, "{PAGE} has a section each of gate.toml's");
    let example = example("### gate.toml");
    assert!(Gate::parse(&example).is_ok(), "{:?}", Gate::parse(&example));
}

#[test]
fn the_keys_of_pipeline_toml() {
    let sections = [
        ("### pipeline.toml", "zzz = 1"),
        ("#### [data]", "[data]\nzzz = 1"),
        ("#### [[feature]]", "[[feature]]\nzzz = 1"),
        ("#### [fit]", "[fit]\nzzz = 1"),
        ("#### [gbdt]", "[gbdt]\nzzz = 1"),
        ("#### [linear]", "[linear]\nzzz = 1"),
    ];
    for (heading, text) in sections {
        let mut known = keys::<Pipeline>(text);
        // The same as `feature`.
        known.remove("features");
        check_first_column(PAGE, heading, &known);
    }
    let by_time = keys::<Pipeline>("[split]\nby = \"time\"\nzzz = 1");
    let by_hash = keys::<Pipeline>("[split]\nby = \"hash\"\nzzz = 1");
    let mut known: BTreeSet<_> = by_time.union(&by_hash).cloned().collect();
    known.insert("by".to_owned());
    check_first_column(PAGE, "#### [split]", &known);
    let pipeline: Pipeline = toml::from_str(&example("### pipeline.toml")).unwrap();
    pipeline.validate().unwrap();
}

/// The block of TOML under a heading.
#[track_caller]
fn example(heading: &str) -> String {
    let text = section(PAGE, heading);
    text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap().to_owned()
}

#[test]
fn the_files_that_people_write() {
    for file in [PolicyFile::Model, PolicyFile::Gate, PolicyFile::Pipeline] {
        section(PAGE, &format!("### {}", file.name()));
    }
}
