//! Versions at rest, on a real disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::model::{Alias, Digest, Golden, Producer, Signature, Task, TensorSpec, Tolerance};
use crate::tensor::{Data, Dtype, NamedTensor, Tensor};

struct Case {
    folder: TempDir,
    registry: Registry,
    name: ModelName,
}

fn case() -> Case {
    case_in(tempfile::tempdir().unwrap())
}

/// For what takes thousands of files or flushes and is the same on every file system.
fn case_in_memory() -> Case {
    case_in(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
}

fn case_in(folder: TempDir) -> Case {
    let registry = Registry::open(folder.path()).unwrap();
    Case { folder, registry, name: "flights".parse().unwrap() }
}

impl Case {
    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("flights").join(path)
    }

    fn register(&self, model: &[u8]) -> Version {
        self.registry.register(&self.name, draft(model)).unwrap().version
    }

    fn versions(&self) -> Vec<u64> {
        self.registry.versions(&self.name).unwrap().into_iter().map(Version::number).collect()
    }

    fn actions(&self) -> Vec<(Action, Option<Version>)> {
        let events = self.registry.history(&self.name).unwrap().events;
        events.into_iter().map(|event| (event.action, event.version)).collect()
    }
}

fn actor() -> Actor {
    Actor { who: "ada".to_owned(), from: Some("127.0.0.1".to_owned()), call: Call::default() }
}

fn draft(model: &[u8]) -> Draft {
    let spec = |name: &str| TensorSpec { name: name.to_owned(), datatype: Dtype::Fp32, shape: vec![None, Some(1)] };
    let named = |name: &str, values| NamedTensor { name: name.to_owned(), tensor: Tensor::column(Data::Fp32(values)) };
    Draft {
        at: "2026-01-31T12:00:00Z".to_owned(),
        actor: actor(),
        why: None,
        label: Some("v1".to_owned()),
        producer: Producer { name: "a test".to_owned(), version: "1".to_owned() },
        task: Task::Regression,
        signature: Signature {
            inputs: vec![spec("x")],
            outputs: vec![spec("y")],
            features: Vec::new(),
            classes: Vec::new(),
            maps: Vec::new(),
        },
        opset: 17,
        training: None,
        model: model.to_vec(),
        golden: Some(Golden {
            tolerance: Tolerance::default(),
            inputs: vec![named("x", vec![1.0, f32::NAN])],
            outputs: vec![named("y", vec![2.0, f32::INFINITY])],
        }),
        profile: Some(b"{\"rows\": 2}".to_vec()),
        evaluation: None,
        extra: BTreeMap::from([("weights.bin".to_owned(), vec![7; 100])]),
    }
}

fn event(action: Action, version: Option<Version>) -> Event {
    Event {
        at: now(),
        actor: actor(),
        action,
        version,
        why: Some("a test".to_owned()),
        outcome: Outcome::Ok,
        detail: None,
    }
}

fn version(number: u64) -> Version {
    number.try_into().unwrap()
}

/// Makes a file of a registered version writable and changes it.
fn rewrite(path: &Path, text: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn what_is_registered_reads_back() {
    let case = case();
    let registered = case.registry.register(&case.name, draft(b"graph")).unwrap();
    assert_eq!(registered.version, Version::FIRST);
    let artifact = case.registry.read(&case.name, Version::FIRST).unwrap();
    assert_eq!(artifact.model, b"graph");
    assert_eq!(artifact.model_digest, Digest::of(b"graph"));
    let golden: Golden = serde_json::from_slice(&artifact.golden.unwrap()).unwrap();
    assert_eq!(golden.outputs.len(), 1);
    assert_eq!(artifact.profile.unwrap(), b"{\"rows\": 2}");
    assert_eq!(artifact.evaluation, None);
    assert_eq!(artifact.extra["weights.bin"], [7; 100]);
    let manifest = artifact.manifest.unwrap();
    assert_eq!(manifest.created, "2026-01-31T12:00:00Z");
    let names: Vec<_> = manifest.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["golden.json", "model.onnx", "profile.json", "weights.bin"]);
    let on_disk = fs::read(case.path("1/manifest.json")).unwrap();
    assert_eq!(registered.manifest_digest, Digest::of(&on_disk));
    assert_eq!(case.registry.manifest(&case.name, Version::FIRST).unwrap(), Some(manifest));
    assert_eq!(fs::metadata(case.path("1/model.onnx")).unwrap().permissions().mode() & 0o222, 0);
    assert_eq!(case.actions(), [(Action::Register, Some(Version::FIRST))]);
}

#[test]
fn a_bare_graph_is_a_version_and_nothing_beside_it_is_used() {
    let case = case();
    fs::create_dir_all(case.path("3")).unwrap();
    fs::write(case.path("3/model.onnx"), b"bare").unwrap();
    fs::write(case.path("3/profile.json"), b"{}").unwrap();
    let artifact = case.registry.read(&case.name, version(3)).unwrap();
    assert_eq!((artifact.model.as_slice(), artifact.model_digest), (&b"bare"[..], Digest::of(b"bare")));
    assert!(artifact.manifest.is_none() && artifact.golden.is_none() && artifact.profile.is_none());
    assert_eq!(case.register(b"next"), version(4));
}

#[test]
fn a_number_is_never_given_twice() {
    let case = case();
    assert_eq!((case.register(b"a"), case.register(b"b")), (version(1), version(2)));
    fs::remove_dir_all(case.path("2")).unwrap();
    assert_eq!(case.versions(), [1]);
    assert_eq!(case.register(b"c"), version(3));
    let mut refused = event(Action::Activate, Some(version(99)));
    refused.outcome = Outcome::Refused;
    case.registry.append(&case.name, &refused).unwrap();
    assert_eq!(case.register(b"d"), version(4));
    fs::create_dir(case.path(&i64::MAX.to_string())).unwrap();
    let error = case.registry.register(&case.name, draft(b"e")).unwrap_err();
    assert!(matches!(error, RegistryError::NumbersUsedUp { .. }), "{error}");
}

#[test]
fn entries_that_are_no_models_or_versions_are_ignored_with_one_warning() {
    let case = case();
    case.register(b"a");
    for folder in ["0001", "1.5", "-1", "+2", "01", "7", ".tmp-dead", "data"] {
        fs::create_dir(case.path(folder)).unwrap();
    }
    fs::write(case.path("8"), b"a file").unwrap();
    symlink("1", case.path("9")).unwrap();
    let model = case.registry.model(&case.name).unwrap();
    assert_eq!(model.versions, [version(1)]);
    assert_eq!(model.ignored.count, 8, "{:?}", model.ignored);

    let root = case.folder.path();
    fs::create_dir_all(root.join("triton/1")).unwrap();
    fs::write(root.join("triton/1/model.onnx"), b"bare").unwrap();
    fs::create_dir_all(root.join("planned")).unwrap();
    fs::write(root.join("planned/pipeline.toml"), b"").unwrap();
    fs::create_dir(root.join("no\u{1b}[2J name")).unwrap();
    fs::write(root.join("README.md"), b"").unwrap();
    symlink(root.join("triton"), root.join("linked")).unwrap();
    let listing = case.registry.models().unwrap();
    let names: Vec<_> = listing.models.iter().map(ModelName::as_str).collect();
    assert_eq!(names, ["flights", "planned", "triton"]);
    assert_eq!(listing.ignored.count, 2);
    let warning = listing.ignored.warning().unwrap();
    assert!(warning.starts_with("ignored 2 entries that are no models or versions: "), "{warning}");
    assert!(!warning.contains('\u{1b}'), "{warning}");
    assert_eq!(Ignored::default().warning(), None);
}

#[test]
fn twenty_thousand_foreign_folders_are_listed_in_a_second() {
    let case = case_in_memory();
    case.register(b"a");
    for index in 0..10_000 {
        fs::create_dir(case.folder.path().join(format!("{index:06}.5"))).unwrap();
        fs::create_dir(case.path(&format!("{index:06}"))).unwrap();
    }
    // The bar is 100,000 in 5 s.
    let start = Instant::now();
    let listing = case.registry.models().unwrap();
    let model = case.registry.model(&case.name).unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!((listing.models.len(), listing.ignored.count), (1, 10_000));
    assert_eq!((model.versions.len(), model.ignored.count), (1, 10_000));
    assert_eq!(listing.ignored.examples.len(), 3);
}

#[track_caller]
fn check_damage(damage: impl FnOnce(&Case), expected: &str) {
    let case = case();
    case.register(b"graph");
    damage(&case);
    let error = case.registry.read(&case.name, Version::FIRST).unwrap_err().to_string();
    let error = error.replace(&case.folder.path().display().to_string(), "ROOT");
    assert!(error.starts_with(expected), "{error}");
    assert_eq!(case.versions(), [1], "the version is still listed");
}

#[test]
fn a_version_that_was_changed_is_refused() {
    check_damage(
        |case| rewrite(&case.path("1/model.onnx"), b"grapH"),
        r#""ROOT/flights/1/model.onnx" has changed since it was registered: expected SHA-256 "#,
    );
    check_damage(
        |case| rewrite(&case.path("1/weights.bin"), &[7; 99]),
        r#""ROOT/flights/1/weights.bin" has changed since it was registered: expected 100 bytes, got 99;"#,
    );
    check_damage(
        |case| rewrite(&case.path("1/weights.bin"), &[7; 101]),
        r#""ROOT/flights/1/weights.bin" has changed since it was registered: expected 100 bytes, got 101;"#,
    );
    check_damage(
        |case| fs::remove_file(case.path("1/golden.json")).unwrap(),
        r#""ROOT/flights/1/golden.json" is missing: "#,
    );
}

#[test]
fn links_and_devices_are_never_opened() {
    let replaced = |case: &Case| {
        let path = case.path("1/weights.bin");
        fs::remove_file(&path).unwrap();
        path
    };
    check_damage(
        |case| symlink("/etc/hostname", replaced(case)).unwrap(),
        r#""ROOT/flights/1/weights.bin" is a symbolic link, which"#,
    );
    check_damage(
        |case| symlink("model.onnx", replaced(case)).unwrap(),
        r#""ROOT/flights/1/weights.bin" is a symbolic link, which"#,
    );
    check_damage(
        |case| {
            let other = case.folder.path().join("other");
            fs::write(&other, [7; 100]).unwrap();
            fs::hard_link(&other, replaced(case)).unwrap();
        },
        r#""ROOT/flights/1/weights.bin" is a file with a second name (a hard link), which"#,
    );
    check_damage(
        |case| {
            let mode = rustix::fs::Mode::from_raw_mode(0o644);
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, replaced(case), kind, mode, 0).unwrap();
        },
        r#""ROOT/flights/1/weights.bin" is a FIFO, which"#,
    );
    check_damage(|case| fs::create_dir(replaced(case)).unwrap(), r#""ROOT/flights/1/weights.bin" is a folder, which"#);
}

#[test]
fn a_linked_version_or_model_is_refused() {
    let case = case();
    case.register(b"graph");
    symlink("1", case.path("2")).unwrap();
    let error = case.registry.read(&case.name, version(2)).unwrap_err();
    assert!(matches!(error, RegistryError::Unsafe { .. }), "{error}");
    symlink("flights", case.folder.path().join("linked")).unwrap();
    let error = case.registry.versions(&"linked".parse().unwrap()).unwrap_err();
    assert!(matches!(error, RegistryError::Unsafe { .. }), "{error}");
}

#[track_caller]
fn check_manifest(change: impl FnOnce(&mut serde_json::Value), expected: &str) {
    check_damage(
        |case| {
            let path = case.path("1/manifest.json");
            let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            change(&mut manifest);
            rewrite(&path, &serde_json::to_vec(&manifest).unwrap());
        },
        &format!("\"ROOT/flights/1/manifest.json\": {expected}"),
    );
}

#[test]
fn a_manifest_that_makes_no_sense_is_refused_by_its_field() {
    let cut = r#""ROOT/flights/1/manifest.json": EOF while parsing"#;
    check_damage(|case| rewrite(&case.path("1/manifest.json"), b"{\"format\": \"gudg"), cut);
    check_damage(|case| rewrite(&case.path("1/manifest.json"), b""), cut);
    check_manifest(|manifest| manifest["spare"] = json!(1), "unknown field `spare`");
    check_manifest(|manifest| manifest["format"] = json!("x/2"), r#"format: expected "gudgeon/1", got "x/2""#);
    check_manifest(|manifest| manifest["files"]["model.onnx"]["sha256"] = json!("00"), "not a SHA-256 digest");
    for name in ["../../secret", "/etc/passwd", "a/b", ".hidden", "manifest.json", "", "a\nb"] {
        let change = |manifest: &mut serde_json::Value| {
            manifest["files"][name] = json!({"sha256": Digest::of(b"").to_string(), "bytes": 0});
        };
        check_manifest(change, &format!("files: expected names of files beside the manifest, got {name:?}"));
    }
    let without_graph = |manifest: &mut serde_json::Value| {
        manifest["files"].as_object_mut().unwrap().remove("model.onnx");
    };
    check_manifest(without_graph, r#"files: expected "model.onnx" among them"#);
}

#[test]
fn a_file_that_the_manifest_does_not_list_is_not_used() {
    let case = case();
    case.register(b"graph");
    let before = case.registry.read(&case.name, Version::FIRST).unwrap();
    fs::write(case.path("1/evaluation.json"), b"{}").unwrap();
    symlink("/etc/passwd", case.path("1/extra.bin")).unwrap();
    let after = case.registry.read(&case.name, Version::FIRST).unwrap();
    assert_eq!((after.evaluation, after.extra), (None, before.extra));
}

#[test]
fn a_version_over_the_limit_is_neither_registered_nor_read() {
    let case = case();
    case.register(&[1; 5_000]);
    let small = case.registry.clone().with_artifact_bytes_max(5_000);
    let error = small.read(&case.name, Version::FIRST).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
    let error = small.register(&case.name, draft(&[1; 5_001])).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error}");
    assert_eq!(case.versions(), [1]);
}

#[track_caller]
fn check_draft(change: impl FnOnce(&mut Draft), expected: &str) {
    let case = case();
    let mut draft = draft(b"graph");
    change(&mut draft);
    let error = case.registry.register(&case.name, draft).unwrap_err().to_string();
    assert!(error.starts_with(&format!("not registered: {expected}")), "{error}");
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_draft_that_makes_no_version_writes_nothing() {
    check_draft(|draft| draft.model.clear(), "model.onnx: expected an ONNX graph, got no bytes");
    check_draft(|draft| draft.at = "today".to_owned(), "time: expected RFC 3339, for example");
    check_draft(|draft| draft.profile = Some(b"[]".to_vec()), "profile.json: expected a JSON object");
    let extra = |name: &str, expected: &str| {
        check_draft(|draft| drop(draft.extra.insert(name.to_owned(), vec![1])), expected);
    };
    extra("golden.json", "extra files: expected other names than the registry's own, got \"golden.json\"");
    extra("../x", "files: expected names of files beside the manifest, got \"../x\"");
    check_draft(
        |draft| draft.signature.inputs.extend(draft.signature.inputs.clone()),
        "signature.inputs: expected each",
    );
}

#[test]
fn what_is_not_there_is_named() {
    let case = case();
    let missing = case.folder.path().join("missing");
    let error = Registry::open(&missing).unwrap_err();
    assert!(error.to_string().contains("mkdir -p"), "{error}");
    fs::write(&missing, b"").unwrap();
    assert!(matches!(Registry::open(&missing), Err(RegistryError::RootNotADirectory { .. })));
    let error = case.registry.versions(&case.name).unwrap_err();
    assert!(matches!(error, RegistryError::NoSuchModel { .. }), "{error}");
    case.register(b"graph");
    let error = case.registry.read(&case.name, version(2)).unwrap_err();
    assert!(matches!(error, RegistryError::NoSuchVersion { .. }), "{error}");
    assert_eq!(case.registry.policy_text(&case.name, PolicyFile::Gate).unwrap(), None);
    fs::write(case.path("gate.toml"), "metric = \"auc\"").unwrap();
    let text = case.registry.policy_text(&case.name, PolicyFile::Gate).unwrap();
    assert_eq!(text.as_deref(), Some("metric = \"auc\""));
    fs::write(case.path("gate.toml"), [0xff]).unwrap();
    let error = case.registry.policy_text(&case.name, PolicyFile::Gate).unwrap_err();
    assert!(matches!(error, RegistryError::Malformed { .. }), "{error}");
}

#[test]
fn aliases_change_only_from_what_was_read() {
    let case = case();
    let (first, second) = (case.register(b"a"), case.register(b"b"));
    let read = case.registry.aliases(&case.name).unwrap();
    assert_eq!(read, Aliases::default());
    let changed = Aliases { champion: Some(first), ..read };
    let written = case.registry.set_aliases(&case.name, changed, event(Action::Activate, Some(first))).unwrap();
    assert_eq!((written.generation, written.get(Alias::Champion)), (1, Some(first)));
    assert_eq!(case.registry.aliases(&case.name).unwrap(), written);

    let late = Aliases { champion: Some(second), ..read };
    let error = case.registry.set_aliases(&case.name, late, event(Action::Activate, Some(second))).unwrap_err();
    assert!(matches!(error, RegistryError::Conflict { expected: 0, got: 1, .. }), "{error}");
    let nowhere = Aliases { challenger: Some(version(9)), ..written };
    let error = case.registry.set_aliases(&case.name, nowhere, event(Action::Activate, None)).unwrap_err();
    assert!(matches!(error, RegistryError::NoSuchVersion { .. }), "{error}");
    assert_eq!(case.registry.aliases(&case.name).unwrap(), written);
    let register = Action::Register;
    let expected = [(register, Some(first)), (register, Some(second)), (Action::Activate, Some(first))];
    assert_eq!(case.actions(), expected);

    fs::write(case.path("aliases.json"), b"{\"generation\": 2, \"champion\": 0}").unwrap();
    let error = case.registry.aliases(&case.name).unwrap_err();
    assert!(matches!(error, RegistryError::Malformed { .. }), "{error}");
}

#[test]
fn a_torn_last_line_is_no_event_and_the_next_one_starts_afresh() {
    let case = case();
    case.register(b"a");
    let path = case.path("history.jsonl");
    let whole = fs::read(&path).unwrap();
    for torn in [&b"{\"at\": \"2026"[..], b"{", b"\0\0\0", &[b'x'; 100_000]] {
        let mut text = whole.clone();
        text.extend(torn);
        fs::write(&path, text).unwrap();
        assert_eq!(case.actions().len(), 1);
        case.registry.append(&case.name, &event(Action::Verify, Some(Version::FIRST))).unwrap();
        let history = case.registry.history(&case.name).unwrap();
        assert_eq!(history.events.len(), 2);
        assert!(fs::read(&path).unwrap().starts_with(&whole));
    }
    // A line that only lacks its end was written whole.
    fs::write(&path, whole.trim_ascii_end()).unwrap();
    assert_eq!(case.actions().len(), 1);
    case.registry.append(&case.name, &event(Action::Verify, None)).unwrap();
    assert_eq!(case.actions(), [(Action::Register, Some(Version::FIRST)), (Action::Verify, None)]);
}

#[test]
fn a_line_changed_by_hand_loses_only_itself() {
    let case = case();
    case.register(b"a");
    case.register(b"b");
    let path = case.path("history.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("garbage\n{text}")).unwrap();
    let history = case.registry.history(&case.name).unwrap();
    assert_eq!((history.events.len(), history.n_unreadable), (2, 1));
}

#[test]
fn an_event_is_one_line_whatever_its_texts() {
    let case = case();
    case.register(b"a");
    let mut loud = event(Action::Verify, None);
    loud.why = Some("a\nb\u{1b}[2Jc\u{2028}d".to_owned());
    loud.actor.who = "é".repeat(5_000);
    case.registry.append(&case.name, &loud).unwrap();
    assert_eq!(fs::read_to_string(case.path("history.jsonl")).unwrap().lines().count(), 2);
    let read = case.registry.history(&case.name).unwrap().events.pop().unwrap();
    assert_eq!(read.why.as_deref(), Some("a b [2Jc d"));
    assert_eq!(read.actor.who.chars().count(), 2_000);
}

#[test]
fn a_change_whose_writer_died_before_its_line_is_completed() {
    let case = case();
    case.register(b"a");
    let history = fs::read(case.path("history.jsonl")).unwrap();
    case.register(b"b");
    let both = fs::read_to_string(case.path("history.jsonl")).unwrap();
    let event: serde_json::Value = serde_json::from_str(both.lines().last().unwrap()).unwrap();
    let note = |version: u64| {
        let note = json!({"event": event, "effect": {"version": version}, "history_bytes": history.len()});
        fs::write(case.path(".pending.json"), note.to_string()).unwrap();
    };
    let second = (Action::Register, Some(version(2)));
    // Died before the line: readers take the event from the note and leave it there, the next writer adds it.
    fs::write(case.path("history.jsonl"), &history).unwrap();
    note(2);
    assert_eq!(case.actions()[1..], [second]);
    assert!(case.path(".pending.json").exists());
    assert_eq!(case.register(b"c"), version(3));
    assert_eq!(case.actions()[1..], [second, (Action::Register, Some(version(3)))]);
    assert!(!case.path(".pending.json").exists());
    // Died after the line: it is not added twice.
    fs::write(case.path("history.jsonl"), &both).unwrap();
    note(2);
    assert_eq!(case.actions()[1..], [second]);
    // Died before the rename: nothing happened.
    fs::write(case.path("history.jsonl"), &history).unwrap();
    note(7);
    assert_eq!(case.actions().len(), 1);
    case.register(b"d");
    assert_eq!(case.actions()[1..], [(Action::Register, Some(version(4)))]);
}

#[test]
fn what_dead_writers_left_is_ignored_and_cleared() {
    let case = case();
    case.register(b"a");
    fs::create_dir(case.path(".tmp-dead")).unwrap();
    fs::write(case.path(".tmp-dead/model.onnx"), b"hal").unwrap();
    fs::write(case.path(".aliases.json.tmp"), b"{\"gener").unwrap();
    assert_eq!(case.versions(), [1]);
    let second = case.register(b"b");
    assert!(!case.path(".tmp-dead").exists());
    let aliases = Aliases { champion: Some(second), ..Aliases::default() };
    case.registry.set_aliases(&case.name, aliases, event(Action::Activate, Some(second))).unwrap();
    assert_eq!(case.registry.aliases(&case.name).unwrap().champion, Some(second));
    assert!(!case.path(".aliases.json.tmp").exists());
}

#[test]
fn readers_write_nothing() {
    let case = case();
    fs::create_dir_all(case.path("1")).unwrap();
    fs::write(case.path("1/model.onnx"), b"bare").unwrap();
    let model = case.registry.model(&case.name).unwrap();
    case.registry.read(&model.name, model.versions[0]).unwrap();
    case.registry.history(&case.name).unwrap();
    case.registry.models().unwrap();
    let entries = fs::read_dir(case.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(entries.collect::<Vec<_>>(), ["1"]);
}

#[test]
fn writers_take_turns_and_readers_never_see_half_a_version() {
    let case = case_in_memory();
    let writing = AtomicBool::new(true);
    let (registry, name) = (&case.registry, &case.name);
    let (numbers, n_read) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut n_read = 0;
            while writing.load(Ordering::Acquire) {
                let Ok(model) = registry.model(name) else { continue };
                assert_eq!(model.ignored.count, 0, "{:?}", model.ignored);
                let Some(newest) = model.versions.last() else { continue };
                registry.read(name, *newest).unwrap();
                registry.history(name).unwrap();
                n_read += 1;
            }
            n_read
        });
        let writers: Vec<_> = (0..4_u8)
            .map(|writer| {
                let write = move |index: u8| registry.register(name, draft(&[writer, index])).unwrap().version.number();
                scope.spawn(move || (0..25).map(write).collect::<Vec<_>>())
            })
            .collect();
        let mut numbers: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        writing.store(false, Ordering::Release);
        numbers.sort_unstable();
        (numbers, reader.join().unwrap())
    });
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    assert_eq!(case.actions().len(), 100);
    assert!(10 < n_read, "{n_read}");
}
