//! How sure is a difference? The bootstrap (Efron and Tibshirani, "An introduction to the bootstrap", 1993): rows, or
//! clusters of rows, drawn again with replacement; both models are scored on the same draw.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::prepared::{Prepared, undefined};
use super::{EvaluationError, Labels, Metric, Predictions};

/// How often to draw, and from which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// How many replicates.
    pub reps: usize,
    /// The seed: the same gives the same interval.
    pub seed: u64,
}

/// A score with its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The score.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The score of a model with a two-sided percentile interval at `confidence` (0.95, say).
///
/// # Errors
/// As [`super::score`].
pub fn interval(
    metric: Metric,
    labels: &Labels,
    predictions: &Predictions,
    confidence: f64,
    bootstrap: Bootstrap,
) -> Result<Interval, EvaluationError> {
    predictions.check("predictions", labels)?;
    let rows: Vec<usize> = (0..labels.len()).collect();
    let prepared = Prepared::new(metric, labels, predictions, &rows)?;
    let value = prepared.score(&vec![1; labels.len()]).ok_or_else(|| undefined(metric))?;
    let spreads = replicate(labels.len(), None, bootstrap, 1, |_, weights| prepared.score(weights));
    let tail = (1.0 - confidence) / 2.0;
    let end = |q: f64| spreads.first().and_then(|spread| spread.quantile(q)).unwrap_or(value);
    Ok(Interval { value, low: end(tail), high: end(1.0 - tail) })
}

/// How an estimate would scatter.
#[derive(Debug, Clone)]
pub(super) enum Spread {
    /// Replicates, ascending.
    Draws(Vec<f64>),
    /// A normal distribution.
    Normal { mean: f64, sd: f64 },
}

impl Spread {
    /// The value below which a share `q` lies; `None` where nothing is known.
    pub(super) fn quantile(&self, q: f64) -> Option<f64> {
        match self {
            Self::Draws(draws) => {
                let (first, last) = (draws.first()?, draws.last()?);
                let at = q * (draws.len() - 1) as f64;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "q is cut to [0, 1]")]
                let whole = at.clamp(0.0, (draws.len() - 1) as f64) as usize;
                let low = draws.get(whole).unwrap_or(first);
                let high = draws.get(whole + 1).unwrap_or(last);
                Some(low + (high - low) * (at - whole as f64).clamp(0.0, 1.0))
            }
            Self::Normal { mean, sd } => Some(mean + sd * normal_quantile(q)),
        }
    }

    /// The probability of a value at or below `at`, never quite 0 for draws, since their number is finite.
    pub(super) fn share_at_most(&self, at: f64) -> f64 {
        match self {
            Self::Draws(draws) => (draws.partition_point(|&draw| draw <= at) + 1) as f64 / (draws.len() + 1) as f64,
            Self::Normal { mean, sd } if *sd > 0.0 => {
                0.5 * statrs::function::erf::erfc((mean - at) / (sd * std::f64::consts::SQRT_2))
            }
            Self::Normal { mean, .. } => f64::from(u8::from(*mean <= at)),
        }
    }

    /// The same of the opposite sign.
    pub(super) fn negated(&self) -> Self {
        match self {
            Self::Draws(draws) => Self::Draws(draws.iter().rev().map(|draw| -draw).collect()),
            Self::Normal { mean, sd } => Self::Normal { mean: -mean, sd: *sd },
        }
    }
}

fn normal_quantile(q: f64) -> f64 {
    -std::f64::consts::SQRT_2 * statrs::function::erf::erfc_inv(2.0 * q)
}

/// Draws `bootstrap.reps` times and gathers what `statistic` gives for each of `n_statistics` under the row weights of each
/// draw. A statistic without a value in a draw has one draw less.
pub(super) fn replicate(
    n_rows: usize,
    clusters: Option<&Clusters>,
    bootstrap: Bootstrap,
    n_statistics: usize,
    mut statistic: impl FnMut(usize, &[u32]) -> Option<f64>,
) -> Vec<Spread> {
    let mut random = Xoshiro::new(bootstrap.seed);
    let mut draws = vec![Vec::with_capacity(bootstrap.reps); n_statistics];
    let mut weights = vec![0_u32; n_rows];
    let mut of_cluster = vec![0_u32; clusters.map_or(0, |clusters| clusters.n)];
    for _ in 0..bootstrap.reps {
        match clusters {
            None => random.multiplicities(&mut weights),
            Some(clusters) => {
                random.multiplicities(&mut of_cluster);
                for (weight, &cluster) in weights.iter_mut().zip(&clusters.of_row) {
                    *weight = of_cluster[cluster];
                }
            }
        }
        for (index, draws) in draws.iter_mut().enumerate() {
            draws.extend(statistic(index, &weights));
        }
    }
    let spread = |mut draws: Vec<f64>| {
        draws.sort_unstable_by(f64::total_cmp);
        Spread::Draws(draws)
    };
    draws.into_iter().map(spread).collect()
}

/// Rows that belong together (of one customer, one day) and are drawn together.
#[derive(Debug)]
pub(super) struct Clusters {
    n: usize,
    of_row: Vec<usize>,
}

impl Clusters {
    pub(super) fn new(ids: &[String]) -> Self {
        let mut places = BTreeMap::new();
        let of_row = ids.iter().map(|id| {
            let next = places.len();
            *places.entry(id.as_str()).or_insert(next)
        });
        let of_row = of_row.collect();
        Self { n: places.len(), of_row }
    }
}

/// xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64: the same numbers on every machine.
#[derive(Debug)]
struct Xoshiro([u64; 4]);

impl Xoshiro {
    fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// How often each of `weights.len()` things comes in as many draws with replacement.
    #[expect(clippy::cast_possible_truncation, reason = "the high half of the product is below the length")]
    fn multiplicities(&mut self, weights: &mut [u32]) {
        weights.fill(0);
        for _ in 0..weights.len() {
            let at = (u128::from(self.next()) * weights.len() as u128) >> 64;
            if let Some(weight) = weights.get_mut(at as usize) {
                *weight += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_xoshiro256_starstar() {
        // The first outputs of the authors' C program from the state [1, 2, 3, 4].
        let mut random = Xoshiro([1, 2, 3, 4]);
        assert_eq!([random.next(), random.next(), random.next()], [11_520, 0, 1_509_978_240]);
    }

    #[test]
    fn the_interval_of_a_mean_is_the_textbooks() {
        let labels = Labels::Values(vec![0.0; 400]);
        let errors = Predictions::Values((0..400_u32).map(|i| f64::from(i % 20)).collect());
        let bootstrap = Bootstrap { reps: 2000, seed: 3 };
        let Interval { value, low, high } = interval(Metric::Mae, &labels, &errors, 0.95, bootstrap).unwrap();
        // mean 9.5, sd 5.766, standard error 0.2883
        assert!((value - 9.5).abs() < 1e-12);
        assert!(
            (low - (9.5 - 1.96 * 0.2883)).abs() < 0.05 && (high - (9.5 + 1.96 * 0.2883)).abs() < 0.05,
            "{low} {high}"
        );
    }

    #[test]
    fn quantiles_and_shares_of_a_normal_spread() {
        let spread = Spread::Normal { mean: 1.0, sd: 2.0 };
        assert!((spread.quantile(0.95).unwrap() - (1.0 + 2.0 * 1.644_853_626_951_472_7)).abs() < 1e-9);
        assert!((spread.share_at_most(1.0 - 2.0 * 1.644_853_626_951_472_7) - 0.05).abs() < 1e-9);
    }
}
