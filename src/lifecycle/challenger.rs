//! What operators see of a challenger.

use serde::{Deserialize, Serialize};

use super::challenge::Subject;
use super::controller::Lifecycle;
use super::error::LifecycleError;
use super::rollout::{self, Condition, Decision, Evidence};
use super::rollout_policy::RolloutPolicy;
use crate::drift::{PREDICTION, Status};
use crate::model::{Mode, ModelName, Version};
use crate::registry::Challenge;
use crate::slot::{Compared, Lineup, Servable};

/// A challenger, what is known of it in its present step, and what it waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengerStatus {
    /// The model.
    pub model: String,
    /// The version that is tried.
    pub version: Version,
    /// The version that it is held against.
    pub champion: Option<Version>,
    /// How it is tried, and since when.
    pub challenge: Challenge,
    /// Steps of the rollout, where it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// The header field by whose value requests stay with one version.
    pub key_header: String,
    /// Requests by what became of their copies.
    pub requests: Copies,
    /// Rows compared.
    pub rows: u64,
    /// The share of rows of which both say the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// How far the predictions of a row are apart, 0 to 1.
    pub difference: Differences,
    /// Times of both on the same rows.
    pub latency: Latency,
    /// What became of the requests that were routed to it.
    pub canary: CanaryCounts,
    /// What it is held to.
    pub conditions: Vec<Condition>,
    /// What happens next, or what it waits for.
    pub next: String,
}

crate::schema::described!(
    ChallengerStatus as "ChallengerStatus" {
        model, version, champion, challenge, key_header, requests, rows, difference, latency, canary, conditions, next,
    }
    omitted { steps, agreement }
);

/// Requests by what became of their copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// Both answers were compared.
    pub compared: u64,
    /// There was no time to.
    pub dropped: u64,
    /// The challenger failed.
    pub failed: u64,
}

crate::schema::described!(Copies as "Copies" { compared, dropped, failed });

/// How far the predictions of a row are apart, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// In the mean.
    pub mean: f64,
    /// Half of the rows do not exceed it.
    pub p50: f64,
    /// Nine of ten do not.
    pub p90: f64,
    /// 99 of 100 do not.
    pub p99: f64,
}

crate::schema::described!(Differences as "Differences" { mean, p50, p90, p99 });

/// Times of both versions on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Paired runs.
    pub pairs: u64,
    /// Median of the challenger's time by the champion's.
    pub ratio: Option<f64>,
    /// Median of the champion's, milliseconds.
    pub champion_ms: Option<f64>,
    /// Median of the challenger's, milliseconds.
    pub challenger_ms: Option<f64>,
}

crate::schema::described!(Latency as "PairedLatency" { pairs, ratio, champion_ms, challenger_ms });

/// What became of the requests that were routed to the challenger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryCounts {
    /// It answered.
    pub answered: u64,
    /// It failed, and the champion answered.
    pub rescued: u64,
    /// It failed, and there was no time for the champion.
    pub failed: u64,
}

crate::schema::described!(CanaryCounts as "CanaryCounts" { answered, rescued, failed });

impl Lifecycle {
    /// The challenger of `model`.
    ///
    /// # Errors
    /// Where there is no such model, or it has no challenger.
    pub fn challenger(&self, model: &ModelName) -> Result<ChallengerStatus, LifecycleError> {
        let aliases = self.loader.registry.aliases(model)?;
        let none = || LifecycleError::NoChallenger { model: model.clone() };
        let Subject { version, challenge } = Subject::of(&aliases).ok_or_else(none)?;
        let policy = self.model_policy(model)?.rollout;
        let lineup = self.slots.find(model.as_str()).map(|slot| slot.lineup()).unwrap_or_default();
        let evidence = evidence(&lineup, &challenge);
        let not_tried = || "it is not in memory: the server's log says why".to_owned();
        let next = evidence.as_ref().map_or_else(not_tried, |evidence| next(&policy, evidence));
        let conditions =
            evidence.as_ref().map(|evidence| rollout::conditions(&policy.conditions, evidence)).unwrap_or_default();
        let compared = evidence.map(|evidence| evidence.compared).unwrap_or_default();
        let Compared { difference_mean: mean, difference_quantiles: [p50, p90, p99], .. } = compared;
        Ok(ChallengerStatus {
            model: model.to_string(),
            version,
            champion: aliases.champion,
            challenge,
            steps: challenge.step.map(|_| policy.steps.len()),
            key_header: policy.key_header,
            requests: Copies { compared: compared.requests, dropped: compared.dropped, failed: compared.failed },
            rows: compared.rows,
            agreement: agreement(&compared),
            difference: Differences { mean, p50, p90, p99 },
            latency: Latency {
                pairs: compared.pairs,
                ratio: compared.latency_ratio,
                champion_ms: compared.latency_ms.map(|millis| millis[0]),
                challenger_ms: compared.latency_ms.map(|millis| millis[1]),
            },
            canary: CanaryCounts {
                answered: compared.canary_answered,
                rescued: compared.canary_rescued,
                failed: compared.canary_failed,
            },
            conditions,
            next,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn agreement(compared: &Compared) -> Option<f64> {
    (0 < compared.rows).then(|| compared.agreed as f64 / compared.rows as f64)
}

fn next(policy: &RolloutPolicy, evidence: &Evidence) -> String {
    match rollout::decide(policy, evidence) {
        Decision::Wait(why) => format!("waits: {why}"),
        Decision::Advance(step, _) => format!("goes to step {step}"),
        Decision::Activate(_) => "becomes the champion".to_owned(),
        Decision::RollBack(why) => format!("is rolled back: {why}"),
    }
}

/// What is known of the challenger that `lineup` tries as `challenge` says; `None` where it does not.
pub(super) fn evidence(lineup: &Lineup, challenge: &Challenge) -> Option<Evidence> {
    let tried = lineup.challenge.as_ref()?;
    let options = tried.options();
    if (options.step, options.mode) != (challenge.step, challenge.mode) {
        return None;
    }
    Some(Evidence {
        mode: options.mode,
        step: options.step,
        in_step: challenge.since.elapsed(),
        compared: tried.comparison().now(),
        // Only what answers is watched for drift.
        drift: match options.mode {
            Mode::Shadow => [Status::InsufficientData; 2],
            Mode::Canary => [lineup.champion.as_ref(), Some(tried.challenger())].map(drift_of),
        },
    })
}

/// The worst that any window says of a version's predictions.
pub(super) fn drift_of(servable: Option<&std::sync::Arc<Servable>>) -> Status {
    let reports = servable.and_then(|servable| servable.monitor()).map(|monitor| monitor.reports());
    let columns = reports.iter().flatten().flat_map(|report| &report.columns);
    let predictions = columns.filter(|column| column.name == PREDICTION);
    predictions.map(|column| column.status).max().unwrap_or(Status::InsufficientData)
}
