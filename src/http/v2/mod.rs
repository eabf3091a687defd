//! The Open Inference Protocol (v2) over HTTP: named tensors with types and shapes, as JSON or in the binary form behind it.

mod arriving;
mod bare;
mod decode;
pub(super) mod describe;
mod encode;
mod framed;
mod parameters;
pub(crate) mod repository;
pub(crate) mod routes;
mod tensor;

pub(in crate::http) use arriving::Arriving;
pub(crate) use decode::ID_CHARS_MAX;
pub(in crate::http) use decode::decode_arrived;
pub use decode::{InferRequest, decode};
pub use encode::{Encoded, InferAnswer, encode};
pub use framed::{Framed, JSON_LENGTH};
pub use tensor::Wanted;
