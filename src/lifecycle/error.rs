//! Why a lifecycle operation did not happen.

use crate::drift::DriftError;
use crate::engine::EngineError;
use crate::model::ModelName;
use crate::registry::RegistryError;
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
    /// The upload is no model that can be registered.
    #[error("not registered: {0}")]
    NotAModel(EngineError),
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
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopped,
    /// The operation's thread ended without an answer.
    #[error("the operation failed inside the server; see its log")]
    Panicked,
}

impl LifecycleError {
    /// What kind of failure it is, and a stable word for it.
    pub fn kind(&self) -> (ErrorKind, &'static str) {
        match self {
            Self::Registry(error) => registry_kind(error),
            Self::Refused(refusal) => (ErrorKind::Refused, refusal.code()),
            Self::NotAModel(_) => (ErrorKind::Refused, "not_a_model"),
            Self::NothingBefore(_) => (ErrorKind::Conflict, "nothing_to_roll_back_to"),
            Self::Policy(_) => (ErrorKind::Refused, "invalid_model_policy"),
            Self::Profile(_) | Self::ProfileText(_) => (ErrorKind::Refused, "invalid_profile"),
            Self::Busy { .. } => (ErrorKind::Conflict, "busy"),
            Self::NoChampion { .. } => (ErrorKind::Refused, "no_champion"),
            Self::Challenge { .. } => (ErrorKind::Conflict, "no_challenge"),
            Self::NoChallenger { .. } => (ErrorKind::NotFound, "no_challenger"),
            Self::Stopped => (ErrorKind::Stopped, "stopping"),
            Self::Panicked => (ErrorKind::Failed, "failed"),
        }
    }
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
        R::NoPermission { .. } | R::ReadOnly { .. } => (ErrorKind::Storage, "registry_not_writable"),
        R::DiskFull { .. } | R::NumbersUsedUp { .. } => (ErrorKind::Storage, "registry_full"),
        R::RootMissing { .. } | R::RootNotADirectory { .. } | R::Io { .. } => (ErrorKind::Failed, "registry_failed"),
    }
}
