//! A graph to a program: names to numbers, constants folded, what nothing reads left out, types checked.

use std::collections::HashMap;
use std::sync::Arc;

use super::node::Node;
use super::program::{Program, Step};
use super::registry;
use crate::engine::kernel::{Args, Fact, Frame, OpError, Outputs, Source, VALUES_LIMIT, check_extent};
use crate::engine::onnx::{GraphProto, NodeProto};
use crate::engine::tensors;
use crate::engine::validate::shown;
use crate::tensor::{Data, Tensor};

/// What holds for a whole model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// The versions of ai.onnx and ai.onnx.ml.
    pub(super) opset: i64,
    pub(super) ml_opset: i64,
    /// How many values a run may hold at once.
    pub(super) values_max: usize,
}

/// A value of the graph.
#[derive(Debug, Clone)]
struct Value {
    source: Source,
    fact: Fact,
}

/// Names with what is known of their values.
pub(super) type Named = Vec<(String, Fact)>;

/// Compiles `graph`. Of its inputs, `lent` are read in place, and `owned` are given to the run as its own.
pub(super) fn compile(graph: &GraphProto, setting: Setting, lent: Named, owned: Named) -> Result<Program, OpError> {
    let n_slots = owned.len();
    let mut compiler = Compiler {
        setting,
        values: HashMap::new(),
        steps: Vec::new(),
        constants: Vec::new(),
        n_slots,
        room: setting.values_max,
    };
    for tensor in &graph.initializer {
        let value = tensors::read(tensor).and_then(|tensor| compiler.constant(tensor));
        let value = value.map_err(|error| at(&format!("initializer {}", shown(&tensor.name)), error))?;
        compiler.values.insert(tensor.name.clone(), value);
    }
    for (index, (name, fact)) in lent.into_iter().enumerate() {
        compiler.values.insert(name, Value { source: Source::Input(index), fact });
    }
    for (index, (name, fact)) in owned.into_iter().enumerate() {
        compiler.values.insert(name, Value { source: Source::Slot(index), fact });
    }
    for (index, node) in graph.node.iter().enumerate() {
        compiler.node(node).map_err(|error| at(&format!("node {index} ({})", shown(&node.op_type)), error))?;
    }
    compiler.finish(graph)
}

fn at(place: &str, error: OpError) -> OpError {
    match error {
        OpError::Unknown(what) => OpError::Unknown(what),
        OpError::Bad(problem) => OpError::Bad(format!("{place}: {problem}")),
    }
}

struct Compiler {
    setting: Setting,
    values: HashMap<String, Value>,
    steps: Vec<Step>,
    constants: Vec<Arc<Tensor>>,
    n_slots: usize,
    /// How many values may be computed at load yet.
    room: usize,
}

impl Compiler {
    fn constant(&mut self, tensor: Tensor) -> Result<Value, OpError> {
        check_extent(tensor.shape(), self.setting.values_max).map_err(OpError::Bad)?;
        let fact = Fact::constant(tensor);
        self.constants.extend(fact.constant.clone());
        Ok(Value { source: Source::Constant(self.constants.len() - 1), fact })
    }

    fn value(&self, name: &str) -> Result<&Value, OpError> {
        self.values.get(name).ok_or_else(|| OpError::Bad(format!("reads {} before anything writes it", shown(name))))
    }

    fn node(&mut self, proto: &NodeProto) -> Result<(), OpError> {
        if registry::is_alias(proto) {
            let read = proto.input.first().map_or("", String::as_str);
            let value = self.value(read)?.clone();
            let name = proto.output.first().cloned().unwrap_or_default();
            self.values.insert(name, value);
            return Ok(());
        }
        let read = |name: &String| if name.is_empty() { Ok(None) } else { self.value(name).cloned().map(Some) };
        let mut read = proto.input.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let captured = self.captured(proto)?;
        read.extend(captured.iter().map(|(_, value)| Some(value.clone())));
        let setting = self.setting;
        let outer: Named = captured.into_iter().map(|(name, value)| (name, value.fact)).collect();
        let inner = |graph: &GraphProto, owned: Named| compile(graph, setting, outer.clone(), owned);
        let opset = if proto.domain == "ai.onnx.ml" { setting.ml_opset } else { setting.opset };
        let inputs = read.iter().map(|value| value.as_ref().map(|value| value.fact.clone())).collect();
        let built = registry::build(&Node { proto, opset, inputs, inner: &inner })?;
        let mut sources: Vec<Source> =
            read.iter().map(|value| value.as_ref().map_or(Source::Absent, |value| value.source)).collect();
        let is_constant = sources.iter().all(|source| matches!(source, Source::Constant(_) | Source::Absent));
        if is_constant {
            return self.fold(proto, &built.run, &sources);
        }
        for &index in &built.unread {
            sources[index] = Source::Absent;
        }
        let mut targets = Vec::new();
        for (name, fact) in proto.output.iter().zip(built.facts) {
            let slot = self.n_slots;
            self.n_slots += 1;
            targets.push((!name.is_empty()).then_some(slot));
            self.values.insert(name.clone(), Value { source: Source::Slot(slot), fact });
        }
        if let Some(name) = proto.output[targets.len()..].iter().find(|name| !name.is_empty()) {
            return OpError::unknown(format!("{} with the output {}", proto.op_type, shown(name)));
        }
        let place = format!("node {} ({})", shown(&proto.name), proto.op_type);
        self.steps.push(Step { run: built.run, place, sources, targets, freed: Vec::new() });
        Ok(())
    }

    /// Values of this graph that graphs inside the node read.
    fn captured(&self, proto: &NodeProto) -> Result<Vec<(String, Value)>, OpError> {
        let mut names = Vec::new();
        for attribute in &proto.attribute {
            attribute.g.iter().for_each(|graph| free_names(graph, &mut names));
        }
        names.into_iter().map(|name| self.value(&name).cloned().map(|value| (name, value))).collect()
    }

    /// Runs a node whose arguments are the same in every run.
    fn fold(&mut self, proto: &NodeProto, run: &super::node::Run, sources: &[Source]) -> Result<(), OpError> {
        let mut frame = Frame { inputs: &[], constants: &self.constants, slots: Vec::new(), room: self.room };
        let outputs = run(&mut Args { sources, frame: &mut frame }).map_err(OpError::Bad)?;
        let outputs = match outputs {
            Outputs::One(tensor) => vec![tensor],
            Outputs::Two(first, second) => vec![first, second],
            Outputs::Many(tensors) => tensors,
        };
        for (name, tensor) in proto.output.iter().zip(outputs) {
            let room = self.room.checked_sub(tensor.data().len());
            self.room = room.ok_or_else(|| OpError::Bad(format!("more values at load than {VALUES_LIMIT}")))?;
            let value = self.constant(tensor)?;
            self.values.insert(name.clone(), value);
        }
        Ok(())
    }

    fn finish(mut self, graph: &GraphProto) -> Result<Program, OpError> {
        let mut outputs = Vec::with_capacity(graph.output.len());
        for output in &graph.output {
            let Value { source, fact } = self.value(&output.name)?.clone();
            outputs.push((source, fact));
        }
        let mut is_read = vec![false; self.n_slots];
        let slot_of = |source: &Source| match source {
            Source::Slot(slot) => Some(*slot),
            _ => None,
        };
        outputs.iter().filter_map(|(source, _)| slot_of(source)).for_each(|slot| is_read[slot] = true);
        // From the end: what a step reads matters if the step matters, and who reads a slot first here reads it last.
        let mut kept = Vec::with_capacity(self.steps.len());
        for mut step in self.steps.into_iter().rev() {
            if !step.targets.iter().flatten().any(|&slot| is_read[slot]) {
                continue;
            }
            step.targets.iter_mut().for_each(|target| *target = target.filter(|&slot| is_read[slot]));
            for source in &mut step.sources {
                let Some(slot) = slot_of(source) else { continue };
                if !is_read[slot] {
                    is_read[slot] = true;
                    *source = Source::Last(slot);
                    step.freed.push(slot);
                }
            }
            // A slot that is read twice by one step is not to be taken by the first of its reads.
            let last = step.sources.clone();
            for source in &mut step.sources {
                if let Source::Last(slot) = *source
                    && last.contains(&Source::Slot(slot))
                {
                    *source = Source::Slot(slot);
                }
            }
            kept.push(step);
        }
        kept.reverse();
        once_only(&mut outputs);
        self.steps = kept;
        self.drop_unread(&outputs);
        let Self { setting, steps, constants, n_slots, .. } = self;
        Ok(Program { steps, constants, n_slots, outputs, values_max: setting.values_max })
    }
}

impl Compiler {
    /// Frees the constants that no run reads. Their places stay, since steps know constants by place.
    fn drop_unread(&mut self, outputs: &[(Source, Fact)]) {
        let mut is_read = vec![false; self.constants.len()];
        let sources = self.steps.iter().flat_map(|step| &step.sources).chain(outputs.iter().map(|(source, _)| source));
        for source in sources {
            if let Source::Constant(place) = source {
                is_read[*place] = true;
            }
        }
        let nothing = Arc::new(Tensor::column(Data::Fp32(Vec::new())));
        for (constant, _) in self.constants.iter_mut().zip(is_read).filter(|(_, is_read)| !is_read) {
            *constant = Arc::clone(&nothing);
        }
    }
}

/// The last output that reads a slot may take it.
fn once_only(outputs: &mut [(Source, Fact)]) {
    for index in (0..outputs.len()).rev() {
        if let Source::Slot(slot) = outputs[index].0
            && outputs[index + 1..].iter().all(|(source, _)| *source != Source::Last(slot))
        {
            outputs[index].0 = Source::Last(slot);
        }
    }
}

/// Names that `graph` reads and does not write, each once.
fn free_names(graph: &GraphProto, names: &mut Vec<String>) {
    let mut own: Vec<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    own.extend(graph.initializer.iter().map(|tensor| tensor.name.as_str()));
    own.extend(graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str)));
    let mut read: Vec<String> = graph.node.iter().flat_map(|node| node.input.iter().cloned()).collect();
    read.extend(graph.output.iter().map(|output| output.name.clone()));
    for node in &graph.node {
        for attribute in &node.attribute {
            attribute.g.iter().for_each(|inner| free_names(inner, &mut read));
        }
    }
    for name in read {
        if !name.is_empty() && !own.contains(&name.as_str()) && !names.contains(&name) {
            names.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::engine::kernel::Dim;
    use crate::engine::onnx::ModelProto;
    use crate::tensor::Dtype;

    #[test]
    fn weights_that_were_packed_are_not_kept_twice() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/models/digits_mlp/model.onnx");
        let graph = ModelProto::decode(std::fs::read(file).unwrap().as_slice()).unwrap().graph.unwrap();
        let n_weights: usize = graph.initializer.iter().map(|tensor| tensors::read(tensor).unwrap().data().len()).sum();
        let shape = vec![Dim::Symbol(0), Dim::Fixed(64)];
        let input = (graph.input[0].name.clone(), Fact::new(Dtype::Fp32, Some(shape)));
        let setting = Setting { opset: 17, ml_opset: 3, values_max: 1 << 20 };
        let program = compile(&graph, setting, vec![input], Vec::new()).unwrap();
        let n_kept: usize = program.constants.iter().map(|constant| constant.data().len()).sum();
        assert!(n_kept < n_weights / 10, "{n_kept} of {n_weights}");
    }
}
