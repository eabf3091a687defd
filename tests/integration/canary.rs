//! Challengers on live requests: a bad one is found and taken back by itself, a good one goes all the way.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::{PREDICT, TestRegistry, TestServer, body, flight, gudgeon, python, repository};

/// Steps short enough for a test; a new champion is not watched.
const STEPS: &str = r#"
[rollout]
watch_after = "0s"
[[rollout.step]]
mode = "shadow"
share = 1.0
rows_min = 100
[[rollout.step]]
mode = "canary"
share = 0.2
rows_min = 50
[[rollout.step]]
mode = "canary"
share = 0.6
rows_min = 50
"#;
const N_ROWS: u32 = 200;

/// The sample registry with `flights` version 3: version 2 again, its graph changed by tests/python/challenger.py.
fn with_challenger(kind: &str) -> TestRegistry {
    let registry = TestRegistry::flights();
    let (from, to) = (registry.file("flights/2"), registry.file("flights/3"));
    std::fs::create_dir(&to).unwrap();
    std::fs::copy(from.join("profile.json"), to.join("profile.json")).unwrap();
    let model = to.join("model.onnx");
    if kind == "good" {
        std::fs::copy(from.join("model.onnx"), &model).unwrap();
    } else {
        let script = repository("tests/python/challenger.py");
        let made =
            Command::new(python()).arg(script).arg(kind).arg(from.join("model.onnx")).arg(&model).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    let mut manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(from.join("manifest.json")).unwrap()).unwrap();
    let bytes = std::fs::read(&model).unwrap();
    let files = manifest["files"].as_object_mut().unwrap();
    // The golden cases are those of version 2, and would give a bad one away before it is tried.
    files.remove("golden.json");
    files.remove("evaluation.json");
    files["model.onnx"] = json!({ "sha256": gudgeon::model::Digest::of(&bytes).to_string(), "bytes": bytes.len() });
    std::fs::write(to.join("manifest.json"), manifest.to_string()).unwrap();
    std::fs::write(registry.file("flights/model.toml"), STEPS).unwrap();
    registry
}

/// Flights that differ, half of them of 1,000 miles and more.
fn rows() -> Vec<Value> {
    let carriers = ["UA", "DL", "AA", "B6", "EV"];
    let row = |number: u32| {
        let mut row = flight();
        row["carrier"] = json!(carriers[number as usize % carriers.len()]);
        row["hour"] = json!(5 + number % 19);
        row["distance"] = json!(if number.is_multiple_of(2) { 300 + number } else { 1_200 + number });
        row["temp"] = json!(f64::from(20 + number % 70));
        row
    };
    (0..N_ROWS).map(row).collect()
}

fn late(answer: &Value) -> Vec<f64> {
    let rows = answer["predictions"].as_array().unwrap_or_else(|| panic!("{answer}"));
    rows.iter().map(|row| row["probabilities"]["late"].as_f64().unwrap()).collect()
}

/// Asks about flights one after the other, and holds every answer against what its version says of that flight.
struct Caller<'a> {
    server: &'a TestServer,
    rows: Vec<Value>,
    champion: Vec<f64>,
    is_permuted: bool,
    turn: usize,
    answers: BTreeMap<u64, usize>,
}

impl<'a> Caller<'a> {
    async fn new(server: &'a TestServer, kind: &str) -> Self {
        let rows = rows();
        let (status, answer) =
            body(server.post("/v1/models/flights/versions/2:predict", json!({ "instances": rows }).to_string()).await)
                .await;
        assert_eq!(status, 200, "{answer}");
        let champion = late(&answer);
        Self { server, rows, champion, is_permuted: kind == "permuted", turn: 0, answers: BTreeMap::new() }
    }

    /// One request; gives back the version that answered.
    async fn ask(&mut self, key: Option<&str>) -> u64 {
        let at = self.turn % self.rows.len();
        self.turn += 1;
        let mut request = self.server.client.post(format!("{}{PREDICT}", self.server.http));
        if let Some(key) = key {
            request = request.header("x-gudgeon-key", key);
        }
        let response = request.body(json!({ "instances": [self.rows[at]] }).to_string()).send().await.unwrap();
        let version = response.headers()["x-model-version"].to_str().unwrap().to_owned();
        let (status, answer) = body(response).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["model_version"], version.as_str());
        let got = late(&answer)[0];
        let version: u64 = version.parse().unwrap();
        let want = if version == 3 && self.is_permuted { 1.0 - self.champion[at] } else { self.champion[at] };
        assert!((got - want).abs() < 1e-5, "version {version} answered {got} to flight {at}, expected {want}");
        *self.answers.entry(version).or_default() += 1;
        version
    }

    /// Asks on until `is_over` says so of the challenger's status.
    async fn ask_until(&mut self, is_over: impl Fn(u16, &Value) -> bool) -> Value {
        let begun = Instant::now();
        let mut last = Value::Null;
        while begun.elapsed() < Duration::from_secs(90) {
            for _ in 0..20 {
                self.ask(None).await;
            }
            let (status, answer) = self.server.admin_get("/models/flights/challenger").await;
            if is_over(status.as_u16(), &answer) {
                return answer;
            }
            last = answer;
        }
        panic!("it did not come to that: {last:#}");
    }

    fn answered(&self, version: u64) -> usize {
        self.answers.get(&version).copied().unwrap_or_default()
    }
}

async fn challenge(server: &TestServer, asked: Value) {
    let (status, answer) = server.admin_post("/models/flights:challenge", asked).await;
    assert_eq!(status, 200, "{answer}");
}

async fn events(server: &TestServer) -> Vec<Value> {
    let (_, history) = server.admin_get("/models/flights/history").await;
    history["events"].as_array().unwrap().clone()
}

/// Waits until rollouts have done `step` so often: they count it after it can be seen.
async fn until_steps(server: &TestServer, step: &str, n: f64) {
    let begun = Instant::now();
    let series = format!(r#"gudgeon_rollout_steps_total{{model="flights",step="{step}"}}"#);
    while (server.metric(&series).await - n).abs() > 0.1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{series} does not come to {n}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Tries a bad challenger and expects it to be taken back by itself, with `reason` in the history.
async fn is_found(kind: &str, asked: Value, reason: &str) {
    let is_canary = asked["mode"] == "canary";
    let server = with_challenger(kind).serve().await;
    let mut caller = Caller::new(&server, kind).await;
    challenge(&server, asked).await;
    caller.ask_until(|status, _| status == 404).await;
    assert!(is_canary || caller.answered(3) == 0, "a shadow answered");
    assert!(0 < caller.answered(2), "the champion answers");
    let last = events(&server).await.pop().unwrap();
    assert_eq!(
        (&last["action"], &last["version"], &last["who"]),
        (&json!("withdraw"), &json!(3), &json!("gudgeon rollout"))
    );
    let why = last["why"].as_str().unwrap();
    assert!(why.starts_with("rolled back automatically: ") && why.contains(reason), "{why}");
    let (_, model) = server.admin_get("/models/flights").await;
    assert_eq!(model["champion"], 2, "{model}");
    until_steps(&server, "rollback", 1.0).await;
    for _ in 0..50 {
        assert_eq!(caller.ask(None).await, 2);
    }
    // The comparison's thread lets go within a run; then its series go.
    let begun = Instant::now();
    while server.metrics().await.contains("gudgeon_shadow_requests_total{") {
        assert!(begun.elapsed() < Duration::from_secs(20), "the series of the challenger stay");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_challenger_with_permuted_labels_is_found_in_shadow() {
    is_found("permuted", json!({ "version": 3, "rollout": true }), "disagreement: ").await;
}

#[tokio::test]
async fn a_slow_challenger_is_found_in_shadow() {
    is_found("slow", json!({ "version": 3, "rollout": true }), "latency: ").await;
}

#[tokio::test]
async fn a_failing_challenger_is_found_in_shadow() {
    is_found("failing", json!({ "version": 3, "rollout": true }), "errors: failed on ").await;
}

#[tokio::test]
async fn a_challenger_with_permuted_labels_is_found_as_a_canary() {
    is_found("permuted", json!({ "version": 3, "mode": "canary", "share": 0.3 }), "disagreement: ").await;
}

#[tokio::test]
async fn a_slow_challenger_is_found_as_a_canary() {
    is_found("slow", json!({ "version": 3, "mode": "canary", "share": 0.3 }), "latency: ").await;
}

#[tokio::test]
async fn a_failing_challenger_is_found_as_a_canary_and_the_champion_answers_instead() {
    is_found("failing", json!({ "version": 3, "mode": "canary", "share": 0.3 }), "errors: failed on ").await;
}

#[tokio::test]
async fn a_good_challenger_goes_from_shadow_to_canary_to_champion_without_a_hand() {
    let server = with_challenger("good").serve().await;
    let mut caller = Caller::new(&server, "good").await;
    challenge(&server, json!({ "version": 3, "rollout": true, "reason": "a test" })).await;
    caller.ask_until(|status, _| status == 404).await;
    let (_, model) = server.admin_get("/models/flights").await;
    assert_eq!((&model["champion"], &model["previous"]), (&json!(3), &json!(2)), "{model}");
    assert!(0 < caller.answered(3) && 0 < caller.answered(2));
    let events = events(&server).await;
    let told: Vec<_> = events[events.len() - 4..].iter().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["challenge", "advance", "advance", "activate"]);
    let why = events.last().unwrap()["why"].as_str().unwrap();
    assert!(why.starts_with("step 3 of 3 passed with ") && why.contains("agree with the champion"), "{why}");
    until_steps(&server, "advance", 2.0).await;
    until_steps(&server, "activate", 1.0).await;
    assert_eq!(caller.ask(None).await, 3);
    assert!(server.metric(r#"gudgeon_challenger_version{model="flights"}"#).await.abs() < 0.1);
    server.stop().await;
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_rollout_goes_on_with_it() {
    let registry = with_challenger("good");
    let shadow_alone = STEPS.replacen("rows_min = 50", "rows_min = 1000000", 1);
    std::fs::write(registry.file("flights/model.toml"), shadow_alone).unwrap();
    let server = registry.serve().await;
    let mut caller = Caller::new(&server, "good").await;
    challenge(&server, json!({ "version": 3, "rollout": true })).await;
    let before =
        caller.ask_until(|_, status| status["challenge"]["step"] == 2 && 0 < status["rows"].as_u64().unwrap()).await;
    assert_eq!(before["challenge"]["mode"], "canary");
    assert!(before["next"].as_str().unwrap().contains("of 1000000 rows compared"), "{before}");
    let registry = Arc::clone(&server.registry);
    server.stop().await;
    std::fs::write(registry.file("flights/model.toml"), STEPS).unwrap();
    let server = TestServer::start(registry, |_| {}).await;
    let (_, after) = server.admin_get("/models/flights/challenger").await;
    assert_eq!(after["challenge"]["since"], before["challenge"]["since"], "{after}");
    let mut caller = Caller::new(&server, "good").await;
    caller.ask_until(|status, _| status == 404).await;
    until_steps(&server, "activate", 1.0).await;
    assert_eq!(caller.ask(None).await, 3, "it went on to the end");
    server.stop().await;
}

/// Which of so many keys the challenger answers.
async fn canary_keys(caller: &mut Caller<'_>, n_keys: usize) -> Vec<usize> {
    let mut keys = Vec::new();
    for key in 0..n_keys {
        if caller.ask(Some(&format!("user-{key}"))).await == 3 {
            keys.push(key);
        }
    }
    keys
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
#[track_caller]
fn is_binomial(n: usize, of: usize, share: f64) {
    let (mean, deviation) = (of as f64 * share, (of as f64 * share * (1.0 - share)).sqrt());
    assert!((n as f64 - mean).abs() <= 4.0 * deviation, "{n} of {of} at a share of {share}");
}

#[tokio::test]
async fn a_key_stays_with_its_version_and_a_larger_share_keeps_the_keys_of_a_smaller_one() {
    let server = with_challenger("good").serve().await;
    let mut caller = Caller::new(&server, "good").await;
    let mut smaller = Vec::new();
    for share in [0.1, 0.4, 1.0] {
        challenge(&server, json!({ "version": 3, "mode": "canary", "share": share })).await;
        let keys = canary_keys(&mut caller, 500).await;
        is_binomial(keys.len(), 500, share);
        assert_eq!(keys, canary_keys(&mut caller, 500).await, "a key changed its version");
        assert!(smaller.iter().all(|key| keys.contains(key)), "a key was lost at {share}");
        smaller = keys;
    }
    challenge(&server, json!({ "version": 3, "mode": "canary", "share": 0.3 })).await;
    let before = caller.answered(3);
    for _ in 0..1_000 {
        caller.ask(None).await;
    }
    is_binomial(caller.answered(3) - before, 1_000, 0.3);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_names_a_version_is_answered_by_it_and_both_faces_are_routed() {
    let server = with_challenger("good").serve().await;
    challenge(&server, json!({ "version": 3, "mode": "canary", "share": 1.0 })).await;
    let asked = json!({ "instances": [flight()] }).to_string();
    for (path, version) in [
        (PREDICT, "3"),
        ("/v1/models/flights/versions/2:predict", "2"),
        ("/v1/models/flights/labels/champion:predict", "2"),
        ("/v1/models/flights/labels/challenger:predict", "3"),
        ("/v1/models/flights/versions/3:predict", "3"),
    ] {
        let response = server.post(path, asked.clone()).await;
        assert_eq!(response.headers()["x-model-version"], version, "{path}");
    }
    let text = |name: &str, value: &str| json!({ "name": name, "datatype": "BYTES", "shape": [1, 1], "data": [value] });
    let number = |name: &str| json!({ "name": name, "datatype": "FP32", "shape": [1, 1], "data": [500] });
    let inputs = [
        text("carrier", "UA"),
        text("origin", "EWR"),
        text("dest", "IAH"),
        text("weekday", "Tue"),
        number("hour"),
        number("distance"),
    ];
    let response = server.post("/v2/models/flights/infer", json!({ "inputs": inputs }).to_string()).await;
    let (status, answer) = body(response).await;
    assert_eq!((status.as_u16(), &answer["model_version"]), (200, &json!("3")), "{answer}");
    // What the champion would refuse too is the caller's own fault, and nobody else's.
    let (status, answer) = body(server.post(PREDICT, r#"{"instances":[{"carrier":5}]}"#).await).await;
    assert_eq!((status.as_u16(), &answer["code"]), (422, &json!("bad_input")), "{answer}");
    let (_, status) = server.admin_get("/models/flights/challenger").await;
    assert_eq!((&status["canary"]["rescued"], &status["canary"]["failed"]), (&json!(0), &json!(0)), "{status}");
    server.stop().await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the command is waited for beside the server that it speaks to")]
async fn a_person_begins_looks_and_withdraws_by_the_command_line() {
    let server = with_challenger("good").serve().await;
    let token = server.registry.file(".token");
    let run = |arguments: &[&str]| {
        let admin = ["--url", &server.ops, "--admin-token-file", token.to_str().unwrap()];
        let arguments: Vec<String> = arguments.iter().chain(&admin).map(|&text| text.to_owned()).collect();
        tokio::task::spawn_blocking(move || gudgeon(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let (code, _, error) = run(&["challenge", "flights", "2"]).await.unwrap();
    assert_eq!(code, 2);
    assert!(error.contains("version 2 is the champion"), "{error}");
    let (code, out, error) = run(&["challenge", "flights", "3", "--mode", "canary", "--share", "10%"]).await.unwrap();
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("flights version 3 is the challenger: canary with 10% of the requests"), "{out}");
    let (_, _, error) = run(&["challenge", "flights", "1"]).await.unwrap();
    assert!(error.contains("version 3 is the challenger already"), "{error}");
    let (code, out, _) = run(&["challenger", "flights"]).await.unwrap();
    assert_eq!(code, 0);
    assert!(
        out.contains("flights version 3 against version 2: canary with 10%") && out.contains("next: waits: "),
        "{out}"
    );
    let (code, out, _) = run(&["withdraw", "flights", "--reason", "enough seen"]).await.unwrap();
    assert_eq!((code, out.trim()), (0, "flights version 3 is the challenger no more"));
    let (code, _, error) = run(&["challenger", "flights"]).await.unwrap();
    assert_eq!(code, 2);
    assert!(error.contains("has no challenger"), "{error}");
    let last = events(&server).await.pop().unwrap();
    assert_eq!((&last["action"], &last["why"]), (&json!("withdraw"), &json!("enough seen")));
    server.stop().await;
}

/// A new champion that is bad goes back to the one before, while it is watched.
async fn goes_back(kind: &str, reason: &str) {
    let registry = with_challenger(kind);
    std::fs::write(registry.file("flights/model.toml"), "[rollout]\nwatch_after = \"10m\"\n").unwrap();
    let server = registry.serve().await;
    let ask = async |n: usize| {
        let asked: Vec<Value> = rows();
        for row in asked.iter().cycle().take(n) {
            server.post(PREDICT, json!({ "instances": [row] }).to_string()).await;
        }
    };
    ask(300).await;
    let (status, answer) = server.activate("flights", 3).await;
    assert_eq!(status, 200, "{answer}");
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(60), "version 3 stays the champion");
        ask(20).await;
        let last = events(&server).await.pop().unwrap();
        if last["action"] == "rollback" {
            let why = last["why"].as_str().unwrap();
            assert!(why.starts_with("rolled back automatically: ") && why.contains(reason), "{why}");
            break;
        }
    }
    let (_, model) = server.admin_get("/models/flights").await;
    assert_eq!(model["champion"], 2, "{model}");
    server.stop().await;
}

#[tokio::test]
async fn a_new_champion_that_fails_goes_back_to_the_one_before() {
    goes_back("failing", "errors: the new champion failed on ").await;
}

#[tokio::test]
async fn a_new_champion_that_is_slow_goes_back_to_the_one_before() {
    goes_back("slow", "latency: the new champion takes ").await;
}

/// Copies are dropped before anything else suffers: all of them while other requests wait.
#[tokio::test(flavor = "multi_thread")]
async fn under_load_copies_are_dropped_and_no_request_is() {
    let registry = with_challenger("slow");
    // Nothing decides: the load goes on.
    let limits = "[rollout.conditions]\nlatency_ratio_max = 100000.0\n";
    std::fs::write(registry.file("flights/model.toml"), limits).unwrap();
    let server = Arc::new(registry.serve_with(|config| config.compute_threads = 1).await);
    challenge(&server, json!({ "version": 3, "mode": "shadow", "share": 1.0 })).await;
    let asked = Arc::new(json!({ "instances": rows() }).to_string());
    let callers: Vec<_> = (0..32)
        .map(|_| {
            let (server, asked) = (Arc::clone(&server), Arc::clone(&asked));
            tokio::spawn(async move {
                for _ in 0..20 {
                    let response = server.post(PREDICT, asked.as_str().to_owned()).await;
                    assert_eq!(response.status(), 200);
                    assert_eq!(response.headers()["x-model-version"], "2");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let (_, status) = server.admin_get("/models/flights/challenger").await;
    let dropped = status["requests"]["dropped"].as_u64().unwrap();
    assert!(64 < dropped, "{status:#}");
    let series = r#"gudgeon_shadow_requests_total{model="flights",outcome="dropped",version="3"}"#;
    assert!(64.0 < server.metric(series).await);
}
