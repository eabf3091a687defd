//! As much of `gudgeon::oip` as reads bytes.

#[path = "../../src/oip/columns.rs"]
mod columns;
#[path = "../../src/oip/raw.rs"]
pub mod raw;

pub use columns::{Column, Columns};
