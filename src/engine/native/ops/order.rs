//! Operators that order values along an axis: ArgMax, ArgMin, TopK, CumSum.

use std::cmp::Ordering;

use crate::engine::kernel::{Dim, Fact, OpError, Outputs, as_i64, tensor};
use crate::engine::native::node::{Built, Node, around, place};
use crate::tensor::{Data, Dtype, Tensor};

/// Values that can be ordered; a NaN is above all else.
trait Ordered: Copy {
    fn order(&self, other: &Self) -> Ordering;
}

macro_rules! ordered {
    ($($type:ty),*) => {
        $(impl Ordered for $type {
            fn order(&self, other: &Self) -> Ordering {
                self.cmp(other)
            }
        })*
    };
}

ordered!(u8, u16, u32, u64, i8, i16, i32, i64);

impl Ordered for f32 {
    fn order(&self, other: &Self) -> Ordering {
        self.partial_cmp(other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
    }
}

impl Ordered for f64 {
    fn order(&self, other: &Self) -> Ordering {
        self.partial_cmp(other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
    }
}

macro_rules! each_ordered {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            Data::Uint8($values) => $body,
            Data::Uint16($values) => $body,
            Data::Uint32($values) => $body,
            Data::Uint64($values) => $body,
            Data::Int8($values) => $body,
            Data::Int16($values) => $body,
            Data::Int32($values) => $body,
            Data::Int64($values) => $body,
            Data::Fp32($values) => $body,
            Data::Fp64($values) => $body,
            other => return Err(format!("unexpected {}", other.dtype())),
        }
    };
}

fn is_number(node: &Node<'_>) -> Result<Dtype, OpError> {
    match node.fact(0)?.dtype {
        other @ (Dtype::String | Dtype::Bool) => OpError::unknown(format!("{} of {other}", node.operator())),
        dtype => Ok(dtype),
    }
}

/// ArgMax and ArgMin: of equal values the first, or the last where `select_last_index` says so.
pub(in crate::engine::native) fn arg(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    is_number(node)?;
    let (axis, keep) = (node.axis(0)?, node.flag("keepdims", true)?);
    let (last, wanted) = (
        node.flag("select_last_index", false)?,
        if node.operator() == "ArgMax" { Ordering::Greater } else { Ordering::Less },
    );
    let mut dims = node.fact(0)?.shape.clone();
    if let Some(dims) = &mut dims {
        let axis = place(axis, dims.len()).map_err(OpError::Bad)?;
        without(dims, axis, keep, Dim::Fixed(1));
    }
    Built::one(Fact::new(Dtype::Int64, dims), move |args| {
        let input = args.get(0)?;
        let mut shape = input.shape().to_vec();
        let axis = place(axis, shape.len())?;
        let (outer, size, inner) = around(&shape, axis);
        if size == 0 && 0 < outer * inner {
            return Err("the largest of no values".to_owned());
        }
        let replaces = move |order: Ordering| order == wanted || (last && order == Ordering::Equal);
        let found = each_ordered!(input.data(), values => best(values, (outer, size, inner), replaces));
        without(&mut shape, axis, keep, 1);
        tensor(shape, Data::Int64(found))
    })
}

/// Takes an axis out of a shape, or leaves `one` in its place.
fn without<T>(shape: &mut Vec<T>, axis: usize, keep: bool, one: T) {
    if keep {
        shape[axis] = one;
    } else {
        shape.remove(axis);
    }
}

fn best<T: Ordered>(
    values: &[T],
    (outer, size, inner): (usize, usize, usize),
    replaces: impl Fn(Ordering) -> bool,
) -> Vec<i64> {
    let mut found = Vec::with_capacity(outer * inner);
    for row in 0..outer {
        for column in 0..inner {
            let value = |index: usize| &values[(row * size + index) * inner + column];
            let mut best = 0;
            for index in 1..size {
                if replaces(value(index).order(value(best))) {
                    best = index;
                }
            }
            found.push(i64::try_from(best).unwrap_or(i64::MAX));
        }
    }
    found
}

/// The k largest or smallest, in order; of equal values the first ones.
pub(in crate::engine::native) fn top_k(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 2)?;
    is_number(node)?;
    let axis = node.axis(-1)?;
    let attribute = node.attributes().int("k")?;
    if attribute.is_none() && node.optional(1).is_none() {
        return node.bad("no k");
    }
    let largest = node.flag("largest", true)?;
    let known = attribute.or_else(|| node.constant_ints(1).and_then(|k| k.first().copied()));
    let mut dims = node.fact(0)?.shape.clone();
    if let Some(dims) = &mut dims {
        let axis = place(axis, dims.len()).map_err(OpError::Bad)?;
        dims[axis] = known.and_then(|k| usize::try_from(k).ok()).map_or(Dim::Unknown, Dim::Fixed);
    }
    let facts = vec![Fact::new(node.fact(0)?.dtype, dims.clone()), Fact::new(Dtype::Int64, dims)];
    let run = move |args: &mut crate::engine::kernel::Args<'_, '_>| -> Result<Outputs, String> {
        let input = args.get(0)?;
        let k = match args.optional(1) {
            Some(k) => as_i64(k)?.first().copied(),
            None => attribute,
        };
        let mut shape = input.shape().to_vec();
        let axis = place(axis, shape.len())?;
        let around = around(&shape, axis);
        let k = k.and_then(|k| usize::try_from(k).ok()).filter(|&k| k <= around.1);
        let k = k.ok_or_else(|| format!("k is not 0 to {}", around.1))?;
        shape[axis] = k;
        let (places, indices) = each_ordered!(input.data(), values => first_k(values, around, k, largest));
        let picked = tensor(shape.clone(), input.data().pick(places.into_iter()))?;
        Ok(Outputs::Two(picked, tensor(shape, Data::Int64(indices))?))
    };
    Ok(Built { run: Box::new(run), facts, unread: Vec::new() })
}

/// The places of the k first values of each row in the order of values, and their indices along the axis.
fn first_k<T: Ordered>(
    values: &[T],
    (outer, size, inner): (usize, usize, usize),
    k: usize,
    largest: bool,
) -> (Vec<usize>, Vec<i64>) {
    let (mut places, mut indices) = (vec![0; outer * k * inner], vec![0; outer * k * inner]);
    let mut order: Vec<usize> = Vec::with_capacity(size);
    for row in 0..outer {
        for column in 0..inner {
            let place = |index: usize| (row * size + index) * inner + column;
            let compare = |a: &usize, b: &usize| {
                let order = values[place(*a)].order(&values[place(*b)]);
                let order = if largest { order.reverse() } else { order };
                order.then(a.cmp(b))
            };
            order.clear();
            order.extend(0..size);
            if 0 < k && k < size {
                order.select_nth_unstable_by(k - 1, compare);
            }
            order.truncate(k);
            order.sort_unstable_by(compare);
            for (rank, &index) in order.iter().enumerate() {
                let target = (row * k + rank) * inner + column;
                places[target] = place(index);
                indices[target] = i64::try_from(index).unwrap_or(i64::MAX);
            }
        }
    }
    (places, indices)
}

pub(in crate::engine::native) fn cum_sum(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    let dtype = node.takes(0, &[Dtype::Fp32, Dtype::Fp64, Dtype::Int32, Dtype::Int64])?;
    let (exclusive, reverse) = (node.flag("exclusive", false)?, node.flag("reverse", false)?);
    Built::one(node.fact(0)?.like(dtype), move |args| {
        let axis = as_i64(args.get(1)?)?.first().copied().ok_or("no axis")?;
        let input = args.take(0)?;
        let shape = input.shape().to_vec();
        let around = around(&shape, place(axis, shape.len())?);
        let mut data = input.into_data();
        match &mut data {
            Data::Fp32(values) => summed(values, around, (exclusive, reverse), |a, b| a + b),
            Data::Fp64(values) => summed(values, around, (exclusive, reverse), |a, b| a + b),
            Data::Int32(values) => summed(values, around, (exclusive, reverse), i32::wrapping_add),
            Data::Int64(values) => summed(values, around, (exclusive, reverse), i64::wrapping_add),
            other => return Err(format!("unexpected {}", other.dtype())),
        }
        Tensor::new(shape, data).map_err(|error| error.to_string())
    })
}

fn summed<T: Copy + Default>(
    values: &mut [T],
    (outer, size, inner): (usize, usize, usize),
    (exclusive, reverse): (bool, bool),
    add: impl Fn(T, T) -> T,
) {
    for row in 0..outer {
        for column in 0..inner {
            let mut sum = T::default();
            for step in 0..size {
                let index = if reverse { size - 1 - step } else { step };
                let value = &mut values[(row * size + index) * inner + column];
                let next = add(sum, *value);
                *value = if exclusive { sum } else { next };
                sum = next;
            }
        }
    }
}
