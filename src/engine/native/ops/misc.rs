//! What fits nowhere else: OneHot, NonZero, Range, CDist of com.microsoft.

use super::select::indexed;
use crate::engine::gemm::Packed;
use crate::engine::kernel::{Dim, Fact, OpError, as_f32, as_f64, as_i64, tensor};
use crate::engine::native::node::{Built, Node, around, place};
use crate::tensor::{Data, Dtype, Tensor};

/// One value where the index is, another elsewhere, along a new axis.
pub(in crate::engine::native) fn one_hot(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(3, 3)?;
    node.fact(0)?.number("OneHot")?;
    let axis = node.int("axis", -1)?;
    let depth = node.constant(1).and_then(|depth| as_f64(depth).ok()?.first().copied());
    let dims = node.fact(0)?.shape.clone().map(|mut dims| {
        let axis = place(axis, dims.len() + 1).map_err(OpError::Bad)?;
        dims.insert(axis, depth.and_then(whole).map_or(Dim::Unknown, Dim::Fixed));
        Ok(dims)
    });
    Built::one(Fact::new(node.fact(2)?.dtype, dims.transpose()?), move |args| {
        let (indices, depth, values) = (args.get(0)?, args.get(1)?, args.get(2)?);
        let depth = as_f64(depth)?.first().copied().and_then(whole).ok_or("depth: expected a whole number")?;
        if values.data().len() != 2 {
            return Err(format!("expected two values, got {}", values.data().len()));
        }
        let mut shape = indices.shape().to_vec();
        let axis = place(axis, shape.len() + 1)?;
        shape.insert(axis, depth);
        let mut places = vec![0_usize; args.room_for(&shape)?];
        let (_, _, inner) = around(&shape, axis);
        for (at, &index) in as_f64(indices)?.iter().enumerate() {
            // An index out of range is nowhere.
            if let Some(index) = signed(index).and_then(|index| indexed(index, depth).ok()) {
                places[(at / inner * depth + index) * inner + at % inner] = 1;
            }
        }
        tensor(shape, values.data().pick(places.into_iter()))
    })
}

#[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number in range")]
fn signed(value: f64) -> Option<i64> {
    (value.abs() < 9e15).then_some(value as i64)
}

fn whole(value: f64) -> Option<usize> {
    usize::try_from(signed(value)?).ok()
}

pub(in crate::engine::native) fn non_zero(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    node.fact(0)?.number("NonZero")?;
    let rank = node.fact(0)?.rank().map_or(Dim::Unknown, Dim::Fixed);
    Built::one(Fact::new(Dtype::Int64, Some(vec![rank, Dim::Unknown])), |args| {
        let input = args.get(0)?;
        let values = as_f64(input)?;
        let found: Vec<usize> = values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.abs() > 0.0 || value.is_nan())
            .map(|(at, _)| at)
            .collect();
        let rank = input.shape().len();
        args.room_for(&[rank, found.len()])?;
        let mut places = Vec::with_capacity(rank * found.len());
        for axis in 0..rank {
            let (_, size, inner) = around(input.shape(), axis);
            places.extend(found.iter().map(|at| i64::try_from(at / inner % size).unwrap_or(i64::MAX)));
        }
        tensor(vec![rank, found.len()], Data::Int64(places))
    })
}

pub(in crate::engine::native) fn range(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(3, 3)?;
    let dtype = node.takes(0, &[Dtype::Fp32, Dtype::Fp64, Dtype::Int32, Dtype::Int64])?;
    Built::one(Fact::new(dtype, Some(vec![Dim::Unknown])), move |args| {
        let one = |index: usize| as_f64(args.get(index)?)?.first().copied().ok_or("an empty input".to_owned());
        let (start, end, step) = (one(0)?, one(1)?, one(2)?);
        let count = whole(((end - start) / step).ceil().max(0.0)).ok_or("a range without end")?;
        args.room_for(&[count])?;
        #[expect(clippy::cast_precision_loss, reason = "a run holds fewer than 2^52 values")]
        let values = (0..count).map(|index| start + step * index as f64).collect();
        Ok(Tensor::vector(super::cast::cast(&Tensor::vector(Data::Fp64(values)), dtype)?))
    })
}

/// Distances between the rows of two matrices.
pub(in crate::engine::native) fn cdist(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    node.takes(0, &[Dtype::Fp32])?;
    node.takes(1, &[Dtype::Fp32])?;
    let squared = match node.attributes().text("metric")?.unwrap_or("sqeuclidean") {
        "sqeuclidean" => true,
        "euclidean" => false,
        other => return OpError::unknown(format!("CDist of {other:?}")),
    };
    let rows = |index: usize| {
        Ok(node.fact(index)?.shape.as_ref().and_then(|dims| dims.first()).copied().unwrap_or(Dim::Unknown))
    };
    let dims = vec![rows(0)?, rows(1)?];
    Built::one(Fact::new(Dtype::Fp32, Some(dims)), move |args| {
        let (a, b) = (args.get(0)?, args.get(1)?);
        let (&[m, k], &[n, k_b]) = (a.shape(), b.shape()) else { return Err("expected two matrices".to_owned()) };
        if k != k_b {
            return Err(format!("rows of {k} and {k_b}"));
        }
        let mut out = vec![0.0; args.room_for(&[m, n])?];
        let (a, b) = (as_f32(a)?, as_f32(b)?);
        Packed::new(&b, (k, n), true).multiply(&a, &mut out);
        let norm = |row: &[f32]| row.iter().map(|value| value * value).sum::<f32>();
        let norms: Vec<f32> = (0..n).map(|row| norm(&b[row * k..(row + 1) * k])).collect();
        for row in 0..m {
            let own = norm(&a[row * k..(row + 1) * k]);
            for (value, other) in out[row * n..(row + 1) * n].iter_mut().zip(&norms) {
                let distance = (own + other - 2.0 * *value).max(0.0);
                *value = if squared { distance } else { distance.sqrt() };
            }
        }
        tensor(vec![m, n], Data::Fp32(out))
    })
}

/// Compress: the slices along an axis (or the values) whose flag is set.
pub(in crate::engine::native) fn compress(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    node.takes(1, &[Dtype::Bool])?;
    let axis = node.attributes().int("axis")?;
    if let Some(axis) = axis {
        node.check_axis(axis, node.fact(0)?.rank())?;
    }
    Built::one(Fact::new(node.fact(0)?.dtype, None), move |args| {
        let (input, flags) = (args.get(0)?, as_i64(args.get(1)?)?);
        let mut shape = match axis {
            Some(_) => input.shape().to_vec(),
            None => vec![input.data().len()],
        };
        let axis = place(axis.unwrap_or(0), shape.len())?;
        let (outer, size, inner) = around(&shape, axis);
        let kept: Vec<usize> =
            flags.iter().take(size).enumerate().filter(|(_, flag)| **flag != 0).map(|(at, _)| at).collect();
        shape[axis] = kept.len();
        let starts = (0..outer).flat_map(|row| kept.iter().map(move |at| (row * size + at) * inner));
        tensor(shape, input.data().pick_blocks(starts, inner))
    })
}
