//! A server in a process of its own, whose log is read line by line.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::harness::{TOKEN, TestRegistry};

pub(crate) struct Process {
    pub(crate) child: Child,
    lines: Receiver<Value>,
}

impl Process {
    pub(crate) fn start(registry: &TestRegistry, arguments: &[&str]) -> Self {
        Self::start_with(registry, arguments, &[])
    }

    pub(crate) fn start_with(registry: &TestRegistry, arguments: &[&str], variables: &[(&str, String)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gudgeon"))
            .args([
                "serve",
                "--http-addr",
                "127.0.0.1:0",
                "--ops-addr",
                "127.0.0.1:0",
                "--grpc-addr",
                "127.0.0.1:0",
                "--drain-delay",
                "0s",
            ])
            .args(["--log-format", "json", "--log", "info,gudgeon::access=debug"])
            .args(arguments)
            .arg("--models")
            .arg(registry.path())
            .env("GUDGEON_ADMIN_TOKEN", TOKEN)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is no event: {error}"));
                // The log is read to its end, so that the server never waits for a reader.
                drop(sender.send(event));
            }
        });
        Self { child, lines }
    }

    /// The first event from now on that `is_wanted`.
    pub(crate) fn wait_for(&self, is_wanted: impl Fn(&Value) -> bool) -> Value {
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
