//! Logs: one line an event, with the request's id, and nothing of what was predicted.

use serde_json::json;

use super::harness::{PREDICT, TestRegistry, flight};
use super::process::Process;

#[tokio::test]
async fn a_request_is_one_line_with_its_id_and_without_its_values() {
    let registry = TestRegistry::flights();
    let server = Process::start(&registry, &[]);
    let http = server.wait_for(|event| event["http_addr"].is_string())["http_addr"].as_str().unwrap().to_owned();
    server.wait_for(|event| event["message"] == "ready");
    let request = reqwest::Client::new().post(format!("http://{http}{PREDICT}")).header("x-request-id", "id-1");
    let response = request.body(json!({ "instances": [flight()] }).to_string()).send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "id-1");
    let event = server.wait_for(|event| event["request_id"] == "id-1");
    assert_eq!((&event["status"], &event["version"], &event["method"]), (&json!(200), &json!("2"), &json!("POST")));
    assert_eq!(event["path"], json!(format!("{PREDICT:?}")));
    assert!(!event.to_string().contains("IAH"), "a value was logged: {event}");
}
