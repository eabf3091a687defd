//! SageMaker's multi-model contract.

use serde_json::{Value, json};

use super::harness::{TestRegistry, TestServer, body, repository};
use super::oip::ran;

const ROWS: &str = r#"{"instances":[[5.1,3.5,1.4,0.2]]}"#;

/// Models `a` to `c` as the platform lays them out, `c` broken.
async fn endpoint(models_max: usize) -> TestServer {
    let registry = TestRegistry::empty().with_case("a/model", 1, "iris_logreg").with_case("b/model", 1, "iris_logreg");
    let registry = registry.with_case("c/model", 1, "iris_logreg");
    std::fs::write(registry.file("c/model/1/model.onnx"), "no graph").unwrap();
    let change = |config: &mut gudgeon::config::Config| {
        config.multi_model = true;
        config.models_max = models_max;
    };
    registry.serve_with(change).await
}

async fn load(server: &TestServer, name: &str) -> (u16, Value) {
    let url = server.registry.file(name).join("model");
    let sent = json!({ "model_name": name, "url": url }).to_string();
    let (status, answer) = body(server.post("/models", sent).await).await;
    (status.as_u16(), answer)
}

async fn status(server: &TestServer, method: reqwest::Method, path: &str) -> u16 {
    let request = server.client.request(method, format!("{}{path}", server.http));
    request.body(ROWS).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn models_come_and_go_as_the_platform_says() {
    use reqwest::Method;
    let server = endpoint(2).await;
    assert_eq!(status(&server, Method::GET, "/ping").await, 200);
    assert_eq!(body(server.get("/models").await).await.1, json!({ "models": [] }));
    assert_eq!(status(&server, Method::POST, "/models/a/invoke").await, 404);
    for (name, expected) in [("a", 200), ("a", 409), ("missing", 404), ("c", 422), ("b", 200)] {
        let (status, answer) = load(&server, name).await;
        assert_eq!(status, expected, "{name}: {answer}");
        assert!(status == 200 || answer["error_code"].is_string(), "{answer}");
    }
    let (_, page) = body(server.get("/models?limit=1").await).await;
    let url = |name: &str| server.registry.file(name).join("model");
    assert_eq!(page, json!({ "models": [{ "modelName": "a", "modelUrl": url("a") }], "nextPageToken": "a" }));
    let (_, page) = body(server.get("/models?limit=1&next_page_token=a").await).await;
    assert_eq!(page, json!({ "models": [{ "modelName": "b", "modelUrl": url("b") }] }));
    assert_eq!(status(&server, Method::GET, "/models/a").await, 200);
    assert_eq!(status(&server, Method::GET, "/models/c").await, 404);
    let request = server.client.post(format!("{}/models/a/invoke", server.http));
    let request = request.header("x-amzn-sagemaker-target-model", "a.tar.gz");
    let (got, answer) = body(request.body(ROWS).send().await.unwrap()).await;
    assert_eq!((got.as_u16(), answer["model_name"].as_str()), (200, Some("a")), "{answer}");
    assert_eq!(load(&server, "c").await.1["code"], "no_room");
    assert_eq!(status(&server, Method::DELETE, "/models/a").await, 200);
    assert_eq!(status(&server, Method::DELETE, "/models/a").await, 404);
    assert_eq!(status(&server, Method::POST, "/models/a/invoke").await, 404);
    assert_eq!(load(&server, "a").await.0, 200);
    assert_eq!(status(&server, Method::POST, "/models/a/invoke").await, 200);
    server.stop().await;
}

#[tokio::test]
async fn only_the_platforms_own_places_are_loaded() {
    let server = endpoint(10).await;
    let own = server.registry.file("a").join("model");
    for url in [
        "/etc/model".to_owned(),
        format!("{}/../a/model", server.registry.file("b").display()),
        server.registry.file("b").join("model").display().to_string(),
        server.registry.file("a").display().to_string(),
    ] {
        let sent = json!({ "model_name": "a", "url": url }).to_string();
        let (status, answer) = body(server.post("/models", sent).await).await;
        assert_eq!((status.as_u16(), answer["path"].as_str()), (400, Some("url")), "{answer}");
    }
    for name in ["../a", "a/b", "", "a b"] {
        let sent = json!({ "model_name": name, "url": own }).to_string();
        let (status, answer) = body(server.post("/models", sent).await).await;
        assert_eq!((status.as_u16(), answer["path"].as_str()), (400, Some("model_name")), "{name}: {answer}");
    }
    let (status, answer) = body(server.post("/models", "[]").await).await;
    assert!(status.is_client_error(), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_runs() {
    let registry = TestRegistry::empty().with_case("iris/model", 1, "iris_logreg");
    let server = registry.serve_with(|config| config.multi_model = true).await;
    let example = repository("examples/clients/sagemaker_models.sh");
    let told = ran(&example, &[&server.http, server.registry.path().to_str().unwrap()]);
    assert!(told.contains("\"models\":[{\"modelName\":\"iris\"") && told.contains("\"predictions\":["), "{told}");
    assert_eq!(body(server.get("/models").await).await.1, json!({ "models": [] }));
    server.stop().await;
}

#[tokio::test]
async fn nobody_else_has_these_routes() {
    let server = TestRegistry::empty().with_case("a", 1, "iris_logreg").serve().await;
    for path in ["/models", "/models/a"] {
        assert_eq!(server.get(path).await.status(), 404, "{path}");
        assert_eq!(server.post(path, "{}").await.status(), 404, "{path}");
    }
    server.stop().await;
}
