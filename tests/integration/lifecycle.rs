//! The admin route: what an operator asks, and what is refused while the old version keeps serving.

use serde_json::{Value, json};

use super::harness::{PREDICT, TOKEN, TestRegistry, TestServer, body, flight, repository};

async fn serving(server: &TestServer) -> String {
    let response = server.post(PREDICT, json!({ "instances": [flight()] }).to_string()).await;
    assert_eq!(response.status(), 200);
    response.headers()["x-model-version"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn activation_and_roll_back_are_idempotent_and_remembered() {
    let server = TestRegistry::flights().serve().await;
    let (status, answer) = server.activate("flights", 1).await;
    assert_eq!((status.as_u16(), &answer["champion"]), (200, &json!(1)), "{answer}");
    let (_, answer) = server.activate("flights", 2).await;
    assert_eq!((&answer["champion"], &answer["previous"], &answer["changed"]), (&json!(2), &json!(1), &json!(true)));
    let (_, answer) = server.activate("flights", 2).await;
    assert_eq!(answer["changed"], json!(false));
    assert_eq!(serving(&server).await, "2");
    let (status, answer) = server.admin_post("/models/flights:rollback", json!({ "reason": "a test" })).await;
    assert_eq!((status.as_u16(), &answer["champion"]), (200, &json!(1)), "{answer}");
    assert_eq!(serving(&server).await, "1");
    let (_, history) = server.admin_get("/models/flights/history").await;
    let last = history["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["action"], &last["outcome"], &last["who"]), (&json!("rollback"), &json!("ok"), &json!("tester")));
    server.stop().await;
}

#[tokio::test]
async fn a_restarted_server_serves_what_the_registry_says() {
    let server = TestRegistry::flights().serve().await;
    server.activate("flights", 1).await;
    server.activate("flights", 2).await;
    let registry = std::sync::Arc::clone(&server.registry);
    server.stop().await;
    let server = TestServer::start(registry, |_| {}).await;
    assert_eq!(serving(&server).await, "2");
    let (_, answer) = server.admin_post("/models/flights:rollback", json!({})).await;
    assert_eq!(answer["champion"], json!(1), "{answer}");
    server.stop().await;
}

/// Asks to activate version 3 of flights and expects a refusal; the champion serves on.
async fn refused(server: &TestServer, code: &str, part: &str) {
    let before = serving(server).await;
    let (status, answer) = server.activate("flights", 3).await;
    assert!(status.is_client_error(), "{status} {answer}");
    assert_eq!(answer["code"], code, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains(part), "{answer}");
    assert_eq!(serving(server).await, before);
    let (_, history) = server.admin_get("/models/flights/history").await;
    let last = history["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["outcome"], &last["version"]), (&json!("refused"), &json!(3)), "{last}");
    assert!(server.metric(r#"gudgeon_swaps_total{model="flights",result="refused"}"#).await > 0.5);
}

fn third_version(registry: &TestRegistry) -> std::path::PathBuf {
    let (from, to) = (registry.file("flights/2"), registry.file("flights/3"));
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::write(to.join(entry.file_name()), std::fs::read(entry.path()).unwrap()).unwrap();
    }
    to
}

#[tokio::test]
async fn a_version_whose_digest_does_not_match_is_refused() {
    let registry = TestRegistry::flights();
    let folder = third_version(&registry);
    let mut model = std::fs::read(folder.join("model.onnx")).unwrap();
    let middle = model.len() / 2;
    model[middle] ^= 1;
    std::fs::write(folder.join("model.onnx"), model).unwrap();
    refused(&registry.serve().await, "digest_mismatch", "has changed since it was registered").await;
}

#[tokio::test]
async fn a_version_whose_golden_cases_come_out_differently_is_refused() {
    let registry = TestRegistry::flights();
    let folder = third_version(&registry);
    let golden = std::fs::read_to_string(folder.join("golden.json")).unwrap();
    let mut golden: Value = serde_json::from_str(&golden).unwrap();
    let outputs = golden["outputs"].as_array_mut().unwrap();
    let probabilities = outputs.iter_mut().find(|output| output["name"] == "probabilities").unwrap();
    probabilities["data"][0] = json!(0.123);
    change_file(&folder, "golden.json", &golden.to_string());
    refused(&registry.serve().await, "golden_mismatch", "golden case: output \"probabilities\" row 0: expected 0.123")
        .await;
}

#[tokio::test]
async fn a_version_that_breaks_the_contract_is_refused() {
    let registry = TestRegistry::flights();
    let folder = registry.file("flights/3");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(repository("tests/cases/models/iris_rf100/model.onnx"), folder.join("model.onnx")).unwrap();
    refused(&registry.serve().await, "contract_broken", "input \"carrier\": the contract promises").await;
}

/// Replaces a file of a version together with its entry in the manifest, so that only the change itself can be refused.
fn change_file(folder: &std::path::Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&manifest).unwrap();
    manifest["files"][name]["sha256"] = json!(gudgeon::model::Digest::of(text.as_bytes()).to_string());
    manifest["files"][name]["bytes"] = json!(text.len());
    std::fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
}

#[tokio::test]
async fn an_uploaded_model_is_registered_verified_and_served() {
    let server = TestRegistry::flights().serve().await;
    let model = std::fs::read(repository("tests/cases/models/iris_logreg/model.onnx")).unwrap();
    let (status, answer) = server.upload("iris", model).await;
    assert_eq!((status.as_u16(), &answer["version"]), (201, &json!(1)), "{answer}");
    assert_eq!(server.get("/v1/models/iris").await.status(), 404, "nothing serves before it is activated");
    let (status, answer) = server.admin_post("/models/iris/versions/1:verify", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = server.activate("iris", 1).await;
    assert_eq!(status, 200, "{answer}");
    let response = server.post("/v1/models/iris:predict", r#"{"instances":[[5.1,3.5,1.4,0.2]]}"#).await;
    let (status, answer) = body(response).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["predictions"][0]["label"], json!("0"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_no_model_is_refused_and_leaves_nothing() {
    let server = TestRegistry::flights().serve().await;
    let whole = std::fs::read(repository("tests/cases/models/iris_rf100/model.onnx")).unwrap();
    for bytes in [b"not a model".to_vec(), whole[..whole.len() / 2].to_vec(), Vec::new()] {
        let (status, answer) = server.upload("junk", bytes).await;
        assert!(status.is_client_error(), "{status} {answer}");
        assert!(answer["error"].is_string(), "{answer}");
    }
    assert!(!server.registry.file("junk").exists());
    server.stop().await;
}

#[tokio::test]
async fn unknown_models_and_versions_are_said_to_be_unknown() {
    let server = TestRegistry::flights().serve().await;
    for (path, code) in [("/models/nope:activate", "unknown_model"), ("/models/flights:activate", "unknown_version")] {
        let (status, answer) = server.admin_post(path, json!({ "version": 99 })).await;
        assert_eq!((status.as_u16(), &answer["code"]), (404, &json!(code)), "{answer}");
    }
    assert!(!server.metrics().await.contains("nope"), "a name that a caller sent became a label");
    server.stop().await;
}

#[tokio::test]
async fn every_admin_route_wants_the_token() {
    let server = TestRegistry::flights().serve().await;
    let paths = [
        "/admin/models",
        "/admin/models/flights",
        "/admin/models/flights/history",
        "/admin/models/flights/drift",
        "/admin/models/flights:activate",
        "/admin/models/flights:rollback",
        "/admin/models/flights/versions",
        "/admin/models/flights/versions/1:verify",
        "/admin",
        "/admin/",
        "/admin/nothing",
        "//admin/models",
    ];
    for path in paths {
        for method in [reqwest::Method::GET, reqwest::Method::POST, reqwest::Method::DELETE, reqwest::Method::PUT] {
            for token in [None, Some("a-token-for-the-testz"), Some("")] {
                let request = server.client.request(method.clone(), format!("{}{path}", server.ops));
                let request = token.map_or(request.try_clone().unwrap(), |token| request.bearer_auth(token));
                let response = request.send().await.unwrap();
                let status = response.status().as_u16();
                assert!(status == 401 || (path.starts_with("//") && status == 404), "{method} {path}: {status}");
                if status == 401 {
                    assert!(response.headers().contains_key("www-authenticate"), "{method} {path}");
                }
            }
        }
        assert_eq!(server.get(path).await.status(), 404, "{path} must not exist on the public port");
    }
    let foreign = server
        .client
        .get(format!("{}/admin/models", server.ops))
        .bearer_auth(TOKEN)
        .header("origin", "http://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    server.stop().await;
}

#[tokio::test]
async fn a_model_without_an_active_version_is_not_served_and_says_what_to_do() {
    let registry = TestRegistry::flights().with_case("iris", 1, "iris_rf100").with_case("iris", 2, "iris_logreg");
    let server = registry.serve().await;
    let (_, answer) = server.admin_get("/models/iris").await;
    assert_eq!(answer["is_serving"], json!(false));
    assert!(answer["problem"].as_str().unwrap().contains("gudgeon activate iris VERSION"), "{answer}");
    assert_eq!(server.post("/v1/models/iris:predict", "{}").await.status(), 503);
    assert_eq!(serving(&server).await.len(), 1, "the other model serves");
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_cannot_be_read_hides_no_other_and_an_empty_one_keeps_nobody_waiting() {
    let registry = TestRegistry::flights().with_case("iris", 1, "iris_rf100");
    std::fs::create_dir(registry.file("new")).unwrap();
    std::fs::write(registry.file("new/pipeline.toml"), "").unwrap();
    let server = registry.serve().await;
    assert_eq!(server.get("/v2/health/ready").await.status(), 200);
    let registry = std::sync::Arc::clone(&server.registry);
    server.stop().await;
    std::fs::write(registry.file("iris/aliases.json"), "{").unwrap();
    let server = TestServer::start(registry, |_| {}).await;
    let (status, answer) = server.admin_get("/models").await;
    assert_eq!(status, 200, "{answer}");
    let model = |name: &str| answer["models"].as_array().unwrap().iter().find(|model| model["model"] == name).unwrap();
    assert_eq!(model("flights")["is_serving"], json!(true));
    assert!(model("iris")["problem"].as_str().unwrap().contains("aliases.json"), "{answer}");
    assert_eq!(server.post("/v1/models/iris:predict", "{}").await.status(), 503);
    assert_eq!(serving(&server).await.len(), 1, "the other model serves");
    server.stop().await;
}
