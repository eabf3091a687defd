//! The trainer: data in, registered version out.
//!
//! `pipeline.toml` says what to read and how to split it; every algorithm it names is fitted; the controlled holdout
//! chooses; the winner becomes one ONNX graph with its pre-processing inside, is opened again by the engine and held against
//! the trainer's own predictions, and is registered with its scores, its reference profile and its golden cases. Training
//! and serving share nothing but the registry.

pub mod data;
mod error;
pub mod export;
pub mod fit;
pub mod pipeline;
mod progress;
mod run;
pub mod split;
mod validation;

pub use error::TrainError;
pub use pipeline::{Pipeline, PipelineError, PipelineFile, SplitSection};
pub use progress::{Progress, Silent, Stage};
pub use run::{
    Ask, CandidateReport, ChampionScores, Evaluated, EvaluationFile, ForeignOptions, Scored, SliceScore, TrainOptions,
    TrainReport, evaluate, register_foreign, train,
};
pub use validation::ValidationBy;
