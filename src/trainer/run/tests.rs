use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::engine::{EngineChoice, Engines};
use crate::evaluation::{Report, Verdict};
use crate::model::{Alias, FeatureKind, Golden};
use crate::registry::{Action, Call, Event, Outcome};
use crate::trainer::data::stable_hash;
use crate::trainer::{Silent, SplitSection, ValidationBy};
use crate::verify::{Candidate as ToVerify, verify};

use super::*;

fn actor() -> Actor {
    Actor { who: "test".to_owned(), from: None, call: Call::default() }
}

fn options() -> TrainOptions {
    TrainOptions { actor: actor(), why: None, label: None, engines: Engines::default() }
}

/// Numbers below `below`, from the row and a seed.
fn noise(row: u64, seed: u64, below: u64) -> u64 {
    stable_hash(&row.to_le_bytes(), seed) % below
}

/// A pipeline folder of `task` with a hash split; `label(x, y, level, noise)` makes the label, noise from 0 to 99.
fn folder(task: &str, n_rows: u64, label: impl Fn(u64, u64, u64, u64) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut csv = "id,when,x,y,level,label\n".to_owned();
    for row in 0..n_rows {
        let (x, y, level) = (noise(row, 1, 100), noise(row, 2, 50), noise(row, 3, 4));
        let shown = |value: u64, seed| if noise(row, seed, 10) == 0 { String::new() } else { value.to_string() };
        let label = label(x, y, level, noise(row, 4, 100));
        let day = 1 + row * 28 / n_rows;
        let (x, y) = (shown(x, 5), shown(y, 6));
        writeln!(
            csv,
            "{row},2024-01-{day:02},{x},{y},{},{label}",
            ["a", "b", "c", ""][usize::try_from(level).unwrap()]
        )
        .unwrap();
    }
    fs::create_dir(folder.path().join("sample")).unwrap();
    fs::write(folder.path().join("sample/data.csv"), csv).unwrap();
    let pipeline = format!(
        "task = \"{task}\"\n[data]\nfiles = [\"data.csv\"]\nlabel = \"label\"\nid = \"id\"\ntime = \"when\"\n\
         [[feature]]\nname = [\"x\", \"y\"]\nkind = \"numeric\"\noptional = true\n\
         [[feature]]\nname = \"level\"\nkind = \"categorical\"\n\
         [split]\nby = \"hash\"\nholdout = 0.3\nvalidation = 0.0\n[gbdt]\nn_trees_max = 20\nleaves_max = 8\n"
    );
    fs::write(folder.path().join("sample/pipeline.toml"), pipeline).unwrap();
    folder
}

fn binary_label(x: u64, y: u64, level: u64, noise: u64) -> String {
    u64::from(x + 30 * (level % 2) + noise / 4 > 70 + y).to_string()
}

fn pipeline(folder: &Path) -> PipelineFile {
    PipelineFile::read(&folder.join("sample/pipeline.toml")).unwrap()
}

#[track_caller]
fn verified(registry: &Registry, report: &TrainReport) {
    let artifact = registry.read(&report.model, report.registered.version).unwrap();
    let manifest = artifact.manifest.as_ref().unwrap();
    let candidate = ToVerify {
        model: &artifact.model,
        signature: Some(&manifest.signature),
        golden: artifact.golden.as_deref(),
        engine: EngineChoice::Auto,
    };
    verify(candidate, &Engines::default()).unwrap();
}

#[test]
fn a_run_registers_a_version_that_verifies() {
    let folder = folder("binary", 2_000, binary_label);
    let registry = Registry::open(folder.path()).unwrap();
    let report = train(&pipeline(folder.path()), &registry, &options(), &mut Silent).unwrap();
    assert_eq!(report.registered.version, Version::FIRST);
    verified(&registry, &report);
    let auc = report.evaluation.metrics[0].clone();
    assert!(auc.metric == Metric::RocAuc && auc.value > 0.9, "{auc:?}");
    assert!(auc.low.unwrap() < auc.value && auc.value < auc.high.unwrap());
    assert_eq!(report.candidates.len(), 2);
    let artifact = registry.read(&report.model, Version::FIRST).unwrap();
    let manifest = artifact.manifest.unwrap();
    assert_eq!(manifest.signature.features[2].levels, ["a", "b", "c"]);
    assert_eq!(manifest.signature.features[0].max, Some(99.0));
    let training = manifest.training.unwrap();
    let Split { train_rows, validation_rows, holdout_rows, .. } = training.split;
    assert_eq!(train_rows + validation_rows + holdout_rows, 2_000);
    assert_eq!(training.time_range.unwrap()[0], "2024-01-01T00:00:00");
    let golden: Golden = serde_json::from_slice(&artifact.golden.unwrap()).unwrap();
    assert_eq!(golden.inputs[0].tensor.n_rows(), 20);
    assert!(artifact.profile.is_some() && artifact.evaluation.is_some());
}

#[test]
fn the_same_pipeline_gives_the_same_model_for_any_number_of_threads() {
    let folder = folder("binary", 2_000, binary_label);
    let registry = Registry::open(folder.path()).unwrap();
    let mut file = pipeline(folder.path());
    let digests: Vec<Digest> = [1, 2, 5]
        .into_iter()
        .map(|threads| {
            file.pipeline.fit.threads = threads;
            train(&file, &registry, &options(), &mut Silent).unwrap().registered.model_digest
        })
        .collect();
    assert!(digests[0] == digests[1] && digests[1] == digests[2]);
}

#[test]
fn the_number_of_rounds_is_chosen_alike_for_any_number_of_threads() {
    let folder = folder("binary", 4_000, binary_label);
    let registry = Registry::open(folder.path()).unwrap();
    let mut file = pipeline(folder.path());
    file.pipeline.fit.algorithms = vec![Algorithm::Gbdt];
    file.pipeline.gbdt = crate::trainer::fit::GbdtParams::default();
    for validation_by in [ValidationBy::Blocks, ValidationBy::Latest, ValidationBy::Hash] {
        file.pipeline.split = SplitSection::Time {
            train_from: None,
            train_until: "2024-01-22".to_owned(),
            holdout_from: None,
            holdout_until: None,
            validation: 0.1,
            validation_by,
        };
        let reports: Vec<TrainReport> = [1, 2, 5]
            .into_iter()
            .map(|threads| {
                file.pipeline.fit.threads = threads;
                train(&file, &registry, &options(), &mut Silent).unwrap()
            })
            .collect();
        let Split { train_rows, validation_rows, .. } = reports[0].split;
        assert_eq!(train_rows + validation_rows, 3_000, "the first 21 days of 28");
        assert!(0 < validation_rows && validation_rows < 600, "{validation_by:?}: {validation_rows}");
        let artifact = registry.read(&reports[0].model, reports[0].registered.version).unwrap();
        let rounds = &artifact.manifest.unwrap().training.unwrap().parameters["n_trees"];
        assert!((5..190).contains(&rounds.as_u64().unwrap()), "{validation_by:?}: {rounds} rounds");
        assert!(reports.iter().all(|report| report.registered.model_digest == reports[0].registered.model_digest));
    }
}

#[test]
fn regressions_and_several_classes_are_served_as_they_were_trained() {
    for (task, primary) in [("regression", Metric::Rmse), ("multiclass", Metric::LogLoss)] {
        for algorithm in [Algorithm::Gbdt, Algorithm::Linear] {
            let folder = folder(task, 1_500, |x, y, level, noise| match task {
                "regression" => (10 * x + 3 * y + 200 * level + noise).to_string(),
                _ => ["low", "middle", "high"][usize::try_from((x + 25 * level + noise / 10) / 70).unwrap().min(2)]
                    .to_owned(),
            });
            let registry = Registry::open(folder.path()).unwrap();
            let mut file = pipeline(folder.path());
            file.pipeline.fit.algorithms = vec![algorithm];
            let report = train(&file, &registry, &options(), &mut Silent).unwrap();
            assert_eq!(report.primary, primary);
            verified(&registry, &report);
        }
    }
}

const GATE: &str = "[holdout]\nmin_rows = 100\nmin_positives = 10\n[primary]\nmetric = \"roc_auc\"\n\
    bootstrap = { reps = 200, seed = 1 }\n[floor]\nroc_auc = 0.6\nbeats_trivial = true\n[[slice]]\ncolumn = \"level\"\n\
    min_rows = 50\n[serving]\nsize_ratio_max = 1000.0\np99_ratio_max = 1000.0\n";

#[test]
fn the_gate_holds_a_new_version_against_the_champion() {
    let folder = folder("binary", 2_000, binary_label);
    fs::write(folder.path().join("sample/gate.toml"), GATE).unwrap();
    let registry = Registry::open(folder.path()).unwrap();
    let mut file = pipeline(folder.path());
    file.pipeline.gbdt.n_trees_max = 1;
    file.pipeline.fit.algorithms = vec![Algorithm::Gbdt];
    let first = train(&file, &registry, &options(), &mut Silent).unwrap();
    let gate = first.evaluation.gate.as_ref().unwrap();
    assert_eq!(gate.verdict, Verdict::Pass, "{gate}");
    let mut aliases = registry.aliases(&first.model).unwrap();
    aliases.champion = Some(first.registered.version);
    let event = Event {
        at: now(),
        actor: actor(),
        action: Action::Activate,
        version: Some(first.registered.version),
        why: None,
        outcome: Outcome::Ok,
        detail: None,
    };
    registry.set_aliases(&first.model, aliases, event).unwrap();
    assert_eq!(registry.aliases(&first.model).unwrap().get(Alias::Champion), Some(Version::FIRST));
    file.pipeline.gbdt.n_trees_max = 60;
    let second = train(&file, &registry, &options(), &mut Silent).unwrap();
    let gate = second.evaluation.gate.as_ref().unwrap();
    assert_eq!(gate.verdict, Verdict::Pass, "{gate}");
    assert_eq!(second.evaluation.champion.as_ref().unwrap().version, Version::FIRST);
    assert!(second.evaluation.slices.iter().any(|slice| slice.champion.is_some()));
    let ask = |challenger, champion, reuse| {
        let ask = Ask { challenger, champion, reuse };
        evaluate(Evaluated::Pipeline(&file), &registry, ask, &Engines::default()).unwrap()
    };
    let (old, new) = (first.registered.version, second.registered.version);
    let again = ask(new, None, false);
    assert_eq!((again.computed, again.report.verdict), (true, Verdict::Pass), "{}", again.report);
    let names = |report: &Report| report.checks.iter().map(|check| check.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&again.report), names(gate), "the same is checked in training and afterwards");
    assert!(names(gate).contains(&"serving p99".to_owned()) && names(gate).contains(&"serving parity".to_owned()));
    assert_eq!(ask(old, Some(new), true).report.verdict, Verdict::Fail);
    let reused = ask(new, None, true);
    assert_eq!((reused.computed, &reused.report.digests), (false, &gate.digests), "the trainer's own report will do");
    // Another gate, other data: what was reported before does not count any more.
    let gate_file = folder.path().join("sample/gate.toml");
    let text = fs::read_to_string(&gate_file).unwrap();
    fs::write(&gate_file, format!("{text}\n# changed\n")).unwrap();
    assert!(ask(new, None, true).computed, "the gate has changed");
    fs::write(&gate_file, text).unwrap();
    assert!(!ask(new, None, true).computed);
    let data_file = folder.path().join("sample/data.csv");
    let data = fs::read_to_string(&data_file).unwrap();
    fs::write(&data_file, data.trim_end()).unwrap();
    assert!(ask(new, None, true).computed, "the data have changed");
}

#[test]
fn a_split_without_a_holdout_registers_nothing() {
    let folder = folder("binary", 200, binary_label);
    let registry = Registry::open(folder.path()).unwrap();
    let mut file = pipeline(folder.path());
    file.pipeline.split = SplitSection::Time {
        train_from: None,
        train_until: "2025-01-01".to_owned(),
        holdout_from: None,
        holdout_until: None,
        validation: 0.0,
        validation_by: ValidationBy::Blocks,
    };
    let error = train(&file, &registry, &options(), &mut Silent).unwrap_err().to_string();
    assert!(error.starts_with("the split leaves no holdout rows of 200; check [split]"), "{error}");
    assert!(registry.versions(&file.model_name().unwrap()).unwrap_or_default().is_empty());
}

#[test]
fn a_foreign_graph_gets_a_profile_and_golden_cases_from_a_sample() {
    let folder = folder("binary", 1_000, binary_label);
    let registry = Registry::open(folder.path()).unwrap();
    let report = train(&pipeline(folder.path()), &registry, &options(), &mut Silent).unwrap();
    let model = registry.read(&report.model, report.registered.version).unwrap().model;
    let foreign: ModelName = "foreign".parse().unwrap();
    let register = |sample: Option<&Path>| {
        let sample = sample.map(Path::to_owned);
        let classes = vec!["no".to_owned(), "yes".to_owned()];
        let (actor, engines) = (actor(), Engines::default());
        let options = ForeignOptions { sample, actor, why: None, label: None, classes, engines };
        register_foreign(&registry, &foreign, model.clone(), &options)
    };
    let registered = register(Some(&folder.path().join("sample/data.csv"))).unwrap();
    let artifact = registry.read(&foreign, registered.version).unwrap();
    let manifest = artifact.manifest.unwrap();
    assert_eq!(manifest.signature.classes, ["no", "yes"]);
    let level = manifest.signature.feature("level").unwrap().1;
    assert_eq!((level.kind, level.levels.len()), (FeatureKind::Categorical, 3));
    assert!(artifact.profile.is_some() && artifact.golden.is_some());
    assert!(registry.read(&foreign, register(None).unwrap().version).unwrap().profile.is_none());
    let bad = folder.path().join("bad.csv");
    fs::write(&bad, "x,y\n1,2\n").unwrap();
    let error = register(Some(&bad)).unwrap_err().to_string();
    assert!(error.contains("expected a column \"level\""), "{error}");
}
