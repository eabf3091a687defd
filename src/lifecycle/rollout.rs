//! What becomes of a challenger: pure decisions over what is known.
//!
//! A condition is broken only where chance cannot explain it, however often one looks: the test is a likelihood ratio
//! against a mixture of worse alternatives, which for any number of looks exceeds `1 / ALPHA` with a probability of at most
//! `ALPHA` while the condition holds (Ville 1939; Robbins 1970). A challenger that fails on everything is found after two
//! requests, one that is a little too bad after many.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rollout_policy::{Conditions, RolloutPolicy};
use crate::drift::Status;
use crate::model::Mode;
use crate::slot::Compared;

/// The chance that a condition which holds is ever taken for broken.
const ALPHA: f64 = 0.001;
/// Odds of the alternatives, as multiples of the limit's.
const ALTERNATIVES: [f64; 8] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1_000.0];
/// Rows of one request may resemble each other: so many requests must have been compared before their rows decide.
const REQUESTS_MIN: u64 = 5;
/// Timed pairs without which nothing is said of the latency.
const PAIRS_MIN: u64 = 13;
/// Runs of both versions without which a new champion's time is not held against the one before.
const RUNS_MIN: u64 = 200;

/// What is known of a challenger in its present step.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Whether it answers.
    pub mode: Mode,
    /// Its step of the rollout, from 1; none where a person decides what comes next.
    pub step: Option<u32>,
    /// How long it has been in that step.
    pub in_step: Duration,
    /// The comparison with the champion.
    pub compared: Compared,
    /// How far the predictions of the champion and of the challenger have drifted.
    pub drift: [Status; 2],
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It holds.
    Met,
    /// It may or may not hold: more must be seen.
    Undecided,
    /// It does not hold, and chance does not explain that.
    Broken,
}

crate::schema::described_words!(State as "ConditionState" { Met, Undecided, Broken });

/// One condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Its name in `model.toml`.
    pub name: String,
    /// Whether it holds.
    pub state: State,
    /// What was seen, in words.
    pub seen: String,
}

crate::schema::described!(Condition as "Condition" { name, state, seen });

/// What becomes of a challenger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet, and why.
    Wait(String),
    /// It goes to this step.
    Advance(u32, String),
    /// It becomes the champion.
    Activate(String),
    /// It is the challenger no more, and why.
    RollBack(String),
}

/// What becomes of a challenger of which `evidence` is known.
pub fn decide(policy: &RolloutPolicy, evidence: &Evidence) -> Decision {
    let conditions = conditions(&policy.conditions, evidence);
    let seen_of = |wanted: State| -> Vec<&str> {
        conditions
            .iter()
            .filter(|condition| condition.state == wanted)
            .map(|condition| condition.seen.as_str())
            .collect()
    };
    let broken = seen_of(State::Broken);
    if !broken.is_empty() {
        return Decision::RollBack(broken.join("; "));
    }
    let Some((number, step)) = evidence.step.and_then(|number| Some((number, policy.step(number)?))) else {
        return Decision::Wait("a person decides what comes next".to_owned());
    };
    let wait = |why: String| match step.time_max.filter(|&time_max| time_max <= evidence.in_step) {
        Some(time_max) => Decision::RollBack(format!("no decision within {} s: {why}", time_max.as_secs())),
        None => Decision::Wait(why),
    };
    let rows = evidence.compared.rows;
    if rows < step.rows_min {
        return wait(format!("{rows} of {} rows compared", step.rows_min));
    }
    if evidence.in_step < step.time_min {
        return wait(format!("{} of {} s passed", evidence.in_step.as_secs(), step.time_min.as_secs()));
    }
    let undecided = seen_of(State::Undecided);
    if !undecided.is_empty() {
        return wait(format!("undecided: {}", undecided.join("; ")));
    }
    let seen = seen_of(State::Met).join("; ");
    let why = format!("step {number} of {} passed with {rows} rows: {seen}", policy.steps.len());
    match number.checked_add(1).filter(|&next| policy.step(next).is_some()) {
        Some(next) => Decision::Advance(next, why),
        None => Decision::Activate(why),
    }
}

/// Every condition, and what was seen of it.
pub fn conditions(limits: &Conditions, evidence: &Evidence) -> Vec<Condition> {
    let compared = &evidence.compared;
    let mut conditions = vec![
        error_rate(limits.error_rate_max, evidence.mode, compared),
        agreement(limits.agreement_min, compared),
        latency(limits.latency_ratio_max, compared),
    ];
    conditions.extend(limits.mean_difference_max.map(|limit| mean_difference(limit, compared)));
    if evidence.mode == Mode::Canary {
        conditions.push(drift(limits.drift_status_max, evidence.drift));
    }
    conditions
}

fn condition(name: &str, state: State, seen: String) -> Condition {
    Condition { name: name.to_owned(), state, seen }
}

fn state(is_broken: bool, is_met: bool) -> State {
    match (is_broken, is_met) {
        (true, _) => State::Broken,
        (false, true) => State::Met,
        (false, false) => State::Undecided,
    }
}

fn error_rate(limit: f64, mode: Mode, compared: &Compared) -> Condition {
    let (failed, n) = match mode {
        Mode::Shadow => (compared.failed, compared.failed + compared.requests),
        Mode::Canary => {
            let failed = compared.canary_rescued + compared.canary_failed;
            (failed, failed + compared.canary_answered)
        }
    };
    let rate = share(failed, n);
    let seen = format!("errors: failed on {failed} of {n} requests (error_rate_max {limit})");
    condition("error_rate_max", state(exceeds(failed, n, limit), 0 < n && rate <= limit), seen)
}

fn agreement(limit: f64, compared: &Compared) -> Condition {
    let Compared { rows, agreed, requests, .. } = *compared;
    let is_broken = REQUESTS_MIN <= requests && exceeds(rows - agreed.min(rows), rows, 1.0 - limit);
    let seen = format!("disagreement: {agreed} of {rows} rows agree with the champion (agreement_min {limit})");
    condition("agreement_min", state(is_broken, 0 < rows && limit <= share(agreed, rows)), seen)
}

fn latency(limit: f64, compared: &Compared) -> Condition {
    let Compared { pairs, slower, .. } = *compared;
    let ratio = compared.latency_ratio.unwrap_or_default();
    let is_broken = exceeds(slower, pairs, 0.5) && limit < ratio;
    let millis = compared.latency_ms.unwrap_or_default();
    let seen = format!(
        "latency: {ratio:.2} times the champion's ({:.3} ms against {:.3} ms, median of {pairs} paired runs; latency_ratio_max {limit})",
        millis[1], millis[0]
    );
    condition("latency_ratio_max", state(is_broken, PAIRS_MIN <= pairs && ratio <= limit), seen)
}

fn mean_difference(limit: f64, compared: &Compared) -> Condition {
    let Compared { rows, requests, difference_mean: mean, .. } = *compared;
    let is_broken = REQUESTS_MIN <= requests && limit < mean - radius(rows);
    let seen = format!("difference: {mean:.4} in the mean of {rows} rows (mean_difference_max {limit})");
    condition("mean_difference_max", state(is_broken, 0 < rows && mean <= limit), seen)
}

/// A drift that the champion shows as much is the data's.
fn drift(limit: Status, [champion, challenger]: [Status; 2]) -> Condition {
    let is_broken = limit.code() < challenger.code() && champion.code() < challenger.code();
    let word = |status: Status| match status {
        Status::InsufficientData => "not known yet",
        Status::Ok => "ok",
        Status::Warn => "a warning",
        Status::Critical => "critical",
    };
    let (limit, seen, other) = (word(limit), word(challenger), word(champion));
    let seen =
        format!("drift: of the challenger's predictions {seen}, of the champion's {other} (drift_status_max {limit})");
    condition("drift_status_max", state(is_broken, true), seen)
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Whether `k` of `n` are more than chance explains where each comes with a probability of at most `limit`.
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn exceeds(k: u64, n: u64, limit: f64) -> bool {
    if limit <= 0.0 {
        return 0 < k;
    }
    if 1.0 <= limit || n == 0 {
        return false;
    }
    let odds = limit / (1.0 - limit);
    let log_ratio = |multiple: &f64| {
        let alternative = multiple * odds / (1.0 + multiple * odds);
        let misses = n.saturating_sub(k) as f64;
        k as f64 * (alternative / limit).ln() + misses * ((1.0 - alternative) / (1.0 - limit)).ln()
    };
    let logs: Vec<f64> = ALTERNATIVES.iter().map(log_ratio).collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = logs.iter().map(|log| (log - largest).exp()).sum::<f64>() / ALTERNATIVES.len() as f64;
    (1.0 / ALPHA).ln() <= largest + mean.ln()
}

/// How far the mean of `n` values between 0 and 1 may be above its expectation, at any number of looks (Howard, Ramdas,
/// McAuliffe and Sekhon 2021, equation 2, for a variance proxy of 1/4).
#[expect(clippy::cast_precision_loss, reason = "counts of rows are far below 2^53")]
fn radius(n: u64) -> f64 {
    if n < 2 {
        return 1.0;
    }
    let n = n as f64;
    0.85 * (((2.0 * n).ln().ln() + 0.72 * (5.2 / ALPHA).ln()) / n).sqrt()
}

/// What a version did on live requests.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Record {
    /// Requests answered or failed.
    pub requests: u64,
    /// Requests that it failed on.
    pub failed: u64,
    /// Runs of the model.
    pub runs: u64,
    /// Rows in these runs.
    pub rows: u64,
    /// Time that they took, seconds.
    pub seconds: f64,
}

/// Why a new champion, of which `new` is known, goes back to the one before, of which `old` is; `None` where it stays.
pub fn after(limits: &Conditions, [old, new]: [Record; 2], drift: [Status; 2]) -> Option<String> {
    let allowed = limits.error_rate_max.max(2.0 * share(old.failed, old.requests));
    if exceeds(new.failed, new.requests, allowed) {
        let (failed, n) = (new.failed, new.requests);
        return Some(format!(
            "errors: the new champion failed on {failed} of {n} requests (allowed is a share of {allowed})"
        ));
    }
    // Batches grow under load: then a run takes longer and a row less. A slower model is slower by both.
    let per = |record: Record, n: u64| record.seconds / share(n, 1).max(1.0);
    let by_run = per(new, new.runs) / per(old, old.runs).max(1e-9);
    let by_row = per(new, new.rows) / per(old, old.rows).max(1e-9);
    let ratio = by_run.min(by_row);
    let limit = limits.latency_ratio_max;
    if RUNS_MIN <= new.runs.min(old.runs) && limit < ratio {
        return Some(format!("latency: the new champion takes {ratio:.2} times as long (latency_ratio_max {limit})"));
    }
    let condition = self::drift(limits.drift_status_max, drift);
    (condition.state == State::Broken).then_some(condition.seen)
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
