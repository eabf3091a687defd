//! Why a version may not serve: by what it is, or by what became of the child that opened it.

use std::time::Duration;

use crate::child::ChildFailure;
use crate::engine::EngineError;
use crate::model::{Breach, GoldenMismatch, Mismatch};

/// Why a version may not serve.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The engine cannot open or run it.
    #[error("the model cannot be served: {0}")]
    Engine(#[from] EngineError),
    /// A golden case comes out differently.
    #[error(
        "{0}; the graph does not do here what it did where it was made: register it again with golden cases made from it"
    )]
    Golden(#[from] GoldenMismatch),
    /// The golden cases do not fit the signature.
    #[error("golden.json: {0}; make the golden cases again")]
    GoldenInputs(#[from] Mismatch),
    /// The golden cases cannot be read.
    #[error("golden.json: {0}; make the golden cases again, or restore the file from a copy")]
    GoldenText(String),
    /// Callers could not go on as they do.
    #[error("it breaks the model's contract: {}; register it under another model name, which is served side by side, and move callers over", breaches_text(.0))]
    Contract(Vec<Breach>),
    /// What the child that opened it said.
    #[error("{message}")]
    Told {
        /// Its word for the kind of refusal.
        code: &'static str,
        /// Its message.
        message: String,
    },
    /// It takes too much memory.
    #[error(
        "the model used more than verify_memory_max ({} MiB) while it was opened and tried out; make it smaller, or raise \
         verify_memory_max if it is to take that much and the server has it",
        .0 >> 20
    )]
    Memory(u64),
    /// It takes too much time on a core.
    #[error(
        "the model computed for more than verify_cpu_max ({} s) while it was opened and tried out; make it smaller, or \
         raise verify_cpu_max if it is to take that long",
        .0.as_secs_f64()
    )]
    Cpu(Duration),
    /// It takes too long.
    #[error(
        "the model was not opened and tried out within verify_timeout ({} s); try again when the machine is less busy, or \
         raise verify_timeout if it is to take that long",
        .0.as_secs_f64()
    )]
    Time(Duration),
    /// The child that opened it crashed or was killed.
    #[error("the process in which the model was opened did not survive it: {0}; what serves was not touched")]
    Crashed(ChildFailure),
    /// Nothing is known of the version: the child could not be started, or did not do its part.
    #[error("the model could not be tried out in a process of its own: {0}")]
    NoChild(String),
}

/// Nothing is wrong with the version, as far as is known; so this is a failure and no refusal.
const NO_CHILD: &str = "verify_failed";

/// The words that a child may use for what it found.
const TOLD: [&str; 5] =
    ["not_a_model", "model_unusable", "verify_memory_exceeded", "golden_mismatch", "invalid_artifact"];

fn breaches_text(breaches: &[Breach]) -> String {
    breaches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Refusal {
    /// A stable word for the kind of refusal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Engine(
                EngineError::NotOnnx(_)
                | EngineError::Invalid { .. }
                | EngineError::TooLarge { .. }
                | EngineError::Unsupported(_)
                | EngineError::Lacks { .. }
                | EngineError::NeedsOnnxruntime(_),
            ) => "not_a_model",
            Self::Engine(EngineError::OutOfMemory(_)) | Self::Memory(_) => "verify_memory_exceeded",
            Self::Engine(_) => "model_unusable",
            Self::Golden(_) | Self::GoldenInputs(_) => "golden_mismatch",
            Self::GoldenText(_) => "invalid_artifact",
            Self::Contract(_) => "contract_broken",
            Self::Cpu(_) => "verify_cpu_exceeded",
            Self::Time(_) => "verify_timeout",
            Self::Crashed(_) => "model_crashed",
            Self::Told { code, .. } => code,
            Self::NoChild(_) => NO_CHILD,
        }
    }

    /// Why, in a few words, where it is this engine's affair, and another may do better.
    pub(super) fn elsewhere(&self) -> Option<String> {
        match self {
            Self::Engine(EngineError::Lacks { what, .. } | EngineError::Unsupported(what)) => {
                Some(format!("lacks {what}"))
            }
            Self::Engine(EngineError::NeedsOnnxruntime(what)) => Some(format!("lack {what}")),
            Self::Engine(
                error @ (EngineError::Library(_)
                | EngineError::Load(_)
                | EngineError::Run(_)
                | EngineError::Rows { .. }
                | EngineError::Panicked(_)),
            ) => Some(error.to_string()),
            Self::Golden(mismatch) => Some(mismatch.to_string()),
            _ => None,
        }
    }

    /// The refusal that a child told of; `memory_bytes_max` is what it had.
    pub(super) fn told(code: &str, message: String, memory_bytes_max: u64) -> Self {
        match TOLD.into_iter().find(|known| *known == code) {
            Some("verify_memory_exceeded") => Self::Memory(memory_bytes_max),
            Some(code) => Self::Told { code, message },
            None => Self::NoChild(format!("it answered with the unknown code {code:?}")),
        }
    }
}

impl From<ChildFailure> for Refusal {
    fn from(failure: ChildFailure) -> Self {
        match failure {
            ChildFailure::Memory(bytes_max) => Self::Memory(bytes_max),
            ChildFailure::Cpu(cpu_max) => Self::Cpu(cpu_max),
            ChildFailure::Time(wall_max) => Self::Time(wall_max),
            ChildFailure::Start(_) => Self::NoChild(failure.to_string()),
            ChildFailure::Killed | ChildFailure::Crashed { .. } | ChildFailure::Output => Self::Crashed(failure),
        }
    }
}
