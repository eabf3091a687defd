//! Versions at rest survive what a disk and a kernel do to their writers: being killed at any moment, a full disk, a
//! read-only one, missing rights.
//!
//! The writers are processes of their own: this binary runs itself with only the test `child`, which does what the
//! environment says.

#![expect(clippy::unwrap_used, reason = "a test may panic in its helpers too")]
#![expect(clippy::print_stdout, reason = "the writers report to the tests through their output")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gudgeon::model::{Golden, ModelName, Producer, Signature, Task, TensorSpec, Tolerance, Version};
use gudgeon::registry::{Action, Actor, Aliases, Call, Draft, Event, Outcome, Registry, RegistryError, now};
use gudgeon::tensor::Dtype;

const ROLE: &str = "CRASH_TEST_ROLE";
const ROOT: &str = "CRASH_TEST_ROOT";

fn name() -> ModelName {
    "flights".parse().unwrap()
}

fn draft(model: Vec<u8>) -> Draft {
    let spec = |name: &str| TensorSpec { name: name.to_owned(), datatype: Dtype::Fp32, shape: vec![None, Some(1)] };
    Draft {
        at: now(),
        actor: actor(),
        why: None,
        label: None,
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
        model,
        golden: Some(Golden { tolerance: Tolerance::default(), inputs: Vec::new(), outputs: Vec::new() }),
        profile: None,
        evaluation: Some(b"{}".to_vec()),
        extra: BTreeMap::new(),
    }
}

fn actor() -> Actor {
    Actor { who: "crash test".to_owned(), from: None, call: Call::default() }
}

fn event(action: Action, version: Version) -> Event {
    let version = Some(version);
    Event { at: now(), actor: actor(), action, version, why: None, outcome: Outcome::Ok, detail: None }
}

fn register(registry: &Registry, n_bytes: usize) -> Result<Version, RegistryError> {
    registry.register(&name(), draft(vec![b'g'; n_bytes])).map(|registered| registered.version)
}

fn activate(registry: &Registry, version: Version) -> Result<Aliases, RegistryError> {
    let old = registry.aliases(&name())?;
    let new = Aliases { champion: Some(version), previous: old.champion, ..old };
    registry.set_aliases(&name(), new, event(Action::Activate, version))
}

/// What any reader may rely on at any moment; returns the versions and the aliases' generation.
#[track_caller]
fn check_whole(registry: &Registry) -> (BTreeSet<Version>, u64) {
    let model = registry.model(&name()).unwrap();
    assert_eq!(model.ignored.count, 0, "{:?}", model.ignored);
    for version in &model.versions {
        let artifact = registry.read(&name(), *version).unwrap();
        assert!(artifact.manifest.is_some() && artifact.golden.is_some());
    }
    let history = registry.history(&name()).unwrap();
    assert_eq!(history.n_unreadable, 0);
    let of =
        |action| history.events.iter().filter(move |event| event.action == action).filter_map(|event| event.version);
    let pruned: BTreeSet<_> = of(Action::Prune).collect();
    assert_eq!(pruned.len(), of(Action::Prune).count(), "each removal has its one line");
    let registered = of(Action::Register).filter(|version| !pruned.contains(version));
    assert_eq!(registered.collect::<Vec<_>>(), model.versions, "each version has its one line");
    let n_activated = u64::try_from(of(Action::Activate).count()).unwrap();
    assert_eq!(n_activated, model.aliases.generation, "each change of the aliases has its one line");
    assert_eq!(of(Action::Activate).next_back(), model.aliases.champion);
    let versions: BTreeSet<_> = model.versions.into_iter().collect();
    assert!(model.aliases.versions().all(|version| versions.contains(&version)), "{:?}", model.aliases);
    (versions, model.aliases.generation)
}

/// What a writer has an answer for.
#[derive(Debug, Default)]
struct Acknowledged {
    versions: BTreeSet<Version>,
    generation: u64,
    /// A removal that was begun: the version may be there or not.
    pruning: Option<Version>,
    pruned: BTreeSet<Version>,
}

impl Acknowledged {
    fn note(&mut self, line: &str) {
        if let Some(version) = line.strip_prefix("registered ") {
            self.versions.insert(version.parse().unwrap());
        } else if let Some(generation) = line.strip_prefix("activated ") {
            self.generation = generation.parse().unwrap();
        } else if let Some(version) = line.strip_prefix("pruning ") {
            let version = version.parse().unwrap();
            self.versions.remove(&version);
            self.pruning = Some(version);
        } else if line.starts_with("pruned ") {
            self.pruned.extend(self.pruning.take());
        }
    }

    /// Changes that nobody has an answer for, among those that can be seen.
    fn n_without_answer(&self, versions: &BTreeSet<Version>, generation: u64) -> usize {
        assert!(self.versions.is_subset(versions) && self.generation <= generation, "lost: {self:?} {versions:?}");
        assert!(self.pruned.is_disjoint(versions), "came back: {self:?} {versions:?}");
        let n_registered =
            versions.difference(&self.versions).filter(|&version| Some(*version) != self.pruning).count();
        let n_pruned = self.pruning.iter().filter(|version| !versions.contains(version)).count();
        n_registered + n_pruned + usize::try_from(generation - self.generation).unwrap()
    }
}

/// Pseudo-random numbers below `bound` (splitmix64), the same in every run.
fn random(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % bound
}

fn command(program: impl AsRef<OsStr>, role: &str, root: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "child", "--nocapture"]).env(ROLE, role).env(ROOT, root);
    command
}

fn this_binary() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

/// Starts a writer and hands over its lines as they come.
fn start(role: &str, root: &Path) -> (Child, Receiver<String>) {
    let mut child = command(this_binary(), role, root).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        // After a kill the last line may be cut short: it acknowledges nothing.
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        while 0 < stdout.read_line(&mut line).unwrap() && line.ends_with('\n') {
            if sender.send(line.trim_end().to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    (child, lines)
}

fn finish(command: &mut Command) -> Output {
    command.output().unwrap()
}

#[track_caller]
fn assert_passed(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("child is done"), "{}", text(&output.stdout));
}

#[test]
fn a_writer_killed_at_any_moment_leaves_the_old_state_or_the_new_one() {
    let mut seed = 7;
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(folder.path()).unwrap();
        let versions = BTreeSet::from([register(&registry, 10).unwrap()]);
        let mut known = Acknowledged { versions, ..Acknowledged::default() };
        for _ in 0..20 {
            kill_one(&registry, &mut known, &mut seed);
        }
        register(&registry, 10).unwrap();
        let left = fs::read_dir(folder.path().join("flights")).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".tmp-")).collect();
        assert!(left.is_empty(), "the next writer clears what the dead ones left: {left:?}");
    }
}

fn kill_one(registry: &Registry, known: &mut Acknowledged, seed: &mut u64) {
    let (mut child, lines) = start("write", registry.root());
    let mut note = |line: &str| {
        known.note(line);
        line.starts_with("begin")
    };
    let mut n_begun = 1 + random(seed, 4);
    while 0 < n_begun {
        if note(&lines.recv_timeout(Duration::from_secs(30)).unwrap()) {
            n_begun -= 1;
        }
    }
    let end = Instant::now() + Duration::from_micros(random(seed, 15_000));
    while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        note(&line);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        note(&line);
    }
    let (versions, generation) = check_whole(registry);
    let n_new = known.n_without_answer(&versions, generation);
    assert!(n_new <= 1, "at most the one change under way may have no answer: {known:?} {versions:?} {generation}");
    *known = Acknowledged { versions, generation, ..Acknowledged::default() };
}

/// Nothing is left to chance: each system call of a writer in turn is its last, or fails.
#[test]
fn a_writer_may_end_or_fail_at_each_of_its_system_calls() {
    let has_strace = Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    assert!(has_strace, "no strace: run scripts/test, which installs what the tests need");
    // The calls are the same on every file system, and in memory they are quick.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let registry = Registry::open(folder.path()).unwrap();
    let mut n_injected = 0;
    for call in ["mkdirat", "openat", "write", "fsync", "renameat", "renameat2", "unlinkat", "flock"] {
        for harm in ["signal=KILL", "error=EIO"] {
            let mut when = 1;
            while inject(&registry, call, harm, when) {
                when += 1;
                n_injected += 1;
            }
        }
    }
    // The files of a version alone are five writes and six flushes.
    assert!(100 < n_injected, "{n_injected}");
}

/// Lets one system call of a writer come to harm; false where the writer makes no such call any more.
fn inject(registry: &Registry, call: &str, harm: &str, when: usize) -> bool {
    fs::remove_dir_all(registry.root().join("flights")).ok();
    // The first of them is the one that the writer removes.
    let versions = BTreeSet::from([register(registry, 10).unwrap(), register(registry, 10).unwrap()]);
    activate(registry, *versions.last().unwrap()).unwrap();
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-e",
        &format!("trace={call}"),
        "-e",
        &format!("inject={call}:{harm}:when={when}"),
    ]);
    strace.arg(this_binary()).args(["--exact", "child", "--nocapture"]);
    let output = finish(strace.env(ROLE, "write once").env(ROOT, registry.root()));
    let mut known = Acknowledged { versions, generation: 1, ..Acknowledged::default() };
    String::from_utf8_lossy(&output.stdout).lines().for_each(|line| known.note(line));
    let (versions, generation) = check_whole(registry);
    let place = format!("{call} {harm} {when}: {known:?} {versions:?} {generation}");
    let n_new = known.n_without_answer(&versions, generation);
    // A failure means that nothing was changed. A write that fails may be that of the answer.
    let n_new_max = usize::from(harm == "signal=KILL" || call == "write");
    assert!(n_new <= n_new_max, "changed without an answer: {place}");
    activate(registry, register(registry, 10).unwrap()).unwrap();
    check_whole(registry);
    let trace = String::from_utf8_lossy(&output.stderr);
    trace.contains("INJECTED") || trace.contains("killed by SIGKILL")
}

#[test]
fn processes_that_register_at_once_get_numbers_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let writers: Vec<_> = (0..3).map(|_| start("register 20", folder.path())).collect();
    let mut numbers = Vec::new();
    for (mut child, lines) in writers {
        numbers.extend(lines.iter().filter_map(|line| line.strip_prefix("registered ")?.parse::<u64>().ok()));
        assert!(child.wait().unwrap().success());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>());
    check_whole(&Registry::open(folder.path()).unwrap());
}

/// The start of a command line that may mount things for itself alone; `None` where nobody lets us.
fn own_mounts() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["unshare", "-m"], &["unshare", "-Urm"]];
    ways.into_iter().find(|way| {
        let mount = Command::new(way[0]).args(&way[1..]).args(["mount", "-t", "tmpfs", "tmpfs", "/tmp"]).output();
        mount.is_ok_and(|output| output.status.success())
    })
}

/// Runs a child behind a line of shell, which finds the registry in `$CRASH_TEST_ROOT`.
fn behind(way: &[&str], shell: &str, role: &str, root: &Path) -> Output {
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).args(["sh", "-c", &format!("{shell} && exec \"$0\" --exact child --nocapture")]);
    command.arg(this_binary()).env(ROLE, role).env(ROOT, root);
    finish(&mut command)
}

#[test]
fn a_full_disk_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size=1m tmpfs \"${ROOT}\"");
    match own_mounts() {
        Some(way) => assert_passed(&behind(way, &mount, "meet a full disk", folder.path())),
        None => assert_passed(&meet_a_limit_in(folder.path())),
    }
}

#[test]
fn a_limit_on_the_size_of_files_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert_passed(&meet_a_limit_in(folder.path()));
}

fn meet_a_limit_in(root: &Path) -> Output {
    behind(&["env"], "trap '' XFSZ; ulimit -f 400", "meet a limit on files", root)
}

#[test]
fn a_read_only_file_system_serves_readers_and_refuses_writers() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path()).unwrap();
    activate(&registry, register(&registry, 10).unwrap()).unwrap();
    match own_mounts() {
        Some(way) => {
            let mount = format!("mount --bind \"${ROOT}\" \"${ROOT}\" && mount -o remount,ro,bind \"${ROOT}\"");
            assert_passed(&behind(way, &mount, "meet a read-only disk", folder.path()));
        }
        None => assert_passed(&without_rights(&folder)),
    }
    check_whole(&registry);
}

#[test]
fn a_user_without_rights_can_read_and_is_told_which_right_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path()).unwrap();
    activate(&registry, register(&registry, 10).unwrap()).unwrap();
    assert_passed(&without_rights(&folder));
    check_whole(&registry);
}

/// Runs a child that may read the registry, not write to it.
fn without_rights(folder: &tempfile::TempDir) -> Output {
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let model = folder.path().join("flights");
    let files = [".lock", ".register.lock", "history.jsonl", "aliases.json"].map(|file| model.join(file));
    files.iter().for_each(|file| mode(file, 0o444));
    mode(&model, 0o555);
    mode(folder.path(), 0o555);
    let is_root = rustix::process::geteuid().is_root();
    let output = if is_root {
        // Permission bits do not bind root: the child becomes nobody, who must be able to reach the binary.
        let shared = tempfile::tempdir().unwrap();
        mode(shared.path(), 0o755);
        let binary = shared.path().join("child");
        // Another process copies: a child that another test forks meanwhile would hold our own copy open for writing, and a
        // file that is open for writing cannot be run.
        assert!(Command::new("cp").arg(this_binary()).arg(&binary).status().unwrap().success());
        mode(&binary, 0o755);
        let mut command = command(&binary, "meet missing rights", folder.path());
        command.uid(65_534).gid(65_534).current_dir("/");
        finish(&mut command)
    } else {
        finish(&mut command(this_binary(), "meet missing rights", folder.path()))
    };
    mode(folder.path(), 0o755);
    mode(&model, 0o755);
    files.iter().for_each(|file| mode(file, 0o644));
    output
}

/// Not a test in itself: what the processes started above do. Without a role there is nothing to do.
#[test]
#[expect(clippy::disallowed_methods, reason = "the role is handed to the process")]
fn child() {
    let (Some(role), Some(root)) = (std::env::var_os(ROLE), std::env::var_os(ROOT)) else { return };
    let registry = Registry::open(Path::new(&root)).unwrap();
    println!();
    match role.to_str().unwrap() {
        "write" => write_for_ever(&registry),
        "register 20" => (0..20).for_each(|_| println!("registered {}", register(&registry, 1_000).unwrap())),
        "write once" => write_once(&registry),
        "check" => drop(check_whole(&registry)),
        "meet a full disk" => meet_a_full_disk(&registry),
        "meet a limit on files" => meet_a_limit(&registry),
        "meet a read-only disk" => {
            meet_refusals(&registry, |error| matches!(error, RegistryError::ReadOnly { .. }));
        }
        "meet missing rights" => {
            meet_refusals(&registry, |error| matches!(error, RegistryError::NoPermission { .. }));
        }
        other => panic!("no such role: {other}"),
    }
    println!("child is done");
}

fn write_for_ever(registry: &Registry) {
    loop {
        write_once(registry);
    }
}

fn write_once(registry: &Registry) {
    println!("begin");
    let version = register(registry, 100_000).unwrap();
    println!("registered {version}");
    println!("begin");
    println!("activated {}", activate(registry, version).unwrap().generation);
    println!("begin");
    let aliases = registry.aliases(&name()).unwrap();
    let versions = registry.versions(&name()).unwrap();
    if let Some(oldest) = versions.into_iter().find(|version| aliases.versions().all(|aliased| aliased != *version)) {
        println!("pruning {oldest}");
        registry.prune(&name(), oldest, event(Action::Prune, oldest)).unwrap();
        println!("pruned {oldest}");
    }
    println!("begin");
    registry.append(&name(), &event(Action::Verify, version)).unwrap();
}

fn is_full(error: &RegistryError) -> bool {
    matches!(error, RegistryError::DiskFull { .. })
}

fn meet_a_full_disk(registry: &Registry) {
    let first = register(registry, 10).unwrap();
    activate(registry, first).unwrap();
    let error = loop {
        if let Err(error) = register(registry, 200_000) {
            break error;
        }
    };
    assert!(is_full(&error), "{error}");
    let before = check_whole(registry);
    assert!(1 < before.0.len());
    // Whatever is left goes too, page by page: then not even an alias can be written.
    let ballast = registry.root().join("ballast");
    let mut filled = 0;
    for index in 0.. {
        if fs::write(registry.root().join(format!("ballast.{index}")), [0; 4096]).is_err() {
            break;
        }
        filled = index;
    }
    let newest = *before.0.last().unwrap();
    let error = activate(registry, newest).unwrap_err();
    assert!(is_full(&error), "{error}");
    let error = register(registry, 10).unwrap_err();
    assert!(is_full(&error), "{error}");
    assert_eq!(check_whole(registry), before);
    // One page at a time comes back: a change that runs out of space half-way is still none, or whole.
    let mut generation = before.1;
    for index in 0..=filled {
        let file = format!("{}.{index}", ballast.display());
        fs::remove_file(file).unwrap();
        generation += u64::from(activate(registry, newest).is_ok());
        assert_eq!(check_whole(registry).1, generation);
    }
    assert!(before.1 < generation);
    register(registry, 10).unwrap();
    check_whole(registry);
}

fn meet_a_limit(registry: &Registry) {
    let first = register(registry, 10).unwrap();
    activate(registry, first).unwrap();
    let before = check_whole(registry);
    let error = register(registry, 1_000_000).unwrap_err();
    assert!(is_full(&error), "{error}");
    assert_eq!(check_whole(registry), before);
    let hidden = fs::read_dir(registry.root().join("flights")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(hidden.filter(|name| name.to_string_lossy().starts_with(".tmp-")).count(), 0);
    // The history is the one file that grows: at the limit an event that does not fit leaves it as it was.
    let mut long = event(Action::Verify, first);
    long.why = Some("x".repeat(2_000));
    let error = loop {
        if let Err(error) = registry.append(&name(), &long) {
            break error;
        }
    };
    assert!(is_full(&error), "{error}");
    assert_eq!(check_whole(registry), before);
}

fn meet_refusals(registry: &Registry, expected: impl Fn(&RegistryError) -> bool) {
    let before = check_whole(registry);
    let first = *before.0.first().unwrap();
    assert_eq!(registry.models().unwrap().models, [name()]);
    let errors = [
        register(registry, 10).unwrap_err(),
        registry.register(&"another".parse().unwrap(), draft(vec![1])).unwrap_err(),
        activate(registry, first).unwrap_err(),
        registry.append(&name(), &event(Action::Verify, first)).unwrap_err(),
    ];
    for error in errors {
        assert!(expected(&error), "{error:?}");
    }
    assert_eq!(check_whole(registry), before);
}
