//! Categories as ordered numbers: levels ranked by their mean target.
//!
//! Fisher (1958) shows that the best split of levels into two groups is among those of the levels in the order of their
//! mean target; ranking once, on the training rows, keeps that for the root and exports as a table. Means of rare levels are
//! drawn towards the overall mean (smoothing), so that they land in the middle instead of at the ends.

use std::collections::HashMap;

use crate::trainer::data::{Categories, MISSING_LEVEL};

/// The rank of each level that training saw. Missing and unseen levels have none: they go the way of missing values.
#[derive(Debug, Clone, PartialEq)]
pub struct RankTable {
    /// The levels in the order of their text.
    pub levels: Vec<String>,
    /// Their ranks: whole numbers from 0, equal where the means are equal.
    pub ranks: Vec<f32>,
}

impl RankTable {
    /// Ranks the levels of `rows`; `target(row)` gives a row's value and weight.
    pub(super) fn fit(
        categories: &Categories,
        rows: &[u32],
        smoothing: f64,
        target: impl Fn(usize) -> (f64, f64),
    ) -> Self {
        // Sums of weighted targets and of weights, and whether a row had the level at all.
        let mut sums = vec![(0.0_f64, 0.0_f64, false); categories.levels.len()];
        let (mut all, mut all_weights) = (0.0, 0.0);
        for (place, &row) in rows.iter().enumerate() {
            let (value, weight) = target(place);
            all += value * weight;
            all_weights += weight;
            let code = categories.codes[row as usize];
            if code != MISSING_LEVEL {
                let sum = &mut sums[code as usize];
                *sum = (sum.0 + value * weight, sum.1 + weight, true);
            }
        }
        let mean = if all_weights > 0.0 { all / all_weights } else { 0.0 };
        let smoothed = |(value, weight, _): (f64, f64, bool)| {
            let total = weight + smoothing;
            if total > 0.0 { (value + smoothing * mean) / total } else { mean }
        };
        let mut seen: Vec<(f64, &str)> = Vec::new();
        for (level, &sum) in categories.levels.iter().zip(&sums) {
            if sum.2 {
                seen.push((smoothed(sum), level));
            }
        }
        seen.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
        let mut ranked: Vec<(&str, f32)> = Vec::with_capacity(seen.len());
        let (mut rank, mut last) = (-1.0_f32, f64::NAN);
        for (mean, level) in seen {
            if mean.total_cmp(&last).is_ne() {
                rank += 1.0;
                last = mean;
            }
            ranked.push((level, rank));
        }
        ranked.sort_by_key(|&(level, _)| level);
        let (levels, ranks) = ranked.into_iter().map(|(level, rank)| (level.to_owned(), rank)).unzip();
        Self { levels, ranks }
    }

    /// The ranks of `rows`; NaN where the level is missing or unseen.
    pub fn encode(&self, categories: &Categories, rows: &[u32]) -> Vec<f32> {
        let ranks: HashMap<&str, f32> =
            self.levels.iter().map(String::as_str).zip(self.ranks.iter().copied()).collect();
        let of_code: Vec<f32> =
            categories.levels.iter().map(|level| ranks.get(level.as_str()).copied().unwrap_or(f32::NAN)).collect();
        let rank = |&row: &u32| of_code.get(categories.codes[row as usize] as usize).copied().unwrap_or(f32::NAN);
        rows.iter().map(rank).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_ranked_by_their_smoothed_mean() {
        let levels = ["b", "a", "rare", "unused"].map(str::to_owned).to_vec();
        let categories = Categories { codes: vec![0, 0, 0, 0, 1, 1, 1, 1, 2, MISSING_LEVEL], levels };
        let target = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0];
        let rows: Vec<u32> = (0..10).collect();
        let fit = |smoothing| RankTable::fit(&categories, &rows, smoothing, |row| (target[row], 1.0));
        assert_eq!(fit(0.0).levels, ["a", "b", "rare"]);
        assert_eq!(fit(0.0).ranks, [0.0, 1.0, 2.0]);
        // One row says little: the rare level moves below the level that four rows vouch for.
        assert_eq!(fit(5.0).ranks, [0.0, 2.0, 1.0]);
        let other = Categories { codes: vec![0, 1, MISSING_LEVEL], levels: vec!["a".to_owned(), "new".to_owned()] };
        let encoded = fit(5.0).encode(&other, &[0, 1, 2]);
        assert!(encoded[0].to_bits() == 0.0_f32.to_bits() && encoded[1].is_nan() && encoded[2].is_nan());
    }
}
