//! gudgeon's own engine: whole tabular graphs in plain Rust.
//!
//! A graph is compiled once to a straight list of steps ([`program`]); a run walks it. Operators are closures made by the
//! builders of [`registry`] from a node and what is known of its inputs; those of ai.onnx.ml are shared with the other engine.

mod compile;
mod node;
mod ops;
mod program;
mod registry;

use std::collections::BTreeSet;

use super::EngineError;
use super::engines::{Declined, Engine, EngineName, Loaded, Runnable, Source, declares_one_row, shape};
use super::kernel::{self, Dim, Fact, OpError, VALUES_LIMIT};
use super::onnx::{GraphProto, ModelProto, NodeProto};
use crate::tensor::{Dtype, Tensor};
use program::Program;

pub(super) use registry::knows;

/// The rows of the inputs.
const ROWS: Dim = Dim::Symbol(0);

/// What of `graph` this engine does not have: operators by name, each once.
pub(super) fn lacks(graph: &GraphProto) -> Vec<String> {
    let mut lacking = BTreeSet::new();
    collect(graph, &mut lacking);
    lacking.into_iter().collect()
}

fn collect(graph: &GraphProto, lacking: &mut BTreeSet<String>) {
    for node in &graph.node {
        if !knows(node) {
            lacking.insert(named(node));
        }
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).for_each(|inner| collect(inner, lacking));
        }
    }
}

fn named(node: &NodeProto) -> String {
    match node.domain.as_str() {
        "" | "ai.onnx" | "ai.onnx.ml" => node.op_type.clone(),
        domain => format!("{} of {domain}", node.op_type),
    }
}

/// A graph compiled for this engine.
#[derive(Debug)]
struct Compiled {
    program: Program,
    /// The types that the outputs are declared to have, where the graph computes another.
    casts: Vec<Option<Dtype>>,
}

/// gudgeon's own engine.
#[derive(Debug)]
pub(super) struct Native;

impl Engine for Native {
    fn name(&self) -> EngineName {
        EngineName::Native
    }

    fn load(&self, source: &Source<'_>) -> Result<Loaded, Declined> {
        let Source { graph, described, .. } = *source;
        let lacking = lacks(graph);
        if !lacking.is_empty() {
            return Err(Declined::Lacks(lacking.join(", ")));
        }
        let program = compiled(source).map_err(|error| match error {
            OpError::Unknown(what) => Declined::Lacks(what),
            OpError::Bad(problem) if problem.contains(VALUES_LIMIT) => {
                Declined::Error(EngineError::OutOfMemory(problem))
            }
            OpError::Bad(problem) => Declined::Error(EngineError::invalid("graph", problem)),
        })?;
        let facts = || program.outputs.iter().map(|(_, fact)| fact);
        let follows_rows = facts().all(|fact| fact.shape.as_deref().and_then(<[Dim]>::first) == Some(&ROWS));
        let row_by_row = !follows_rows && declares_one_row(graph, &described.signature);
        let shapes = facts().map(shape).collect();
        let declared = described.signature.outputs.iter().map(|spec| spec.datatype);
        let casts =
            facts().zip(declared).map(|(fact, declared)| (fact.dtype != declared).then_some(declared)).collect();
        Ok(Loaded { runnable: Box::new(Compiled { program, casts }), row_by_row, shapes })
    }
}

fn setting(proto: &ModelProto, values_max: usize) -> compile::Setting {
    let version = |domains: &[&str]| {
        let import = proto.opset_import.iter().find(|import| domains.contains(&import.domain.as_str()));
        import.map_or(1, |import| import.version)
    };
    compile::Setting { opset: version(&["", "ai.onnx"]), ml_opset: version(&["ai.onnx.ml"]), values_max }
}

fn compiled(source: &Source<'_>) -> Result<Program, OpError> {
    let setting = setting(source.proto, source.limits.run_values_max);
    let mut symbol = 0;
    let inputs = source.described.signature.inputs.iter().map(|spec| {
        let dim = |(axis, size): (usize, &Option<usize>)| match size {
            _ if axis == 0 => ROWS,
            Some(size) => Dim::Fixed(*size),
            None => {
                symbol += 1;
                Dim::Symbol(symbol)
            }
        };
        (spec.name.clone(), Fact::new(spec.datatype, Some(spec.shape.iter().enumerate().map(dim).collect())))
    });
    compile::compile(source.graph, setting, inputs.collect(), Vec::new())
}

/// Runs a graph once on inputs of any shapes, scalars included: the standard's own cases have no rows.
#[cfg(test)]
pub(super) fn run_alone(proto: &ModelProto, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let graph = proto.graph.as_ref().ok_or("no graph")?;
    let lacking = lacks(graph);
    if !lacking.is_empty() {
        return Err(format!("lacks {}", lacking.join(", ")));
    }
    let names = graph.input.iter().map(|input| input.name.clone());
    let fixed = |tensor: &Tensor| tensor.shape().iter().map(|&size| Dim::Fixed(size)).collect();
    let facts = inputs.iter().map(|tensor| Fact::new(tensor.dtype(), Some(fixed(tensor))));
    let setting = setting(proto, super::Limits::default().run_values_max);
    let program = compile::compile(graph, setting, names.zip(facts).collect(), Vec::new());
    let program = program.map_err(|error| format!("{error:?}"))?;
    let facts: Vec<Fact> = program.outputs.iter().map(|(_, fact)| fact.clone()).collect();
    let outputs = program.run(inputs, Vec::new())?;
    for (fact, output) in facts.iter().zip(&outputs) {
        let fits = |dims: &Vec<Dim>| {
            dims.len() == output.shape().len()
                && dims.iter().zip(output.shape()).all(|(dim, size)| dim.fixed().is_none_or(|dim| dim == *size))
        };
        if fact.dtype != output.dtype() || !fact.shape.as_ref().is_none_or(fits) {
            return Err(format!("{fact:?} was foretold, {} {:?} came", output.dtype(), output.shape()));
        }
    }
    Ok(outputs)
}

impl Runnable for Compiled {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let failed = |problem: String| match problem.contains(VALUES_LIMIT) {
            true => EngineError::OutOfMemory(problem),
            false => EngineError::Run(problem),
        };
        let mut outputs = self.program.run(inputs, Vec::new()).map_err(failed)?;
        for (output, cast) in outputs.iter_mut().zip(&self.casts) {
            if let Some(dtype) = cast {
                let data = ops::cast::cast(output, *dtype).map_err(EngineError::Run)?;
                *output = kernel::tensor(output.shape().to_vec(), data).map_err(EngineError::Run)?;
            }
        }
        Ok(outputs)
    }
}
