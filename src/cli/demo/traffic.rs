//! Replays flights as live requests, by feature name as an application would.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::task::JoinSet;

/// Columns that are no features.
const NOT_FEATURES: [&str; 3] = ["flight_id", "time", "late"];
/// Columns that are text.
const TEXT: [&str; 4] = ["carrier", "origin", "dest", "weekday"];
/// Rows in one request.
const ROWS_A_REQUEST: usize = 100;

/// A request and the labels that arrive later.
pub(super) struct Request {
    pub(super) body: String,
    pub(super) labels: Vec<bool>,
}

/// What a replay brought.
#[derive(Default)]
pub(super) struct Replay {
    /// Probability of being late, and whether it was.
    pub(super) scored: Vec<(f64, bool)>,
    /// Rows answered by each version.
    pub(super) by_version: BTreeMap<String, usize>,
    /// Requests that got no prediction.
    pub(super) failed: usize,
}

impl Replay {
    fn merge(&mut self, other: Self) {
        self.scored.extend(other.scored);
        self.failed += other.failed;
        for (version, rows) in other.by_version {
            *self.by_version.entry(version).or_default() += rows;
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    predictions: Vec<Prediction>,
}

#[derive(Deserialize)]
struct Prediction {
    probabilities: Probabilities,
}

#[derive(Deserialize)]
struct Probabilities {
    late: f64,
}

/// The requests of one month; `change` may alter a row on the way, as a faulty upstream would.
pub(super) fn requests(month: &Path, change: impl Fn(&mut Map<String, Value>)) -> anyhow::Result<Vec<Request>> {
    let file = File::open(month).with_context(|| format!("cannot open {}", month.display()))?;
    let mut reader = csv::Reader::from_reader(GzDecoder::new(file));
    let headers = reader.headers()?.clone();
    let (mut requests, mut rows, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record?;
        let mut row = Map::new();
        for (name, value) in headers.iter().zip(&record) {
            if name == "late" {
                labels.push(value == "1");
            } else if !NOT_FEATURES.contains(&name) {
                row.insert(name.to_owned(), cell(name, value)?);
            }
        }
        change(&mut row);
        rows.push(Value::Object(row));
        if rows.len() == ROWS_A_REQUEST {
            requests.push(request(&mut rows, &mut labels));
        }
    }
    if !rows.is_empty() {
        requests.push(request(&mut rows, &mut labels));
    }
    Ok(requests)
}

fn request(rows: &mut Vec<Value>, labels: &mut Vec<bool>) -> Request {
    let body = serde_json::json!({ "instances": std::mem::take(rows) }).to_string();
    Request { body, labels: std::mem::take(labels) }
}

fn cell(name: &str, value: &str) -> anyhow::Result<Value> {
    if value.is_empty() {
        return Ok(Value::Null);
    }
    if TEXT.contains(&name) {
        return Ok(Value::from(value));
    }
    let number: f64 = value.parse().with_context(|| format!("column {name}: expected a number, got {value:?}"))?;
    Ok(Value::from(number))
}

/// Sends `requests` over `connections` connections and waits for all answers.
pub(super) async fn replay(url: &str, requests: Vec<Request>, connections: usize) -> anyhow::Result<Replay> {
    let client = reqwest::Client::builder().pool_max_idle_per_host(connections).build()?;
    let url = format!("{url}:predict");
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..connections.max(1) {
        let (client, url) = (client.clone(), url.clone());
        let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
        tasks.spawn(async move {
            let mut replay = Replay::default();
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                match send(&client, &url, request).await {
                    Ok((version, scores)) => {
                        *replay.by_version.entry(version).or_default() += scores.len();
                        replay.scored.extend(scores.into_iter().zip(request.labels.iter().copied()));
                    }
                    Err(_) => replay.failed += 1,
                }
            }
            replay
        });
    }
    let mut total = Replay::default();
    while let Some(replay) = tasks.join_next().await {
        total.merge(replay?);
    }
    Ok(total)
}

/// Sends one request; gives back the version that answered and a probability a row.
async fn send(client: &reqwest::Client, url: &str, request: &Request) -> anyhow::Result<(String, Vec<f64>)> {
    let response = client.post(url).body(request.body.clone()).send().await?;
    let status = response.status();
    let version = response.headers().get("x-model-version").and_then(|version| version.to_str().ok());
    let version = version.unwrap_or("none").to_owned();
    let body = response.bytes().await?;
    if !status.is_success() {
        bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    let answer: Answer = serde_json::from_slice(&body)?;
    if answer.predictions.len() != request.labels.len() {
        bail!("expected {} predictions, got {}", request.labels.len(), answer.predictions.len());
    }
    Ok((version, answer.predictions.into_iter().map(|prediction| prediction.probabilities.late).collect()))
}
