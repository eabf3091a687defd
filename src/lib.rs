//! gudgeon: versioned ONNX models behind a stable prediction API.
pub mod engine;
pub mod metrics;
pub mod model;
pub mod tensor;
