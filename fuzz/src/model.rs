//! As much of `gudgeon::model` as the engine needs.

#[path = "../../src/model/signature.rs"]
mod signature;

pub use signature::*;

/// `gudgeon::model::Task`, whose file needs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Binary,
    Multiclass,
    Regression,
    Other,
}
