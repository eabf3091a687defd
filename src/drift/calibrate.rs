//! Thresholds for traffic that comes in runs: how far spans of the reference rows themselves, in the order of time, differ
//! from all the others.
//!
//! A rung for windows of `m` rows is the most that any span of `m / 2` consecutive rows reached, each row counted twice: so
//! the window may come up to twice as fast as the training rows did, and its index has the smoothing of `m` rows. The
//! spans overlap, so that the worst one is met wherever it begins. A span that is no different in kind goes beyond the
//! most of `n` disjoint ones with a probability of `1 / (n + 1)`; two of them in a row must, before it is a warning.

use super::DriftError;
use super::counters::{Counters, Tally};
use super::counts::Counts;
use super::ladder::Rung;
use super::profile::{ColumnProfile, Profile};
use super::stats::{psi, psi_bias};
use super::verdict::compared_bins;
use crate::model::{Checked, Signature};
use crate::tensor::Tensor;

/// Rows of the smallest span: the fewest that any window is judged on.
const SPAN_ROWS_MIN: usize = 200;
/// The fewest spans of one size that lie side by side: the least that says how far they go.
const SPANS_MIN: usize = 8;
/// Spans begin this often within their own length.
const OFFSETS: usize = 8;
/// How much faster than the training rows live rows may come.
const SPEED: u64 = 2;
/// The fewest values of a span in one bin on average, as in a verdict.
const VALUES_PER_BIN_MIN: u64 = 20;

/// Goes through the reference rows in the order of time.
#[derive(Debug)]
pub struct Calibrator {
    counters: Counters,
    tally: Tally,
    /// The state of the counters after each step: for each column its bins, then its missing values.
    marks: Vec<Vec<u32>>,
}

impl Calibrator {
    /// Rows of a step. Spans begin and end between steps.
    pub const STEP: usize = 50;

    /// Calibrates the columns of `profile`.
    ///
    /// # Errors
    /// [`DriftError::Unfit`] where the profile does not belong to `signature`.
    pub fn new(profile: &Profile, signature: &Signature) -> Result<Self, DriftError> {
        let counters = Counters::new(profile, signature)?;
        let mut tally = counters.tally();
        let marks = vec![flat(&counters.counts(&mut tally))];
        Ok(Self { counters, tally, marks })
    }

    /// Adds the next [`Calibrator::STEP`] rows and the outputs that the model gave for them.
    pub fn push(&mut self, inputs: &Checked, outputs: &[Tensor]) {
        self.counters.observe(&mut self.tally, inputs, outputs);
        self.marks.push(flat(&self.counters.counts(&mut self.tally)));
    }

    /// The profile, calibrated: the same that the calibrator was made for.
    ///
    /// # Errors
    /// [`DriftError::Profile`] never, unless `profile` is another one.
    pub fn finish(&self, profile: &Profile) -> Result<Profile, DriftError> {
        let mut start = 0;
        let column = |column: &ColumnProfile| {
            let end = start + column.counts().len();
            let calibrated = self.ladder(column, start, end);
            start = end + 1;
            ColumnProfile { calibrated, ..column.clone() }
        };
        Profile::new(profile.n_rows(), profile.columns().iter().map(column).collect())
    }

    /// The rungs of a column whose bins are at `start..end` of each mark, and its missing values at `end`.
    fn ladder(&self, column: &ColumnProfile, start: usize, end: usize) -> Vec<Rung> {
        let steps = |rows: usize| rows / Self::STEP;
        let sizes = std::iter::successors(Some(steps(SPAN_ROWS_MIN)), |size| Some(2 * size));
        let longest = (self.marks.len() - 1) / SPANS_MIN;
        sizes.take_while(|&size| size <= longest).map(|size| self.rung(column, start..end, size)).collect()
    }

    fn rung(&self, column: &ColumnProfile, bins: std::ops::Range<usize>, size: usize) -> Rung {
        let missing_at = bins.end;
        let last = self.marks.len() - 1;
        let between = |from: usize, to: usize, cell: usize| u64::from(self.marks[to][cell] - self.marks[from][cell]);
        let rows = (size * Self::STEP) as u64;
        let mut rung = Rung { rows: SPEED * rows, psi: None, missing: 0.0 };
        for from in (0..=last - size).step_by(size.div_ceil(OFFSETS)) {
            let to = from + size;
            let span: Vec<u64> = bins.clone().map(|cell| between(from, to, cell)).collect();
            let rest: Vec<u64> = bins.clone().zip(&span).map(|(cell, span)| between(0, last, cell) - span).collect();
            let missing = between(from, to, missing_at);
            let rest_rows = (last * Self::STEP) as u64 - rows;
            let change = share(missing, rows) - share(between(0, last, missing_at) - missing, rest_rows);
            rung.missing = rung.missing.max(rounded(change.abs()));
            let enough = (SPAN_ROWS_MIN as u64).max(VALUES_PER_BIN_MIN * span.len() as u64);
            if enough <= span.iter().sum() {
                rung.psi = Some(rung.psi.unwrap_or(0.0).max(rounded(index(column, &rest, &span))));
            }
        }
        rung
    }
}

/// The corrected index of a span whose rows count as often as live rows may be faster.
fn index(column: &ColumnProfile, rest: &[u64], span: &[u64]) -> f64 {
    let faster: Vec<u64> = span.iter().map(|count| SPEED * count).collect();
    let n_bins = compared_bins(&column.reference, rest, span).0.len();
    psi(&rest[..n_bins], &faster[..n_bins]) - psi_bias(&rest[..n_bins], &span[..n_bins])
}

fn flat(counts: &Counts) -> Vec<u32> {
    let cells = counts.columns.iter().flat_map(|column| column.bins.iter().chain([&column.missing]));
    cells.map(|&count| u32::try_from(count).unwrap_or(u32::MAX)).collect()
}

fn share(count: u64, of: u64) -> f64 {
    if of > 0 { count as f64 / of as f64 } else { 0.0 }
}

/// Up to the next ten-thousandth: more places would say nothing.
fn rounded(value: f64) -> f64 {
    (value * 1e4).ceil() / 1e4
}

#[cfg(test)]
#[path = "calibrate_tests.rs"]
mod tests;
