//! The Open Inference Protocol (v2) over HTTP: named tensors with types and shapes.

mod decode;
mod encode;
pub(super) mod routes;
mod tensor;

pub use decode::{InferRequest, decode};
pub use encode::{InferAnswer, encode};
