//! Prometheus itself: its checker passes the metrics, and a real one scrapes them.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::harness::{PREDICT, TestRegistry, TestServer, flight};

const HINT: &str = "run scripts/test, which installs Debian's package prometheus (it has promtool)";

async fn some_traffic(server: &TestServer, n: usize) {
    for _ in 0..n {
        assert_eq!(server.post(PREDICT, json!({ "instances": [flight()] }).to_string()).await.status(), 200);
    }
}

#[tokio::test]
async fn promtool_passes_the_metrics() {
    let server = TestRegistry::flights().serve().await;
    some_traffic(&server, 3).await;
    let text = server.metrics().await;
    let mut promtool = Command::new("promtool");
    let promtool =
        promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect(HINT);
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    server.stop().await;
}

/// A Prometheus that scrapes one server; killed at the end.
struct Prometheus {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: gudgeon\n  static_configs:\n  - targets: ['{target}']\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // Prometheus cannot be given port 0 and asked which it took: a port that was free a moment ago must do.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect(HINT);
        Self { child, url: format!("http://127.0.0.1:{port}"), _folder: folder }
    }

    /// The value of a query, once there is one that `is_wanted`.
    async fn wait_for(&self, query: &str, is_wanted: impl Fn(f64) -> bool) -> f64 {
        let client = reqwest::Client::new();
        let begun = Instant::now();
        let mut last = Value::Null;
        while begun.elapsed() < Duration::from_secs(60) {
            let url =
                reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", query)]).unwrap();
            if let Ok(response) = client.get(url).send().await
                && let Ok(answer) = response.json::<Value>().await
            {
                last = answer;
                let value = last["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok());
                if let Some(value) = value.filter(|&value| is_wanted(value)) {
                    return value;
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{query}: {last}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_real_prometheus_scrapes_what_the_version_that_served_did() {
    let server = TestRegistry::flights().serve().await;
    server.activate("flights", 1).await;
    some_traffic(&server, 7).await;
    server.activate("flights", 2).await;
    some_traffic(&server, 5).await;
    let prometheus = Prometheus::start(server.ops.trim_start_matches("http://"));
    let requests =
        |version: u64| format!(r#"gudgeon_requests_total{{model="flights",version="{version}",outcome="ok"}}"#);
    assert!((prometheus.wait_for(&requests(1), |value| value > 0.0).await - 7.0).abs() < 1e-9);
    assert!((prometheus.wait_for(&requests(2), |value| value > 0.0).await - 5.0).abs() < 1e-9);
    prometheus.wait_for(r#"gudgeon_active_version{model="flights"}"#, |value| (value - 2.0).abs() < 1e-9).await;
    let answered = r#"sum(gudgeon_request_duration_seconds_count{model="flights"})"#;
    prometheus.wait_for(answered, |value| (value - 12.0).abs() < 1e-9).await;
    let binned = r#"sum(gudgeon_drift_bin_total{model="flights",version="2",feature="distance"})"#;
    prometheus.wait_for(binned, |value| (value - 5.0).abs() < 1e-9).await;
    prometheus.wait_for("up", |value| value > 0.5).await;
    server.stop().await;
}
