//! Aliases in the registry are the desired state: every server on it comes to serve what they say, or says why it does not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gudgeon::registry::{Action, Actor, Aliases, Call, Event, Outcome, Registry, now};
use serde_json::{Value, json};

use super::harness::{PREDICT, TestRegistry, TestServer, flight, repository};

/// What a change made elsewhere may take at most.
const CONVERGED: Duration = Duration::from_secs(5);

async fn serving(server: &TestServer) -> String {
    let response = server.post(PREDICT, json!({ "instances": [flight()] }).to_string()).await;
    assert_eq!(response.status(), 200);
    response.headers()["x-model-version"].to_str().unwrap().to_owned()
}

/// Asks until `is_so` of the answer; gives back the answer and how long that took.
async fn until<T>(limit: Duration, mut ask: impl AsyncFnMut() -> T, is_so: impl Fn(&T) -> bool) -> (T, Duration)
where
    T: std::fmt::Debug,
{
    let begun = Instant::now();
    loop {
        let answer = ask().await;
        if is_so(&answer) {
            return (answer, begun.elapsed());
        }
        assert!(begun.elapsed() < limit, "not within {limit:?}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_serves(server: &TestServer, version: &str) -> Duration {
    until(CONVERGED, async || serving(server).await, |serves| serves == version).await.1
}

/// What operators see of a model, once it is as `is_so` says.
async fn status(server: &TestServer, model: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/models/{model}");
    until(CONVERGED, async || server.admin_get(&path).await.1, is_so).await.0
}

/// Names another champion in the registry, as another server does.
fn decide(registry: &TestRegistry, champion: u64) {
    let registry = Registry::open(registry.path()).unwrap();
    let name = "flights".parse().unwrap();
    let old = registry.aliases(&name).unwrap();
    let champion = Some(champion.try_into().unwrap());
    let actor = Actor { who: "ada".to_owned(), from: Some("elsewhere".to_owned()), call: Call::default() };
    let (action, outcome) = (Action::Activate, Outcome::Ok);
    let why = Some("decided elsewhere".to_owned());
    let event = Event { at: now(), actor, action, version: champion, why, outcome, detail: None };
    registry.set_aliases(&name, Aliases { champion, previous: old.champion, ..old }, event).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_registry_converge_within_five_seconds() {
    let one = TestRegistry::flights().serve().await;
    let other = TestServer::start(Arc::clone(&one.registry), |_| {}).await;
    let mut latencies = Vec::new();
    for version in [1, 2, 1, 2, 1, 2, 1, 2, 1, 2] {
        let (status, answer) = one.activate("flights", version).await;
        assert_eq!(status, 200, "{answer}");
        latencies.push(until_serves(&other, &version.to_string()).await);
    }
    latencies.sort_unstable();
    println!("converged after {:?} at the median, {:?} at most", latencies[latencies.len() / 2], latencies.last());
    // Both directions, and a roll back as well.
    let (_, answer) = other.admin_post("/models/flights:rollback", json!({ "reason": "the way back" })).await;
    assert_eq!(answer["champion"], json!(1), "{answer}");
    until_serves(&one, "1").await;
    let seen = status(&one, "flights", |model| model["is_converged"] == true).await;
    assert_eq!((&seen["champion"], &seen["serves"], &seen["previous"]), (&json!(1), &json!(1), &json!(2)));
    assert!(one.metric(r#"gudgeon_model_converged{model="flights"}"#).await > 0.5);
    // Who and why come from the history that the other server wrote.
    let (_, answer) = one.admin_get("/operations?model=flights").await;
    let followed = answer["operations"].as_array().unwrap().iter().rfind(|operation| operation["kind"] == "follow");
    let followed = followed.unwrap_or_else(|| panic!("{answer}"));
    assert_eq!((&followed["who"], &followed["why"]), (&json!("tester"), &json!("the way back")), "{followed}");
    let (_, history) = one.admin_get("/models/flights/history?action=rollback").await;
    assert_eq!(history["events"].as_array().unwrap().len(), 1, "a server that follows adds nothing: {history}");
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_load_the_desired_version_serves_on_says_why_and_recovers() {
    let registry = TestRegistry::flights();
    let (from, to) = (registry.file("flights/2"), registry.file("flights/3"));
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    let graph = to.join("model.onnx");
    let whole = std::fs::read(&graph).unwrap();
    let mut broken = whole.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    std::fs::remove_file(&graph).unwrap();
    std::fs::write(&graph, broken).unwrap();
    let server = registry.serve().await;
    server.activate("flights", 1).await;
    decide(&server.registry, 3);
    let seen = status(&server, "flights", |model| model["problem"].is_string()).await;
    assert!(seen["problem"].as_str().unwrap().contains("has changed since it was registered"), "{seen}");
    assert_eq!((&seen["champion"], &seen["serves"]), (&json!(3), &json!(1)), "{seen}");
    assert_eq!((&seen["is_converged"], &seen["is_serving"]), (&json!(false), &json!(true)), "{seen}");
    assert_eq!(serving(&server).await, "1");
    assert!(server.metric(r#"gudgeon_model_converged{model="flights"}"#).await < 0.5);
    assert!(server.metric(r#"gudgeon_desired_version{model="flights"}"#).await > 2.5);
    assert_eq!(server.get("/readyz").await.status(), 200, "the old version answers");
    // The file comes back: nobody has to ask for anything.
    std::fs::write(&graph, whole).unwrap();
    until_serves(&server, "3").await;
    let seen = status(&server, "flights", |model| model["is_converged"] == true).await;
    assert_eq!(seen["problem"], Value::Null, "{seen}");
    server.stop().await;
}

#[tokio::test]
async fn a_model_whose_folder_or_champion_goes_away_serves_on_and_says_so() {
    let server = TestRegistry::flights().serve().await;
    let before = serving(&server).await;
    let aliases = server.registry.file("flights/aliases.json");
    let kept = std::fs::read(&aliases).unwrap();
    std::fs::remove_file(&aliases).unwrap();
    let seen = status(&server, "flights", |model| model["problem"].is_string()).await;
    assert!(seen["problem"].as_str().unwrap().contains("names no active version"), "{seen}");
    std::fs::write(&aliases, kept).unwrap();
    status(&server, "flights", |model| model["problem"].is_null()).await;
    let moved = server.registry.file(".elsewhere");
    std::fs::rename(server.registry.file("flights"), &moved).unwrap();
    let series = r#"gudgeon_model_converged{model="flights"}"#;
    until(CONVERGED, async || server.metric(series).await, |converged| *converged < 0.5).await;
    assert_eq!(serving(&server).await, before);
    std::fs::rename(&moved, server.registry.file("flights")).unwrap();
    until(CONVERGED, async || server.metric(series).await, |converged| 0.5 < *converged).await;
    assert_eq!(serving(&server).await, before);
    server.stop().await;
}

#[tokio::test]
async fn a_bare_graph_that_is_dropped_in_is_served_and_a_registered_version_waits_for_its_activation() {
    let server = TestRegistry::empty().serve().await;
    let graph = repository("tests/cases/models/iris_logreg/model.onnx");
    let (status, answer) = server.upload("registered", std::fs::read(&graph).unwrap()).await;
    assert_eq!(status, 201, "{answer}");
    for (model, versions) in [("several", 1..=2), ("single", 1..=1)] {
        for version in versions {
            let folder = server.registry.file(&format!("{model}/{version}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::copy(&graph, folder.join("model.onnx")).unwrap();
        }
    }
    let ask = async || server.post("/v1/models/single:predict", r#"{"instances":[[5.1,3.5,1.4,0.2]]}"#).await.status();
    until(CONVERGED, ask, |status| *status == 200).await;
    let (_, answer) = server.admin_get("/models/single").await;
    assert_eq!(answer["champion"], json!(1), "the pointer is recorded: {answer}");
    for model in ["several", "registered"] {
        assert_eq!(server.get(&format!("/v1/models/{model}")).await.status(), 404, "{model}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reader_sees_half_a_version_while_a_hundred_are_registered() {
    const REGISTRATIONS: usize = 100;
    let one = Arc::new(TestRegistry::flights().serve().await);
    let other = TestServer::start(Arc::clone(&one.registry), |_| {}).await;
    let graph = std::fs::read(repository("tests/cases/models/iris_logreg/model.onnx")).unwrap();
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (server, graph) = (Arc::clone(&one), graph.clone());
            tokio::spawn(async move {
                for _ in 0..REGISTRATIONS / 2 {
                    let (status, answer) = server.upload("iris", graph.clone()).await;
                    assert_eq!(status, 201, "{answer}");
                }
            })
        })
        .collect();
    let registry = Registry::open(one.registry.path()).unwrap();
    let name = "iris".parse().unwrap();
    let (mut n_looks, mut n_seen) = (0, 0);
    while n_seen < REGISTRATIONS {
        let versions = registry.versions(&name).unwrap_or_default();
        for version in versions.iter().rev().take(3) {
            let artifact = registry.read(&name, *version).unwrap();
            assert_eq!(artifact.model.as_ref() as &[u8], graph.as_slice());
        }
        let (status, answer) = other.admin_get("/models/iris").await;
        let told = answer["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(status == 200 || versions.is_empty(), "{answer}");
        for version in told {
            assert!(version["problem"].is_null() && version["digest"].is_string(), "{version}");
        }
        assert!(n_seen <= versions.len(), "versions do not vanish");
        n_seen = versions.len();
        n_looks += 1;
        assert!(!writers.iter().all(tokio::task::JoinHandle::is_finished) || n_seen == REGISTRATIONS, "{n_seen}");
    }
    for writer in writers {
        writer.await.unwrap();
    }
    println!("{n_looks} looks while {REGISTRATIONS} versions were registered");
    assert!(10 < n_looks, "{n_looks} looks only");
    other.stop().await;
}

#[tokio::test]
async fn one_version_in_memory_is_enough_where_the_owner_says_so() {
    let registry = TestRegistry::flights();
    std::fs::write(registry.file("flights/model.toml"), "[retention]\nversions_in_memory = 1\n").unwrap();
    let server = registry.serve().await;
    server.activate("flights", 1).await;
    server.activate("flights", 2).await;
    let seen = status(&server, "flights", |model| model["versions"][0]["state"] == "at_rest").await;
    assert_eq!(seen["previous"], json!(1), "{seen}");
    let (_, answer) = server.admin_post("/models/flights:rollback", json!({})).await;
    assert_eq!(answer["champion"], json!(1), "{answer}");
    assert_eq!(serving(&server).await, "1");
    server.stop().await;
}
