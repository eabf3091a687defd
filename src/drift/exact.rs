//! Exact tests on counts, for the quality of data: small counts in large windows, where a normal approximation lies.

use statrs::function::beta::checked_beta_reg;
use statrs::function::gamma::ln_gamma;

/// `P(X >= count)` for `X ~ Binomial(n_rows, rate)`, by the regularised incomplete beta function.
pub fn binomial_tail(count: u64, n_rows: u64, rate: f64) -> f64 {
    if count == 0 {
        return 1.0;
    }
    if count > n_rows || rate <= 0.0 {
        return 0.0;
    }
    if rate >= 1.0 {
        return 1.0;
    }
    checked_beta_reg(count as f64, (n_rows - count) as f64 + 1.0, rate).unwrap_or(1.0)
}

/// `P(X >= count)` for `X ~ BetaBinomial(m, 2, n - 1)`: how many of `m` values lie outside the range of `n` others drawn
/// alike. In closed form: at least `count` of them lie outside exactly if, in a random order of all `n + m` values, at
/// most one of the `n` is among the first `count + 1`.
pub fn beta_binomial_tail(count: u64, m: u64, n: u64) -> f64 {
    if count == 0 || n == 0 {
        return 1.0;
    }
    if count > m {
        return 0.0;
    }
    let all = ln_choose(n + m, count + 1);
    let none_among = if count < m { (ln_choose(m, count + 1) - all).exp() } else { 0.0 };
    let one_among = ((n as f64).ln() + ln_choose(m, count) - all).exp();
    (none_among + one_among).min(1.0)
}

/// The two-sided probability (twice the smaller tail) that `count` of `m` and `reference` of `n` differ as much with one
/// rate behind both: Fisher's exact test.
pub fn two_sample_p(count: u64, m: u64, reference: u64, n: u64) -> f64 {
    let marked = count + reference;
    if n == 0 || m == 0 || marked == 0 {
        return 1.0;
    }
    let low = marked.saturating_sub(n);
    let high = marked.min(m);
    let upper = tail(count..=high, m, n, marked);
    let lower = tail((low..=count).rev(), m, n, marked);
    (2.0 * upper.min(lower)).min(1.0)
}

/// The sum of hypergeometric probabilities, outward from the first count, until what follows cannot matter.
fn tail(counts: impl Iterator<Item = u64>, m: u64, n: u64, marked: u64) -> f64 {
    let all = ln_choose(n + m, marked);
    let (mut sum, mut largest) = (0.0_f64, 0.0_f64);
    for count in counts {
        let term = (ln_choose(m, count) + ln_choose(n, marked - count) - all).exp();
        sum += term;
        largest = largest.max(term);
        if sum >= 1.0 || (term < largest && term < 1e-16 * sum) {
            break;
        }
    }
    sum.min(1.0)
}

fn ln_choose(n: u64, k: u64) -> f64 {
    let (n, k) = (n as f64, k as f64);
    ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(got: f64, expected: f64) {
        assert!((got - expected).abs() <= 1e-9 * expected.abs(), "expected {expected:e}, got {got:e}");
    }

    // Expected values: scipy 1.x, binom.sf, betabinom.sf and hypergeom.
    #[test]
    fn tails_equal_scipys() {
        check(binomial_tail(24, 1000, 0.003), 2.078_921_401_999_144e-14);
        check(binomial_tail(1, 500, 1e-4), 0.048_772_953_728_424_384);
        check(binomial_tail(50, 100, 0.5), 0.539_794_618_693_588_5);
        check(beta_binomial_tail(1, 1000, 5000), 0.305_578_707_558_380_57);
        check(beta_binomial_tail(5, 200, 300), 0.040_037_808_959_339_95);
        check(two_sample_p(50, 1000, 0, 5000), 8.737_113_051_479_961e-40);
        check(two_sample_p(1261, 24_951, 521, 27_004), 7.503_871_733_841_76e-87);
        check(two_sample_p(0, 1000, 50, 5000), 0.000_210_923_988_719_935_26);
        check(two_sample_p(30, 1000, 500, 5000), 3.155_216_385_446_961_4e-15);
        check(two_sample_p(10, 1000, 50, 5000), 1.0);
    }

    #[test]
    fn the_ends_are_certain() {
        check(binomial_tail(0, 10, 0.1), 1.0);
        check(binomial_tail(11, 10, 0.1), 0.0);
        check(beta_binomial_tail(0, 10, 10), 1.0);
        check(beta_binomial_tail(11, 10, 10), 0.0);
        check(two_sample_p(0, 10, 0, 10), 1.0);
        check(two_sample_p(3, 0, 3, 10), 1.0);
    }
}
