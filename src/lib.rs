//! gudgeon: versioned ONNX models behind a stable prediction API.
pub mod config;
pub mod drift;
pub mod engine;
pub mod metrics;
pub mod model;
pub mod registry;
pub mod telemetry;
pub mod tensor;
pub mod trainer;
