//! Features in bins: one byte a value.
//!
//! Cuts are `f32` and lie between neighbouring values of the training rows, so that `value <= cut` sorts every value that
//! training saw the same way in the trainer and in any engine that compares in 32 bits.

use super::BLOCK_ROWS;

/// The bin of missing values; values have bins from 1.
pub(super) const MISSING_BIN: u8 = 0;

/// The cuts of one feature: value `v` has bin `1 + number of cuts below v`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cuts(pub(super) Vec<f32>);

impl Cuts {
    /// Cuts for `values` into at most `bins_max` bins. A bin for each value where they fit; else bins of about equal count,
    /// values more frequent than a bin's share in bins of their own (the greedy rule of LightGBM's `GreedyFindBin`,
    /// <https://papers.nips.cc/paper/6907>).
    pub(super) fn of(values: &[f32], bins_max: usize) -> Self {
        let mut sorted: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let mut distinct: Vec<(f32, usize)> = Vec::new();
        for value in sorted {
            match distinct.last_mut() {
                // `-0.0` and `0.0` are one value.
                Some((last, count)) if value <= *last => *count += 1,
                _ => distinct.push((value, 1)),
            }
        }
        let ends = if distinct.len() <= bins_max { (1..distinct.len()).collect() } else { ends(&distinct, bins_max) };
        Self(ends.into_iter().map(|end| between(distinct[end - 1].0, distinct[end].0)).collect())
    }

    pub(super) fn n_bins(&self) -> usize {
        self.0.len() + 2
    }

    pub(super) fn bin(&self, value: f32) -> u8 {
        if value.is_nan() {
            return MISSING_BIN;
        }
        let below = self.0.partition_point(|&cut| cut < value);
        u8::try_from(below + 1).unwrap_or(u8::MAX)
    }
}

/// Where bins end (places in `distinct`, exclusive, without the last).
fn ends(distinct: &[(f32, usize)], bins_max: usize) -> Vec<usize> {
    let mut rows_left: usize = distinct.iter().map(|&(_, count)| count).sum();
    let mut bins_left = bins_max;
    let n_rows = rows_left;
    // Fewer than `bins_max` values can be this frequent.
    let is_big = |count: usize| n_rows < count * bins_max;
    for &(_, count) in distinct.iter().filter(|&&(_, count)| is_big(count)) {
        rows_left -= count;
        bins_left -= 1;
    }
    let mut target = rows_left.div_ceil(bins_left.max(1));
    let (mut ends, mut in_bin) = (Vec::with_capacity(bins_max), 0);
    for (place, &(_, count)) in distinct.iter().enumerate() {
        in_bin += count;
        if !is_big(count) {
            rows_left -= count;
        }
        let next_is_big = distinct.get(place + 1).is_some_and(|&(_, next)| is_big(next));
        let is_full = is_big(count) || target <= in_bin || (next_is_big && target <= 2 * in_bin);
        if is_full && place + 1 < distinct.len() && ends.len() + 1 < bins_max {
            ends.push(place + 1);
            in_bin = 0;
            if !is_big(count) {
                bins_left = bins_left.saturating_sub(1);
                target = rows_left.div_ceil(bins_left.max(1));
            }
        }
    }
    ends
}

/// A finite cut with `low <= cut < high`, near the middle.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is the aim; the next lines mend it")]
fn between(low: f32, high: f32) -> f32 {
    let middle = (0.5 * (f64::from(low) + f64::from(high))) as f32;
    let cut = if low <= middle && middle < high { middle } else { low };
    cut.clamp(f32::MIN, f32::MAX)
}

/// Rows in bins, in two layouts: histograms read rows, partitions read columns.
#[derive(Debug)]
pub(super) struct Binned {
    pub(super) n_rows: usize,
    pub(super) n_features: usize,
    /// Where each feature's bins start in a histogram, and at last the number of all bins.
    pub(super) offsets: Vec<usize>,
    /// `[n_rows, n_features]`.
    pub(super) rows: Vec<u8>,
    /// `[n_features, n_rows]`.
    pub(super) columns: Vec<u8>,
}

impl Binned {
    /// Bins feature after feature; `column(feature)` gives its values.
    pub(super) fn new(cuts: &[Cuts], n_rows: usize, column: impl Fn(usize) -> Vec<f32>) -> Self {
        let n_features = cuts.len();
        let mut columns = Vec::with_capacity(n_rows * n_features);
        for (feature, cuts) in cuts.iter().enumerate() {
            columns.extend(column(feature).into_iter().map(|value| cuts.bin(value)));
        }
        let mut rows = vec![MISSING_BIN; n_rows * n_features];
        for start in (0..n_rows).step_by(BLOCK_ROWS) {
            let end = n_rows.min(start + BLOCK_ROWS);
            for feature in 0..n_features {
                let from = &columns[feature * n_rows + start..feature * n_rows + end];
                let to = rows[start * n_features..].iter_mut().skip(feature).step_by(n_features);
                to.zip(from).for_each(|(to, &from)| *to = from);
            }
        }
        let mut offsets = vec![0];
        for cuts in cuts {
            offsets.push(offsets.last().copied().unwrap_or(0) + cuts.n_bins());
        }
        Self { n_rows, n_features, offsets, rows, columns }
    }

    pub(super) fn n_bins(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    pub(super) fn column(&self, feature: usize) -> &[u8] {
        &self.columns[feature * self.n_rows..(feature + 1) * self.n_rows]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_a_bin_where_they_fit() {
        let cuts = Cuts::of(&[3.0, 1.0, f32::NAN, 2.0, 1.0], 254);
        assert_eq!(cuts.0, [1.5, 2.5]);
        assert_eq!([1.0, 1.5, 2.0, 9.0, f32::NAN].map(|value| cuts.bin(value)), [1, 1, 2, 3, MISSING_BIN]);
    }

    #[test]
    fn cuts_are_finite_and_separate_neighbours() {
        let next = f32::from_bits(1.0_f32.to_bits() + 1);
        let cuts = Cuts::of(&[f32::NEG_INFINITY, f32::MIN, -0.0, 0.0, 1.0, next, f32::MAX, f32::INFINITY], 254);
        assert!(cuts.0.iter().all(|cut| cut.is_finite()));
        let values = [f32::MIN, 0.0, 1.0, next, f32::MAX, f32::INFINITY];
        let bins: Vec<_> = values.iter().map(|&value| cuts.bin(value)).collect();
        assert!(bins.windows(2).all(|pair| pair[0] < pair[1]), "{bins:?}");
        assert_eq!(cuts.bin(-0.0), cuts.bin(0.0));
    }

    #[test]
    fn many_values_share_bins_of_about_equal_count() {
        let mut values: Vec<f32> = (0..10_000_u16).map(f32::from).collect();
        values.extend([5_000.0; 4_000]);
        let cuts = Cuts::of(&values, 50);
        assert!((45..=49).contains(&cuts.0.len()), "{} cuts", cuts.0.len());
        let mut counts = [0; 52];
        values.iter().for_each(|&value| counts[usize::from(cuts.bin(value))] += 1);
        let own = usize::from(cuts.bin(5_000.0));
        assert!((4_000..4_250).contains(&counts[own]), "{} rows in the frequent value's bin", counts[own]);
        assert!(counts.iter().enumerate().all(|(bin, &count)| bin == own || count < 400), "{counts:?}");
    }

    #[test]
    fn both_layouts_hold_the_same_bins() {
        let columns = [vec![1.0, 2.0, f32::NAN], vec![5.0, 4.0, 3.0]];
        let cuts: Vec<_> = columns.iter().map(|column| Cuts::of(column, 254)).collect();
        let binned = Binned::new(&cuts, 3, |feature| columns[feature].clone());
        assert_eq!(binned.columns, [1, 2, 0, 3, 2, 1]);
        assert_eq!(binned.rows, [1, 3, 2, 2, 0, 1]);
        assert_eq!(binned.offsets, [0, 3, 7]);
    }
}
