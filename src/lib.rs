//! gudgeon: versioned ONNX models behind a stable prediction API.
pub mod app;
pub mod batch;
pub mod config;
pub mod drift;
pub mod engine;
pub mod evaluation;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod model;
pub mod registry;
pub mod slot;
pub mod telemetry;
pub mod tensor;
pub mod trainer;
pub mod verify;
