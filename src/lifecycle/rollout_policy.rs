//! `[rollout]` of `model.toml`: the steps that a challenger goes through, and what it must not do on the way.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::drift::Status;
use crate::model::{Mode, Share};

/// The header field that holds a request's key, unless another is set.
pub const KEY_HEADER: &str = "x-gudgeon-key";
/// A rollout has at most so many steps.
const STEPS_MAX: usize = 32;
const KEY_HEADER_BYTES_MAX: usize = 64;

/// How a challenger becomes the champion, or does not. Everything has a default.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RolloutPolicy {
    /// The header field by whose value requests stay with one version.
    pub key_header: String,
    /// Numbers that differ by at most this, relative to the larger one, agree.
    pub agreement_tolerance: f64,
    /// A new champion is watched for so long, and rolled back where it does worse than the one before.
    #[serde(deserialize_with = "period")]
    pub watch_after: Duration,
    /// The steps, in their order.
    #[serde(rename = "step")]
    pub steps: Vec<RolloutStep>,
    /// What the challenger is held to in every step, and without a rollout too.
    pub conditions: Conditions,
}

/// One step of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutStep {
    /// Whether the challenger answers.
    pub mode: Mode,
    /// The share of requests that it sees or answers.
    pub share: Share,
    /// Rows that must have been compared before the next step.
    #[serde(default = "rows_min")]
    pub rows_min: u64,
    /// Time that the step takes at least.
    #[serde(default, deserialize_with = "period")]
    pub time_min: Duration,
    /// Time after which a challenger that has not come to the next step is taken back; without it, it may take for ever.
    #[serde(default, deserialize_with = "some_period")]
    pub time_max: Option<Duration>,
}

/// What a challenger is held to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// The largest share of requests that it may fail on.
    pub error_rate_max: f64,
    /// How many times as long as the champion's its median run may take.
    pub latency_ratio_max: f64,
    /// The least share of rows of which it says what the champion says.
    pub agreement_min: f64,
    /// The largest mean difference of its predictions from the champion's, 0 to 1.
    pub mean_difference_max: Option<f64>,
    /// How far its predictions may drift while it answers: `ok`, `warn` or `critical`.
    pub drift_status_max: Status,
}

impl Default for RolloutPolicy {
    fn default() -> Self {
        let step = |mode, share: f64, rows_min, seconds| RolloutStep {
            mode,
            share: Share::try_from(share).unwrap_or(Share::ALL),
            rows_min,
            time_min: Duration::from_secs(seconds),
            time_max: None,
        };
        Self {
            key_header: KEY_HEADER.to_owned(),
            agreement_tolerance: 0.1,
            watch_after: Duration::from_secs(600),
            steps: vec![
                step(Mode::Shadow, 1.0, 1_000, 60),
                step(Mode::Canary, 0.05, 500, 60),
                step(Mode::Canary, 0.25, 1_000, 60),
                step(Mode::Canary, 0.5, 1_000, 60),
            ],
            conditions: Conditions::default(),
        }
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            error_rate_max: 0.01,
            latency_ratio_max: 2.0,
            agreement_min: 0.9,
            mean_difference_max: None,
            drift_status_max: Status::Warn,
        }
    }
}

impl RolloutPolicy {
    /// What is wrong with it: the key and what was expected.
    pub(super) fn check(&self) -> Result<(), String> {
        let Conditions { error_rate_max, latency_ratio_max, agreement_min, mean_difference_max, drift_status_max } =
            &self.conditions;
        let shares = [
            ("agreement_tolerance", self.agreement_tolerance),
            ("conditions.error_rate_max", *error_rate_max),
            ("conditions.agreement_min", *agreement_min),
            ("conditions.mean_difference_max", mean_difference_max.unwrap_or_default()),
        ];
        if let Some((key, got)) = shares.iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            return Err(format!("rollout.{key}: expected a number from 0 to 1, got {got}"));
        }
        if !(*latency_ratio_max > 0.0 && latency_ratio_max.is_finite()) {
            return Err(format!(
                "rollout.conditions.latency_ratio_max: expected a number above 0, got {latency_ratio_max}"
            ));
        }
        if *drift_status_max == Status::InsufficientData {
            return Err(
                "rollout.conditions.drift_status_max: expected ok, warn or critical, got insufficient_data".to_owned()
            );
        }
        let is_token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let header = &self.key_header;
        if !(1..=KEY_HEADER_BYTES_MAX).contains(&header.len()) || !header.bytes().all(is_token) {
            return Err(format!(
                "rollout.key_header: expected 1 to {KEY_HEADER_BYTES_MAX} lower-case letters, digits and hyphens, got {header:?}"
            ));
        }
        if !(1..=STEPS_MAX).contains(&self.steps.len()) {
            return Err(format!("rollout.step: expected 1 to {STEPS_MAX} steps, got {}", self.steps.len()));
        }
        if let Some(step) = self.steps.iter().find(|step| step.time_max.is_some_and(|max| max <= step.time_min)) {
            let (expected, got) = (step.time_min, step.time_max.unwrap_or_default());
            return Err(format!("rollout.step.time_max: expected more than time_min ({expected:?}), got {got:?}"));
        }
        let later_shadow =
            self.steps.windows(2).any(|pair| pair[0].mode == Mode::Canary && pair[1].mode == Mode::Shadow);
        let is_shrinking =
            self.steps.windows(2).any(|pair| pair[0].mode == pair[1].mode && pair[1].share < pair[0].share);
        if later_shadow || is_shrinking {
            return Err("rollout.step: expected shadow before canary, and shares that do not shrink".to_owned());
        }
        Ok(())
    }

    /// The step of this number, from 1.
    pub fn step(&self, number: u32) -> Option<&RolloutStep> {
        self.steps.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }
}

fn rows_min() -> u64 {
    500
}

fn some_period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    period(deserializer).map(Some)
}

/// A span of time: `250ms`, `10s`, `5m`, `1h`, `1d`.
fn period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let millis = match &text[end..] {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let span = text[..end].parse::<u64>().ok().zip(millis).and_then(|(number, unit)| number.checked_mul(unit));
    span.map(Duration::from_millis).ok_or_else(|| {
        de::Error::custom(format!(
            "expected a number and a unit, one of ms, s, m, h, d (for example 10m), got {text:?}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use crate::lifecycle::ModelPolicy;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = ModelPolicy::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn a_rollout_is_read_with_its_defaults() {
        let policy = ModelPolicy::parse("").unwrap().rollout;
        assert_eq!((policy.steps.len(), policy.key_header.as_str()), (4, "x-gudgeon-key"));
        let text = "[rollout]\nkey_header = \"x-user\"\nwatch_after = \"90s\"\n[[rollout.step]]\nmode = \"canary\"\nshare = 0.05\n\
                    time_min = \"1m\"\n[rollout.conditions]\nagreement_min = 0.5";
        let policy = ModelPolicy::parse(text).unwrap().rollout;
        let step = policy.step(1).unwrap();
        assert_eq!((step.rows_min, step.time_min.as_secs(), policy.watch_after.as_secs()), (500, 60, 90));
        assert!(policy.step(0).is_none() && policy.step(2).is_none());
        assert!((policy.conditions.latency_ratio_max - 2.0).abs() < 1e-9);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        check("[rollout]\nkey_header = \"X User\"", "rollout.key_header: expected 1 to 64 lower-case");
        check("[rollout]\nstep = []", "rollout.step: expected 1 to 32 steps");
        check("[rollout]\nwatch_after = \"soon\"", "expected a number and a unit");
        check(
            "[rollout.conditions]\nerror_rate_max = 2.0",
            "rollout.conditions.error_rate_max: expected a number from 0 to 1",
        );
        check("[rollout.conditions]\nlatency_ratio_max = 0", "latency_ratio_max: expected a number above 0");
        check("[rollout.conditions]\ndrift_status_max = \"insufficient_data\"", "expected ok, warn or critical");
        let step = |mode: &str, share: f64| format!("[[rollout.step]]\nmode = \"{mode}\"\nshare = {share}\n");
        check(&(step("canary", 0.5) + &step("shadow", 1.0)), "expected shadow before canary");
        check(&(step("canary", 0.5) + &step("canary", 0.1)), "shares that do not shrink");
        check(&step("canary", 1.5), "not a share");
        let spans = "time_min = \"2m\"\ntime_max = \"90s\"\n";
        check(&(step("canary", 0.5) + spans), "rollout.step.time_max: expected more than time_min (120s), got 90s");
    }
}
