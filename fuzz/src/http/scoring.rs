//! Bodies of `/invocations`.

#[path = "../../../src/http/scoring/cell.rs"]
mod cell;
#[path = "../../../src/http/scoring/csv.rs"]
mod csv;
#[path = "../../../src/http/scoring/frame.rs"]
mod frame;
#[path = "../../../src/http/scoring/json.rs"]
mod json;

use super::json::{DecodeError, DecodeLimits};
use super::v1::Plan;
use crate::model::Signature;
use crate::tensor::NamedTensor;

/// Reads `body` for a model of `signature`.
///
/// # Errors
/// What is wrong with it.
pub fn decode(
    body: &[u8],
    is_csv: bool,
    signature: &Signature,
    limits: &DecodeLimits,
) -> Result<Vec<NamedTensor>, DecodeError> {
    let plan = Plan::new(signature).expect("the signatures of the cases make sense");
    if is_csv { csv::decode(body, &plan, limits).map_err(DecodeError::from) } else { json::decode(body, &plan, limits) }
}
