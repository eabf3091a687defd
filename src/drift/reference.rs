//! From the values of one column to its reference: the bins and levels that live values are counted in.

use std::collections::{BTreeMap, BTreeSet};

use super::profile::{CategoricalReference, ColumnProfile, NumericReference, Reference};

/// Bins of a numeric column, at most: deciles.
const BINS_MAX: usize = 10;
/// Levels of a categorical column with a bin of their own, at most.
const LEVELS_MAX: usize = 20;
/// Names of other levels that are kept, so that a known one is not called unseen.
const REST_MAX: usize = 10_000;

/// The profile of a numeric column. NaN is missing. Values must be as the model gets them: a feature of type FP32 rounded
/// to it first, for a value that lies on an edge must lie on it again.
pub fn column_of_numbers(name: &str, values: &[f64]) -> ColumnProfile {
    let missing = values.iter().filter(|value| value.is_nan()).count() as u64;
    let infinite = values.iter().filter(|value| value.is_infinite()).count() as u64;
    let mut finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    finite.sort_unstable_by(f64::total_cmp);
    let numeric = NumericReference { infinite, ..numeric_reference(&finite) };
    ColumnProfile { name: name.to_owned(), missing, calibrated: Vec::new(), reference: Reference::Numeric(numeric) }
}

/// The profile of a categorical column. The empty string is missing.
pub fn column_of_levels<S: AsRef<str>>(name: &str, values: &[S]) -> ColumnProfile {
    let mut counts = BTreeMap::<&str, u64>::new();
    for value in values {
        *counts.entry(value.as_ref()).or_default() += 1;
    }
    let missing = counts.remove("").unwrap_or(0);
    let reference = Reference::Categorical(categorical_reference(counts));
    ColumnProfile { name: name.to_owned(), missing, calibrated: Vec::new(), reference }
}

/// Adds levels that are known, but not among the values: a sample of the data leaves rare ones out, and they are no news.
pub(super) fn add_known_levels(column: &mut ColumnProfile, known: &[String]) {
    let Reference::Categorical(reference) = &mut column.reference else { return };
    let mut named: BTreeSet<&str> = reference.levels.iter().chain(&reference.rest).map(String::as_str).collect();
    let new: Vec<String> =
        known.iter().filter(|level| !level.is_empty() && named.insert(level.as_str())).cloned().collect();
    reference.rest.extend(new);
    reference.rest_cut |= REST_MAX < reference.rest.len();
    reference.rest.truncate(REST_MAX);
}

/// The bin of a finite `value`: right-closed, with open ends.
pub(super) fn bin_of(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|&edge| edge < value)
}

fn numeric_reference(sorted: &[f64]) -> NumericReference {
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
        return NumericReference { counts: vec![0], ..NumericReference::default() };
    };
    // The inverted CDF: the smallest value with at least k tenths of the values at or below it.
    let decile = |k: usize| sorted[(k * sorted.len()).div_ceil(BINS_MAX).max(1) - 1];
    let mut edges: Vec<f64> = (1..BINS_MAX).map(decile).collect();
    edges.dedup_by(|next, kept| *next <= *kept);
    let mut counts = vec![0_u64; edges.len() + 1];
    for &value in sorted {
        counts[bin_of(&edges, value)] += 1;
    }
    let n = sorted.len() as f64;
    // Counted from the smallest, so that a constant has exactly itself for mean and no spread.
    let mean = min + sorted.iter().map(|value| value - min).sum::<f64>() / n;
    let sd = (sorted.iter().map(|value| (value - mean).powi(2) / n).sum::<f64>()).sqrt();
    // Values near the largest float have no finite variance: their moments are shown, never judged.
    let (mean, sd) = if mean.is_finite() && sd.is_finite() { (mean, sd) } else { (0.0, 0.0) };
    NumericReference { edges, counts, range: Some((min, max)), mean, sd, infinite: 0 }
}

fn categorical_reference(counts: BTreeMap<&str, u64>) -> CategoricalReference {
    let seen = |times: u64| counts.values().filter(|&&count| count == times).count() as u64;
    let (seen_once, seen_twice) = (seen(1), seen(2));
    let mut by_frequency: Vec<(&str, u64)> = counts.into_iter().collect();
    // The sort is stable and the names ascend already, so ties stay in the order of their names.
    by_frequency.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let rest = by_frequency.split_off(by_frequency.len().min(LEVELS_MAX));
    by_frequency.sort_unstable();
    let other = rest.iter().map(|&(_, count)| count).sum();
    CategoricalReference {
        levels: by_frequency.iter().map(|&(name, _)| name.to_owned()).collect(),
        counts: by_frequency.iter().map(|&(_, count)| count).chain([other]).collect(),
        rest_cut: rest.len() > REST_MAX,
        rest: rest.iter().take(REST_MAX).map(|&(name, _)| name.to_owned()).collect(),
        seen_once,
        seen_twice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_merge_bins_and_a_column_without_values_has_one() {
        let numeric = |values: &[f64]| match column_of_numbers("x", values).reference {
            Reference::Numeric(numeric) => (numeric.edges, numeric.counts),
            Reference::Categorical(_) => unreachable!(),
        };
        assert_eq!(numeric(&[0.0, 0.0, 0.0, 1.0]), (vec![0.0, 1.0], vec![3, 1, 0]));
        assert_eq!(numeric(&[-0.0, 0.0]), (vec![-0.0], vec![2, 0]));
        assert_eq!(numeric(&[f64::NAN]), (Vec::new(), vec![0]));
    }

    #[test]
    fn a_level_that_the_values_lack_may_be_known_all_the_same() {
        let mut column = column_of_levels("x", &["a", "b", "a"]);
        add_known_levels(&mut column, &["a", "", "c", "c"].map(str::to_owned));
        assert_eq!(column.counts(), [2, 1, 0]);
        let mut counts = super::super::ColumnCounts::zero(&column);
        counts.count_levels(&column, &["c", "c", "d"]);
        assert_eq!((counts.bins, counts.unseen), (vec![0, 0, 3], 1));
    }

    #[test]
    fn the_twenty_most_frequent_levels_have_bins_and_ties_go_by_name() {
        let mut values: Vec<String> = (0..25).map(|i| format!("l{i:02}")).collect();
        values.extend(["l24".to_owned(), String::new()]);
        let column = column_of_levels("x", &values);
        assert_eq!(column.missing, 1);
        let Reference::Categorical(levels) = column.reference else { unreachable!() };
        assert_eq!(levels.levels.len(), 20);
        assert_eq!(levels.levels.last().map(String::as_str), Some("l24"));
        assert_eq!(levels.rest, ["l19", "l20", "l21", "l22", "l23"]);
        assert_eq!(levels.counts[20], 5);
        assert_eq!((levels.seen_once, levels.seen_twice), (24, 1));
    }
}
