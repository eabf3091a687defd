//! A server that is killed at any moment of an activation comes back serving what the registry says.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use gudgeon::registry::{Action, Event, Outcome, Registry};
use reqwest::Client;
use serde_json::{Value, json};

use super::harness::{TOKEN, TestRegistry, flight};

const KILLS: u64 = 12;

/// A server process.
struct Process {
    child: Child,
    http: String,
    ops: String,
}

impl Process {
    /// Starts a server and waits until it says that it is ready.
    fn start(models: &Path, token_file: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gudgeon"))
            .args(["serve", "--http-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0", "--log-format", "json"])
            .arg("--models")
            .arg(models)
            .arg("--admin-token-file")
            .arg(token_file)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines): (_, Receiver<Value>) = channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                // The log is read to its end, so that the server never waits for its reader.
                drop(serde_json::from_str(&line).map(|line| sender.send(line)));
            }
        });
        let next = || lines.recv_timeout(Duration::from_secs(60)).unwrap();
        let listening = std::iter::repeat_with(next).find(|line| line["http_addr"].is_string()).unwrap();
        std::iter::repeat_with(next).find(|line| line["message"] == "ready").unwrap();
        let url = |key: &str| format!("http://{}", listening[key].as_str().unwrap());
        Self { child, http: url("http_addr"), ops: url("ops_addr") }
    }

    async fn serving(&self, client: &Client) -> u64 {
        let body = json!({ "instances": [flight()] }).to_string();
        let response = client.post(format!("{}/v1/models/flights:predict", self.http)).body(body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.headers()["x-model-version"].to_str().unwrap().parse().unwrap()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_moment_of_an_activation_comes_back_serving_what_the_registry_says() {
    let registry = TestRegistry::flights();
    let token = registry.file(".token");
    std::fs::write(&token, TOKEN).unwrap();
    let at_rest = Registry::open(registry.path()).unwrap();
    let name = "flights".parse().unwrap();
    let n_activated = || at_rest.history(&name).unwrap().events.iter().filter(|event| is_activated(event)).count();
    for round in 0..KILLS {
        let process = Process::start(registry.path(), &token);
        // A connection of a server that was killed is no connection of the next one.
        let client = Client::new();
        let champion = at_rest.aliases(&name).unwrap().champion.unwrap();
        assert_eq!(process.serving(&client).await, champion.number(), "round {round}");
        let n_before = n_activated();
        let asking = tokio::spawn(ask(process.ops.clone(), client));
        // Any moment will do, so the moments are spread over what an activation takes.
        drop(tokio::time::timeout(Duration::from_millis(17 * round), std::future::pending::<()>()).await);
        process.kill();
        let n_answered = asking.await.unwrap();
        // What the killed one left is the old state or the new one: no answered change is lost, and one at most has no answer.
        let n_new = n_activated() - n_before;
        assert!(
            (n_answered..=n_answered + 1).contains(&n_new),
            "round {round}: {n_answered} answered, {n_new} recorded"
        );
        let champion = at_rest.aliases(&name).unwrap().champion.unwrap();
        assert!(at_rest.read(&name, champion).unwrap().manifest.is_some());
    }
}

fn is_activated(event: &Event) -> bool {
    event.action == Action::Activate && event.outcome == Outcome::Ok
}

/// Activates one version after the other until the server is gone; gives back how many activations it has an answer for.
async fn ask(ops: String, client: Client) -> usize {
    let mut n_answered = 0;
    for version in [1, 2].into_iter().cycle() {
        let request = client.post(format!("{ops}/admin/models/flights:activate")).bearer_auth(TOKEN);
        let Ok(response) = request.json(&json!({ "version": version })).send().await else { break };
        assert!(response.status().is_success(), "{}", response.status());
        let Ok(answer) = response.json::<Value>().await else { break };
        n_answered += usize::from(answer["changed"] == true);
    }
    n_answered
}
