//! Does live traffic still look like the data that the model was trained on?
//!
//! Vocabulary: no I/O, no clock, no locks; time is a parameter. A [`Profile`] is the reference, made once by a
//! [`ProfileBuilder`], taught by a [`Calibrator`] how far traffic goes by itself, and shipped in the artifact. [`Counters`] bin live rows on the hot path, [`Windows`] cut the counts
//! into spans, and [`assess`] holds a span against the reference: a verdict, and alarms about the quality of the data.
//! This module must not know where counts are shown or what an alarm sets off.

mod builder;
mod calibrate;
mod counters;
mod counts;
mod exact;
mod ladder;
mod lanes;
mod levels;
mod prediction;
mod profile;
mod reference;
mod stats;
mod verdict;
mod windows;

#[cfg(test)]
mod case_tests;

pub use builder::ProfileBuilder;
pub use calibrate::Calibrator;
pub use counters::{Counters, Tally};
pub use counts::{ColumnCounts, Counts};
pub use exact::{beta_binomial_tail, binomial_tail, two_sample_p};
pub use ladder::Rung;
pub use prediction::{PredictionColumn, prediction_column};
pub use profile::{CategoricalReference, ColumnProfile, NumericReference, Profile, Reference};
pub use reference::{column_of_levels, column_of_numbers};
pub use stats::{ChiSquare, chi_square, hellinger, js_distance, ks_on_bins, l_infinity, psi, psi_bias};
pub use verdict::{Alarm, AlarmKind, ColumnReport, Status, Thresholds, assess};
pub use windows::{InvalidWindow, WindowReport, WindowSpec, Windows};

/// The name under which the prediction is watched.
pub const PREDICTION: &str = "__prediction__";

/// What cannot be watched, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriftError {
    /// A profile that contradicts itself.
    #[error("profile column {column:?}: expected {expected}; make the profile again")]
    Profile {
        /// The column.
        column: String,
        /// What must hold.
        expected: String,
    },
    /// A profile in a form that this build does not read.
    #[error("profile: expected format {expected:?}, got {got:?}; make the profile again with this version")]
    Format {
        /// The form that this build reads.
        expected: String,
        /// The form that came.
        got: String,
    },
    /// A profile that does not belong to the signature.
    #[error("profile column {column:?}: expected {expected}; make the profile again from this version's own data")]
    Unfit {
        /// The column.
        column: String,
        /// What the signature has.
        expected: String,
    },
}
