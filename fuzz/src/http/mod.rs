//! As much of `gudgeon::http` as reads bodies.

#[path = "../../../src/http/json/mod.rs"]
pub mod json;
pub mod scoring;
pub mod v1;
pub mod v2;

pub use json::DecodeLimits;
