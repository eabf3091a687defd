//! Why a run ends without a version.

use std::io;
use std::path::PathBuf;

use crate::drift::DriftError;
use crate::engine::EngineError;
use crate::evaluation::EvaluationError;
use crate::model::{Digest, Mismatch};
use crate::registry::RegistryError;

use super::data::DataError;
use super::export::ExportError;
use super::fit::FitError;
use super::pipeline::PipelineError;

/// Why a run ends without a version. Nothing was registered then.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The pipeline file.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The data files.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The fit.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The graph.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The engine refuses a graph.
    #[error("{what}: {source}")]
    Engine {
        /// Whose graph.
        what: String,
        /// Why.
        source: EngineError,
    },
    /// Scores or the gate.
    #[error(transparent)]
    Evaluation(#[from] EvaluationError),
    /// The reference profile.
    #[error(transparent)]
    Drift(#[from] DriftError),
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A model's inputs cannot be made from the data.
    #[error("{what} cannot take these rows: {source}")]
    Inputs {
        /// Whose inputs.
        what: String,
        /// Which part.
        source: Mismatch,
    },
    /// A model's outputs cannot be scored.
    #[error("{what} cannot be scored: expected {expected}")]
    Outputs {
        /// Whose outputs.
        what: String,
        /// What would do.
        expected: String,
    },
    /// The split leaves no rows.
    #[error("the split leaves no {part} rows of {n_rows}; check [split] against the data: {rule}")]
    EmptySplit {
        /// `training` or `holdout`.
        part: &'static str,
        /// Rows read.
        n_rows: usize,
        /// The rule.
        rule: String,
    },
    /// The engine gives other answers than the trainer.
    #[error(
        "the exported graph differs from the trainer on {rows} of {n_rows} holdout rows (by {max_abs:.2e} at most); \
         nothing was registered; please report this"
    )]
    Parity {
        /// Rows that differ.
        rows: usize,
        /// Rows compared.
        n_rows: usize,
        /// The largest difference.
        max_abs: f64,
    },
    /// The holdout is not the one that the gate names.
    #[error("gate.toml holdout {uri:?}: expected sha256 {expected}, got {got}; restore the file or change the gate")]
    HoldoutChanged {
        /// The file.
        uri: String,
        /// What the gate says.
        expected: Digest,
        /// What is there.
        got: Digest,
    },
    /// The holdout that the gate names is not there.
    #[error(
        "gate.toml holdout {uri:?}: expected a file in {}, found none; put it back, or name another one in gate.toml",
        folder.display()
    )]
    HoldoutMissing {
        /// The file.
        uri: String,
        /// What it is relative to.
        folder: PathBuf,
    },
    /// The contract in `model.toml` is not understood.
    #[error("model.toml: {0}")]
    ModelFile(String),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}
