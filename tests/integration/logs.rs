//! Logs: one line an event, with the request's id, and nothing of what was predicted.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{PREDICT, TestRegistry, flight};

/// A server process whose log is read line by line.
struct Process {
    child: Child,
    lines: Receiver<Value>,
}

impl Process {
    fn start(registry: &TestRegistry) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gudgeon"))
            .args(["serve", "--http-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--drain-delay", "0s"])
            .args(["--log-format", "json", "--log", "info,gudgeon::access=debug", "--models"])
            .arg(registry.path())
            .env("GUDGEON_ADMIN_TOKEN", super::harness::TOKEN)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is no event: {error}"));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The first event from now on that `is_wanted`.
    fn wait_for(&self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.lines.recv_timeout(Duration::from_secs(60)).expect("the event did not come");
            if is_wanted(&event) {
                return event;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_request_is_one_line_with_its_id_and_without_its_values() {
    let registry = TestRegistry::flights();
    let server = Process::start(&registry);
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
