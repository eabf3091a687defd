//! HTTP: bytes in, statuses and bytes out. The wire forms live here and nowhere else.

mod state;

pub use state::{AdminToken, AppState, HttpOptions, Readiness};
