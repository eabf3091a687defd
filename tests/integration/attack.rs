//! Hostile callers: whatever they send or leave undone costs them their request, and nobody else anything.

use std::time::{Duration, Instant};

use gudgeon::config::{ByteSize, Period};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::{PREDICT, TestRegistry, TestServer, body, flight};

/// Sends bytes as they are and reads to the end.
async fn answer(server: &TestServer, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.http.trim_start_matches("http://")).await.unwrap();
    let mut got = Vec::new();
    let exchange = async {
        // A server that has answered may close before it has taken everything.
        drop(stream.write_all(sent).await);
        drop(stream.read_to_end(&mut got).await);
    };
    tokio::time::timeout(Duration::from_secs(20), exchange).await.unwrap();
    String::from_utf8_lossy(&got).into_owned()
}

/// `expected` is the status, 0 where the connection is closed without an answer.
async fn check(server: &TestServer, sent: &[u8], expected: u16) {
    let got = answer(server, sent).await;
    let status = got.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).map_or(0, |code| code.parse().unwrap());
    let shown = String::from_utf8_lossy(&sent[..sent.len().min(120)]).into_owned();
    assert_eq!(status, expected, "{shown:?} got {got}");
    assert!(!got.contains("SECRET"), "the payload was echoed: {got}");
    if let Some((_, json)) =
        got.split_once("\r\n\r\n").filter(|(head, json)| !json.is_empty() && !head.contains("HEAD"))
    {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(json);
        assert!(parsed.is_ok(), "{shown:?} got no JSON: {json}");
    }
}

async fn small_limits() -> TestServer {
    let change = |config: &mut gudgeon::config::Config| {
        config.header_timeout = Period::from_millis(300);
        config.body_timeout = Period::from_millis(300);
    };
    TestRegistry::flights().serve_with(change).await
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_head_or_frame_is_refused_and_its_connection_closed() {
    let server = small_limits().await;
    let post = |fields: &str, rest: &str| format!("POST {PREDICT} HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n{rest}");
    let get = |fields: &str| format!("GET /livez HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
    for (sent, expected) in [
        ("GET /livez HTTP/1.1\r\n\r\n".to_owned(), 400),
        (get("host: b"), 400),
        ("GET /livez\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 0),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned(), 400),
        (String::new(), 0),
        ("GET /liv".to_owned(), 0),
        (get("x: y\r\n z"), 400),
        (get("x : y"), 400),
        (get("x: \0"), 400),
        (get(&"x: 1\r\n".repeat(200)), 431),
        (get(&format!("x: {}", "a".repeat(70_000))), 431),
        (format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(200_000)), 414),
        (post("content-length: 2\r\ncontent-length: 3", "{}x"), 400),
        (post("content-length: -1", "{}"), 400),
        (post("content-length: +2", "{}"), 400),
        (post("content-length: 99999999999999999999999", "{}"), 400),
        (post("content-length: 1099511627776", "{}"), 413),
        (post("expect: 100-continue\r\ncontent-length: 1099511627776", ""), 413),
        (post("content-length: 100", "{"), 408),
        (post("transfer-encoding: xchunked", "2\r\n{}\r\n0\r\n\r\n"), 400),
        (post("transfer-encoding: gzip, chunked", "2\r\n{}\r\n0\r\n\r\n"), 400),
        (post("transfer-encoding: chunked", "ZZ\r\n{}\r\n"), 400),
        (post("transfer-encoding: chunked", "ffffffffffffffffff\r\n{}\r\n"), 400),
        (post("transfer-encoding: chunked", &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(100_000))), 400),
        (post("transfer-encoding: chunked", "2\r\n{}\r\n"), 408),
        (post("content-length: 2\r\ntransfer-encoding: chunked", "2\r\n{}\r\n0\r\n\r\n"), 422),
        ("POST /nothing HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nxx".to_owned(), 404),
    ] {
        check(&server, sent.as_bytes(), expected).await;
    }
    let pipelined = answer(&server, get("x: y").repeat(500).as_bytes()).await;
    assert_eq!(pipelined.matches("HTTP/1.1 200 OK").count(), 500);
    assert!(server.metric("gudgeon_panics_total").await.abs() < f64::EPSILON);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_path_or_body_gets_a_4xx_that_is_json_and_echoes_nothing() {
    let server = small_limits().await;
    let good = json!({ "instances": [flight()] }).to_string();
    let hour = |value: &str| good.replace("\"hour\":5", &format!("\"hour\":{value}"));
    let v2 = |input: &str| format!(r#"{{"inputs":[{{"name":"hour","datatype":"FP32",{input}}}]}}"#);
    let (v2_path, flood) = ("/v2/models/flights/infer", vec![json!({ "name": "label" }); 100_000]);
    let rows = format!("{{\"instances\":[{}]}}", vec!["{}"; 300_000].join(","));
    for (path, body, expected) in [
        (PREDICT, good.clone(), 200),
        (PREDICT, hour("1e39"), 422),
        (PREDICT, hour("1e400"), 400),
        (PREDICT, hour(&"9".repeat(100_000)), 400),
        (PREDICT, hour("\"SECRET\""), 422),
        (PREDICT, good.replace("\"UA\"", "\"\\ud800\""), 400),
        (PREDICT, good.replace("UA", "\0"), 400),
        (PREDICT, format!("\u{feff}{good}"), 400),
        (PREDICT, good.chars().flat_map(|c| [c, '\0']).collect(), 400),
        (PREDICT, format!("{good}x"), 400),
        (PREDICT, hour("5,\"hour\":6"), 422),
        (PREDICT, "[".repeat(250_000), 422),
        (PREDICT, "{\"instances\":".repeat(100_000), 422),
        (PREDICT, rows, 422),
        (PREDICT, "null".to_owned(), 422),
        (PREDICT, String::new(), 400),
        (v2_path, v2(r#""shape":[4294967296,4294967296,1],"data":[1]"#), 400),
        (v2_path, v2(r#""shape":[-1,1],"data":[1]"#), 400),
        (v2_path, v2(r#""shape":[9223372036854775807,1],"data":[1]"#), 400),
        (v2_path, v2(r#""shape":[18446744073709551616,1],"data":[1]"#), 400),
        (v2_path, v2(r#""shape":[4000000000,1],"data":[1,2,3,4]"#), 400),
        (v2_path, v2(r#""shape":[2,1],"data":[[1],[1,2]]"#), 400),
        (v2_path, v2(r#""shape":[1,1],"data":[1]},{"name":"hour","datatype":"FP32","shape":[1,1],"data":[2]"#), 400),
        (v2_path, json!({ "inputs": [], "outputs": flood }).to_string(), 400),
        (v2_path, "{}".to_owned(), 400),
        ("/v1/models/fl%00ights:predict", good.clone(), 404),
        ("/v1/models/..%2f..%2fetc:predict", good.clone(), 404),
        ("/v1/models/%2e%2e:predict", good.clone(), 404),
        ("/v1/models/a%0d%0ab:predict", good.clone(), 404),
        ("/v1/models/%zz:predict", good.clone(), 404),
        ("/v1/models/%ff:predict", good.clone(), 404),
        ("/v1/models/:::::predict", good.clone(), 404),
        ("/v1/models/flights/versions/99999999999999999999999:predict", good.clone(), 404),
        ("/v1/models/flights/versions/01:predict", good.clone(), 404),
        ("/v1/models/flights/versions/-1:predict", good.clone(), 404),
        ("/v1/models/flights:explode", good.clone(), 404),
        ("//v1/models/flights:predict", good.clone(), 404),
        ("/admin/models", good.clone(), 404),
        ("/metrics", good.clone(), 404),
    ] {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        check(&server, format!("{head}{body}").as_bytes(), expected).await;
    }
    assert!(server.metric("gudgeon_panics_total").await.abs() < f64::EPSILON);
    server.stop().await;
}

#[tokio::test]
async fn hostile_names_ids_and_methods_make_no_new_series() {
    let server = TestRegistry::flights().serve().await;
    let count = async || server.metrics().await.lines().filter(|line| !line.starts_with('#')).count();
    let before = count().await;
    for i in 0..500 {
        let method = reqwest::Method::from_bytes(format!("M{i}").as_bytes()).unwrap();
        let odd = server.client.request(method, format!("{}/path{i}", server.http));
        let odd = odd.header("user-agent", format!("agent{i}")).header("x-request-id", format!("id{i}"));
        assert_eq!(odd.send().await.unwrap().status(), 404);
        assert_eq!(server.post(&format!("/v1/models/m{i}:predict"), "{}").await.status(), 404);
        assert_eq!(server.post(&format!("/v2/models/flights/versions/{}/infer", i + 9), "{}").await.status(), 404);
    }
    assert_eq!(count().await, before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_for_a_caller_that_has_left_is_cancelled() {
    let server = TestRegistry::flights().serve_with(|config| config.compute_threads = 1).await;
    let rows: Vec<_> = (0..20_000).map(|_| flight()).collect();
    let sent = json!({ "instances": rows }).to_string();
    let head = format!("POST {PREDICT} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", sent.len());
    let mut streams = Vec::new();
    for _ in 0..24 {
        let mut stream = TcpStream::connect(server.http.trim_start_matches("http://")).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    drop(streams);
    let in_flight = r#"gudgeon_requests_in_flight{model="flights"}"#;
    until("the end of every request", async || server.metric(in_flight).await < 0.5).await;
    let cancelled = r#"gudgeon_requests_total{model="flights",outcome="cancelled",version="2"}"#;
    assert!(server.metric(cancelled).await > 0.5);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_read_its_answers_is_let_go() {
    let server = small_limits().await;
    let open = r#"gudgeon_http_connections{listener="http"}"#;
    let mut stream = TcpStream::connect(server.http.trim_start_matches("http://")).await.unwrap();
    let ask = "GET /v1/models/flights/metadata HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1_000);
    let asking = tokio::spawn(async move {
        // The answers are never read, so that the server's writes come to a standstill; it goes when they have.
        while stream.write_all(ask.as_bytes()).await.is_ok() {}
    });
    tokio::time::timeout(Duration::from_secs(60), asking).await.unwrap().unwrap();
    until("the end of the connection", async || server.metric(open).await < 0.5).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_that_never_end_leave_room_for_small_ones_and_take_no_more_than_their_budget() {
    let change = |config: &mut gudgeon::config::Config| {
        config.body_bytes_max = ByteSize::mib(1);
        config.body_bytes_in_flight_max = ByteSize::mib(1);
    };
    let server = TestRegistry::flights().serve_with(change).await;
    let good = json!({ "instances": [flight()] }).to_string();
    let large = format!("{good}{}", " ".repeat(500 << 10));
    assert_eq!(server.post(PREDICT, large.clone()).await.status(), 200);
    let head = format!("POST {PREDICT} HTTP/1.1\r\nhost: a\r\ncontent-length: 1048576\r\n\r\n");
    let mut hoarders = Vec::new();
    // A hoarder whose body meets a large request on its way in is refused itself: the next one gets in.
    until("the refusal", async || {
        let mut hoarder = TcpStream::connect(server.http.trim_start_matches("http://")).await.unwrap();
        hoarder.write_all(head.as_bytes()).await.unwrap();
        drop(hoarder.write_all(&vec![b' '; 1000 << 10]).await);
        hoarders.push(hoarder);
        server.post(PREDICT, large.clone()).await.status() == 429
    })
    .await;
    let (status, refusal) = body(server.post(PREDICT, large.clone()).await).await;
    assert_eq!((status.as_u16(), &refusal["code"]), (429, &json!("overloaded")), "{refusal}");
    assert_eq!(server.post(PREDICT, good).await.status(), 200);
    drop(hoarders);
    until("room again", async || server.post(PREDICT, large.clone()).await.status() == 200).await;
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_cannot_be_read_keeps_no_other_from_being_listed() {
    let registry = TestRegistry::flights().with_case("broken", 1, "iris_logreg");
    std::fs::write(registry.file("broken/aliases.json"), "{").unwrap();
    let server = registry.serve().await;
    let (status, list) = server.admin_get("/models").await;
    assert_eq!(status.as_u16(), 200, "{list}");
    assert_eq!((&list["models"][0]["model"], &list["models"][0]["is_serving"]), (&json!("broken"), &json!(false)));
    assert!(list["models"][0]["problem"].as_str().unwrap().contains("aliases.json"), "{list}");
    assert_eq!((&list["models"][1]["model"], &list["models"][1]["is_serving"]), (&json!("flights"), &json!(true)));
    server.stop().await;
}
