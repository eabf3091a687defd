//! How often each bin of each column was hit: sums that can be added and subtracted.

use super::profile::{ColumnProfile, Profile, Reference};

/// Counts of one column over some rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ColumnCounts {
    /// Values a bin, as in [`ColumnProfile::counts`].
    pub bins: Vec<u64>,
    /// Missing values.
    pub missing: u64,
    /// Infinite values.
    pub invalid: u64,
    /// Finite values below the reference's smallest; they are in a bin too.
    pub below_min: u64,
    /// Finite values above the reference's largest; they are in a bin too.
    pub above_max: u64,
    /// Values whose level the reference does not have; they are in `other` too.
    pub unseen: u64,
    /// The sum of the finite values' distances from the reference's mean, in its standard deviations, each cut at
    /// a million: one wild value must not swallow all the others.
    pub sum_z: f64,
    /// The sum of the squares of the same.
    pub sum_z2: f64,
}

/// Counts of every column of a profile, in its order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counts {
    /// How many rows were counted.
    pub rows: u64,
    /// The columns.
    pub columns: Vec<ColumnCounts>,
}

impl ColumnCounts {
    /// No values of a column of `profile`.
    pub fn zero(profile: &ColumnProfile) -> Self {
        Self { bins: vec![0; profile.counts().len()], ..Self::default() }
    }

    /// Values that were binned: neither missing nor infinite.
    pub fn n(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// All values.
    pub fn n_rows(&self) -> u64 {
        self.n() + self.missing + self.invalid
    }

    /// Counts numbers; the cold path's way, for calibration and for data at rest. Numbers are nothing to a categorical
    /// column.
    pub fn count_numbers(&mut self, profile: &ColumnProfile, values: &[f64]) {
        let Reference::Numeric(reference) = &profile.reference else { return };
        for &value in values {
            if value.is_nan() {
                self.missing += 1;
            } else if value.is_infinite() {
                self.invalid += 1;
            } else {
                self.hit(super::reference::bin_of(&reference.edges, value));
                self.below_min += u64::from(reference.range.is_some_and(|(min, _)| value < min));
                self.above_max += u64::from(reference.range.is_some_and(|(_, max)| max < value));
                let z = z_score(value, reference.mean, scale(reference.sd));
                self.sum_z += z;
                self.sum_z2 += z * z;
            }
        }
    }

    /// Counts levels; the cold path's way. Levels are nothing to a numeric column.
    pub fn count_levels<S: AsRef<str>>(&mut self, profile: &ColumnProfile, values: &[S]) {
        let Reference::Categorical(reference) = &profile.reference else { return };
        let other = reference.levels.len();
        for value in values.iter().map(AsRef::as_ref) {
            if value.is_empty() {
                self.missing += 1;
                continue;
            }
            let bin = reference.levels.iter().position(|level| level == value);
            self.hit(bin.unwrap_or(other));
            let known = bin.is_some() || reference.rest_cut || reference.rest.iter().any(|level| level == value);
            self.unseen += u64::from(!known);
        }
    }

    fn hit(&mut self, bin: usize) {
        if let Some(count) = self.bins.get_mut(bin) {
            *count += 1;
        }
    }

    fn combine(&mut self, more: &Self, counts: impl Fn(u64, u64) -> u64, sums: impl Fn(f64, f64) -> f64) {
        for (bin, more) in self.bins.iter_mut().zip(&more.bins) {
            *bin = counts(*bin, *more);
        }
        self.missing = counts(self.missing, more.missing);
        self.invalid = counts(self.invalid, more.invalid);
        self.below_min = counts(self.below_min, more.below_min);
        self.above_max = counts(self.above_max, more.above_max);
        self.unseen = counts(self.unseen, more.unseen);
        self.sum_z = sums(self.sum_z, more.sum_z);
        self.sum_z2 = sums(self.sum_z2, more.sum_z2);
    }
}

impl Counts {
    /// No rows of the columns of `profile`.
    pub fn zero(profile: &Profile) -> Self {
        Self { rows: 0, columns: profile.columns().iter().map(ColumnCounts::zero).collect() }
    }

    /// Adds the counts of other rows of the same columns.
    pub fn add(&mut self, more: &Self) {
        self.rows += more.rows;
        for (column, more) in self.columns.iter_mut().zip(&more.columns) {
            column.combine(more, |a, b| a + b, |a, b| a + b);
        }
    }

    /// What came since `earlier`, an older state of the same growing counts.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut delta = self.clone();
        delta.rows = self.rows.saturating_sub(earlier.rows);
        for (column, earlier) in delta.columns.iter_mut().zip(&earlier.columns) {
            column.combine(earlier, u64::saturating_sub, |a, b| a - b);
        }
        delta
    }
}

/// The factor to standard deviations; 0 where all reference values are equal.
pub(super) fn scale(sd: f64) -> f64 {
    if sd > 0.0 && (1.0 / sd).is_finite() { 1.0 / sd } else { 0.0 }
}

/// The distance of a finite `value` from the mean in standard deviations, cut at a million.
pub(super) fn z_score(value: f64, mean: f64, scale: f64) -> f64 {
    const CUT: f64 = 1e6;
    ((value - mean) * scale).clamp(-CUT, CUT)
}
