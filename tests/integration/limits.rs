//! Every limit: what is over it gets its status at once, and nothing else is touched.

use std::time::{Duration, Instant};

use gudgeon::config::{ByteSize, Period};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::{PREDICT, TestRegistry, TestServer, body, flight};

#[track_caller]
fn assert_code(answer: &(reqwest::StatusCode, Value), status: u16, code: &str) {
    assert_eq!((answer.0.as_u16(), answer.1["code"].as_str()), (status, Some(code)), "{}", answer.1);
    assert!(answer.1["error"].is_string());
}

async fn predict(server: &TestServer, sent: Value) -> (reqwest::StatusCode, Value) {
    body(server.post(PREDICT, sent.to_string()).await).await
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_unread() {
    let server = TestRegistry::flights().serve_with(|config| config.body_bytes_max = ByteSize::mib(1)).await;
    let mut stream = TcpStream::connect(server.http.trim_start_matches("http://")).await.unwrap();
    let head = format!("POST {PREDICT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1099511627776\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413");
    server.stop().await;
}

#[tokio::test]
async fn rows_and_nesting_are_limited() {
    let change = |config: &mut gudgeon::config::Config| {
        config.rows_max = 2;
        config.nesting_max = 8;
    };
    let server = TestRegistry::flights().serve_with(change).await;
    assert_eq!(predict(&server, json!({ "instances": [flight(), flight()] })).await.0, 200);
    let answer = predict(&server, json!({ "instances": [flight(), flight(), flight()] })).await;
    assert!(answer.0.is_client_error(), "{}", answer.1);
    assert!(answer.1["error"].as_str().unwrap().contains('2'), "{}", answer.1);
    let deep = format!(r#"{{"instances":{}{}}}"#, "[".repeat(250_000), "]".repeat(250_000));
    let begun = Instant::now();
    let answer = body(server.post(PREDICT, deep).await).await;
    assert!(answer.0.is_client_error(), "{}", answer.1);
    assert!(begun.elapsed() < Duration::from_secs(5));
    server.stop().await;
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_a_504_and_a_silent_connection_is_closed() {
    let server = TestRegistry::flights().serve_with(|config| config.header_timeout = Period::from_millis(200)).await;
    let asked = async |timeout_ms: &str, n_rows: usize| {
        let request =
            server.client.post(format!("{}{PREDICT}", server.http)).header("x-request-timeout-ms", timeout_ms);
        body(request.body(json!({ "instances": vec![flight(); n_rows] }).to_string()).send().await.unwrap()).await
    };
    assert_code(&asked("0", 1).await, 422, "bad_input");
    // To decode so many rows alone takes far longer.
    assert_code(&asked("1", 20_000).await, 504, "deadline_passed");
    let metrics = server.metrics().await;
    let counted = metrics.lines().filter(|line| line.contains(r#"outcome="timeout""#) && line.ends_with(" 1"));
    assert_eq!(counted.count(), 1, "{metrics}");
    let mut stream = TcpStream::connect(server.http.trim_start_matches("http://")).await.unwrap();
    let mut rest = Vec::new();
    let closed = stream.read_to_end(&mut rest);
    tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap().unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_says_when_to_come_back() {
    let change = |config: &mut gudgeon::config::Config| {
        config.queue_len_max = 1;
        config.compute_threads = 1;
        config.batch_rows_max = 1;
    };
    let server = std::sync::Arc::new(TestRegistry::flights().serve_with(change).await);
    let rows: Vec<Value> = (0..3_000).map(|_| flight()).collect();
    let sent = json!({ "instances": rows }).to_string();
    let callers: Vec<_> = (0..24)
        .map(|_| {
            let (server, sent) = (std::sync::Arc::clone(&server), sent.clone());
            tokio::spawn(async move {
                let response = server.post(PREDICT, sent).await;
                let retry_after = response.headers().contains_key("retry-after");
                (response.status().as_u16(), retry_after)
            })
        })
        .collect();
    let mut refused = 0;
    for caller in callers {
        match caller.await.unwrap() {
            (200, _) => {}
            (429, true) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0, "24 requests at once fitted a queue of one");
    let rejected = server.metrics().await;
    let rejected = rejected.lines().filter(|line| line.contains(r#"outcome="rejected""#) && !line.ends_with(" 0"));
    assert_eq!(rejected.count(), 1);
}

#[tokio::test]
async fn bad_input_is_named_by_path_expectation_and_what_came() {
    let server = TestRegistry::flights().serve().await;
    let with = |name: &str, value: Value| {
        let mut row = flight();
        row[name] = value;
        json!({ "instances": [flight(), row] })
    };
    let without = |name: &str| {
        let mut row = flight();
        row.as_object_mut().unwrap().remove(name);
        json!({ "instances": [row] })
    };
    for (sent, status, path) in [
        (with("hour", json!("late")), 422, "instances[1].hour"),
        (with("carrier", json!(7)), 422, "instances[1].carrier"),
        (with("colour", json!(7)), 422, "instances[1].colour"),
        (with("hour", json!([1, 2])), 422, "instances[1].hour"),
        (without("carrier"), 422, "instances[0].carrier"),
        (json!({ "instances": [] }), 422, "instances"),
        (json!({ "instances": 3 }), 422, "instances"),
    ] {
        let (got, answer) = predict(&server, sent.clone()).await;
        assert_eq!((got.as_u16(), answer["path"].as_str()), (status, Some(path)), "{answer}");
        assert!(answer["expected"].is_string() && answer["got"].is_string(), "{answer}");
        assert!(!answer.to_string().contains("late\""), "the payload was echoed: {answer}");
    }
    assert_code(&body(server.post(PREDICT, "{\"instances\": [").await).await, 400, "malformed_json");
    assert_eq!(server.post(PREDICT, "").await.status(), 400);
    assert_eq!(server.post("/v1/models/nope:predict", "{}").await.status(), 404);
    assert_eq!(server.post("/v1/models/flights/versions/99:predict", "{}").await.status(), 404);
    assert_eq!(server.get(PREDICT).await.status(), 405);
    assert_eq!(server.get("/nothing").await.status(), 404);
    server.stop().await;
}
