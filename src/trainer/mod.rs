//! The trainer: data in, registered version out.
//!
//! `pipeline.toml` says what to read and how to split it; every algorithm it names is fitted; the controlled holdout
//! chooses; the winner becomes one ONNX graph with its pre-processing inside. Training and serving share nothing but the
//! registry.

pub mod data;
pub mod export;
pub mod fit;
pub mod pipeline;
pub mod split;
