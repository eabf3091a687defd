//! The server process of the demo.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::DemoArgs;

/// How long the server may take to load and listen.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The addresses that `serve` takes by itself.
const USUAL_HTTP: &str = "127.0.0.1:8080";
const USUAL_OPS: &str = "127.0.0.1:8082";

/// A running `gudgeon serve`.
pub(super) struct Server {
    child: Child,
    /// Predictions.
    pub(super) http: String,
    /// Metrics and admin.
    pub(super) ops: String,
    /// What it logs.
    pub(super) log: PathBuf,
}

impl Server {
    /// Starts the server on the addresses named, else on the usual ones where they are free, else on others.
    pub(super) fn start(args: &DemoArgs, models: &Path, log: &Path, token_file: &Path) -> anyhow::Result<Self> {
        let http = address(args.http_addr, USUAL_HTTP);
        let ops = address(args.ops_addr, USUAL_OPS);
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "serve",
                "--http-addr",
                &http,
                "--ops-addr",
                &ops,
                "--grpc-addr",
                "127.0.0.1:0",
                "--drain-delay",
                "0s",
                "--log-format",
                "json",
            ])
            .arg("--models")
            .arg(models)
            .arg("--admin-token-file")
            .arg(token_file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the server could not be started")?;
        let stderr = child.stderr.take().context("the server's log is not there")?;
        let addresses = follow(stderr, log)?;
        match addresses.recv_timeout(START_TIMEOUT) {
            Ok((http, ops)) => Ok(Self { child, http, ops, log: log.to_owned() }),
            Err(_) => {
                drop(child.kill());
                drop(child.wait());
                let text = std::fs::read_to_string(log).unwrap_or_default();
                bail!("the server did not start; its log: {text}")
            }
        }
    }

    /// Whether the process still runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGTERM and waits for the drain; gives back whether it ended well.
    pub(super) fn stop(&mut self) -> anyhow::Result<bool> {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("the server has no process id")?;
        kill_process(pid, Signal::TERM)?;
        Ok(self.child.wait()?.success())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_running() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn address(named: Option<SocketAddr>, usual: &str) -> String {
    let free = || std::net::TcpListener::bind(usual).map_or("127.0.0.1:0", |_| usual).to_owned();
    named.map_or_else(free, |address| address.to_string())
}

/// Copies the server's log to a file and gives back the addresses once it says that it listens.
fn follow(stderr: std::process::ChildStderr, log: &Path) -> anyhow::Result<mpsc::Receiver<(String, String)>> {
    let mut file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new().name("gudgeon-demo-log".to_owned()).spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(addresses) = addresses(&line) {
                drop(sender.send(addresses));
            }
            if writeln!(file, "{line}").is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

fn addresses(line: &str) -> Option<(String, String)> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = |key: &str| event.get(key)?.as_str().map(ToOwned::to_owned);
    Some((address("http_addr")?, address("ops_addr")?))
}
