//! A server of the test's own: its registry in a temporary folder, its listeners on free ports.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gudgeon::app::Server;
use gudgeon::child::Isolation;
use gudgeon::config::{Config, Period, RawConfig};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The admin token of every test server.
pub(crate) const TOKEN: &str = "a-token-for-the-tests";

/// A folder of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A Python with the packages of tests/requirements.txt.
#[expect(clippy::disallowed_methods, reason = "scripts/test says where the tools are")]
pub(crate) fn python() -> PathBuf {
    let named = std::env::var("GUDGEON_TEST_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|_| repository("target/test-venv/bin/python"));
    assert!(python.exists(), "no Python at {}: run scripts/test, which installs what the tests need", python.display());
    python
}

/// A Python with the packages of tests/requirements-oip.txt: the protocol's clients.
#[expect(clippy::disallowed_methods, reason = "scripts/test says where the tools are")]
pub(crate) fn oip_python() -> PathBuf {
    let named = std::env::var("GUDGEON_TEST_OIP_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|_| repository("target/test-venv-oip/bin/python"));
    assert!(python.exists(), "no Python at {}: run scripts/test, which installs what the tests need", python.display());
    python
}

/// Runs the binary; gives back its exit code, standard output and standard error.
pub(crate) fn gudgeon(arguments: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_gudgeon")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Versions are opened in children of the binary, as `gudgeon serve` has it.
pub(crate) fn isolation() -> Isolation {
    Isolation::Child { binary: env!("CARGO_BIN_EXE_gudgeon").into() }
}

/// A registry in a temporary folder.
pub(crate) struct TestRegistry {
    folder: TempDir,
}

impl TestRegistry {
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// The sample registry: `flights` with its versions and policies, without its data and the gate that needs them, and
    /// without what a server that someone ran on it has left.
    pub(crate) fn flights() -> Self {
        let registry = Self::empty();
        let (from, to) = (repository("models/flights"), registry.path().join("flights"));
        copy(&from, &to, &|name| !matches!(name, "data" | "gate.toml" | ".verified"));
        registry
    }

    /// A bare graph of the recorded cases as `model`'s version `version`.
    pub(crate) fn with_case(self, model: &str, version: u64, case: &str) -> Self {
        let folder = self.path().join(model).join(version.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(repository("tests/cases/models").join(case).join("model.onnx"), folder.join("model.onnx"))
            .unwrap();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    pub(crate) async fn serve(self) -> TestServer {
        self.serve_with(|_| {}).await
    }

    pub(crate) async fn serve_with(self, change: impl FnOnce(&mut Config)) -> TestServer {
        TestServer::start(Arc::new(self), change).await
    }
}

fn copy(from: &Path, to: &Path, wanted: &dyn Fn(&str) -> bool) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !wanted(&name) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(&name), wanted);
        } else {
            std::fs::copy(entry.path(), to.join(&name)).unwrap();
        }
    }
}

/// A running server.
pub(crate) struct TestServer {
    pub(crate) registry: Arc<TestRegistry>,
    pub(crate) http: String,
    /// Host and port.
    pub(crate) grpc: String,
    pub(crate) ops: String,
    pub(crate) client: Client,
    shutdown: Arc<Notify>,
    task: JoinHandle<Result<(), gudgeon::app::AppError>>,
}

impl TestServer {
    pub(crate) async fn start(registry: Arc<TestRegistry>, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(registry, change, isolation()).await
    }

    /// As [`Self::start`], with versions opened for the first time where `isolation` says.
    pub(crate) async fn start_in(
        registry: Arc<TestRegistry>,
        change: impl FnOnce(&mut Config),
        isolation: Isolation,
    ) -> Self {
        let server = Self::begin(registry, change, isolation).await;
        server.until_ready().await;
        server
    }

    /// As [`Self::start_in`], without waiting until it is ready: over TLS it is not asked as others are.
    pub(crate) async fn begin(
        registry: Arc<TestRegistry>,
        change: impl FnOnce(&mut Config),
        isolation: Isolation,
    ) -> Self {
        let token = registry.path().join(".token");
        std::fs::write(&token, TOKEN).unwrap();
        let raw = RawConfig {
            admin_token_file: Some(token),
            models: Some(registry.path().to_owned()),
            ..RawConfig::default()
        };
        let mut config = raw.check().unwrap();
        config.http_addr = "127.0.0.1:0".parse().unwrap();
        config.grpc_addr = "127.0.0.1:0".parse().unwrap();
        config.ops_addr = "127.0.0.1:0".parse().unwrap();
        config.drain_delay = Period::from_millis(0);
        change(&mut config);
        let server = Server::bind(config, isolation).await.unwrap();
        let (http, ops) = (format!("http://{}", server.http_addr()), format!("http://{}", server.ops_addr()));
        let grpc = server.grpc_addr().to_string();
        let shutdown = Arc::new(Notify::new());
        let asked = Arc::clone(&shutdown);
        let task = tokio::spawn(server.run(async move { asked.notified().await }, std::future::pending()));
        Self { registry, http, grpc, ops, client: Client::new(), shutdown, task }
    }

    async fn until_ready(&self) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if self
                .client
                .get(format!("{}/readyz", self.ops))
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the server did not become ready");
    }

    /// Asks for a drain, as SIGTERM does.
    pub(crate) fn shut_down(&self) {
        self.shutdown.notify_one();
    }

    /// Waits for the end of the drain.
    pub(crate) async fn ended(self) {
        self.task.await.unwrap().unwrap();
    }

    pub(crate) async fn stop(self) {
        self.shut_down();
        self.ended().await;
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.http)).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        self.client.post(format!("{}{path}", self.http)).body(body).send().await.unwrap()
    }

    #[expect(clippy::unused_self, reason = "it reads as what the server is asked")]
    pub(crate) fn admin(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(TOKEN).header("x-gudgeon-actor", "tester")
    }

    pub(crate) async fn admin_get(&self, path: &str) -> (StatusCode, Value) {
        let request = self.admin(self.client.get(format!("{}/admin{path}", self.ops)));
        body(request.send().await.unwrap()).await
    }

    pub(crate) async fn admin_post(&self, path: &str, sent: Value) -> (StatusCode, Value) {
        let request = self.admin(self.client.post(format!("{}/admin{path}", self.ops))).json(&sent);
        body(request.send().await.unwrap()).await
    }

    pub(crate) async fn upload(&self, model: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
        let request = self.admin(self.client.post(format!("{}/admin/models/{model}/versions", self.ops)));
        body(request.header("content-type", "application/octet-stream").body(bytes).send().await.unwrap()).await
    }

    pub(crate) async fn activate(&self, model: &str, version: u64) -> (StatusCode, Value) {
        self.admin_post(&format!("/models/{model}:activate"), json!({ "version": version, "reason": "a test" })).await
    }

    pub(crate) async fn metrics(&self) -> String {
        self.client.get(format!("{}/metrics", self.ops)).send().await.unwrap().text().await.unwrap()
    }

    /// The value of one series, written as Prometheus does.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.metrics().await;
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        let line = line.unwrap_or_else(|| panic!("no series {series} in\n{text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// Status and JSON body of an answer.
pub(crate) async fn body(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// A flight as an application asks about it: strings, numbers, a missing value.
pub(crate) fn flight() -> Value {
    json!({
        "carrier": "UA", "origin": "EWR", "dest": "IAH", "weekday": "Tue", "hour": 5, "distance": 1400, "plane_age": 14,
        "temp": 39.02, "dewp": 28.04, "humid": 64.43, "wind_dir": 260, "wind_speed": 12.66, "wind_gust": null,
        "precip": 0, "pressure": 1011.9, "visib": 10
    })
}

pub(crate) const PREDICT: &str = "/v1/models/flights:predict";
