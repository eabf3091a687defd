//! gudgeon: versioned ONNX models behind a stable prediction API.
pub mod drift;
pub mod engine;
pub mod evaluation;

pub mod model;
pub mod tensor;
