//! Operators on shapes: they move no value to another place in the row-major order, or make tensors from shapes.

use std::sync::Arc;

use crate::engine::kernel::{Args, Dim, Fact, OpError, as_i64, tensor};
use crate::engine::native::node::{Built, Node, Walk, broadcast, broadcast_dims, place, places, repeated, strides};
use crate::tensor::{Data, Dtype, Tensor};

fn reshaped(args: &mut Args<'_, '_>, shape: Vec<usize>) -> Result<Tensor, String> {
    let input = args.take(0)?;
    input.reshaped(shape).map_err(|error| error.to_string())
}

/// The sizes that a tensor of whole numbers names.
pub(super) fn sizes(tensor: &Tensor) -> Result<Vec<usize>, String> {
    let size = |&size: &i64| usize::try_from(size).map_err(|_| format!("size {size}"));
    as_i64(tensor)?.iter().map(size).collect()
}

pub(in crate::engine::native) fn reshape(node: &Node<'_>) -> Result<Built, OpError> {
    let attribute = node.attributes().ints("shape")?.to_vec();
    if attribute.is_empty() {
        node.arity(2, 2)?;
    }
    let keep_zero = node.flag("allowzero", false)?;
    let wanted = if attribute.is_empty() { node.constant_ints(1) } else { Some(attribute.clone()) };
    let dims = wanted.as_ref().map(|wanted| reshaped_dims(node, wanted, keep_zero)).transpose()?;
    let fact = Fact::new(node.fact(0)?.dtype, dims.or_else(|| unknown_dims(node)));
    Built::one(fact, move |args| {
        let input = args.get(0)?;
        let shape = if attribute.is_empty() {
            resolved(input, &as_i64(args.get(1)?)?, keep_zero)?
        } else {
            resolved(input, &attribute, keep_zero)?
        };
        reshaped(args, shape)
    })
}

/// As many unknown sizes as input 1 has values.
fn unknown_dims(node: &Node<'_>) -> Option<Vec<Dim>> {
    match node.optional(1)?.shape.as_deref() {
        Some([Dim::Fixed(rank)]) if *rank <= 64 => Some(vec![Dim::Unknown; *rank]),
        _ => None,
    }
}

fn reshaped_dims(node: &Node<'_>, wanted: &[i64], keep_zero: bool) -> Result<Vec<Dim>, OpError> {
    if wanted.iter().any(|&size| size < -1) || wanted.iter().filter(|&&size| size == -1).count() > 1 {
        return node.bad(format!("the shape {wanted:?}"));
    }
    let from = node.fact(0)?.shape.as_deref();
    let dim = |(axis, &size): (usize, &i64)| match usize::try_from(size) {
        Ok(0) if !keep_zero => from.and_then(|from| from.get(axis)).copied().unwrap_or(Dim::Unknown),
        Ok(size) => Dim::Fixed(size),
        Err(_) => Dim::Unknown,
    };
    let mut dims: Vec<Dim> = wanted.iter().enumerate().map(dim).collect();
    if let (Some(open), Some(from)) = (wanted.iter().position(|&size| size == -1), from) {
        dims[open] = open_dim(from, &dims, open);
    }
    Ok(dims)
}

/// What is left for the open axis, where the rest is known: sizes on both sides cancel, by number or by symbol.
fn open_dim(from: &[Dim], to: &[Dim], open: usize) -> Dim {
    let fixed = |dims: &mut dyn Iterator<Item = &Dim>| {
        dims.filter_map(|dim| dim.fixed()).try_fold(1_usize, |product, size| product.checked_mul(size))
    };
    let mut symbols: Vec<Dim> = from.iter().copied().filter(|dim| dim.fixed().is_none()).collect();
    for dim in to.iter().enumerate().filter(|(axis, dim)| *axis != open && dim.fixed().is_none()).map(|(_, dim)| dim) {
        match symbols.iter().position(|symbol| symbol == dim && *dim != Dim::Unknown) {
            Some(found) => drop(symbols.swap_remove(found)),
            None => return Dim::Unknown,
        }
    }
    let (Some(have), Some(used)) = (fixed(&mut from.iter()), fixed(&mut to.iter())) else { return Dim::Unknown };
    match symbols.as_slice() {
        [] if used > 0 && have % used == 0 => Dim::Fixed(have / used),
        [symbol] if have == used => *symbol,
        _ => Dim::Unknown,
    }
}

fn resolved(input: &Tensor, wanted: &[i64], keep_zero: bool) -> Result<Vec<usize>, String> {
    let mut open = None;
    let mut shape = Vec::with_capacity(wanted.len());
    for (axis, &size) in wanted.iter().enumerate() {
        shape.push(match usize::try_from(size) {
            Ok(0) if !keep_zero => *input.shape().get(axis).ok_or_else(|| format!("no axis {axis} to keep"))?,
            Ok(size) => size,
            Err(_) if size == -1 && open.is_none() => {
                open = Some(axis);
                1
            }
            Err(_) => return Err(format!("the shape {wanted:?}")),
        });
    }
    if let Some(axis) = open {
        let product = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let product = product.filter(|&product| product > 0);
        shape[axis] = input.data().len() / product.ok_or_else(|| format!("the shape {wanted:?}"))?;
    }
    Ok(shape)
}

/// The axes of Squeeze and Unsqueeze: an attribute up to opset 12, then an input. `Err` where they are computed.
fn axes_of(node: &Node<'_>) -> Result<Result<Option<Vec<i64>>, ()>, OpError> {
    let attribute = node.attributes().ints("axes")?;
    if !attribute.is_empty() || node.optional(1).is_none() {
        return Ok(Ok((!attribute.is_empty()).then(|| attribute.to_vec())));
    }
    Ok(node.constant_ints(1).map(Some).ok_or(()))
}

/// The axes of one run.
fn axes_now(args: &Args<'_, '_>, known: &Result<Option<Vec<i64>>, ()>) -> Result<Option<Vec<i64>>, String> {
    match known {
        Ok(axes) => Ok(axes.clone()),
        Err(()) => Ok(Some(as_i64(args.get(1)?)?.into_owned())),
    }
}

pub(in crate::engine::native) fn squeeze(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 2)?;
    let known = axes_of(node)?;
    let dims = match (&node.fact(0)?.shape, &known) {
        (Some(dims), Ok(Some(axes))) => {
            let axes = places(axes, dims.len()).map_err(OpError::Bad)?;
            Some((0..dims.len()).filter(|axis| !axes.contains(axis)).map(|axis| dims[axis]).collect())
        }
        (Some(dims), Ok(None)) if dims.iter().all(|dim| dim.fixed().is_some()) => {
            Some(dims.iter().copied().filter(|dim| dim.fixed() != Some(1)).collect())
        }
        _ => None,
    };
    Built::one(Fact::new(node.fact(0)?.dtype, dims), move |args| {
        let axes = axes_now(args, &known)?;
        let shape = squeezed(args.get(0)?.shape(), axes.as_deref())?;
        reshaped(args, shape)
    })
}

fn squeezed(shape: &[usize], axes: Option<&[i64]>) -> Result<Vec<usize>, String> {
    let Some(axes) = axes else { return Ok(shape.iter().copied().filter(|&size| size != 1).collect()) };
    let axes = places(axes, shape.len())?;
    match axes.iter().find(|&&axis| shape[axis] != 1) {
        Some(axis) => Err(format!("axis {axis} has {} places, expected 1", shape[*axis])),
        None => Ok((0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect()),
    }
}

pub(in crate::engine::native) fn unsqueeze(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 2)?;
    let known = axes_of(node)?;
    let dims = match (&node.fact(0)?.shape, &known) {
        (_, Ok(None)) => return node.bad("no axes"),
        (Some(dims), Ok(Some(axes))) => Some(wider(dims, axes, Dim::Fixed(1)).map_err(OpError::Bad)?),
        _ => None,
    };
    Built::one(Fact::new(node.fact(0)?.dtype, dims), move |args| {
        let axes = axes_now(args, &known)?.unwrap_or_default();
        let shape = wider(args.get(0)?.shape(), &axes, 1)?;
        reshaped(args, shape)
    })
}

/// The shape with `one` put in at each of `axes` of the outcome.
fn wider<T: Copy>(shape: &[T], axes: &[i64], one: T) -> Result<Vec<T>, String> {
    let rank = shape.len() + axes.len();
    let axes = places(axes, rank)?;
    let mut rest = shape.iter().copied();
    Ok((0..rank).map(|axis| if axes.contains(&axis) { one } else { rest.next().unwrap_or(one) }).collect())
}

pub(in crate::engine::native) fn flatten(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    let axis = node.int("axis", 1)?;
    // The axis may stand behind the last one.
    let split = move |rank: usize| {
        if usize::try_from(axis) == Ok(rank) { Ok(rank) } else { place(axis, rank) }
    };
    let dims = match &node.fact(0)?.shape {
        Some(dims) => {
            let (outer, inner) = dims.split_at(split(dims.len()).map_err(OpError::Bad)?);
            let joined = |dims: &[Dim]| match dims {
                [only] => *only,
                dims => dims
                    .iter()
                    .try_fold(1_usize, |product, dim| product.checked_mul(dim.fixed()?))
                    .map_or(Dim::Unknown, Dim::Fixed),
            };
            vec![joined(outer), joined(inner)]
        }
        None => vec![Dim::Unknown; 2],
    };
    Built::one(Fact::new(node.fact(0)?.dtype, Some(dims)), move |args| {
        let shape = args.get(0)?.shape();
        let (outer, inner) = shape.split_at(split(shape.len())?);
        let shape = vec![outer.iter().product(), inner.iter().product()];
        reshaped(args, shape)
    })
}

pub(in crate::engine::native) fn transpose(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    let given = node.attributes().ints("perm")?.to_vec();
    let order = move |rank: usize| -> Result<Vec<usize>, String> {
        if given.is_empty() {
            return Ok((0..rank).rev().collect());
        }
        let order = given.iter().map(|&axis| place(axis, rank)).collect::<Result<Vec<_>, _>>()?;
        if order.len() == rank && places(&given, rank).is_ok() { Ok(order) } else { Err(format!("perm {given:?}")) }
    };
    let dims = match &node.fact(0)?.shape {
        Some(dims) => {
            Some(order(dims.len()).map_err(OpError::Bad)?.into_iter().map(|axis| dims[axis]).collect::<Vec<_>>())
        }
        None => None,
    };
    Built::one(Fact::new(node.fact(0)?.dtype, dims), move |args| {
        let input = args.get(0)?;
        let order = order(input.shape().len())?;
        permuted(input, &order)
    })
}

/// `input` with its axes in another order.
pub(super) fn permuted(input: &Tensor, order: &[usize]) -> Result<Tensor, String> {
    let own = strides(input.shape());
    let shape: Vec<usize> = order.iter().map(|&axis| input.shape()[axis]).collect();
    let steps: Vec<usize> = order.iter().map(|&axis| own[axis]).collect();
    let data = input.data().pick(Walk::new(&shape, &steps, input.data().len()));
    tensor(shape, data)
}

pub(in crate::engine::native) fn expand(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    let wanted = node.constant(1).map(sizes).transpose().map_err(OpError::Bad)?;
    let wanted: Option<Vec<Dim>> = wanted.map(|sizes| sizes.into_iter().map(Dim::Fixed).collect());
    let wanted = wanted.or_else(|| unknown_dims(node));
    let dims = broadcast_dims(node.fact(0)?.shape.as_deref(), wanted.as_deref())?;
    Built::one(Fact::new(node.fact(0)?.dtype, dims), |args| {
        let input = args.get(0)?;
        let shape = broadcast(input.shape(), &sizes(args.get(1)?)?)?;
        let len = args.room_for(&shape)?;
        let data = input.data().pick(Walk::new(&shape, &repeated(input.shape(), &shape), len));
        tensor(shape, data)
    })
}

pub(in crate::engine::native) fn tile(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    let dims = node.fact(0)?.rank().map(|rank| vec![Dim::Unknown; rank]);
    Built::one(Fact::new(node.fact(0)?.dtype, dims), |args| {
        let (input, times) = (args.get(0)?, sizes(args.get(1)?)?);
        if times.len() != input.shape().len() {
            return Err(format!("{} repeats for {} axes", times.len(), input.shape().len()));
        }
        // An axis of n places repeated t times is two axes, the outer of which repeats.
        let own = strides(input.shape());
        let (mut wide, mut steps, mut shape) = (Vec::new(), Vec::new(), Vec::new());
        for ((&size, &times), stride) in input.shape().iter().zip(&times).zip(own) {
            wide.extend([times, size]);
            steps.extend([0, stride]);
            shape.push(size.checked_mul(times).ok_or("too many repeats")?);
        }
        let len = args.room_for(&shape)?;
        tensor(shape, input.data().pick(Walk::new(&wide, &steps, len)))
    })
}

#[expect(clippy::cast_possible_wrap, reason = "sizes of tensors are below 2^63")]
pub(in crate::engine::native) fn shape(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    let (start, end) = (node.int("start", 0)?, node.attributes().int("end")?);
    let range = move |rank: usize| {
        let signed = i64::try_from(rank).unwrap_or(i64::MAX);
        let inside = |bound: i64| if bound < 0 { bound.saturating_add(signed) } else { bound }.clamp(0, signed);
        let (start, end) = (inside(start), inside(end.unwrap_or(signed)));
        usize::try_from(start).unwrap_or(0)..usize::try_from(end.max(start)).unwrap_or(0)
    };
    let mut fact = Fact::new(Dtype::Int64, Some(vec![Dim::Unknown]));
    if let Some(dims) = &node.fact(0)?.shape {
        let wanted = &dims[range(dims.len())];
        fact.shape = Some(vec![Dim::Fixed(wanted.len())]);
        let fixed: Option<Vec<i64>> = wanted.iter().map(|dim| dim.fixed().map(|size| size as i64)).collect();
        fact.constant = fixed.map(|sizes| Arc::new(Tensor::vector(Data::Int64(sizes))));
    }
    Built::one(fact, move |args| {
        let shape = args.get(0)?.shape();
        Ok(Tensor::vector(Data::Int64(shape[range(shape.len())].iter().map(|&size| size as i64).collect())))
    })
}

#[expect(clippy::cast_possible_wrap, reason = "sizes of tensors are below 2^63")]
pub(in crate::engine::native) fn size(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    Built::one(Fact::new(Dtype::Int64, Some(vec![])), |args| {
        tensor(vec![], Data::Int64(vec![args.get(0)?.data().len() as i64]))
    })
}

pub(in crate::engine::native) fn constant(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(0, 0)?;
    let attributes = node.attributes();
    let scalar = |data: Data| tensor(vec![], data).map_err(OpError::Bad);
    let value = if let Some(value) = attributes.any_tensor("value")? {
        value
    } else if let Some(value) = attributes.float("value_float")? {
        scalar(Data::Fp32(vec![value]))?
    } else if let Some(value) = attributes.int("value_int")? {
        scalar(Data::Int64(vec![value]))?
    } else if let Some(value) = attributes.text("value_string")? {
        scalar(Data::String(vec![value.to_owned()]))?
    } else if attributes.has("value_floats") {
        Tensor::vector(Data::Fp32(attributes.floats("value_floats")?.to_vec()))
    } else if attributes.has("value_ints") {
        Tensor::vector(Data::Int64(attributes.ints("value_ints")?.to_vec()))
    } else if attributes.has("value_strings") {
        let texts = attributes.strings("value_strings")?;
        Tensor::vector(Data::String(texts.into_iter().map(str::to_owned).collect()))
    } else {
        return OpError::unknown("Constant of another form than a tensor, a number or a text");
    };
    Built::one(Fact::constant(value.clone()), move |_| Ok(value.clone()))
}

pub(in crate::engine::native) fn constant_of_shape(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    let value = node.attributes().any_tensor("value")?.unwrap_or_else(|| Tensor::vector(Data::Fp32(vec![0.0])));
    if value.data().len() != 1 {
        return node.bad(format!("value: expected one value, got {}", value.data().len()));
    }
    let rank = match node.fact(0)?.shape.as_deref() {
        Some([Dim::Fixed(rank)]) if *rank <= 64 => Some(*rank),
        _ => None,
    };
    Built::one(Fact::new(value.dtype(), rank.map(|rank| vec![Dim::Unknown; rank])), move |args| {
        let shape = sizes(args.get(0)?)?;
        let len = args.room_for(&shape)?;
        tensor(shape, value.data().pick(std::iter::repeat_n(0, len)))
    })
}
