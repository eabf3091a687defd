//! As much of `gudgeon::oip` as reads bytes.

#[path = "../../src/oip/raw.rs"]
pub mod raw;
