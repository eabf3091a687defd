//! A compiled graph: a straight list of steps over numbered values.

use std::fmt;
use std::sync::Arc;

use super::node::Run;
use crate::engine::kernel::{Args, Fact, Frame, Outputs, Source, VALUES_LIMIT, check_extent};
use crate::tensor::Tensor;

/// One operator with the places of its arguments and outputs.
pub(super) struct Step {
    pub(super) run: Run,
    /// Where in the graph it stands, for messages.
    pub(super) place: String,
    pub(super) sources: Vec<Source>,
    /// The slot of each output; `None` where nothing reads it.
    pub(super) targets: Vec<Option<usize>>,
    /// Slots that nothing reads after this step.
    pub(super) freed: Vec<usize>,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} -> {:?}", self.place, self.sources, self.targets)
    }
}

/// A graph ready to run. Runs share nothing but the constants.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) constants: Vec<Arc<Tensor>>,
    pub(super) n_slots: usize,
    pub(super) outputs: Vec<(Source, Fact)>,
    /// How many values a run may hold at once.
    pub(super) values_max: usize,
}

impl Program {
    /// The outputs. The caller has held the inputs against their facts.
    pub(super) fn run(&self, inputs: &[Tensor], owned: Vec<Tensor>) -> Result<Vec<Tensor>, String> {
        inputs.iter().chain(&owned).try_for_each(|input| check_extent(input.shape(), self.values_max))?;
        let mut slots = Vec::with_capacity(self.n_slots);
        slots.extend(owned.into_iter().map(Some));
        slots.resize_with(self.n_slots, || None);
        let mut frame = Frame { inputs, constants: &self.constants, slots, room: self.values_max };
        for step in &self.steps {
            self.step(step, &mut frame).map_err(|problem| format!("{}: {problem}", step.place))?;
        }
        self.outputs.iter().map(|(source, _)| taken(&mut frame, *source)).collect()
    }

    fn step(&self, step: &Step, frame: &mut Frame<'_>) -> Result<(), String> {
        let held = step.freed.iter().filter_map(|&slot| frame.slots[slot].as_ref()).map(|tensor| tensor.data().len());
        let held: usize = held.sum();
        let outputs = (step.run)(&mut Args { sources: &step.sources, frame: &mut *frame })?;
        for &slot in &step.freed {
            frame.slots[slot] = None;
        }
        frame.room = frame.room.saturating_add(held).min(self.values_max);
        match outputs {
            Outputs::One(tensor) => self.store(step, frame, 0, tensor),
            Outputs::Two(first, second) => {
                self.store(step, frame, 0, first)?;
                self.store(step, frame, 1, second)
            }
            Outputs::Many(tensors) => {
                tensors.into_iter().enumerate().try_for_each(|(index, tensor)| self.store(step, frame, index, tensor))
            }
        }
    }

    fn store(&self, step: &Step, frame: &mut Frame<'_>, index: usize, tensor: Tensor) -> Result<(), String> {
        let Some(Some(slot)) = step.targets.get(index) else { return Ok(()) };
        check_extent(tensor.shape(), self.values_max)?;
        let room = frame.room.checked_sub(tensor.data().len());
        frame.room = room.ok_or_else(|| {
            format!("{} values more than a run may hold at once ({VALUES_LIMIT})", tensor.data().len() - frame.room)
        })?;
        frame.slots[*slot] = Some(tensor);
        Ok(())
    }
}

fn taken(frame: &mut Frame<'_>, source: Source) -> Result<Tensor, String> {
    Args { sources: &[source], frame }.take(0)
}
