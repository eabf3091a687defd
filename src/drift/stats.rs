//! Distances and tests between two rows of bin counts: the reference's and a window's.
//!
//! All take slices of equal length; a side without values gives 0 (no distance) or p = 1.

use statrs::function::gamma::checked_gamma_ur;

/// The population stability index on shares smoothed by half a count a bin (Jeffreys' prior), so that it is finite
/// without an arbitrary epsilon: `sum((p - q) ln(p / q))`.
pub fn psi(reference: &[u64], window: &[u64]) -> f64 {
    let (p, q) = (smoothed(reference), smoothed(window));
    p.zip(q).map(|(p, q)| (p - q) * (p / q).ln()).sum()
}

/// What [`psi`] is on average where nothing has drifted: `(B - 1) (1/n + 1/m)`, the mean of the chi-square that it
/// approximates (Yurdakul, "Statistical properties of the population stability index", 2018).
pub fn psi_bias(reference: &[u64], window: &[u64]) -> f64 {
    let (n, m) = (total(reference), total(window));
    if n > 0.0 && m > 0.0 { (reference.len().saturating_sub(1)) as f64 * (1.0 / n + 1.0 / m) } else { 0.0 }
}

/// A chi-square statistic, its degrees of freedom, and the probability of one as large without drift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// The statistic.
    pub statistic: f64,
    /// Degrees of freedom: bins that are not empty on both sides, less one.
    pub dof: usize,
    /// The upper tail.
    pub p: f64,
}

/// The two-sample chi-square test: the noise of the reference counts too. Bins empty on both sides are dropped.
pub fn chi_square(reference: &[u64], window: &[u64]) -> ChiSquare {
    let (n, m) = (total(reference), total(window));
    let (mut statistic, mut bins) = (0.0, 0_usize);
    if n > 0.0 && m > 0.0 {
        for (&r, &w) in reference.iter().zip(window).filter(|&(&r, &w)| r + w > 0) {
            let (r, w) = (r as f64, w as f64);
            let share = (r + w) / (n + m);
            statistic += (r - n * share).powi(2) / (n * share) + (w - m * share).powi(2) / (m * share);
            bins += 1;
        }
    }
    let dof = bins.saturating_sub(1);
    let tail = |dof: usize| checked_gamma_ur(dof as f64 / 2.0, statistic / 2.0).unwrap_or(1.0);
    let p = if dof == 0 || statistic <= 0.0 { 1.0 } else { tail(dof) };
    ChiSquare { statistic, dof, p }
}

/// The Jensen-Shannon distance with logarithms of base 2, from 0 to 1 (the square root of the divergence).
pub fn js_distance(reference: &[u64], window: &[u64]) -> f64 {
    let part = |p: f64, middle: f64| if p > 0.0 { p * (p / middle).log2() } else { 0.0 };
    let divergence: f64 = shares(reference, window)
        .map(|(p, q)| {
            let middle = f64::midpoint(p, q);
            f64::midpoint(part(p, middle), part(q, middle))
        })
        .sum();
    divergence.max(0.0).sqrt()
}

/// The Hellinger distance, from 0 to 1.
pub fn hellinger(reference: &[u64], window: &[u64]) -> f64 {
    let sum: f64 = shares(reference, window).map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
    (sum / 2.0).sqrt()
}

/// The largest difference of a share.
pub fn l_infinity(reference: &[u64], window: &[u64]) -> f64 {
    shares(reference, window).map(|(p, q)| (p - q).abs()).fold(0.0, f64::max)
}

/// The largest difference of the cumulative shares, at the edges (Kolmogorov and Smirnov's statistic on bins).
pub fn ks_on_bins(reference: &[u64], window: &[u64]) -> f64 {
    let mut gap = 0.0_f64;
    shares(reference, window).fold(0.0_f64, |max, (p, q)| {
        gap += p - q;
        max.max(gap.abs())
    })
}

fn total(counts: &[u64]) -> f64 {
    counts.iter().sum::<u64>() as f64
}

/// Shares with half a count more a bin.
pub(super) fn smoothed(counts: &[u64]) -> impl Iterator<Item = f64> {
    let sum = total(counts) + 0.5 * counts.len() as f64;
    counts.iter().map(move |&count| (count as f64 + 0.5) / sum)
}

/// Pairs of raw shares; none where a side has no values.
fn shares(reference: &[u64], window: &[u64]) -> impl Iterator<Item = (f64, f64)> {
    let (n, m) = (total(reference), total(window));
    let n_bins = if n > 0.0 && m > 0.0 { reference.len() } else { 0 };
    reference.iter().zip(window).take(n_bins).map(move |(&r, &w)| (r as f64 / n, w as f64 / m))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_side_without_values_is_no_drift() {
        let (some, none) = ([3, 4], [0, 0]);
        assert_eq!(chi_square(&some, &none), ChiSquare { statistic: 0.0, dof: 0, p: 1.0 });
        for distance in [js_distance, hellinger, l_infinity, ks_on_bins, psi_bias] {
            assert!(distance(&some, &none).abs() < f64::EPSILON);
        }
    }

    proptest! {
        #[test]
        fn distances_keep_their_bounds(pairs in prop::collection::vec((0_u64..1 << 40, 0_u64..1 << 40), 1..20)) {
            let (r, w): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            for distance in [js_distance, hellinger, l_infinity, ks_on_bins] {
                let value = distance(&r, &w);
                prop_assert!((0.0..=1.0 + 1e-9).contains(&value), "{value}");
                prop_assert!(distance(&r, &r) < 1e-6);
            }
            prop_assert!(psi(&r, &w) >= -1e-12 && psi(&r, &w).is_finite());
            prop_assert!((0.0..=1.0).contains(&chi_square(&r, &w).p));
        }
    }
}
