//! HTTP: bytes in, statuses and bytes out. The wire forms live here and nowhere else.
//!
//! Everything behind this module sees typed tensors and never JSON; everything in front of it sees one error body.

pub mod error;
pub mod json;
mod state;
pub mod v1;
pub mod v2;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod properties;

pub use json::DecodeLimits;
pub use state::{AdminToken, AppState, HttpOptions, Readiness};
