//! The Open Inference Protocol over gRPC: messages in, messages and statuses out.
//!
//! What a request does is what it does over HTTP: the way from a request to its answer, the errors and what the server tells of
//! itself are shared with `http`; here is only how messages say it. [`Grpc`] answers the calls of one listener.

mod answer;
mod arriving;
mod contents;
mod decode;
mod describe;
mod front;
mod health;
mod infer;
#[rustfmt::skip]
#[expect(
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    clippy::enum_variant_names,
    clippy::too_many_lines,
    clippy::allow_attributes_without_reason,
    reason = "this file is made from inference.proto"
)]
pub(crate) mod inference;
mod service;
mod status;
mod unary;
mod weigh;

pub(crate) use contents::typed;
pub use front::{Grpc, GrpcError};

/// `inference.proto`, compiled: what reflection tells.
const DESCRIPTORS: &[u8] = include_bytes!("inference.bin");
