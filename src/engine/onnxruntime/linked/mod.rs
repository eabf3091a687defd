//! Sessions: graphs that the library has opened. One runs one request at a time.
//!
//! What the library is given is written anew from what was checked ([`graph`]): a field that nobody looked at does not get there.

pub(super) mod graph;
mod library;
mod values;

use std::borrow::Cow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};

use ort::ErrorCode;
use ort::environment::Environment;
use ort::ep;
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::ValueType;

use super::settings::{Onnxruntime, Provider};
use crate::engine::EngineError;
use crate::engine::engines::{Declined, Loaded, Runnable, Source, declares_one_row};
use crate::model::{Signature, TensorSpec};
use crate::tensor::{Data, Dtype, Tensor};

/// Sessions share no weights: together they hold no more than this many bytes of graphs, but for the first.
const COPIES_BYTES_MAX: usize = 256 << 20;
/// What the library says where it gets no memory.
const OUT_OF_MEMORY: [&str; 2] = ["bad_alloc", "Failed to allocate memory"];
/// Values of an input that is made up.
const ZEROS_MAX: usize = 1 << 20;
/// What it says of an operator that it does not know.
const LACKING: [&str; 2] = ["No Op registered for", "is not a registered function/op"];

/// Opens the library.
pub(super) fn open(library: &Path) -> Result<(), EngineError> {
    library::environment(library).map(drop)
}

/// Opens the graph as often as it may run at once.
pub(super) fn load(source: &Source<'_>, settings: &Onnxruntime) -> Result<Loaded, Declined> {
    let environment = library::environment(&settings.library).map_err(Declined::Error)?;
    let bytes = graph::written(source.proto, source.described);
    let signature = &source.described.signature;
    let first = session(&environment, settings, &bytes)?;
    let told = |name: &str| match first.outputs().iter().find(|outlet| outlet.name() == name)?.dtype() {
        ValueType::Tensor { shape, .. } => Some(shape.iter().map(|&size| usize::try_from(size).ok()).collect()),
        _ => None,
    };
    let told: Vec<_> = signature.outputs.iter().map(|spec| told(&spec.name)).collect();
    let n_sessions = settings.runs_at_once_max.min(COPIES_BYTES_MAX / bytes.len().max(1)).max(1);
    let mut sessions = vec![Mutex::new(first)];
    while sessions.len() < n_sessions {
        sessions.push(Mutex::new(session(&environment, settings, &bytes)?));
    }
    let inputs = signature.inputs.iter().map(|spec| spec.name.clone()).collect();
    let outputs = signature.outputs.iter().map(|spec| (spec.name.clone(), spec.datatype)).collect();
    let row_by_row = declares_one_row(source.graph, signature);
    let sessions = Sessions { sessions, turn: AtomicUsize::new(0), inputs, outputs };
    let shapes = told.into_iter().zip(seen(&sessions, signature)).map(|(told, seen)| corrected(told, seen)).collect();
    Ok(Loaded { runnable: Box::new(sessions), row_by_row, shapes })
}

/// The shapes of the outputs for a row of zeros, of size 1 where sizes vary; nothing where the model does not take it.
fn seen(sessions: &Sessions, signature: &Signature) -> Vec<Option<Vec<usize>>> {
    let zeros = |spec: &TensorSpec| {
        let size = |(axis, size): (usize, &Option<usize>)| if axis == 0 { 1 } else { size.unwrap_or(1) };
        let shape: Vec<usize> = spec.shape.iter().enumerate().map(size).collect();
        let len = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let zero = Data::zeros(spec.datatype, len.filter(|&len| len <= ZEROS_MAX)?);
        Tensor::new(shape, zero).ok()
    };
    let inputs: Option<Vec<Tensor>> = signature.inputs.iter().map(zeros).collect();
    let outputs = inputs.and_then(|inputs| sessions.run(&inputs).ok()).unwrap_or_default();
    let shapes = outputs.iter().map(|output| Some(output.shape().to_vec()));
    shapes.chain(std::iter::repeat(None)).take(signature.outputs.len()).collect()
}

/// The library takes the file's word for sizes that it does not infer, and exporters declare some wrongly.
fn corrected(told: Option<Vec<Option<usize>>>, seen: Option<Vec<usize>>) -> Option<Vec<Option<usize>>> {
    let mut told = told?;
    if let Some(seen) = seen.filter(|seen| seen.len() == told.len()) {
        for (told, seen) in told.iter_mut().zip(seen).skip(1) {
            *told = told.map(|_| seen);
        }
    }
    Some(told)
}

fn session(environment: &Environment, settings: &Onnxruntime, bytes: &[u8]) -> Result<Session, Declined> {
    let refused = |error: ort::Error| {
        let text = error.message().to_owned();
        let is_lacking = error.code() == ErrorCode::NotImplemented || LACKING.iter().any(|sign| text.contains(sign));
        if is_lacking { Declined::Lacks(text) } else { Declined::Error(failed(text, EngineError::Load)) }
    };
    let builder = builder(environment).map_err(refused)?;
    let mut builder = provided(builder, settings);
    builder.commit_from_memory(bytes).map_err(refused)
}

/// The thread that calls computes, and no other.
fn builder(environment: &Environment) -> ort::Result<SessionBuilder> {
    let plain = |error: ort::Error<SessionBuilder>| ort::Error::new(error.message());
    let builder = Session::builder(environment)?.with_intra_threads(1).map_err(plain)?;
    // A plan of memory for each number of rows that comes along would never be given back.
    builder.with_memory_pattern(false).map_err(plain)
}

/// With what runs the operators, where the library and the machine have it.
fn provided(builder: SessionBuilder, settings: &Onnxruntime) -> SessionBuilder {
    if !settings.providers.has(Provider::Cuda) {
        return builder;
    }
    builder.with_execution_providers([ep::CUDA::default().build().error_on_failure()]).unwrap_or_else(|error| {
        tracing::warn!("onnxruntime runs on the CPU, since cuda cannot be used: {}", error.message());
        error.recover()
    })
}

fn failed(text: String, kind: fn(String) -> EngineError) -> EngineError {
    if OUT_OF_MEMORY.iter().any(|sign| text.contains(sign)) { EngineError::OutOfMemory(text) } else { kind(text) }
}

#[derive(Debug)]
struct Sessions {
    sessions: Vec<Mutex<Session>>,
    /// Which session the next run waits for, where none is free.
    turn: AtomicUsize,
    inputs: Vec<String>,
    /// Names and declared types.
    outputs: Vec<(String, Dtype)>,
}

impl Sessions {
    fn with_session<T>(&self, work: impl FnOnce(&mut Session) -> T) -> T {
        for session in &self.sessions {
            match session.try_lock() {
                Ok(mut session) => return work(&mut session),
                Err(TryLockError::Poisoned(poisoned)) => return work(&mut poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.sessions.len();
        work(&mut self.sessions[turn].lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Runnable for Sessions {
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let refused = |error: ort::Error| failed(error.message().to_owned(), EngineError::Run);
        let mut given = Vec::with_capacity(inputs.len());
        for (name, input) in self.inputs.iter().zip(inputs) {
            given.push((Cow::Borrowed(name.as_str()), values::to_library(input).map_err(refused)?));
        }
        self.with_session(|session| {
            let outputs = session.run(given).map_err(refused)?;
            let ours = |(name, dtype): &(String, Dtype)| {
                let missing = || EngineError::Run(format!("onnxruntime gave no output {name:?}"));
                let output = outputs.get(name).ok_or_else(missing)?;
                let named = |problem: String| EngineError::Run(format!("output {name:?}: {problem}"));
                values::from_library(output, *dtype).map_err(named)
            };
            self.outputs.iter().map(ours).collect()
        })
    }
}
