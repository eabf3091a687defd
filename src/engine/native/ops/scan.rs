//! Scan: a graph run once for each place of an axis, with a state that goes from run to run.

use crate::engine::kernel::{Args, Dim, Fact, OpError, Outputs, tensor};
use crate::engine::native::node::{Built, Node, around, place};
use crate::engine::native::program::Program;
use crate::tensor::{Data, Tensor};

struct Scan {
    program: Program,
    n_states: usize,
    n_scanned: usize,
    /// Axis of each scanned input, and whether it is read from the end.
    inputs: Vec<(i64, bool)>,
    /// Axis of each gathered output, and whether it is filled from the end.
    outputs: Vec<(i64, bool)>,
}

pub(in crate::engine::native) fn build(node: &Node<'_>) -> Result<Built, OpError> {
    if node.opset < 9 {
        return OpError::unknown("Scan of opset 8");
    }
    let attributes = node.attributes();
    let Some(body) = attributes.graph("body")? else { return node.bad("no body") };
    let n_given = node.proto.input.len();
    let n_scanned = usize::try_from(node.int("num_scan_inputs", 0)?).unwrap_or(0);
    if n_scanned == 0 || n_given < n_scanned || body.input.len() != n_given {
        return node.bad(format!("{n_scanned} of {n_given} inputs scanned by a body of {}", body.input.len()));
    }
    let n_states = n_given - n_scanned;
    if body.output.len() < n_states || body.output.len() != node.n_outputs() {
        return node.bad(format!("{} outputs of a body of {}", node.n_outputs(), body.output.len()));
    }
    let n_gathered = body.output.len() - n_states;
    let inputs = directions(node, "scan_input", n_scanned)?;
    let outputs = directions(node, "scan_output", n_gathered)?;
    let (mut owned, mut length) = (Vec::with_capacity(n_given), Dim::Unknown);
    for (index, value) in body.input.iter().enumerate() {
        let given = node.fact(index)?;
        let mut shape = given.shape.clone();
        if let Some(scanned) = index.checked_sub(n_states)
            && let Some(shape) = &mut shape
        {
            length = shape.remove(place(inputs[scanned].0, shape.len()).map_err(OpError::Bad)?);
        }
        owned.push((value.name.clone(), Fact::new(given.dtype, shape)));
    }
    let states: Vec<Fact> = owned[..n_states].iter().map(|(_, fact)| fact.clone()).collect();
    let program = (node.inner)(body, owned)?;
    let facts = facts(node, &program, &states, (length, &outputs))?;
    let scan = Scan { program, n_states, n_scanned, inputs, outputs };
    Ok(Built { run: Box::new(move |args| scan.run(args).map(Outputs::Many)), facts, unread: Vec::new() })
}

fn directions(node: &Node<'_>, what: &str, n: usize) -> Result<Vec<(i64, bool)>, OpError> {
    let (axes, ways) =
        (node.attributes().ints(&format!("{what}_axes"))?, node.attributes().ints(&format!("{what}_directions"))?);
    if !(axes.is_empty() || axes.len() == n) || !(ways.is_empty() || ways.len() == n) {
        return node.bad(format!("{what}: {} axes and {} directions for {n}", axes.len(), ways.len()));
    }
    Ok((0..n)
        .map(|index| (axes.get(index).copied().unwrap_or(0), ways.get(index).is_some_and(|&way| way != 0)))
        .collect())
}

fn facts(
    node: &Node<'_>,
    program: &Program,
    states: &[Fact],
    (length, outputs): (Dim, &[(i64, bool)]),
) -> Result<Vec<Fact>, OpError> {
    let mut facts = Vec::with_capacity(program.outputs.len());
    for (index, (_, fact)) in program.outputs.iter().enumerate() {
        match states.get(index) {
            // A state must stay what the body was compiled for.
            Some(state) if state.dtype != fact.dtype || state.shape != fact.shape => {
                return OpError::unknown(format!("{} with a state that changes its type or shape", node.operator()));
            }
            Some(state) => facts.push(state.clone()),
            None => {
                let mut shape = fact.shape.clone();
                if let Some(shape) = &mut shape {
                    let axis = place(outputs[index - states.len()].0, shape.len() + 1).map_err(OpError::Bad)?;
                    shape.insert(axis, length);
                }
                facts.push(Fact::new(fact.dtype, shape));
            }
        }
    }
    Ok(facts)
}

impl Scan {
    fn run(&self, args: &mut Args<'_, '_>) -> Result<Vec<Tensor>, String> {
        let mut states = (0..self.n_states).map(|index| args.take(index)).collect::<Result<Vec<_>, _>>()?;
        let n_given = self.n_states + self.n_scanned;
        let captured = (n_given..args.len()).map(|index| args.get(index).cloned()).collect::<Result<Vec<_>, _>>()?;
        let scanned = (self.n_states..n_given).map(|index| args.get(index)).collect::<Result<Vec<_>, _>>()?;
        let axis = |index: usize| place(self.inputs[index].0, scanned[index].shape().len());
        let length = scanned[0].shape()[axis(0)?];
        let mut gathered: Vec<Vec<Tensor>> = vec![Vec::with_capacity(length); self.outputs.len()];
        for step in 0..length {
            let mut owned = std::mem::take(&mut states);
            for (index, tensor) in scanned.iter().enumerate() {
                let axis = axis(index)?;
                if tensor.shape()[axis] != length {
                    return Err(format!("{} and {length} places are scanned together", tensor.shape()[axis]));
                }
                let at = if self.inputs[index].1 { length - 1 - step } else { step };
                owned.push(element(tensor, axis, at)?);
            }
            let mut outputs = self.program.run(&captured, owned)?.into_iter();
            states.extend(outputs.by_ref().take(self.n_states));
            for (parts, part) in gathered.iter_mut().zip(outputs) {
                // All parts together are what the outcome will hold.
                args.room_for(&[length, part.data().len()])?;
                parts.push(part);
            }
        }
        for (parts, &(axis, from_end)) in gathered.iter_mut().zip(&self.outputs) {
            if from_end {
                parts.reverse();
            }
            states.push(stacked(args, parts, axis)?);
        }
        Ok(states)
    }
}

fn element(input: &Tensor, axis: usize, at: usize) -> Result<Tensor, String> {
    let (outer, size, inner) = around(input.shape(), axis);
    let mut shape = input.shape().to_vec();
    shape.remove(axis);
    tensor(shape, input.data().pick_blocks((0..outer).map(|row| (row * size + at) * inner), inner))
}

fn stacked(args: &Args<'_, '_>, parts: &[Tensor], axis: i64) -> Result<Tensor, String> {
    let Some(first) = parts.first() else { return Err("nothing to scan".to_owned()) };
    let mut shape = first.shape().to_vec();
    if let Some(other) = parts.iter().find(|part| part.shape() != shape) {
        return Err(format!("outputs of shapes {shape:?} and {:?}", other.shape()));
    }
    let axis = place(axis, shape.len() + 1)?;
    let inner: usize = shape[axis..].iter().product();
    shape.insert(axis, parts.len());
    let mut data = Data::with_capacity(first.dtype(), args.room_for(&shape)?);
    let outer: usize = shape[..axis].iter().product();
    for row in 0..outer {
        for part in parts {
            if !data.append_range(part.data(), row * inner..(row + 1) * inner) {
                return Err("outputs of several types".to_owned());
            }
        }
    }
    tensor(shape, data)
}
