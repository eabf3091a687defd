//! The scoring containers' protocols: MLflow's `/invocations`, which SageMaker's containers have too, and Vertex AI's. They ask the
//! default model, and every form of a body ends in the same typed rows as the v1 form.

mod cell;
mod content;
mod csv;
mod frame;
mod json;
mod multi;
mod options;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
mod parquet;
pub(super) mod routes;

#[cfg(test)]
mod tests;

pub(super) use content::Content;
pub(super) use multi::routed;
pub use multi::{INNER_FOLDER, MultiModel};
pub use options::ScoringOptions;

use bytes::Bytes;

use super::json::{DecodeError, DecodeLimits};
use super::v1::Plan;
use crate::model::{Mismatch, Signature};
use crate::tensor::NamedTensor;

/// Reads a body of rows for a model of `signature`; one tensor an input that was given, in the order of the signature.
///
/// # Errors
/// [`DecodeError`]; a path starts at a member of the JSON, or at `csv` or `parquet` with the row, counted from 0.
pub(super) fn decode(
    (content, body): (Content, &Bytes),
    signature: &Signature,
    limits: &DecodeLimits,
) -> Result<Vec<NamedTensor>, DecodeError> {
    let Some(plan) = Plan::new(signature) else {
        return Err(Mismatch::new("signature", "features that lie inside their inputs", "another").into());
    };
    match content {
        Content::Json => json::decode(body, &plan, limits),
        Content::Csv => csv::decode(body, &plan, limits).map_err(DecodeError::from),
        #[cfg(feature = "parquet")]
        Content::Parquet => parquet::decode(body, &plan, limits).map_err(DecodeError::from),
    }
}
