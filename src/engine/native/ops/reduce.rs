//! Reductions along axes.

use super::shape::permuted;
use crate::engine::kernel::{Dim, Fact, OpError, as_i64, tensor};
use crate::engine::native::node::{Built, Node, around, place, places};
use crate::tensor::{Data, Dtype, Tensor};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    SumSquare,
    L1,
    L2,
    LogSum,
    LogSumExp,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "ReduceSum" => Self::Sum,
            "ReduceMean" => Self::Mean,
            "ReduceMax" => Self::Max,
            "ReduceMin" => Self::Min,
            "ReduceProd" => Self::Prod,
            "ReduceSumSquare" => Self::SumSquare,
            "ReduceL1" => Self::L1,
            "ReduceL2" => Self::L2,
            "ReduceLogSum" => Self::LogSum,
            "ReduceLogSumExp" => Self::LogSumExp,
            _ => return None,
        })
    }
}

/// Sums of `f32` are kept in `f64`, so that their order does not matter to the answer.
trait Float: Copy + PartialOrd {
    fn wide(self) -> f64;
    fn of(value: f64) -> Self;
    const NEG_INFINITY: Self;
    const INFINITY: Self;
}

#[expect(clippy::cast_possible_truncation, reason = "the outcome is asked for in f32")]
impl Float for f32 {
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn of(value: f64) -> Self {
        value as Self
    }
    const NEG_INFINITY: Self = Self::NEG_INFINITY;
    const INFINITY: Self = Self::INFINITY;
}

impl Float for f64 {
    fn wide(self) -> f64 {
        self
    }
    fn of(value: f64) -> Self {
        value
    }
    const NEG_INFINITY: Self = Self::NEG_INFINITY;
    const INFINITY: Self = Self::INFINITY;
}

/// The sum of `f` over `values`, four partial sums side by side.
fn sum<T: Float>(values: &[T], f: impl Fn(f64) -> f64) -> f64 {
    let mut sums = [0.0; 4];
    let (chunks, rest) = values.as_chunks::<4>();
    for chunk in chunks {
        for lane in 0..4 {
            sums[lane] += f(chunk[lane].wide());
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|value| f(value.wide())).sum::<f64>()
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^52 values")]
fn reduce_floats<T: Float>(kind: Kind, values: &[T]) -> T {
    // A NaN anywhere makes the outcome one.
    let extreme = |start: T, replaces: fn(T, T) -> bool| {
        let both = |best: T, value: T| {
            if best.wide().is_nan() || !(value.wide().is_nan() || replaces(value, best)) { best } else { value }
        };
        values.iter().fold(start, |best, &value| both(best, value))
    };
    T::of(match kind {
        Kind::Sum => sum(values, |v| v),
        Kind::Mean => sum(values, |v| v) / values.len() as f64,
        Kind::Max => return extreme(T::NEG_INFINITY, |a, b| a > b),
        Kind::Min => return extreme(T::INFINITY, |a, b| a < b),
        Kind::Prod => values.iter().map(|value| value.wide()).product(),
        Kind::SumSquare => sum(values, |v| v * v),
        Kind::L1 => sum(values, f64::abs),
        Kind::L2 => sum(values, |v| v * v).sqrt(),
        Kind::LogSum => sum(values, |v| v).ln(),
        Kind::LogSumExp => {
            let max = extreme(T::NEG_INFINITY, |a, b| a > b).wide();
            let shift = if max.is_finite() { max } else { 0.0 };
            sum(values, |v| (v - shift).exp()).ln() + shift
        }
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "roots and logarithms of whole numbers are cut to whole numbers, as elsewhere"
)]
fn reduce_whole(kind: Kind, values: impl Iterator<Item = i128> + Clone, limits: (i128, i128)) -> i128 {
    let sum = |f: fn(i128) -> i128| values.clone().map(f).fold(0, i128::wrapping_add);
    match kind {
        Kind::Sum => sum(|v| v),
        Kind::Mean => sum(|v| v).checked_div(values.clone().count() as i128).unwrap_or_default(),
        Kind::Max => values.max().unwrap_or(limits.0),
        Kind::Min => values.min().unwrap_or(limits.1),
        Kind::Prod => values.fold(1, i128::wrapping_mul),
        Kind::SumSquare => sum(|v| v.wrapping_mul(v)),
        Kind::L1 => sum(i128::abs),
        Kind::L2 => values.map(|v| (v as f64).powi(2)).sum::<f64>().sqrt() as i128,
        Kind::LogSum => (sum(|v| v) as f64).ln() as i128,
        Kind::LogSumExp => values.map(|v| (v as f64).exp()).sum::<f64>().ln() as i128,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sums wrap to their type's bits")]
fn reduced(kind: Kind, data: &Data, n_outer: usize, len: usize) -> Result<Data, String> {
    macro_rules! of {
        ($($kind:ident: $type:ty),*) => {
            match data {
                Data::Fp32(values) => Data::Fp32(rows(values, n_outer, len).map(|row| reduce_floats(kind, row)).collect()),
                Data::Fp64(values) => Data::Fp64(rows(values, n_outer, len).map(|row| reduce_floats(kind, row)).collect()),
                $(Data::$kind(values) => {
                    let limits = (i128::from(<$type>::MIN), i128::from(<$type>::MAX));
                    let whole = |row: &[$type]| reduce_whole(kind, row.iter().map(|&v| i128::from(v)), limits) as $type;
                    Data::$kind(rows(values, n_outer, len).map(whole).collect())
                })*
                Data::Bool(values) if kind == Kind::Max => {
                    Data::Bool(rows(values, n_outer, len).map(|row| row.iter().any(|&v| v)).collect())
                }
                Data::Bool(values) if kind == Kind::Min => {
                    Data::Bool(rows(values, n_outer, len).map(|row| row.iter().all(|&v| v)).collect())
                }
                other => return Err(format!("unexpected {}", other.dtype())),
            }
        };
    }
    Ok(of!(Uint8: u8, Uint16: u16, Uint32: u32, Uint64: u64, Int8: i8, Int16: i16, Int32: i32, Int64: i64))
}

/// `n_outer` pieces of `len` values.
fn rows<T>(values: &[T], n_outer: usize, len: usize) -> impl Iterator<Item = &[T]> {
    (0..n_outer).map(move |row| &values[row * len..(row + 1) * len])
}

/// The axes: an attribute, from opset 13 (ReduceSum) or 18 on an input. None at all means every axis, or with
/// `noop_with_empty_axes` that nothing is reduced.
pub(in crate::engine::native) fn build(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 2)?;
    let Some(kind) = Kind::of(node.operator()) else {
        return OpError::unknown(format!("operator {}", node.operator()));
    };
    let dtype = node.fact(0)?.dtype;
    let of_flags = dtype == Dtype::Bool && matches!(kind, Kind::Max | Kind::Min);
    if dtype == Dtype::String || (dtype == Dtype::Bool && !of_flags) {
        return OpError::unknown(format!("{} of {dtype}", node.operator()));
    }
    let (keep, noop) = (node.flag("keepdims", true)?, node.flag("noop_with_empty_axes", false)?);
    let attribute = node.attributes().ints("axes")?.to_vec();
    let known = match node.optional(1) {
        Some(_) => node.constant_ints(1),
        None => Some(attribute.clone()),
    };
    let shape = match (&node.fact(0)?.shape, known) {
        (Some(dims), Some(axes)) => {
            let axes = chosen(&axes, dims.len(), noop).map_err(OpError::Bad)?;
            Some(left(dims, &axes, keep, Dim::Fixed(1)))
        }
        (Some(dims), None) if keep => Some(vec![Dim::Unknown; dims.len()]),
        _ => None,
    };
    Built::one(Fact::new(dtype, shape), move |args| {
        let input = args.get(0)?;
        let given = args.optional(1).map(as_i64).transpose()?;
        let axes = chosen(given.as_deref().unwrap_or(&attribute), input.shape().len(), noop)?;
        args.room_for(&left(input.shape(), &axes, keep, 1))?;
        reduce(input, &axes, keep, kind)
    })
}

fn reduce(input: &Tensor, axes: &[usize], keep: bool, kind: Kind) -> Result<Tensor, String> {
    let shape = input.shape();
    let others: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let n_outer = others.iter().map(|&axis| shape[axis]).product();
    let len = axes.iter().map(|&axis| shape[axis]).product();
    let order = [others.as_slice(), axes].concat();
    let data = if order.is_sorted() {
        reduced(kind, input.data(), n_outer, len)?
    } else {
        reduced(kind, permuted(input, &order)?.data(), n_outer, len)?
    };
    tensor(left(shape, axes, keep, 1), data)
}

fn chosen(axes: &[i64], rank: usize, noop: bool) -> Result<Vec<usize>, String> {
    match axes {
        [] if noop => Ok(Vec::new()),
        [] => Ok((0..rank).collect()),
        axes => places(axes, rank),
    }
}

/// The shape without the reduced axes, or with one place in each.
fn left<T: Copy>(shape: &[T], axes: &[usize], keep: bool, one: T) -> Vec<T> {
    let size = |axis: usize| match axes.contains(&axis) {
        true => keep.then_some(one),
        false => Some(shape[axis]),
    };
    (0..shape.len()).filter_map(size).collect()
}

/// Divides by the norm along an axis; where the norm is 0 the outcome is 0.
pub(in crate::engine::native) fn lp_normalization(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    let dtype = node.takes(0, &[Dtype::Fp32, Dtype::Fp64])?;
    let axis = node.axis(-1)?;
    let kind = match node.int("p", 2)? {
        1 => Kind::L1,
        2 => Kind::L2,
        other => return node.bad(format!("p: expected 1 or 2, got {other}")),
    };
    Built::one(node.fact(0)?.like(dtype), move |args| {
        let input = args.take(0)?;
        let shape = input.shape().to_vec();
        let axis = place(axis, shape.len())?;
        let norms = reduce(&input, &[axis], true, kind)?;
        let (_, size, inner) = around(&shape, axis);
        let mut data = input.into_data();
        macro_rules! each {
            ($values:expr, $norms:expr) => {
                for (row, norms) in $values.chunks_mut((size * inner).max(1)).zip($norms.chunks(inner.max(1))) {
                    for (place, value) in row.iter_mut().enumerate() {
                        let norm = norms[place % inner];
                        *value = if norm.abs() > 0.0 { *value / norm } else { 0.0 };
                    }
                }
            };
        }
        match (&mut data, norms.data()) {
            (Data::Fp32(values), Data::Fp32(norms)) => each!(values, norms),
            (Data::Fp64(values), Data::Fp64(norms)) => each!(values, norms),
            (data, _) => return Err(format!("unexpected {}", data.dtype())),
        }
        tensor(shape, data)
    })
}
