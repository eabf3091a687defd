//! No version, however hostile, takes the server down: each kind of the corpus is refused with a code and a reason, while
//! live requests are answered and the server's memory stays what it was.

mod folders;
pub(crate) mod graphs;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};

use super::harness::{PREDICT, TOKEN, TestRegistry, body, flight};
use super::process::Process;

const CONNECTIONS: usize = 8;
/// What the server's resident memory may grow by while it refuses the whole corpus.
const GROWTH_BYTES_MAX: f64 = 100e6;

/// A hostile graph, and what must be said of it.
struct Kind {
    name: &'static str,
    bytes: Vec<u8>,
    code: &'static str,
    part: &'static str,
}

/// A server in a process of its own, under load.
struct Target {
    http: String,
    ops: String,
    client: Client,
    stop: AtomicBool,
    answers: AtomicU64,
    failures: AtomicU64,
    /// The most resident memory that was seen, bytes.
    resident_max: AtomicU64,
}

impl Target {
    async fn of(process: &Process) -> Arc<Self> {
        let event = process.wait_for(|event| event["ops_addr"].is_string());
        let address = |name: &str| format!("http://{}", event[name].as_str().unwrap());
        process.wait_for(|event| event["message"] == "ready");
        Arc::new(Self {
            http: address("http_addr"),
            ops: address("ops_addr"),
            client: Client::new(),
            stop: AtomicBool::new(false),
            answers: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            resident_max: AtomicU64::new(0),
        })
    }

    /// Asks for predictions until told to stop, at a pace that leaves the machine room.
    async fn call(self: Arc<Self>) {
        let client = Client::new();
        let sent = json!({ "instances": [flight()] }).to_string();
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        while !self.stop.load(Ordering::Relaxed) {
            pace.tick().await;
            let answer = client.post(format!("{}{PREDICT}", self.http)).body(sent.clone()).send().await;
            let is_whole = match answer {
                Ok(answer) => answer.status() == 200 && answer.bytes().await.is_ok(),
                Err(_) => false,
            };
            let counter = if is_whole { &self.answers } else { &self.failures };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn watch(self: Arc<Self>) {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while !self.stop.load(Ordering::Relaxed) {
            pace.tick().await;
            self.resident_max.fetch_max(self.resident().await, Ordering::Relaxed);
        }
    }

    async fn resident(&self) -> u64 {
        let text = self.client.get(format!("{}/metrics", self.ops)).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).unwrap();
        line.parse().unwrap()
    }

    async fn admin(&self, path: &str, sent: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.client.post(format!("{}/admin/models{path}", self.ops)).bearer_auth(TOKEN);
        let request = request
            .header("content-type", if path.contains(':') { "application/json" } else { "application/octet-stream" });
        let (status, answer) = body(request.body(sent).send().await.unwrap()).await;
        (status.as_u16(), answer)
    }
}

#[track_caller]
fn check(name: &str, (status, answer): &(u16, Value), code: &str, part: &str) {
    assert_eq!((*status, answer["code"].as_str()), (422, Some(code)), "{name}: {answer}");
    assert!(answer["error"].as_str().unwrap().contains(part), "{name}: expected {part:?} in {answer}");
}

/// The sample registry with the corpus as further versions of `flights`; gives back number, name, code and part of each.
fn corpus(registry: &TestRegistry) -> Vec<(u64, &'static str, &'static str, &'static str)> {
    let folder = |number: u64| registry.file(&format!("flights/{number}"));
    let mut cases = Vec::new();
    let mut number = 100;
    for Kind { name, bytes, code, part } in graphs::all() {
        number += 1;
        std::fs::create_dir(folder(number)).unwrap();
        std::fs::write(folder(number).join("model.onnx"), bytes).unwrap();
        cases.push((number, name, code, part));
    }
    for case in folders::all() {
        number += 1;
        copy(&folder(2), &folder(number));
        (case.harm)(&folder(number));
        cases.push((number, case.name, case.code, case.part));
    }
    cases
}

/// Copies a version; the copies can be written to.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::write(to.join(entry.file_name()), std::fs::read(entry.path()).unwrap()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_version_is_refused_with_its_reason_while_live_requests_are_answered() {
    let registry = TestRegistry::flights();
    let cases = corpus(&registry);
    assert!(25 <= cases.len());
    let limits = ["--verify-memory-max", "256MiB", "--verify-cpu-max", "2s", "--verify-timeout", "60s"];
    let mut process = Process::start(&registry, &limits);
    let target = Target::of(&process).await;
    let mut tasks: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(Arc::clone(&target).call())).collect();
    let before = target.resident().await;
    tasks.push(tokio::spawn(Arc::clone(&target).watch()));
    for (number, name, code, part) in &cases {
        let answer = target.admin("/flights:activate", json!({ "version": number }).to_string()).await;
        check(name, &answer, code, part);
    }
    // The same graphs as uploads: nothing of them stays.
    for kind in graphs::all() {
        let answer = target.admin("/uploaded/versions", kind.bytes).await;
        check(kind.name, &answer, kind.code, kind.part);
    }
    assert!(!registry.file("uploaded").exists());
    target.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let (answers, failures) = (target.answers.load(Ordering::Relaxed), target.failures.load(Ordering::Relaxed));
    assert!(500 < answers && failures == 0, "{answers} answers, {failures} failures");
    #[expect(clippy::cast_precision_loss, reason = "no server has 2^53 bytes")]
    let growth = target.resident_max.load(Ordering::Relaxed) as f64 - before as f64;
    assert!(growth < GROWTH_BYTES_MAX, "the server's memory grew by {growth} bytes");
    assert!(process.child.try_wait().unwrap().is_none(), "the server ended");
    let history = std::fs::read_to_string(registry.file("flights/history.jsonl")).unwrap();
    assert_eq!(history.matches(r#""outcome":"refused""#).count(), cases.len());
}
