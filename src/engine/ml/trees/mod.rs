//! Tree ensembles of ai.onnx.ml, with the answers of onnxruntime; on plain slices, without the inference library.
//!
//! From the file to the answer:
//!
//! - `parse`, `parse_v5` read the attributes into a `forest`, all of it checked: nothing behind it can index outside.
//! - `lower` makes one comparison of all modes, sets and ways of missing values.
//! - `walk` lays the branches out in slots of 8 bytes (12 or 16 where places or thresholds need more) and walks eight trees
//!   abreast for one row, or eight rows abreast for one tree.
//! - `ranks` computes trees of at most 256 leaves over blocks of 128 rows in bytes; `lanes` is its inner loop.
//! - `weights` holds what leaves add, `ensemble` sums it in the order of the trees: a row's answer has the same bits alone
//!   and in any batch, and those of onnxruntime on one thread.
//! - `predict` makes scores and classes of the sums; `binary` has the rules for two classes.

mod binary;
mod ensemble;
mod forest;
mod lanes;
mod lower;
mod parse;
mod parse_v5;
mod predict;
mod ranks;
mod real;
mod walk;
mod weights;

#[cfg(test)]
mod tests;

pub(in crate::engine) use predict::{Classifier, Regressor, Rows};
