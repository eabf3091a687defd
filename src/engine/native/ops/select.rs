//! Operators that put values in other places: Concat, Split, Slice, Gather, GatherElements.

use crate::engine::kernel::{Dim, Fact, OpError, Outputs, as_i64, tensor};
use crate::engine::native::node::{Built, Node, around, place, strides};
use crate::tensor::{Data, Tensor};

pub(in crate::engine::native) fn concat(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, usize::MAX)?;
    // Up to opset 3 the axis may be left out.
    let axis = node.axis(1)?;
    let first = node.fact(0)?;
    let mut dims = first.shape.clone();
    for index in 1..node.inputs.len() {
        let next = node.fact(index)?;
        if next.dtype != first.dtype {
            return node.bad(format!("inputs of {} and {}", first.dtype, next.dtype));
        }
        dims = match (dims, &next.shape) {
            (Some(dims), Some(next)) => Some(joined_dims(node, &dims, next, axis)?),
            _ => None,
        };
    }
    let dtype = first.dtype;
    Built::one(Fact::new(dtype, dims), move |args| {
        let parts = (0..args.len()).map(|index| args.get(index)).collect::<Result<Vec<_>, _>>()?;
        let mut shape = parts[0].shape().to_vec();
        let axis = place(axis, shape.len())?;
        let fits = |part: &&Tensor| {
            part.shape().len() == shape.len() && (0..shape.len()).all(|at| at == axis || part.shape()[at] == shape[at])
        };
        if let Some(other) = parts.iter().find(|part| !fits(part)) {
            return Err(format!("shapes {shape:?} and {:?} along axis {axis}", other.shape()));
        }
        shape[axis] = parts.iter().map(|part| part.shape()[axis]).sum();
        let mut data = Data::with_capacity(dtype, args.room_for(&shape)?);
        let (outer, ..) = around(&shape, axis);
        for row in 0..outer {
            for part in &parts {
                let len = part.data().len() / outer;
                if !data.append_range(part.data(), row * len..(row + 1) * len) {
                    return Err(format!("a part of {}", part.dtype()));
                }
            }
        }
        tensor(shape, data)
    })
}

fn joined_dims(node: &Node<'_>, dims: &[Dim], next: &[Dim], axis: i64) -> Result<Vec<Dim>, OpError> {
    let axis = place(axis, dims.len()).map_err(OpError::Bad)?;
    if dims.len() != next.len() {
        return node.bad(format!("inputs of {} and {} axes", dims.len(), next.len()));
    }
    let dim = |(at, (a, b)): (usize, (&Dim, &Dim))| match (a, b) {
        (Dim::Fixed(a), Dim::Fixed(b)) if at == axis => Ok(a.checked_add(*b).map_or(Dim::Unknown, Dim::Fixed)),
        _ if at == axis => Ok(Dim::Unknown),
        (Dim::Fixed(a), Dim::Fixed(b)) if a != b => node.bad(format!("sizes {a} and {b} on axis {at}")),
        (Dim::Unknown, known) => Ok(*known),
        (known, _) => Ok(*known),
    };
    dims.iter().zip(next).enumerate().map(dim).collect()
}

pub(in crate::engine::native) fn split(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 2)?;
    let axis = node.axis(0)?;
    let n_outputs = node.n_outputs();
    let attribute = node.attributes().ints("split")?;
    let by_input = node.optional(1).is_some();
    let known = if by_input { node.constant_ints(1) } else { (!attribute.is_empty()).then(|| attribute.to_vec()) };
    let facts = match (&node.fact(0)?.shape, by_input && known.is_none()) {
        (Some(dims), false) => split_facts(node, dims, axis, known.as_deref())?,
        _ => vec![Fact::new(node.fact(0)?.dtype, None); n_outputs],
    };
    let run = move |args: &mut crate::engine::kernel::Args<'_, '_>| -> Result<Outputs, String> {
        let input = args.get(0)?;
        let axis = place(axis, input.shape().len())?;
        let (outer, size, inner) = around(input.shape(), axis);
        let given = args.optional(1).map(as_i64).transpose()?;
        let mut start = 0;
        let mut parts = Vec::with_capacity(n_outputs);
        for part in part_sizes(given.as_deref().or(known.as_deref()), size, n_outputs)? {
            let mut shape = input.shape().to_vec();
            shape[axis] = part;
            let starts = (0..outer).map(|row| (row * size + start) * inner);
            parts.push(tensor(shape, input.data().pick_blocks(starts, part * inner))?);
            start += part;
        }
        Ok(Outputs::Many(parts))
    };
    Ok(Built { run: Box::new(run), facts, unread: Vec::new() })
}

/// The sizes of the parts of `size` places; even ones where none are given, the last of which may be smaller.
fn part_sizes(given: Option<&[i64]>, size: usize, n: usize) -> Result<Vec<usize>, String> {
    let Some(given) = given else {
        let part = size.div_ceil(n);
        return Ok((0..n).map(|index| part.min(size.saturating_sub(index * part))).collect());
    };
    let parts: Option<Vec<usize>> = given.iter().map(|&part| usize::try_from(part).ok()).collect();
    let sum = |parts: &Vec<usize>| parts.iter().try_fold(0_usize, |sum, &part| sum.checked_add(part));
    let fitting = parts.filter(|parts| parts.len() == n && sum(parts) == Some(size));
    fitting.ok_or_else(|| format!("{n} parts of sizes {given:?} of {size} places"))
}

fn split_facts(node: &Node<'_>, dims: &[Dim], axis: i64, given: Option<&[i64]>) -> Result<Vec<Fact>, OpError> {
    let axis = place(axis, dims.len()).map_err(OpError::Bad)?;
    let n = node.n_outputs();
    let parts = dims[axis].fixed().map(|size| part_sizes(given, size, n)).transpose().map_err(OpError::Bad)?;
    let dtype = node.fact(0)?.dtype;
    let fact = |index: usize| {
        let mut dims = dims.to_vec();
        dims[axis] = parts.as_ref().map_or(Dim::Unknown, |parts| Dim::Fixed(parts[index]));
        Fact::new(dtype, Some(dims))
    };
    Ok((0..n).map(fact).collect())
}

/// Starts, ends, axes and steps: attributes up to opset 9, then inputs.
pub(in crate::engine::native) fn slice(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 5)?;
    let attributes = node.attributes();
    let given = ["starts", "ends", "axes"].map(|name| attributes.ints(name).map(<[i64]>::to_vec));
    let [starts, ends, axes] = given;
    let given = [starts?, ends?, axes?, Vec::new()];
    let by_inputs = node.inputs.len() > 1;
    let constants: Option<Vec<Vec<i64>>> = match by_inputs {
        true => {
            (1..5).map(|index| node.optional(index).map_or(Some(Vec::new()), |_| node.constant_ints(index))).collect()
        }
        false => Some(given.to_vec()),
    };
    let dims = match (&node.fact(0)?.shape, &constants) {
        (Some(dims), Some(given)) => Some(sliced_dims(dims, given)?),
        (Some(dims), None) => Some(vec![Dim::Unknown; dims.len()]),
        _ => None,
    };
    Built::one(Fact::new(node.fact(0)?.dtype, dims), move |args| {
        let input = args.get(0)?;
        let mut ranges = input.shape().iter().map(|&size| (0, 1, size)).collect::<Vec<(usize, i64, usize)>>();
        let read = |index: usize| match args.optional(index) {
            Some(tensor) => as_i64(tensor).map(std::borrow::Cow::into_owned),
            None => Ok(given[index - 1].clone()),
        };
        let given = [read(1)?, read(2)?, read(3)?, read(4)?];
        for (axis, start, end, step) in cuts(&given, input.shape().len())? {
            ranges[axis] = cut(start, end, step, input.shape()[axis])?;
        }
        sliced(input, &ranges)
    })
}

/// Axis, start, end and step of each cut.
fn cuts(given: &[Vec<i64>], rank: usize) -> Result<Vec<(usize, i64, i64, i64)>, String> {
    let [starts, ends, axes, steps] = given else { return Err("expected starts, ends, axes and steps".to_owned()) };
    let n = starts.len();
    let fits = |values: &[i64]| values.is_empty() || values.len() == n;
    if ends.len() != n || !fits(axes) || !fits(steps) {
        return Err(format!("{n} starts, {} ends, {} axes, {} steps", ends.len(), axes.len(), steps.len()));
    }
    let axis = |index: usize| axes.get(index).copied().unwrap_or_else(|| i64::try_from(index).unwrap_or(i64::MAX));
    (0..n)
        .map(|index| {
            let step = steps.get(index).copied().unwrap_or(1);
            Ok((place(axis(index), rank)?, starts[index], ends[index], step))
        })
        .collect()
}

/// First place, step and number of places.
fn cut(start: i64, end: i64, step: i64, size: usize) -> Result<(usize, i64, usize), String> {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let counted = |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound };
    let (start, end) = match step {
        0 => return Err("a step of 0".to_owned()),
        1.. => (counted(start).clamp(0, size), counted(end).clamp(0, size)),
        _ => (counted(start).clamp(0, (size - 1).max(0)), counted(end).clamp(-1, size - 1)),
    };
    let reach = if step > 0 { end.saturating_sub(start) } else { start.saturating_sub(end) }.max(0);
    let n = if size == 0 { 0 } else { reach.unsigned_abs().div_ceil(step.unsigned_abs()) };
    Ok((usize::try_from(start).unwrap_or(0), step, usize::try_from(n).unwrap_or(0)))
}

fn sliced_dims(dims: &[Dim], given: &[Vec<i64>]) -> Result<Vec<Dim>, OpError> {
    let mut sliced = dims.to_vec();
    for (axis, start, end, step) in cuts(given, dims.len()).map_err(OpError::Bad)? {
        sliced[axis] = match dims[axis].fixed() {
            Some(size) => Dim::Fixed(cut(start, end, step, size).map_err(OpError::Bad)?.2),
            // All of an axis.
            None if start == 0 && step == 1 && i64::from(i32::MAX) <= end => dims[axis],
            None => Dim::Unknown,
        };
    }
    Ok(sliced)
}

fn sliced(input: &Tensor, ranges: &[(usize, i64, usize)]) -> Result<Tensor, String> {
    let own = strides(input.shape());
    let shape: Vec<usize> = ranges.iter().map(|range| range.2).collect();
    // What lies behind the last axis that is cut is copied in one piece.
    let whole = |axis: usize| ranges[axis] == (0, 1, input.shape()[axis]);
    let behind = (0..shape.len()).rev().take_while(|&axis| whole(axis)).count();
    let cut_axes = shape.len() - behind;
    let block: usize = shape[cut_axes..].iter().product();
    let mut starts = vec![0_usize];
    for axis in 0..cut_axes {
        let (start, step, n) = ranges[axis];
        let at = |index: usize| {
            let moved = step.unsigned_abs().saturating_mul(index as u64);
            let moved = usize::try_from(moved).unwrap_or(usize::MAX);
            if step > 0 { start.saturating_add(moved) } else { start.saturating_sub(moved) }
        };
        starts = starts
            .iter()
            .flat_map(|&before| (0..n).map(move |index| (before, index)))
            .map(|(before, index)| before + at(index) * own[axis])
            .collect();
    }
    tensor(shape, input.data().pick_blocks(starts.into_iter(), block))
}

/// The place that an index names, counted from the end where it is negative.
pub(super) fn indexed(index: i64, size: usize) -> Result<usize, String> {
    place(index, size).map_err(|_| format!("index {index} of {size} places"))
}

pub(in crate::engine::native) fn gather(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    let axis = node.axis(0)?;
    let (input, indices) = (node.fact(0)?, node.fact(1)?);
    let dims = match (&input.shape, &indices.shape) {
        (Some(dims), Some(picked)) => {
            let axis = place(axis, dims.len()).map_err(OpError::Bad)?;
            if let (Some(size), Some(indices)) = (dims[axis].fixed(), node.constant_ints(1)) {
                indices.iter().try_for_each(|&index| indexed(index, size).map(drop)).map_err(OpError::Bad)?;
            }
            Some([&dims[..axis], picked, &dims[axis + 1..]].concat())
        }
        _ => None,
    };
    Built::one(Fact::new(input.dtype, dims), move |args| {
        let (input, indices) = (args.get(0)?, args.get(1)?);
        let axis = place(axis, input.shape().len())?;
        let (outer, size, inner) = around(input.shape(), axis);
        let shape = [&input.shape()[..axis], indices.shape(), &input.shape()[axis + 1..]].concat();
        args.room_for(&shape)?;
        let picked = as_i64(indices)?;
        let picked = picked.iter().map(|&index| indexed(index, size)).collect::<Result<Vec<_>, _>>()?;
        if input.data().is_empty() {
            return tensor(shape, input.data().clone());
        }
        let starts = (0..outer).flat_map(|row| picked.iter().map(move |place| (row * size + place) * inner));
        tensor(shape, input.data().pick_blocks(starts, inner))
    })
}

pub(in crate::engine::native) fn gather_elements(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    let axis = node.axis(0)?;
    let dtype = node.fact(0)?.dtype;
    Built::one(Fact::new(dtype, node.fact(1)?.shape.clone()), move |args| {
        let (input, indices) = (args.get(0)?, args.get(1)?);
        let rank = input.shape().len();
        let axis = place(axis, rank)?;
        let fits = |at: usize| at == axis || indices.shape()[at] <= input.shape()[at];
        if indices.shape().len() != rank || !(0..rank).all(fits) {
            return Err(format!("indices of shape {:?} into {:?}", indices.shape(), input.shape()));
        }
        let mut steps = strides(input.shape());
        let stride = std::mem::take(&mut steps[axis]);
        let size = input.shape()[axis];
        let walk = crate::engine::native::node::Walk::new(indices.shape(), &steps, indices.data().len());
        let picked = as_i64(indices)?;
        let places = walk.zip(picked.iter()).map(|(start, &index)| Ok(start + indexed(index, size)? * stride));
        let places = places.collect::<Result<Vec<_>, String>>()?;
        tensor(indices.shape().to_vec(), input.data().pick(places.into_iter()))
    })
}
