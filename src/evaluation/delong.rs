//! The covariance of two areas under the ROC curve on the same rows, without resampling.
//!
//! DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988), by mid-ranks (Sun and Xu, IEEE Signal Processing Letters 21,
//! 2014): O(n log n).

/// Two areas under the ROC curve and how far their difference may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeLong {
    /// The area of the first scores.
    pub first: f64,
    /// The area of the second scores.
    pub second: f64,
    /// The variance of `second - first`.
    pub variance: f64,
}

/// Compares two models' finite scores of rows that `is_positive` says the truth about; all have one length. `None` where
/// there are fewer than two positives or two negatives.
pub fn delong(is_positive: &[bool], first: &[f64], second: &[f64]) -> Option<DeLong> {
    let n_positive = is_positive.iter().filter(|&&positive| positive).count();
    let n_negative = is_positive.len() - n_positive;
    if n_positive < 2 || n_negative < 2 || first.len() != is_positive.len() || second.len() != is_positive.len() {
        return None;
    }
    let (first, second) = (Placements::new(is_positive, first), Placements::new(is_positive, second));
    let variance = variance_of_difference(&first.positives, &second.positives) / n_positive as f64
        + variance_of_difference(&first.negatives, &second.negatives) / n_negative as f64;
    Some(DeLong { first: mean(&first.positives), second: mean(&second.positives), variance })
}

/// For each positive the share of negatives that it ranks above, and for each negative the share of positives above it.
struct Placements {
    positives: Vec<f64>,
    negatives: Vec<f64>,
}

impl Placements {
    fn new(is_positive: &[bool], scores: &[f64]) -> Self {
        let of = |want: bool| -> Vec<f64> {
            let both = is_positive.iter().zip(scores);
            both.filter(|&(&positive, _)| positive == want).map(|(_, &score)| score).collect()
        };
        let (positives, negatives) = (of(true), of(false));
        let all: Vec<f64> = positives.iter().chain(&negatives).copied().collect();
        let in_all = mid_ranks(&all);
        let (of_positives, of_negatives) = in_all.split_at(positives.len());
        let (n_positive, n_negative) = (positives.len() as f64, negatives.len() as f64);
        let above = of_positives.iter().zip(mid_ranks(&positives)).map(|(all, own)| (all - own) / n_negative);
        let below = of_negatives.iter().zip(mid_ranks(&negatives)).map(|(all, own)| 1.0 - (all - own) / n_positive);
        Self { positives: above.collect(), negatives: below.collect() }
    }
}

/// Ranks from 1; equal scores share the mean of theirs.
fn mid_ranks(scores: &[f64]) -> Vec<f64> {
    let key = |at: usize| scores[at] + 0.0;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| key(a).total_cmp(&key(b)));
    let mut ranks = vec![0.0; scores.len()];
    let mut start = 0;
    for tie in order.chunk_by(|&a, &b| key(a).total_cmp(&key(b)).is_eq()) {
        let rank = start as f64 + f64::midpoint(1.0, tie.len() as f64);
        tie.iter().for_each(|&at| ranks[at] = rank);
        start += tie.len();
    }
    ranks
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance_of_difference(first: &[f64], second: &[f64]) -> f64 {
    let center = mean(second) - mean(first);
    let squares = first.iter().zip(second).map(|(first, second)| (second - first - center).powi(2));
    squares.sum::<f64>() / (first.len() - 1) as f64
}
