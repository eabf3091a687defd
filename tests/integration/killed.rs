//! Whoever works on a registry may be killed at any moment, and leave torn files behind: a server, the child that opens a
//! version, a command. The registry opens with the old state or the new one, and the server comes back serving what it says.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gudgeon::model::{ModelName, Version};
use gudgeon::registry::{Action, Outcome, Registry};
use reqwest::{Client, StatusCode};
use serde_json::json;

use super::harness::{TOKEN, TestRegistry, repository};
use super::process::Process;

/// Registries that are worked on at the same time.
const YARDS: u64 = 4;
/// Kills in each of them: 500 in all.
const KILLS: u64 = 125;

/// Pseudo-random numbers (splitmix64), the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What is there of the model at one moment.
struct State {
    versions: Vec<Version>,
    champion: Version,
    /// Activations and roll backs that were done.
    n_swaps: usize,
    n_registered: usize,
}

/// A registry with one model, its server, and who kills it.
struct Yard {
    registry: TestRegistry,
    at_rest: Registry,
    name: ModelName,
    server: Option<Server>,
    random: Random,
    /// Children that were killed.
    n_children: usize,
}

struct Server {
    process: Process,
    http: String,
    ops: String,
    /// A connection of a server that was killed is no connection of the next one.
    client: Client,
}

/// What a caller has answers for.
#[derive(Debug, Default, Clone, Copy)]
struct Answered {
    n_swaps: usize,
    n_registered: usize,
}

fn graph() -> PathBuf {
    repository("tests/cases/models/iris_logreg/model.onnx")
}

async fn pause(time: Duration) {
    // Any moment will do, so there is nothing to wait for.
    drop(tokio::time::timeout(time, std::future::pending::<()>()).await);
}

impl Yard {
    fn new(seed: u64) -> Self {
        let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg").with_case("iris", 2, "iris_rf100");
        std::fs::write(registry.file("iris/aliases.json"), r#"{"generation": 1, "champion": 1}"#).unwrap();
        let at_rest = Registry::open(registry.path()).unwrap();
        Self { registry, at_rest, name: "iris".parse().unwrap(), server: None, random: Random(seed), n_children: 0 }
    }

    /// The state at rest: whole, whatever was killed.
    #[track_caller]
    fn state(&self) -> State {
        let model = self.at_rest.model(&self.name).unwrap();
        for &version in &model.versions {
            self.at_rest.read(&self.name, version).unwrap();
        }
        let champion = model.aliases.champion.unwrap();
        assert!(model.aliases.versions().all(|version| model.versions.contains(&version)), "{:?}", model.aliases);
        let history = self.at_rest.history(&self.name).unwrap();
        assert_eq!(history.n_unreadable, 0);
        let done = |actions: &[Action]| {
            let is_it = |action| actions.contains(action);
            history.events.iter().filter(|event| event.outcome == Outcome::Ok && is_it(&event.action)).count()
        };
        State {
            versions: model.versions,
            champion,
            n_swaps: done(&[Action::Activate, Action::Rollback]),
            n_registered: done(&[Action::Register]),
        }
    }

    /// The server, started where there is none: it serves what the registry says.
    async fn server(&mut self) -> (String, Client) {
        if self.server.is_none() {
            let process = Process::start(&self.registry, &[]);
            let event = process.wait_for(|event| event["http_addr"].is_string());
            let url = |key: &str| format!("http://{}", event[key].as_str().unwrap());
            let (http, ops) = (url("http_addr"), url("ops_addr"));
            process.wait_for(|event| event["message"] == "ready");
            self.server = Some(Server { process, http, ops, client: Client::new() });
        }
        let champion = self.state().champion;
        let server = self.server.as_ref().unwrap();
        let request = server.client.post(format!("{}/v1/models/iris:predict", server.http));
        let response = request.body(json!({ "instances": [[5.1, 3.5, 1.4, 0.2]] }).to_string()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["x-model-version"].to_str().unwrap(), champion.to_string());
        (server.ops.clone(), server.client.clone())
    }

    fn moment(&mut self, millis_max: u64) -> Duration {
        Duration::from_micros(self.random.below(millis_max * 1_000))
    }

    /// The server is killed while it is asked for one thing after the other.
    async fn kill_server(&mut self) {
        let (ops, client) = self.server().await;
        let before = self.state();
        let asking = tokio::spawn(ask(ops, client, Random(self.random.below(u64::MAX)), Arc::default()));
        pause(self.moment(150)).await;
        let Server { mut process, .. } = self.server.take().unwrap();
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        let answered = asking.await.unwrap();
        self.tear();
        let after = self.state();
        let swaps = after.n_swaps - before.n_swaps;
        let registered = after.n_registered - before.n_registered;
        // No answered change is lost, and one at most has no answer.
        let answers = answered.n_swaps + answered.n_registered;
        assert!(
            answered.n_swaps <= swaps && answered.n_registered <= registered,
            "{answered:?}, {swaps}, {registered}"
        );
        assert!(swaps + registered <= answers + 1, "{answered:?}, {swaps}, {registered}");
    }

    /// What an unfinished write leaves on a disk that forgot its end: a line, a folder, a file under a temporary name.
    fn tear(&mut self) {
        let model = self.registry.file("iris");
        if self.random.below(2) == 0 {
            let line = std::fs::read(model.join("history.jsonl")).unwrap_or_default();
            let line = line.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or_default();
            let length = usize::try_from(self.random.below(line.len() as u64 + 1)).unwrap();
            if length < line.len() && !model.join(".pending.json").exists() {
                let mut history = std::fs::OpenOptions::new().append(true).open(model.join("history.jsonl")).unwrap();
                std::io::Write::write_all(&mut history, &line[..length]).unwrap();
            }
        }
        if self.random.below(2) == 0 {
            let folder = model.join(format!(".tmp-{:032x}", self.random.below(u64::MAX)));
            std::fs::create_dir(&folder).unwrap();
            let bytes = std::fs::read(graph()).unwrap();
            std::fs::write(folder.join("model.onnx"), &bytes[..bytes.len() / 2]).unwrap();
        }
        if self.random.below(2) == 0 {
            std::fs::write(model.join(".aliases.json.tmp"), r#"{"generation": 99, "cham"#).unwrap();
        }
    }

    /// A child of the server is killed while it opens a version: one operation fails, and nothing else happens.
    async fn kill_child(&mut self) {
        let (ops, client) = self.server().await;
        let server = self.server.as_ref().unwrap().process.child.id();
        let stop = Arc::new(AtomicBool::new(false));
        let asking = tokio::spawn(ask(ops, client, Random(self.random.below(u64::MAX)), Arc::clone(&stop)));
        pause(self.moment(20)).await;
        let end = Instant::now() + Duration::from_secs(2);
        let mut is_killed = false;
        while !is_killed && Instant::now() < end {
            is_killed = kill_a_child_of(server);
            pause(Duration::from_millis(1)).await;
        }
        self.n_children += usize::from(is_killed);
        stop.store(true, Ordering::Relaxed);
        asking.await.unwrap();
        self.server().await;
    }

    /// A command is killed while it works on the registry.
    async fn kill_command(&mut self) {
        let before = self.state();
        let newest = before.versions.iter().max().unwrap().to_string();
        let file = graph();
        let arguments: Vec<&str> = match self.random.below(3) {
            0 => vec!["register", file.to_str().unwrap(), "--model", "iris"],
            1 => vec!["verify", "iris", &newest],
            _ => vec!["prune", "iris", "--keep", "3"],
        };
        let mut command = start(&arguments, self.registry.path());
        pause(self.moment(80)).await;
        command.kill().unwrap();
        command.wait().unwrap();
        let after = self.state();
        assert!(after.n_registered - before.n_registered <= 1 && after.n_swaps == before.n_swaps);
    }
}

fn start(arguments: &[&str], models: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gudgeon"));
    command.args(arguments).arg("--models").arg(models).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills the newest process that `parent` has started; false where there is none.
fn kill_a_child_of(parent: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<i32> =
        children.flat_map(|text| text.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
    let Some(pid) = pids.into_iter().max().and_then(rustix::process::Pid::from_raw) else { return false };
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok()
}

/// Asks for one change after the other until the server is gone or `stop` is set; gives back what was answered.
async fn ask(ops: String, client: Client, mut random: Random, stop: Arc<AtomicBool>) -> Answered {
    let mut answered = Answered::default();
    let bytes = std::fs::read(graph()).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let post = |path: &str| client.post(format!("{ops}/admin/models/iris{path}")).bearer_auth(TOKEN);
        let kind = random.below(5);
        let request = match kind {
            0 => post("/versions").body(bytes.clone()),
            1 => post(&format!("/versions/{}:verify", 1 + random.below(2))),
            2 => post(":rollback"),
            3 => post(":prune").json(&json!({ "keep": 3 })),
            _ => post(":activate").json(&json!({ "version": 1 + random.below(2) })),
        };
        let Ok(response) = request.send().await else { break };
        let status = response.status();
        let Ok(text) = response.text().await else { break };
        // A roll back may have nothing to go to, a version may be gone, a child may have been killed.
        let is_refusal = ["nothing_to_roll_back_to", "unknown_version", "model_crashed", "verify_failed"];
        assert!(status.is_success() || is_refusal.iter().any(|code| text.contains(code)), "{kind}: {status} {text}");
        answered.n_registered += usize::from(status == StatusCode::CREATED);
        answered.n_swaps += usize::from(text.contains("\"changed\":true"));
    }
    answered
}

/// Kills in one registry; gives back how many swaps were done in it, and how many children were killed.
async fn work(seed: u64) -> [usize; 2] {
    let mut yard = Yard::new(seed);
    for kill in 0..KILLS {
        match kill % 5 {
            0 | 1 => yard.kill_server().await,
            2 => yard.kill_child().await,
            _ => yard.kill_command().await,
        }
    }
    // Whoever writes next clears what the dead ones left.
    yard.server().await;
    let arguments = ["register", graph().to_str().unwrap(), "--model", "iris"].map(str::to_owned);
    let status = start(&arguments.each_ref().map(String::as_str), yard.registry.path()).wait().unwrap();
    assert!(status.success());
    let left = std::fs::read_dir(yard.registry.file("iris")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with(".tmp-")).collect();
    assert!(left.is_empty(), "{left:?}");
    [yard.state().n_swaps, yard.n_children]
}

#[test]
fn five_hundred_kills_leave_the_old_state_or_the_new_and_the_server_serves_what_the_registry_says() {
    let yards = (0..YARDS).map(|seed| {
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(work(seed))
        })
    });
    let yards: Vec<_> = yards.collect();
    let done: Vec<_> = yards.into_iter().map(|yard| yard.join().unwrap()).collect();
    let [n_swaps, n_children] = [0, 1].map(|place| done.iter().map(|done| done[place]).sum::<usize>());
    assert!(20 < n_swaps && 50 < n_children, "{n_swaps} swaps, {n_children} children: there was nothing to kill");
    println!("{n_swaps} swaps, {n_children} children killed");
}
