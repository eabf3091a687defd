//! A swap is free: under constant load no request fails, no answer mixes versions, and memory stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{PREDICT, TOKEN, TestRegistry, TestServer, flight};
use super::process::Process;

const CONNECTIONS: usize = 64;
const SWAPS: u64 = 200;

/// The versions that may answer, as a range of swaps: swap `n` makes version `1 + n % 2` the champion.
#[derive(Default)]
struct Clock {
    /// Activations that have been asked for.
    asked: AtomicU64,
    /// Activations that have been answered.
    answered: AtomicU64,
}

impl Clock {
    /// Whether `version` was champion at some moment after `from` swaps had been answered and before `to` had been asked.
    fn was_active(from: u64, to: u64, version: u64) -> bool {
        (from..=to).any(|swap| 1 + swap % 2 == version)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_swaps_under_load_fail_no_request_and_mix_no_answer() {
    let server = Arc::new(TestRegistry::flights().serve().await);
    let expected = Arc::new([probability(&server, 1).await, probability(&server, 2).await]);
    assert!((expected[0] - expected[1]).abs() > 1e-4, "the versions must differ for a mixed answer to show");
    server.activate("flights", 1).await;
    let clock = Arc::new(Clock::default());
    let stop = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(call(Arc::clone(&server), Arc::clone(&expected), Arc::clone(&clock), Arc::clone(&stop))))
        .collect();
    for swap in 1..=SWAPS {
        swap_to(&server, &clock, swap).await;
    }
    stop.store(1, Ordering::Relaxed);
    let mut answers = 0;
    for caller in callers {
        answers += caller.await.unwrap();
    }
    assert!(answers > 1_000, "only {answers} answers: there was no load");
    let swaps = server.metric(r#"gudgeon_swaps_total{model="flights",result="ok"}"#).await;
    assert!(swaps >= 200.0, "{swaps} swaps");
}

/// In a process of its own: other tests take memory too.
#[tokio::test]
async fn memory_does_not_grow_with_the_swaps() {
    let registry = TestRegistry::flights();
    let process = Process::start(&registry, &[]);
    let ops = process.wait_for(|event| event["ops_addr"].is_string())["ops_addr"].as_str().unwrap().to_owned();
    process.wait_for(|event| event["message"] == "ready");
    let client = reqwest::Client::new();
    let swap = async |swap: u64| {
        let request = client.post(format!("http://{ops}/admin/models/flights:activate")).bearer_auth(TOKEN);
        let response = request.json(&json!({ "version": 1 + swap % 2 })).send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    };
    let resident_kib = || -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    };
    for number in 1..=20 {
        swap(number).await;
    }
    let before = resident_kib();
    for number in 21..=SWAPS {
        swap(number).await;
    }
    let after = resident_kib();
    assert!(after <= before * 1.10, "memory grew from {before} to {after} KiB");
}

async fn swap_to(server: &TestServer, clock: &Clock, swap: u64) {
    clock.asked.store(swap, Ordering::SeqCst);
    let (status, answer) = server.activate("flights", 1 + swap % 2).await;
    assert!(status.is_success(), "{answer}");
    clock.answered.store(swap, Ordering::SeqCst);
}

/// Asks until told to stop; every answer must be whole and by a version that was active meanwhile.
async fn call(server: Arc<TestServer>, expected: Arc<[f64; 2]>, clock: Arc<Clock>, stop: Arc<AtomicUsize>) -> usize {
    let body = json!({ "instances": [flight()] }).to_string();
    let mut answers = 0;
    while stop.load(Ordering::Relaxed) == 0 {
        let from = clock.answered.load(Ordering::SeqCst);
        let response = server.post(PREDICT, body.clone()).await;
        assert_eq!(response.status(), 200);
        let version: u64 = response.headers()["x-model-version"].to_str().unwrap().parse().unwrap();
        let answer: Value = response.json().await.unwrap();
        let to = clock.asked.load(Ordering::SeqCst);
        assert!(Clock::was_active(from, to, version), "version {version} was not active between swaps {from} and {to}");
        assert_eq!(answer["model_version"], version.to_string());
        let got = answer["predictions"][0]["probabilities"]["late"].as_f64().unwrap();
        let want = expected[usize::try_from(version).unwrap() - 1];
        assert!((got - want).abs() < 1e-6, "version {version} answered {got}, expected {want}");
        answers += 1;
    }
    answers
}

async fn probability(server: &TestServer, version: u64) -> f64 {
    let (status, answer) = server.activate("flights", version).await;
    assert!(status.is_success(), "{answer}");
    let body = json!({ "instances": [flight()] }).to_string();
    let answer: Value = server.post(PREDICT, body).await.json().await.unwrap();
    answer["predictions"][0]["probabilities"]["late"].as_f64().unwrap()
}

#[tokio::test]
async fn a_retired_version_leaves_memory_after_its_last_request() {
    let registry = TestRegistry::flights().with_case("iris", 1, "iris_rf100").with_case("iris", 2, "iris_logreg");
    let registry = registry.with_case("iris", 3, "iris_rf100");
    let server = registry.serve().await;
    for version in 1..=3 {
        let (status, answer) = server.activate("iris", version).await;
        assert!(status.is_success(), "{answer}");
    }
    // Champion and previous stay; the one before them goes.
    for _ in 0..100 {
        if server.metric(r#"gudgeon_loaded_versions{model="iris"}"#).await < 2.5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!((server.metric(r#"gudgeon_loaded_versions{model="iris"}"#).await - 2.0).abs() < 0.1);
    assert!(!server.metrics().await.contains(r#"gudgeon_model_bytes{model="iris",version="1"}"#));
    server.stop().await;
}
