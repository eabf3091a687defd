//! The contract: what callers rely on is on record, may be widened, and is never broken unseen.

use serde_json::{Value, json};

use super::harness::{TestRegistry, TestServer, repository};

fn read(registry: &TestRegistry, path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(registry.file(path)).unwrap()).unwrap()
}

fn iris() -> TestRegistry {
    let registry = TestRegistry::flights().with_case("iris", 1, "iris_rf100").with_case("iris", 2, "iris_logreg");
    let folder = registry.file("iris/3");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(repository("models/flights/1/model.onnx"), folder.join("model.onnx")).unwrap();
    registry
}

async fn refused(server: &TestServer, version: u64) -> Value {
    let (status, answer) = server.activate("iris", version).await;
    assert_eq!((status.as_u16(), &answer["code"]), (422, &json!("contract_broken")), "{answer}");
    answer
}

#[tokio::test]
async fn the_first_activation_puts_the_contract_on_record_and_no_other_changes_it() {
    let server = iris().serve().await;
    let (status, answer) = server.activate("iris", 1).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(read(&server.registry, "iris/aliases.json")["contract"], 1);
    let recorded = read(&server.registry, "iris/contract.json");
    assert_eq!(recorded["version"], 1);
    server.activate("iris", 2).await;
    assert_eq!(read(&server.registry, "iris/contract.json"), recorded);
    let answer = refused(&server, 3).await;
    let breaches = answer["breaches"].as_array().unwrap();
    let input = breaches.iter().find(|breach| breach["part"].as_str().unwrap().starts_with("input")).unwrap();
    assert!(input["promised"].as_str().unwrap().starts_with("FP32") && input["offered"] == "nothing", "{answer}");
    let text = answer["error"].as_str().unwrap();
    assert!(text.contains("register it under another model name") && text.contains("side by side"), "{text}");
    // What has been recorded does not hang on the history, nor on the version that it came from.
    let registry = std::sync::Arc::clone(&server.registry);
    server.stop().await;
    std::fs::write(registry.file("iris/history.jsonl"), "").unwrap();
    std::fs::remove_dir_all(registry.file("iris/1")).unwrap();
    let server = TestServer::start(registry, |_| {}).await;
    refused(&server, 3).await;
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_was_active_before_there_was_a_record_is_held_to_its_champion() {
    let registry = TestRegistry::flights();
    std::fs::write(registry.file("flights/aliases.json"), r#"{"generation": 2, "champion": 2, "previous": 1}"#)
        .unwrap();
    std::fs::remove_file(registry.file("flights/contract.json")).unwrap();
    let server = registry.serve().await;
    let (status, answer) = server.activate("flights", 1).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(read(&server.registry, "flights/aliases.json")["contract"], 2, "the champion before was version 2");
    server.stop().await;
}

#[tokio::test]
async fn the_owner_may_promise_less_and_what_he_writes_is_checked() {
    let registry = TestRegistry::flights();
    // A version without the feature and the input "visib".
    let server = registry.serve().await;
    let write = |text: &str| std::fs::write(server.registry.file("flights/model.toml"), text).unwrap();
    write("[contract]\nfeatures = [\"carrier\", \"speed\"]\n");
    let (status, answer) = server.activate("flights", 1).await;
    assert_eq!((status.as_u16(), &answer["code"]), (422, &json!("invalid_model_policy")), "{answer}");
    let text = answer["error"].as_str().unwrap();
    assert!(text.contains("contract.features: expected some of carrier") && text.contains("\"speed\""), "{text}");
    write("[contract]\nversion = 9\n");
    let (status, answer) = server.activate("flights", 1).await;
    assert_eq!((status.as_u16(), &answer["code"]), (404, &json!("unknown_version")), "{answer}");
    write("[contract]\nversion = 1\nfeatures = [\"carrier\", \"hour\"]\noutputs = [\"probabilities\"]\n");
    let (status, answer) = server.activate("flights", 1).await;
    assert_eq!(status, 200, "{answer}");
    server.stop().await;
}
