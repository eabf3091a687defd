//! Scores, and the gate: does the challenger beat the champion?
//!
//! Vocabulary: no I/O, no clock, no locks. [`Metric`] names a score, [`score`] computes it, [`interval`] says how sure it is.
//! [`Gate`] is what the data scientist wrote in `gate.toml`; [`decide`] holds both models' predictions on the same holdout
//! against it. Everything is deterministic given its inputs. This module must not know where models or data come from.

mod bootstrap;
mod checks;
mod data;
mod decide;
mod delong;
mod gate;
mod metric;
mod prepared;
mod report;

pub use bootstrap::{Bootstrap, Interval, interval};
pub use data::{EvaluationError, Labels, Predictions};
pub use decide::{Facts, HoldoutPredictions, decide};
pub use delong::{DeLong, delong};
pub use gate::{Floor, Gate, Guardrail, Holdout, Method, Primary, Rule, Schema, Serving, Slice};
pub use metric::{InvalidMetric, Metric};
pub use prepared::score;
pub use report::{Check, Decision, Digests, Report, Verdict};
