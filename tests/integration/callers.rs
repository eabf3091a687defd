//! Who may ask for predictions: bearers of an API key, and pages of other origins.

use std::time::{Duration, Instant};

use gudgeon::http::ROUTES;
use gudgeon::metrics::Listener;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::harness::{TestRegistry, TestServer, body};

const KEY: &str = "a-key-of-the-tests";
const IRIS: &str = "/v1/models/iris:predict";
const ROW: &str = r#"{"instances":[[5.1,3.5,1.4,0.2]]}"#;

/// The digest of a key as its file has it.
pub(crate) fn digest(key: &str) -> String {
    Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server whose file of keys is `.keys` in its registry.
async fn with_keys(lines: &str, origins: &str) -> TestServer {
    let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
    let keys = registry.file(".keys");
    std::fs::write(&keys, lines).unwrap();
    registry
        .serve_with(|config| {
            config.api_keys_file = keys;
            config.cors_origins = origins.parse().unwrap();
        })
        .await
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.unwrap()
}

async fn status(server: &TestServer, key: &str) -> u16 {
    let request = server.client.post(format!("{}{IRIS}", server.http)).header("x-api-key", key).body(ROW);
    sent(request).await.status().as_u16()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_route_but_the_probes_wants_a_key() {
    let server = with_keys(&format!("# ours\nci {}\n", digest(KEY)), "").await;
    let open = ["/", "/livez", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready"];
    for route in ROUTES.iter().filter(|route| route.listener == Listener::Http) {
        let path = route.path.replace("{model}", "iris").replace("{version}", "1").replace("{alias}", "champion");
        let method: Method = route.method.parse().unwrap();
        let ask = || server.client.request(method.clone(), format!("{}{path}", server.http));
        let without = sent(ask()).await;
        assert_eq!(without.status() == StatusCode::UNAUTHORIZED, !open.contains(&route.path), "{path}");
        if without.status() == StatusCode::UNAUTHORIZED {
            assert_eq!(without.headers()["www-authenticate"], "Bearer realm=\"gudgeon\"");
            assert!(without.headers().contains_key("x-request-id"));
            assert_eq!(body(without).await.1["code"], "no_api_key");
        }
        assert_eq!(sent(ask().bearer_auth("another")).await.status() == 401, !open.contains(&route.path), "{path}");
        assert_ne!(sent(ask().bearer_auth(KEY)).await.status(), 401, "{path}");
    }
    let described = sent(server.client.get(format!("{}/openapi.json", server.http)).bearer_auth(KEY)).await;
    let document = body(described).await.1;
    assert_eq!(document["components"]["securitySchemes"]["bearerKey"]["scheme"], "bearer");
    assert!(document["paths"]["/v1/models/iris:predict"]["post"]["security"].is_array());
    for path in ["//livez", "/nothing", "/livez/", "/LIVEZ"] {
        assert_eq!(sent(server.client.get(format!("{}{path}", server.http))).await.status(), 401, "{path}");
    }
    assert_eq!(
        sent(server.client.get(format!("{}/metrics", server.ops))).await.status(),
        200,
        "operations have their own"
    );
    let before = server.metric("gudgeon_api_key_requests_total{key=\"ci\"}").await;
    assert_eq!(status(&server, KEY).await, 200);
    assert!((server.metric("gudgeon_api_key_requests_total{key=\"ci\"}").await - before - 1.0).abs() < f64::EPSILON);
    server.stop().await;
}

#[tokio::test]
async fn keys_change_with_their_file_and_a_broken_one_changes_nothing() {
    let server = with_keys(&format!("ci {}\n", digest("old")), "").await;
    let file = server.registry.file(".keys");
    assert_eq!((status(&server, "old").await, status(&server, "new").await), (200, 401));
    std::fs::write(&file, "ci not-a-digest\n").unwrap();
    std::fs::write(&file, format!("ci {}\nshop {}\n", digest("old"), digest("new"))).unwrap();
    until("the second key", async || status(&server, "new").await == 200).await;
    assert_eq!(status(&server, "old").await, 200);
    // What is broken is refused when it is looked at, which the next good file shows to have been.
    std::fs::write(&file, "ci not-a-digest\n").unwrap();
    assert_eq!((status(&server, "old").await, status(&server, "new").await), (200, 200));
    std::fs::write(&file, format!("shop {}\n", digest("new"))).unwrap();
    until("the end of the first key", async || status(&server, "old").await == 401).await;
    assert_eq!(status(&server, "new").await, 200);
    assert!(!server.metrics().await.contains("key=\"ci\""), "its series is gone too");
    server.stop().await;
}

#[tokio::test]
async fn pages_of_the_named_origins_may_ask_and_no_others() {
    let server = with_keys(&format!("ci {}\n", digest(KEY)), "https://shop.example").await;
    let url = format!("{}{IRIS}", server.http);
    let preflight = |origin: &str| {
        let request = server.client.request(Method::OPTIONS, &url).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        sent(request.header("access-control-request-headers", "content-type,x-api-key"))
    };
    let allowed = preflight("https://shop.example").await;
    assert_eq!(allowed.status(), 204, "a browser has no key yet");
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://shop.example");
    assert_eq!(allowed.headers()["access-control-allow-methods"], "GET, HEAD, POST");
    assert_eq!(allowed.headers()["access-control-allow-headers"], "content-type,x-api-key");
    let refused = preflight("https://evil.example").await;
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
    let (status, error) = body(refused).await;
    assert_eq!((status.as_u16(), &error["code"]), (403, &"forbidden".into()));
    let ask = |origin: &str| {
        let request = server.client.post(&url).header("origin", origin).header("x-api-key", KEY);
        sent(request.body(ROW))
    };
    let answer = ask("https://shop.example").await;
    assert_eq!((answer.status().as_u16(), answer.headers()["vary"].to_str().unwrap()), (200, "origin"));
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://shop.example");
    assert!(answer.headers()["access-control-expose-headers"].to_str().unwrap().contains("x-model-version"));
    assert!(!ask("https://evil.example").await.headers().contains_key("access-control-allow-origin"));
    let without_key = sent(server.client.post(&url).header("origin", "https://shop.example").body(ROW)).await;
    assert_eq!(without_key.status(), 401);
    assert!(without_key.headers().contains_key("access-control-allow-origin"), "a page may read why");
    let ops = sent(server.client.get(format!("{}/livez", server.ops)).header("origin", "https://shop.example")).await;
    assert!(!ops.headers().contains_key("access-control-allow-origin"));
    server.stop().await;
    let server = TestRegistry::empty().with_case("iris", 1, "iris_logreg").serve().await;
    let off =
        server.client.request(Method::OPTIONS, format!("{}{IRIS}", server.http)).header("origin", "https://a.example");
    let off = sent(off.header("access-control-request-method", "POST")).await;
    assert_eq!(off.status(), 405);
    assert!(!off.headers().keys().any(|name| name.as_str().starts_with("access-control")));
    server.stop().await;
}
