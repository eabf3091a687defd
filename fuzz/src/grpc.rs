//! As much of `gudgeon::grpc` as reads requests.

#[path = "../../src/grpc/contents.rs"]
mod contents;
#[path = "../../src/grpc/decode.rs"]
mod decode;
#[path = "../../src/grpc/inference.rs"]
pub mod inference;

pub(crate) use decode::{Ahead, Arrived, decode};
