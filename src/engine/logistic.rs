//! 1 / (1 + e^-x) of many values: a quotient of polynomials, as Eigen and onnxruntime's library (MLAS) have it.
//!
//! It is off by 1e-7 at most, which shows where a small probability is what is left of 1: there other ways of computing it are
//! off too, each by something else, and models are held to the answers of onnxruntime.

/// Beyond this the answer is 0 or 1.
const RANGE: f32 = 18.0;

/// Coefficients from the highest power on, of the odd powers.
const NUMERATOR: [f32; 5] = [4.370_31e-11, 1.156_273_2e-7, 6.085_749e-5, 8.513_771e-3, 0.248_287_95];

/// Of the even powers.
const DENOMINATOR: [f32; 6] =
    [6.102_473_7e-13, 5.761_021_4e-9, 6.291_068e-6, 1.701_988_2e-3, 0.116_817_65, 0.993_151_9];

/// Puts the logistic function of each value in its place; NaN stays.
pub(in crate::engine) fn logistic(values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        #[expect(unsafe_code, reason = "code for instructions that not every processor has")]
        // SAFETY: this processor has them.
        return unsafe { fused(values) };
    }
    each::<false>(values);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn fused(values: &mut [f32]) {
    each::<true>(values);
}

#[inline(always)]
fn each<const FMA: bool>(values: &mut [f32]) {
    for value in values {
        let x = value.clamp(-RANGE, RANGE);
        let square = x * x;
        let top = polynomial::<5, FMA>(NUMERATOR, square) * x;
        *value = (top / polynomial::<6, FMA>(DENOMINATOR, square) + 0.5).clamp(0.0, 1.0);
    }
}

#[inline(always)]
fn polynomial<const N: usize, const FMA: bool>(coefficients: [f32; N], x: f32) -> f32 {
    let mut sum = coefficients[0];
    for &coefficient in &coefficients[1..] {
        // Without the instruction, the fused form would be a call.
        sum = if FMA { sum.mul_add(x, coefficient) } else { sum * x + coefficient };
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_logistic_function_to_seven_places_with_and_without_the_fused_instruction() {
        let places: Vec<f32> = (-4_000_i16..=4_000).map(|step| f32::from(step) / 100.0).collect();
        let (mut here, mut plain) = (places.clone(), places.clone());
        logistic(&mut here);
        each::<false>(&mut plain);
        for ((x, here), plain) in places.iter().zip(here).zip(plain) {
            let want = 1.0 / (1.0 + (-f64::from(*x)).exp());
            assert!(
                (f64::from(here) - want).abs() < 2e-7 && (f64::from(plain) - want).abs() < 3e-7,
                "{x}: {here} {plain}"
            );
        }
    }

    #[test]
    fn far_values_are_0_and_1_and_nan_stays() {
        let mut values = [f32::NEG_INFINITY, -100.0, 0.0, 100.0, f32::INFINITY, f32::NAN];
        logistic(&mut values);
        assert_eq!(values[..5], [0.0, 0.0, 0.5, 1.0, 1.0]);
        assert!(values[5].is_nan());
    }
}
