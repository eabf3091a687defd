//! A model ready to run.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use prost::Message;

use super::describe::{self, Decoded};
use super::engines::{self, Engaged, EngineChoice, Loaded, Runnable, Source};
use super::{EngineError, Engines, Graph, Limits};
use crate::model::{Signature, Task, TensorSpec};
use crate::tensor::Tensor;

/// A model ready to run. Any number of threads may run it at once; they share nothing but the weights.
pub struct Plan {
    signature: Signature,
    task: Task,
    opset: i64,
    is_quantized: bool,
    uses_ml: bool,
    runnable: Box<dyn Runnable>,
    /// Whether the graph takes one row a call, and so rows are run one by one.
    row_by_row: bool,
    engaged: Engaged,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Plan");
        fields.field("signature", &self.signature).field("engaged", &self.engaged).finish_non_exhaustive()
    }
}

/// What a library says in a panic where it gets no memory for a tensor.
const OUT_OF_MEMORY: [&str; 2] = ["failed to allocate", "!self.data.is_null()"];
/// A deep graph needs a deep stack.
const LOAD_STACK_BYTES: usize = 64 << 20;

impl Plan {
    /// Checks `model` and loads it in the first engine that takes it, native or tract.
    ///
    /// `signature` is that of the manifest, where there is one: its names of features and classes are kept, and it must
    /// name the graph's inputs and outputs with their types.
    ///
    /// # Errors
    /// As [`Plan::load_in`].
    pub fn load(model: &[u8], signature: Option<&Signature>, limits: &Limits) -> Result<Self, EngineError> {
        Self::load_in(EngineChoice::Auto, model, signature, &Engines::from(*limits))
    }

    /// Checks `model` and loads it in the engine that `engine` stands for; [`EngineChoice::Auto`] is the first that takes it, of
    /// native, tract and onnxruntime.
    ///
    /// Optimising may take longer than linear time in the nodes and recurse into the graph, so it runs on a thread of its
    /// own with a deep stack, which this call waits for.
    ///
    /// # Errors
    /// [`EngineError`] where the model is refused; a panic of a library is [`EngineError::Panicked`].
    pub fn load_in(
        engine: EngineChoice,
        model: &[u8],
        signature: Option<&Signature>,
        engines: &Engines,
    ) -> Result<Self, EngineError> {
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("gudgeon-load".to_owned()).stack_size(LOAD_STACK_BYTES);
            let thread = builder.spawn_scoped(scope, || guarded(|| load(engine, model, signature, engines)));
            let thread =
                thread.map_err(|error| EngineError::Load(format!("no thread to open the model on: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(EngineError::Panicked("while the model was opened".to_owned())))
        })
    }

    /// As [`Plan::load_in`], in the engine that was found to be the right one before.
    ///
    /// # Errors
    /// As [`Plan::load_in`].
    pub fn load_as(
        engaged: &Engaged,
        model: &[u8],
        signature: Option<&Signature>,
        engines: &Engines,
    ) -> Result<Self, EngineError> {
        let plan = Self::load_in(engaged.engine.into(), model, signature, engines)?;
        Ok(Self { engaged: engaged.clone(), ..plan })
    }

    /// What the model takes and gives; shapes of outputs are those that the engine found out.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What the prediction is, as far as the graph tells.
    pub fn task(&self) -> Task {
        self.task
    }

    /// The version of ai.onnx; 0 where the graph uses none of its operators.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// Whether values are rounded to the steps of a scale on the way: engines then differ by a step here and there.
    pub fn is_quantized(&self) -> bool {
        self.is_quantized
    }

    /// Whether operators of ai.onnx.ml are among the graph's.
    pub fn uses_ml(&self) -> bool {
        self.uses_ml
    }

    /// Which engine runs the model, and why.
    pub fn engaged(&self) -> &Engaged {
        &self.engaged
    }

    /// Runs the model on `inputs`, in the order of the signature, each `[n_rows, ...]`. Gives the outputs in the order of
    /// the signature, of its types and ranks.
    ///
    /// # Errors
    /// [`EngineError::Inputs`] where an input does not fit the signature, [`EngineError::Run`] where the model fails on the
    /// values, [`EngineError::Rows`] where an output does not follow the rows as the signature says, [`EngineError::Panicked`] where a
    /// library panics on them. The plan stays as good as before.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let n_rows = self.check(inputs)?;
        guarded(|| {
            if !self.row_by_row || n_rows == 1 {
                return self.run_rows(inputs, n_rows);
            }
            let mut parts = Vec::with_capacity(n_rows);
            for row in 0..n_rows {
                let inputs: Vec<_> = inputs.iter().map(|input| input.slice_rows(row..row + 1)).collect();
                parts.push(self.run_rows(&inputs, 1)?);
            }
            self.signature.outputs.iter().enumerate().map(|(index, spec)| joined(&parts, index, spec)).collect()
        })
    }

    fn check(&self, inputs: &[Tensor]) -> Result<usize, EngineError> {
        let specs = &self.signature.inputs;
        let mismatch = |expected: String, got: String| Err(EngineError::Inputs { expected, got });
        if inputs.len() != specs.len() {
            return mismatch(format!("{} inputs", specs.len()), inputs.len().to_string());
        }
        let n_rows = inputs.first().map_or(0, Tensor::n_rows);
        for (input, spec) in inputs.iter().zip(specs) {
            if input.dtype() != spec.datatype || !spec.takes_shape(input.shape()) {
                let expected = format!("{} {:?} for {:?}", spec.datatype, spec.wire_shape(), spec.name);
                return mismatch(expected, format!("{} {:?}", input.dtype(), input.shape()));
            }
            if n_rows == 0 || input.n_rows() != n_rows {
                let expected = format!("the same number of rows in every input, at least one, also in {:?}", spec.name);
                return mismatch(expected, input.n_rows().to_string());
            }
        }
        Ok(n_rows)
    }

    fn run_rows(&self, inputs: &[Tensor], n_rows: usize) -> Result<Vec<Tensor>, EngineError> {
        let outputs = self.runnable.run(inputs)?.into_iter().zip(&self.signature.outputs);
        outputs.map(|(output, spec)| fitted(output, spec, n_rows)).collect()
    }
}

/// Runs `work`; a panic becomes an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    // What the work leaves behind is thrown away: an engine's state is made anew for each run.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = text(panic.as_ref());
        let is_memory = OUT_OF_MEMORY.iter().any(|sign| text.contains(sign));
        Err(if is_memory { EngineError::OutOfMemory(text) } else { EngineError::Panicked(text) })
    })
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

fn joined(parts: &[Vec<Tensor>], output: usize, spec: &TensorSpec) -> Result<Tensor, EngineError> {
    let parts: Vec<_> = parts.iter().map(|part| &part[output]).collect();
    match parts.first() {
        // It says the same of any rows.
        Some(first) if spec.row_axis().is_none() => Ok((*first).clone()),
        _ => Tensor::concat_rows(&parts).map_err(|error| EngineError::Run(error.to_string())),
    }
}

/// The output as the signature has it. Exporters declare shapes wrongly (`[1]` for a label a row), so only axes of size 1 are
/// added or taken away; the row axis must hold the rows that came.
fn fitted(output: Tensor, spec: &TensorSpec, n_rows: usize) -> Result<Tensor, EngineError> {
    let rows = |output: &Tensor| EngineError::Rows { output: spec.name.clone(), n_rows, got: output.shape().to_vec() };
    if !spec.follows_rows() {
        let axis = spec.row_axis();
        let fits = |(index, (want, got)): (usize, (&Option<usize>, &usize))| match want {
            _ if axis == Some(index) => *got == n_rows,
            Some(want) => want == got,
            None => true,
        };
        let is_same_rank = output.shape().len() == spec.shape.len();
        let fits = is_same_rank && spec.shape.iter().zip(output.shape()).enumerate().all(fits);
        return if fits { Ok(output) } else { Err(rows(&output)) };
    }
    if output.shape().len() == spec.shape.len() && output.shape().first() == Some(&n_rows) {
        return Ok(output);
    }
    let mut shape = output.shape().to_vec();
    // One value a row is one value a row, on whichever axis an exporter has put the rows (`[1, n_rows]`).
    if output.data().len() == n_rows && shape.contains(&n_rows) {
        shape = vec![n_rows];
    }
    while shape.len() > spec.shape.len() && shape.last() == Some(&1) {
        shape.pop();
    }
    while shape.len() < spec.shape.len() {
        shape.push(1);
    }
    if shape.len() != spec.shape.len() || shape.first() != Some(&n_rows) {
        return Err(rows(&output));
    }
    output.reshaped(shape).map_err(|error| EngineError::Run(format!("output {:?}: {error}", spec.name)))
}

fn load(engine: EngineChoice, model: &[u8], given: Option<&Signature>, engines: &Engines) -> Result<Plan, EngineError> {
    let Engines { limits, onnxruntime } = engines;
    let Decoded { proto, is_rewritten, described } = describe::decode(model, limits)?;
    if let Some(given) = given {
        compare(given, &described.signature)?;
    }
    let graph = proto.graph.as_ref().ok_or_else(|| EngineError::NotOnnx("it holds no graph".to_owned()))?;
    let rewritten = is_rewritten.then(|| proto.encode_to_vec());
    let bytes = rewritten.as_deref().unwrap_or(model);
    let onnxruntime = onnxruntime.as_ref();
    let source = Source { bytes, proto: &proto, graph, described: &described, limits, onnxruntime };
    let (Loaded { runnable, row_by_row, shapes }, engaged) = engines::load(&source, engine)?;
    let mut signature = given.unwrap_or(&described.signature).clone();
    signature.maps.clone_from(&described.signature.maps);
    for rows in signature.inputs.iter_mut().filter_map(|spec| spec.shape.first_mut()) {
        *rows = None;
    }
    for ((spec, found), declared) in signature.outputs.iter_mut().zip(&shapes).zip(&described.signature.outputs) {
        if declared.follows_rows() {
            refine(spec, found.as_deref().unwrap_or_default());
        } else {
            spec.shape.clone_from(&declared.shape);
        }
    }
    let Graph { task, opset, is_quantized, uses_ml, .. } = described;
    Ok(Plan { signature, task, opset, is_quantized, uses_ml, runnable, row_by_row, engaged })
}

/// Puts what the engine found out in the place of what the file declares.
fn refine(spec: &mut TensorSpec, found: &[Option<usize>]) {
    let trailing_ones = |longer: &[Option<usize>], shorter: usize| longer[shorter..].iter().all(|dim| *dim == Some(1));
    if spec.shape.len() == found.len() {
        for (dim, found) in spec.shape.iter_mut().zip(found) {
            *dim = found.or(*dim);
        }
    } else if spec.shape.len() < found.len() && !(trailing_ones(found, spec.shape.len())) && !found.is_empty() {
        spec.shape = found.to_vec();
    }
    if let Some(rows) = spec.shape.first_mut() {
        *rows = None;
    }
}

fn compare(given: &Signature, found: &Signature) -> Result<(), EngineError> {
    given.validate().map_err(|mismatch| EngineError::Signature(mismatch.to_string()))?;
    for (role, given, found) in [("input", &given.inputs, &found.inputs), ("output", &given.outputs, &found.outputs)] {
        let part = |specs: &[TensorSpec]| {
            specs.iter().map(|spec| format!("{} {:?}", spec.datatype, spec.name)).collect::<Vec<_>>().join(", ")
        };
        let (given, found) = (part(given), part(found));
        if given != found {
            return Err(EngineError::Signature(format!("{role}s: the graph has {found}, the signature {given}")));
        }
    }
    Ok(())
}
