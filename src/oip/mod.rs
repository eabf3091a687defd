//! The Open Inference Protocol (v2), whatever carries it: what a server and its models tell of themselves, and tensors in
//! the protocol's binary form. `http` writes these as JSON, `grpc` as messages.
//!
//! Sources: the protocol's `inference_rest.md` and `open_inference_grpc.proto`, and Triton's extensions
//! `extension_binary_data.md`, `extension_model_configuration.md`, `extension_model_repository.md`,
//! `extension_statistics.md`.

pub mod absent;
mod columns;
mod config;
mod index;
mod metadata;
pub mod raw;
mod statistics;

pub use columns::{Column, Columns};
pub use config::{
    Config, ConfigInput, ConfigLimits, ConfigOutput, DynamicBatching, QueuePolicy, Specific, VersionPolicy,
};
pub use index::{IndexEntry, State, index};
pub use metadata::{ModelMetadata, ServerMetadata, TensorMetadata};
pub use statistics::{BatchStats, Duration, InferenceStats, ModelStats, statistics};

/// ONNX graphs, by the protocol's list of platforms.
pub const PLATFORM: &str = "onnx_onnxv1";
