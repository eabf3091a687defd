//! A model ready to run.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use prost::Message;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{DimLike, InferenceModelExt, IntoRunnable, IntoTValue, ToDim};

use super::describe::{self, Graph};
use super::onnx::{DimensionValue, GraphProto, TypeValue};
use super::{EngineError, Limits, axes, ops, values};
use crate::model::{Signature, Task, TensorSpec};
use crate::tensor::Tensor;

/// A model ready to run. Any number of threads may run it at once; they share nothing but the weights.
pub struct Plan {
    signature: Signature,
    task: Task,
    opset: i64,
    plan: Arc<TypedSimplePlan>,
    /// Whether the graph takes one row a call, and so rows are run one by one.
    row_by_row: bool,
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("signature", &self.signature).finish_non_exhaustive()
    }
}

/// What the library says in a panic where it gets no memory for a tensor.
const OUT_OF_MEMORY: [&str; 2] = ["failed to allocate", "!self.data.is_null()"];
/// A deep graph needs a deep stack.
const LOAD_STACK_BYTES: usize = 64 << 20;

impl Plan {
    /// Checks `model`, replaces what the library cannot do, optimises.
    ///
    /// `signature` is that of the manifest, where there is one: its names of features and classes are kept, and it must
    /// name the graph's inputs and outputs with their types. Optimising takes longer than linear time in the nodes and
    /// recurses into the graph, so it runs on a thread of its own with a deep stack, which this call waits for.
    ///
    /// # Errors
    /// [`EngineError`] where the model is refused; a panic of the library is [`EngineError::Panicked`].
    pub fn load(model: &[u8], signature: Option<&Signature>, limits: &Limits) -> Result<Self, EngineError> {
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("gudgeon-load".to_owned()).stack_size(LOAD_STACK_BYTES);
            let thread = builder.spawn_scoped(scope, || guarded(|| load(model, signature, limits)));
            let thread =
                thread.map_err(|error| EngineError::Load(format!("no thread to open the model on: {error}")))?;
            thread.join().unwrap_or_else(|_| Err(EngineError::Panicked("while the model was opened".to_owned())))
        })
    }

    /// What the model takes and gives; shapes of outputs are those that the library found out.
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

    /// Runs the model on `inputs`, in the order of the signature, each `[n_rows, ...]`. Gives the outputs in the order of
    /// the signature, of its types and ranks.
    ///
    /// # Errors
    /// [`EngineError::Inputs`] where an input does not fit the signature, [`EngineError::Run`] where the model fails on the
    /// values, [`EngineError::Panicked`] where the library panics on them. The plan stays as good as before.
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
            (0..self.signature.outputs.len()).map(|output| joined(&parts, output)).collect()
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
        let failed = |error: TractError| EngineError::Run(format!("{error:#}"));
        let mut given = TVec::with_capacity(inputs.len());
        for input in inputs {
            given.push(values::to_library(input).map_err(failed)?.into_tvalue());
        }
        let outputs = self.plan.run(given).map_err(failed)?;
        let outputs = outputs.iter().zip(&self.signature.outputs);
        outputs.map(|(output, spec)| fitted(output, spec, n_rows)).collect()
    }
}

/// Runs `work`; a panic becomes an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    // What the work leaves behind is thrown away: the library's state is made anew for each run.
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

fn joined(parts: &[Vec<Tensor>], output: usize) -> Result<Tensor, EngineError> {
    let parts: Vec<_> = parts.iter().map(|part| &part[output]).collect();
    Tensor::concat_rows(&parts).map_err(|error| EngineError::Run(error.to_string()))
}

/// The output as the signature has it. Exporters declare shapes wrongly (`[1]` for a label a row), so only axes of size 1 are
/// added or taken away; the row axis must hold the rows that came.
fn fitted(output: &TValue, spec: &TensorSpec, n_rows: usize) -> Result<Tensor, EngineError> {
    let failed = |problem: String| EngineError::Run(format!("output {:?}: {problem}", spec.name));
    let mut shape = output.shape().to_vec();
    while shape.len() > spec.shape.len() && shape.last() == Some(&1) {
        shape.pop();
    }
    while shape.len() < spec.shape.len() {
        shape.push(1);
    }
    if shape.len() != spec.shape.len() || shape.first() != Some(&n_rows) {
        let got = output.shape();
        return Err(failed(format!("expected {} axes, the first of {n_rows} rows, got {got:?}", spec.shape.len())));
    }
    let data = values::from_library(output, spec.datatype).map_err(|error| failed(format!("{error:#}")))?;
    Tensor::new(shape, data).map_err(|error| failed(error.to_string()))
}

fn load(model: &[u8], given: Option<&Signature>, limits: &Limits) -> Result<Plan, EngineError> {
    let (ours, described) = describe::decode(model, limits)?;
    if let Some(given) = given {
        compare(given, &described.signature)?;
    }
    let graph = ours.graph.as_ref().ok_or_else(|| EngineError::NotOnnx("it holds no graph".to_owned()))?;
    let mut proto = pb::ModelProto::decode(model).map_err(|error| EngineError::NotOnnx(error.to_string()))?;
    cut_zip_maps(&mut proto);
    let (plan, row_by_row) = match build(&proto, graph, &described, Rows::Any) {
        Ok(plan) => (plan, false),
        Err(error @ EngineError::Load(_)) if declares_one_row(graph, &described.signature) => {
            (build(&proto, graph, &described, Rows::One).map_err(|_| error)?, true)
        }
        Err(error) => return Err(error),
    };
    let mut signature = given.unwrap_or(&described.signature).clone();
    for (index, spec) in signature.outputs.iter_mut().enumerate() {
        let fact = plan.model().output_fact(index).map_err(refused)?;
        let found: Vec<Option<usize>> = fact.shape.iter().map(|dim| dim.to_usize().ok()).collect();
        refine(spec, &found);
    }
    Ok(Plan { signature, task: described.task, opset: described.opset, plan, row_by_row })
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn refused(error: TractError) -> EngineError {
    EngineError::Load(format!("{error:#}"))
}

/// Puts what the library found out in the place of what the file declares.
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

/// ZipMap makes maps out of rows; the tensor that it reads is what is served, under ZipMap's name.
fn cut_zip_maps(proto: &mut pb::ModelProto) {
    let nodes = proto.graph.iter_mut().flat_map(|graph| graph.node.iter_mut());
    for node in nodes.filter(|node| node.op_type == "ZipMap" && node.domain == "ai.onnx.ml") {
        "Identity".clone_into(&mut node.op_type);
        node.domain.clear();
        node.attribute.clear();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Any,
    One,
}

fn declares_one_row(graph: &GraphProto, signature: &Signature) -> bool {
    signature.inputs.iter().all(|spec| {
        let dims = declared(graph, &spec.name);
        matches!(dims.first(), Some(Some(DimensionValue::Value(1))))
    })
}

fn declared<'a>(graph: &'a GraphProto, name: &str) -> Vec<Option<&'a DimensionValue>> {
    let value = graph.input.iter().find(|input| input.name == name).and_then(|input| input.r#type.as_ref());
    match value.and_then(|kind| kind.value.as_ref()) {
        Some(TypeValue::Tensor(tensor)) => {
            tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| dim.value.as_ref()).collect()
        }
        _ => Vec::new(),
    }
}

fn build(
    proto: &pb::ModelProto,
    graph: &GraphProto,
    described: &Graph,
    rows: Rows,
) -> Result<Arc<TypedSimplePlan>, EngineError> {
    let mut onnx = onnx().with_ignore_value_info(true);
    ops::register(&mut onnx);
    let parsed = onnx.parse(proto, None).map_err(refused)?;
    let mut model = parsed.model;
    for (index, spec) in described.signature.inputs.iter().enumerate() {
        let dims = input_dims(&model, graph, spec, (index, rows));
        let fact = InferenceFact::dt_shape(values::datum_type(spec.datatype), dims);
        model.set_input_fact(index, fact).map_err(refused)?;
    }
    axes::check(graph, &mut model, &parsed.outlets_by_name)?;
    let typed = if described.is_quantized {
        // The optimised form of a quantised graph answers wrongly; as written it is right.
        model.into_typed().map_err(refused)?
    } else {
        model.into_optimized().map_err(refused)?
    };
    typed.into_runnable().map_err(refused)
}

/// The sizes of an input's axes: a symbol for the rows, and one for each size that may vary. Sizes of one name are one
/// symbol.
fn input_dims(
    model: &InferenceModel,
    graph: &GraphProto,
    spec: &TensorSpec,
    (index, rows): (usize, Rows),
) -> TVec<TDim> {
    let declared = declared(graph, &spec.name);
    let row_name = match declared.first() {
        Some(Some(DimensionValue::Param(name))) if !name.is_empty() => Some(name),
        _ => None,
    };
    let rows = match rows {
        Rows::Any => model.symbols.sym("gudgeon_rows").to_dim(),
        Rows::One => 1.to_dim(),
    };
    let size = |(axis, (size, declared)): (usize, (&Option<usize>, &Option<&DimensionValue>))| match (size, declared) {
        _ if axis == 0 => rows.clone(),
        (Some(size), _) => size.to_dim(),
        (None, Some(DimensionValue::Param(name))) if Some(name) == row_name => rows.clone(),
        (None, Some(DimensionValue::Param(name))) if is_word(name) => model.symbols.sym(name).to_dim(),
        _ => model.symbols.sym(&format!("gudgeon_size_{index}_{axis}")).to_dim(),
    };
    spec.shape.iter().zip(&declared).enumerate().map(size).collect()
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
