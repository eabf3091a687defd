//! Why a lifecycle operation did not happen.

use crate::drift::DriftError;
use crate::evaluation::{Report, Verdict};
use crate::model::{Breach, ModelName, Version};
use crate::registry::RegistryError;
use crate::schema::{Members, Schemas};
use crate::verify::Refusal;

use super::model_policy::InvalidModelPolicy;
use super::policy::NothingBefore;

/// What kind of failure it is: what a protocol maps to a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such model or version.
    NotFound,
    /// A rule forbids it; the model serves as before.
    Refused,
    /// Someone else changed the model meanwhile, or too much is under way.
    Conflict,
    /// The registry cannot be written to.
    Storage,
    /// The server is stopping.
    Stopped,
    /// Something else went wrong.
    Failed,
}

/// Why a lifecycle operation did not happen. The text is for operators.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The registry could not do its part.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The version may not serve.
    #[error("version refused: {0}")]
    Refused(#[from] Refusal),
    /// The upload may not serve.
    #[error("not registered: {0}")]
    NotRegistered(Refusal),
    /// There is no version to go back to.
    #[error(transparent)]
    NothingBefore(#[from] NothingBefore),
    /// `model.toml` is not understood.
    #[error(transparent)]
    Policy(#[from] InvalidModelPolicy),
    /// The reference profile does not fit the version.
    #[error("version refused: {0}")]
    Profile(#[from] DriftError),
    /// The reference profile cannot be read.
    #[error("version refused: profile.json: {0}; register the version again")]
    ProfileText(String),
    /// Too many operations at once.
    #[error("{n_max} operations are under way: try again when one of them has ended")]
    Busy {
        /// How many may be under way.
        n_max: usize,
    },
    /// The model has versions, but none is active.
    #[error("model {model} has no active version: activate one with `gudgeon activate {model} VERSION`")]
    NoChampion {
        /// The model.
        model: ModelName,
    },
    /// The version cannot be made the challenger.
    #[error("no challenge: {why}")]
    Challenge {
        /// The model.
        model: ModelName,
        /// Why, and what to do.
        why: String,
    },
    /// The model has no challenger.
    #[error("model {model} has no challenger: make one with `gudgeon challenge {model} VERSION`")]
    NoChallenger {
        /// The model.
        model: ModelName,
    },
    /// The gate does not let the version pass.
    #[error(
        "version refused: the gate says {}: {}; {}", report.verdict, report.complaints().join("; "),
        advice(model, *version, report)
    )]
    Gate {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Every figure.
        report: Box<Report>,
    },
    /// The gate cannot be told.
    #[error(
        "version refused: the gate could not be computed: {why}; mend that and activate again (`gudgeon evaluate {model} \
         --challenger {version}` shows the same), or override it with a reason: `gudgeon activate {model} {version} --force \
         --reason WHY`"
    )]
    GateNotComputed {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// What was in the way.
        why: String,
    },
    /// What the gate was computed for is not there any more.
    #[error(
        "the champion of {model} has changed while the gate was computed: expected {}, got {}; activate again, and the gate \
         is computed against the new one", shown(*expected), shown(*got)
    )]
    ChampionChanged {
        /// The model.
        model: ModelName,
        /// The champion that the gate was computed against.
        expected: Option<Version>,
        /// The champion now.
        got: Option<Version>,
    },
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
    /// The operation's thread ended without an answer.
    #[error("the operation failed inside the server; see its log")]
    Panicked,
    /// The key came with another request before.
    #[error("the idempotency key has come with another request before: take a new key for a new request")]
    KeyReused,
    /// There is no such operation any more.
    #[error("no such operation: the server remembers the last {n_max} since its start; the history has every one")]
    UnknownOperation {
        /// How many are remembered.
        n_max: usize,
    },
    /// What the registry says could not be made so.
    #[error("{0}")]
    NotFollowed(String),
    /// Nobody has said how many versions stay.
    #[error("how many versions stay? say it with --keep, or in model.toml: [retention] versions_on_disk = 10")]
    NoRetention,
}

impl LifecycleError {
    /// What kind of failure it is, and a stable word for it.
    pub fn kind(&self) -> (ErrorKind, &'static str) {
        match self {
            Self::Registry(error) => registry_kind(error),
            Self::Refused(Refusal::NoChild(_)) | Self::NotRegistered(Refusal::NoChild(_)) => {
                (ErrorKind::Failed, "verify_failed")
            }
            Self::Refused(refusal) | Self::NotRegistered(refusal) => (ErrorKind::Refused, refusal.code()),
            Self::NothingBefore(_) => (ErrorKind::Conflict, "nothing_to_roll_back_to"),
            Self::Policy(_) => (ErrorKind::Refused, "invalid_model_policy"),
            Self::Profile(_) | Self::ProfileText(_) => (ErrorKind::Refused, "invalid_profile"),
            Self::Busy { .. } => (ErrorKind::Conflict, "busy"),
            Self::NoChampion { .. } => (ErrorKind::Refused, "no_champion"),
            Self::Challenge { .. } => (ErrorKind::Conflict, "no_challenge"),
            Self::NoChallenger { .. } => (ErrorKind::NotFound, "no_challenger"),
            Self::Gate { report, .. } if report.verdict == Verdict::Inconclusive => {
                (ErrorKind::Refused, "gate_inconclusive")
            }
            Self::Gate { .. } => (ErrorKind::Refused, "gate_failed"),
            Self::GateNotComputed { .. } => (ErrorKind::Refused, "gate_not_computed"),
            Self::ChampionChanged { .. } => (ErrorKind::Conflict, "changed_meanwhile"),
            Self::Stopped => (ErrorKind::Stopped, "stopping"),
            Self::Panicked => (ErrorKind::Failed, "failed"),
            Self::KeyReused => (ErrorKind::Conflict, "key_reused"),
            Self::UnknownOperation { .. } => (ErrorKind::NotFound, "unknown_operation"),
            Self::NotFollowed(_) => (ErrorKind::Failed, "not_followed"),
            Self::NoRetention => (ErrorKind::Refused, "no_retention"),
        }
    }
}

impl LifecycleError {
    /// What a program may want beside the text: the ways in which a contract is broken, the gate's whole report.
    pub fn data(&self) -> Option<(&'static str, serde_json::Value)> {
        let data = match self {
            Self::Refused(Refusal::Contract(breaches)) => ("breaches", serde_json::to_value(breaches)),
            Self::Gate { report, .. } => ("report", serde_json::to_value(report)),
            _ => return None,
        };
        Some((data.0, data.1.ok()?))
    }
}

/// What [`LifecycleError::data`] may add to a failure.
pub(crate) fn described_data(schemas: &mut Schemas, members: &mut Members) {
    members.optional("breaches", schemas.of::<Vec<Breach>>());
    // The gate's report is the contents of evaluation.json, which has a format of its own.
    members.optional("report", serde_json::json!({ "type": "object" }));
}

fn advice(model: &ModelName, version: Version, report: &Report) -> String {
    let mend = match report.verdict {
        Verdict::Inconclusive => "take a larger holdout, or train a version that is better by more",
        Verdict::Fail | Verdict::Pass => "train a version that passes",
    };
    format!("{mend}, or override the gate with a reason: `gudgeon activate {model} {version} --force --reason WHY`")
}

fn shown(version: Option<Version>) -> String {
    version.map_or_else(|| "none".to_owned(), |version| format!("version {version}"))
}

fn registry_kind(error: &RegistryError) -> (ErrorKind, &'static str) {
    use RegistryError as R;
    match error {
        R::NoSuchModel { .. } => (ErrorKind::NotFound, "unknown_model"),
        R::NoSuchVersion { .. } => (ErrorKind::NotFound, "unknown_version"),
        R::DigestMismatch { .. } | R::SizeMismatch { .. } | R::MissingFile { .. } => {
            (ErrorKind::Refused, "digest_mismatch")
        }
        R::Unsafe { .. } | R::TooLarge { .. } | R::Malformed { .. } | R::Draft { .. } => {
            (ErrorKind::Refused, "invalid_artifact")
        }
        R::Conflict { .. } => (ErrorKind::Conflict, "changed_meanwhile"),
        R::Aliased { .. } => (ErrorKind::Refused, "version_in_use"),
        R::NoPermission { .. } | R::ReadOnly { .. } => (ErrorKind::Storage, "registry_not_writable"),
        R::DiskFull { .. } | R::NumbersUsedUp { .. } => (ErrorKind::Storage, "registry_full"),
        R::RootMissing { .. } | R::RootNotADirectory { .. } | R::Io { .. } => (ErrorKind::Failed, "registry_failed"),
    }
}
