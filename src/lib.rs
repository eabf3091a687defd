//! gudgeon: versioned ONNX models behind a stable prediction API.
pub mod engine;
pub mod model;
pub mod registry;
pub mod tensor;
