//! Has a column drifted? The rule, and the alarms about the quality of the data.

use serde::{Deserialize, Serialize};

use super::counts::ColumnCounts;
use super::exact::{beta_binomial_tail, binomial_tail, two_sample_p};
use super::profile::{CategoricalReference, ColumnProfile, NumericReference, Reference};
use super::{PREDICTION, ladder, stats};

/// When a column counts as drifted. The defaults were measured: at most 0.1 % of windows without drift are flagged, and
/// 97 to 100 % of those shifted by half a standard deviation are found. `[drift]` of `model.toml` overrides them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Corrected PSI from which a column is a warning (0.1 is a shift of about 0.33 standard deviations).
    pub warn: f64,
    /// Corrected PSI from which it is critical.
    pub critical: f64,
    /// The probability of a false alarm in a window, over all columns together: a column is tested at this, divided by
    /// how many there are.
    pub alpha: f64,
    /// Fewest values of a window, and fewest of the reference, for any verdict.
    pub rows_min: u64,
    /// Fewest values of a window, a bin.
    pub rows_per_bin_min: u64,
    /// Windows in a row, no two of which share a row, that must warn before it is said.
    pub warn_windows: u32,
    /// Columns that are watched more closely; `__prediction__` by default.
    pub sensitive_columns: Vec<String>,
    /// Corrected PSI from which a sensitive column is a warning.
    pub sensitive: f64,
    /// Fewest values of a window for the sensitive threshold.
    pub sensitive_rows_min: u64,
    /// The least share of values outside the reference's range that alarms.
    pub out_of_range_rate_min: f64,
    /// The least change of the share of missing (or infinite) values that alarms.
    pub missing_change_min: f64,
    /// The expected share of unseen levels from which a column is an identifier, in which new levels are no news.
    pub identifier_rate: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            warn: 0.1,
            critical: 0.25,
            alpha: 0.01,
            rows_min: 200,
            rows_per_bin_min: 20,
            warn_windows: 2,
            sensitive_columns: vec![PREDICTION.to_owned()],
            sensitive: 0.02,
            sensitive_rows_min: 1000,
            out_of_range_rate_min: 0.001,
            missing_change_min: 0.01,
            identifier_rate: 0.05,
        }
    }
}

/// What a window says about a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Too few rows to say anything.
    InsufficientData,
    /// No drift that matters.
    Ok,
    /// Drifted.
    Warn,
    /// Drifted far.
    Critical,
}

crate::schema::described_words!(Status as "DriftStatus" { InsufficientData, Ok, Warn, Critical });

impl Status {
    /// The number that gauges show: -1 insufficient, 0 ok, 1 warn, 2 critical.
    pub fn code(self) -> i8 {
        match self {
            Self::InsufficientData => -1,
            Self::Ok => 0,
            Self::Warn => 1,
            Self::Critical => 2,
        }
    }
}

/// What is wrong with the data of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// More or fewer missing values than in the reference.
    Missing,
    /// Infinite values.
    Invalid,
    /// More values outside the reference's range than chance puts there.
    OutOfRange,
    /// More values of unseen levels than chance brings.
    Unseen,
}

crate::schema::described_words!(AlarmKind as "AlarmKind" { Missing, Invalid, OutOfRange, Unseen });

/// An alarm about the quality of a column's data.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// What is wrong.
    pub kind: AlarmKind,
    /// Its share of the window's values.
    pub rate: f64,
    /// The share that was expected from the reference.
    pub expected_rate: f64,
    /// The probability of as much by chance.
    pub p: f64,
}

crate::schema::described!(Alarm as "Alarm" { kind, rate, expected_rate, p });

/// What a window says about a column: the verdict, and the numbers behind and beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnReport {
    /// The feature's name, or `__prediction__`.
    pub name: String,
    /// The verdict on this window alone; [`super::Windows`] holds a warning back until it comes again.
    pub status: Status,
    /// The window's values that were binned.
    pub rows: u64,
    /// The smoothed population stability index.
    pub psi: f64,
    /// The same, less what chance gives: what the thresholds are for.
    pub psi_corrected: f64,
    /// The corrected PSI from which this column is a warning.
    pub warn_at: f64,
    /// The corrected PSI from which it is critical.
    pub critical_at: f64,
    /// The two-sample chi-square statistic.
    pub chi2: f64,
    /// Its degrees of freedom.
    pub dof: usize,
    /// Its p-value.
    pub p: f64,
    /// Jensen-Shannon distance, base 2. Shown, as all that follow up to the alarms; never alarming.
    pub js_distance: f64,
    /// Hellinger distance.
    pub hellinger: f64,
    /// The largest change of a bin's share.
    pub l_infinity: f64,
    /// The largest change of the cumulative share.
    pub ks: f64,
    /// The mean's shift in the reference's standard deviations; `None` for categories and constants.
    pub mean_shift: Option<f64>,
    /// The standard deviation's change in the reference's standard deviations.
    pub sd_shift: Option<f64>,
    /// The share of missing values.
    pub missing_rate: f64,
    /// The column has so many rare levels that unseen ones are not tested.
    pub is_identifier: bool,
    /// What is wrong with the data.
    pub alarms: Vec<Alarm>,
}

crate::schema::described!(ColumnReport as "ColumnReport" {
    name, status, rows, psi, psi_corrected, warn_at, critical_at, chi2, dof, p, js_distance, hellinger, l_infinity, ks,
    mean_shift, sd_shift, missing_rate, is_identifier, alarms,
});

/// Holds the counts of a window against the reference of its column; one of `n_columns` that are watched together.
pub fn assess(
    profile: &ColumnProfile,
    counts: &ColumnCounts,
    thresholds: &Thresholds,
    n_columns: usize,
) -> ColumnReport {
    let (reference, window) = compared_bins(&profile.reference, profile.counts(), &counts.bins);
    let psi = stats::psi(reference, window);
    let m = counts.n();
    let has_rows = m > 0 && profile.n() > 0;
    let psi = if has_rows { psi } else { 0.0 };
    let psi_corrected = psi - stats::psi_bias(reference, window);
    let chi2 = stats::chi_square(reference, window);
    let alpha = thresholds.alpha / n_columns.max(1) as f64;
    let (warn_at, critical_at) = thresholds.limits(profile, counts);
    let rows_min = thresholds.rows_min.max(thresholds.rows_per_bin_min.saturating_mul(reference.len() as u64));
    let status = if m < rows_min || profile.n() < thresholds.rows_min {
        Status::InsufficientData
    } else if alpha <= chi2.p {
        Status::Ok
    } else if critical_at <= psi_corrected {
        Status::Critical
    } else if warn_at <= psi_corrected {
        Status::Warn
    } else {
        Status::Ok
    };
    let (mean_shift, sd_shift) = shifts(profile, counts).unzip();
    ColumnReport {
        name: profile.name.clone(),
        status,
        rows: m,
        psi,
        psi_corrected,
        warn_at,
        critical_at,
        chi2: chi2.statistic,
        dof: chi2.dof,
        p: chi2.p,
        js_distance: stats::js_distance(reference, window),
        hellinger: stats::hellinger(reference, window),
        l_infinity: stats::l_infinity(reference, window),
        ks: stats::ks_on_bins(reference, window),
        mean_shift,
        sd_shift,
        missing_rate: rate(counts.missing, counts.n_rows()),
        is_identifier: is_identifier(profile, thresholds),
        alarms: alarms(profile, counts, thresholds, alpha),
    }
}

impl Thresholds {
    /// From where a window is a warning, and from where it is critical.
    fn limits(&self, profile: &ColumnProfile, counts: &ColumnCounts) -> (f64, f64) {
        let is_sensitive = self.sensitive_rows_min <= counts.n() && self.sensitive_columns.contains(&profile.name);
        let warn = if is_sensitive { self.sensitive.min(self.warn) } else { self.warn };
        let calibrated = ladder::psi_at(&profile.calibrated, counts.n_rows());
        (warn.max(calibrated), self.critical.max(2.0 * calibrated))
    }
}

/// The bins that are compared. `other` is none where neither side has anything in it.
pub(super) fn compared_bins<'a>(kind: &Reference, reference: &'a [u64], window: &'a [u64]) -> (&'a [u64], &'a [u64]) {
    let n_bins = reference.len().min(window.len());
    let (reference, window) = (&reference[..n_bins], &window[..n_bins]);
    match (kind, reference.split_last(), window.split_last()) {
        (Reference::Categorical(_), Some((0, reference)), Some((0, window))) => (reference, window),
        _ => (reference, window),
    }
}

fn shifts(profile: &ColumnProfile, counts: &ColumnCounts) -> Option<(f64, f64)> {
    let m = counts.n();
    match &profile.reference {
        Reference::Numeric(reference) if m > 0 && reference.sd > 0.0 => {
            let mean = counts.sum_z / m as f64;
            let variance = counts.sum_z2 / m as f64 - mean * mean;
            Some((mean, variance.max(0.0).sqrt() - 1.0))
        }
        _ => None,
    }
}

fn alarms(profile: &ColumnProfile, counts: &ColumnCounts, thresholds: &Thresholds, alpha: f64) -> Vec<Alarm> {
    let rows = counts.n_rows();
    let mut alarms = Vec::new();
    let infinite = match &profile.reference {
        Reference::Numeric(reference) => reference.infinite,
        Reference::Categorical(_) => 0,
    };
    let reference_rows = profile.n() + profile.missing + infinite;
    let changed = |kind, count: u64, reference: u64, by_itself: f64| {
        let (now, before) = (rate(count, rows), rate(reference, reference_rows));
        let p = two_sample_p(count, rows, reference, reference_rows);
        let is_change = p < alpha && thresholds.missing_change_min.max(by_itself) <= (now - before).abs();
        is_change.then_some(Alarm { kind, rate: now, expected_rate: before, p })
    };
    let by_itself = ladder::missing_at(&profile.calibrated, rows);
    alarms.extend(changed(AlarmKind::Missing, counts.missing, profile.missing, by_itself));
    if infinite == 0 && counts.invalid > 0 {
        // Where training never saw an infinite value, one is a fault of the caller, not chance.
        let rate = rate(counts.invalid, rows);
        alarms.push(Alarm { kind: AlarmKind::Invalid, rate, expected_rate: 0.0, p: 0.0 });
    } else {
        alarms.extend(changed(AlarmKind::Invalid, counts.invalid, infinite, 0.0));
    }
    match &profile.reference {
        Reference::Numeric(reference) => alarms.extend(out_of_range(reference, counts, thresholds, alpha)),
        Reference::Categorical(_) if is_identifier(profile, thresholds) => {}
        Reference::Categorical(reference) => alarms.extend(unseen(reference, counts, alpha)),
    }
    alarms
}

/// Without drift, the number outside the range of `n` reference values is beta-binomial.
fn out_of_range(
    reference: &NumericReference,
    counts: &ColumnCounts,
    thresholds: &Thresholds,
    alpha: f64,
) -> Option<Alarm> {
    let (m, n) = (counts.n(), reference.counts.iter().sum::<u64>());
    let outside = counts.below_min + counts.above_max;
    let p = beta_binomial_tail(outside, m, n);
    let rate = rate(outside, m);
    let is_alarm = p < alpha && thresholds.out_of_range_rate_min < rate;
    is_alarm.then_some(Alarm { kind: AlarmKind::OutOfRange, rate, expected_rate: 2.0 / (n as f64 + 1.0), p })
}

/// Good and Turing's estimate of the probability of unseen levels, `f1 / n`, and an upper bound of it.
fn unseen(reference: &CategoricalReference, counts: &ColumnCounts, alpha: f64) -> Option<Alarm> {
    let n = reference.counts.iter().sum::<u64>() as f64;
    if n < 1.0 {
        return None;
    }
    let (once, twice) = (reference.seen_once as f64, reference.seen_twice as f64);
    let upper = once / n + 3.0 * (once + 2.0 * twice).sqrt() / n + 1.0 / n;
    let p = binomial_tail(counts.unseen, counts.n(), upper);
    let alarm = Alarm { kind: AlarmKind::Unseen, rate: rate(counts.unseen, counts.n()), expected_rate: once / n, p };
    (p < alpha).then_some(alarm)
}

fn is_identifier(profile: &ColumnProfile, thresholds: &Thresholds) -> bool {
    match &profile.reference {
        Reference::Numeric(_) => false,
        Reference::Categorical(reference) => {
            reference.rest_cut || thresholds.identifier_rate < rate(reference.seen_once, profile.n())
        }
    }
}

fn rate(count: u64, of: u64) -> f64 {
    if of > 0 { count as f64 / of as f64 } else { 0.0 }
}
