//! The two float types that forests compute in.

use std::fmt::Debug;

use crate::engine::ml::post::PostTransform;

/// `f32` or `f64`.
pub(in crate::engine) trait Real:
    Copy + Debug + PartialOrd + Default + Send + Sync + 'static
{
    const NAN: Self;
    const INFINITY: Self;
    const ONE: Self;

    fn of(value: f64) -> Self;
    fn single(self) -> f32;
    fn double(self) -> f64;
    fn is_missing(self) -> bool;
    fn plus(self, other: Self) -> Self;
    fn over(self, other: Self) -> Self;
    fn minus(self) -> Self;
    /// The largest number below, so that `x < t` is `x <= t.below()`; NaN where there is none, which no `x` is below.
    fn below(self) -> Self;
    /// The order of numbers; the two zeros differ in it.
    fn order(&self, other: &Self) -> std::cmp::Ordering;
    /// In the other precision, or the same.
    fn convert<O: Real>(self) -> O {
        O::of(self.double())
    }
    /// Transforms the scores of one row.
    fn transform(post: PostTransform, scores: &mut [Self]);
    /// A place in an array, carried in the bits.
    fn of_place(place: u32) -> Self;
    fn place(self) -> usize;
}

macro_rules! real {
    ($type:ty, $bits:ty, $transform:expr) => {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::allow_attributes,
            reason = "thresholds come in this precision; places are below 2^32"
        )]
        #[allow(clippy::unnecessary_cast, trivial_numeric_casts, reason = "one of the two types casts to itself")]
        impl Real for $type {
            const NAN: Self = Self::NAN;
            const INFINITY: Self = Self::INFINITY;
            const ONE: Self = 1.0;

            fn of(value: f64) -> Self {
                value as Self
            }
            fn single(self) -> f32 {
                self as f32
            }
            fn double(self) -> f64 {
                self as f64
            }
            fn is_missing(self) -> bool {
                self.is_nan()
            }
            fn plus(self, other: Self) -> Self {
                self + other
            }
            fn over(self, other: Self) -> Self {
                self / other
            }
            fn minus(self) -> Self {
                -self
            }
            fn below(self) -> Self {
                if self == Self::NEG_INFINITY { Self::NAN } else { self.next_down() }
            }
            fn order(&self, other: &Self) -> std::cmp::Ordering {
                self.total_cmp(other)
            }
            fn transform(post: PostTransform, scores: &mut [Self]) {
                $transform(post, scores);
            }
            fn of_place(place: u32) -> Self {
                Self::from_bits(<$bits>::from(place))
            }
            fn place(self) -> usize {
                self.to_bits() as usize
            }
        }
    };
}

real!(f32, u32, PostTransform::apply_to_targets);
real!(f64, u64, transform_doubles);

/// As onnxruntime does, which transforms floats.
fn transform_doubles(post: PostTransform, scores: &mut [f64]) {
    if post == PostTransform::None {
        return;
    }
    let mut floats: Vec<f32> = scores.iter().map(|score| score.single()).collect();
    post.apply_to_targets(&mut floats);
    for (score, float) in scores.iter_mut().zip(floats) {
        *score = f64::from(float);
    }
}

/// The scores of one row: `values[target]`, and whether any leaf scored that target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scores<'a, T> {
    pub(super) values: &'a [T],
    pub(super) scored: &'a [bool],
}
