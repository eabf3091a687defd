//! Constant load while versions change: every answer is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;
use tokio::task::JoinSet;

/// Connections of the constant load.
pub(super) const CONNECTIONS: usize = 64;

/// Load that runs until it is told to stop.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Seen>,
}

/// What the callers saw.
#[derive(Default)]
pub(super) struct Seen {
    /// Answers by version.
    pub(super) by_version: BTreeMap<String, u64>,
    /// Requests without a prediction.
    pub(super) failed: u64,
    /// Answers whose body and header name different versions.
    pub(super) mixed: u64,
    /// The first failure, if there was one.
    pub(super) first_failure: Option<String>,
    /// Times from request to answer, microseconds.
    pub(super) micros: Vec<u32>,
}

#[derive(Deserialize)]
struct Answer {
    model_version: String,
}

impl Load {
    /// Starts asking for `body` over and over.
    pub(super) fn start(url: &str, body: &str) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().pool_max_idle_per_host(CONNECTIONS).build()?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (client, url, body) = (client.clone(), format!("{url}:predict"), body.to_owned());
            let stop = Arc::clone(&stop);
            tasks.spawn(async move {
                let mut seen = Seen::default();
                while !stop.load(Ordering::Relaxed) {
                    seen.ask(&client, &url, &body).await;
                }
                seen
            });
        }
        Ok(Self { stop, tasks })
    }

    /// Stops and gives back what all callers saw.
    pub(super) async fn stop(mut self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = Seen::default();
        while let Some(seen) = self.tasks.join_next().await {
            total.merge(seen?);
        }
        Ok(total)
    }
}

impl Seen {
    async fn ask(&mut self, client: &reqwest::Client, url: &str, body: &str) {
        let started = std::time::Instant::now();
        match answered(client, url, body).await {
            Ok((header, named)) => {
                self.mixed += u64::from(header != named);
                *self.by_version.entry(header).or_default() += 1;
            }
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert(format!("{error:#}"));
            }
        }
        self.micros.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    }

    fn merge(&mut self, other: Self) {
        self.failed += other.failed;
        self.mixed += other.mixed;
        self.micros.extend(other.micros);
        self.first_failure = self.first_failure.take().or(other.first_failure);
        for (version, answers) in other.by_version {
            *self.by_version.entry(version).or_default() += answers;
        }
    }

    /// Answers in all.
    pub(super) fn answers(&self) -> u64 {
        self.by_version.values().sum()
    }

    /// The versions that answered.
    pub(super) fn versions(&self) -> BTreeSet<&str> {
        self.by_version.keys().map(String::as_str).collect()
    }

    /// The time that 99 of 100 requests did not take longer than, milliseconds.
    pub(super) fn latency_ms_p99(&mut self) -> f64 {
        self.micros.sort_unstable();
        let index = self.micros.len().saturating_sub(1) * 99 / 100;
        self.micros.get(index).map_or(0.0, |&micros| f64::from(micros) / 1e3)
    }
}

async fn answered(client: &reqwest::Client, url: &str, body: &str) -> anyhow::Result<(String, String)> {
    let response = client.post(url).body(body.to_owned()).send().await?.error_for_status()?;
    let header = response.headers().get("x-model-version").and_then(|version| version.to_str().ok());
    let header = header.unwrap_or("none").to_owned();
    let answer: Answer = serde_json::from_slice(&response.bytes().await?)?;
    Ok((header, answer.model_version))
}
