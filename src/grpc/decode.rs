//! A `ModelInferRequest` as typed tensors.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use prost::bytes::Bytes;

use super::contents;
use super::inference::infer_parameter::ParameterChoice;
use super::inference::model_infer_request::InferInputTensor;
use super::inference::{InferParameter, ModelInferRequest};
use crate::http::DecodeLimits;
use crate::http::v2::ID_CHARS_MAX;
use crate::model::{Mismatch, Signature};
use crate::oip::raw::{self, RawFault};
use crate::oip::{Column, Columns};
use crate::tensor::{Data, Dtype, NamedTensor, Tensor};

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Its inputs as they were sent; whether they fit the model is not looked at.
    pub(crate) inputs: Vec<NamedTensor>,
    /// The outputs asked for, by position.
    pub(crate) wanted: Vec<usize>,
    /// Whether tensors go as bytes: as they came.
    pub(crate) is_raw: bool,
    /// The time that it says to want at most.
    pub(crate) timeout: Option<Duration>,
}

/// A request, and what of it was read as it came; whether it is to be read `again`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrived<'a> {
    pub(crate) request: &'a ModelInferRequest,
    pub(crate) ahead: &'a Ahead,
    pub(crate) again: bool,
}

/// Tensors that were read as they came.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    pub(crate) columns: Columns,
    /// Whose place among the raw contents each of them has; there they are empty.
    pub(crate) places: Vec<usize>,
}

/// Reads a request for a model of `signature`.
///
/// # Errors
/// [`Mismatch`]: which field, what was expected, what came.
pub(crate) fn decode(
    Arrived { request, ahead, again }: Arrived<'_>,
    signature: &Signature,
    limits: &DecodeLimits,
) -> Result<Decoded, Mismatch> {
    if request.id.chars().nth(ID_CHARS_MAX).is_some() {
        return Err(refuse("id", format!("at most {ID_CHARS_MAX} characters"), "more"));
    }
    let is_raw = !request.raw_input_contents.is_empty();
    if is_raw && request.raw_input_contents.len() != request.inputs.len() {
        let expected = format!("one for each of the {} inputs", request.inputs.len());
        return Err(refuse("raw_input_contents", expected, request.raw_input_contents.len().to_string()));
    }
    if signature.inputs.len() < request.inputs.len() {
        return Err(refuse("inputs", format!("at most {} inputs", signature.inputs.len()), "more"));
    }
    let mut columns = if ahead.places.is_empty() { VecDeque::new() } else { ahead.columns.hand_out(again) };
    let mut raw = |at| match request.raw_input_contents.get(at) {
        Some(_) if ahead.places.contains(&at) => columns.pop_front().map(Raw::Column),
        bytes => bytes.map(Raw::Bytes),
    };
    let input = |(at, input)| read_input((at, input), raw(at), limits);
    let inputs = request.inputs.iter().enumerate().map(input).collect::<Result<_, _>>()?;
    Ok(Decoded { inputs, wanted: wanted(request, signature)?, is_raw, timeout: timeout(&request.parameters)? })
}

/// A tensor beside the inputs.
enum Raw<'a> {
    Bytes(&'a Bytes),
    /// Read already.
    Column(Column),
}

impl Raw<'_> {
    fn read(self, dtype: Dtype, n_values: usize) -> Result<Data, RawFault> {
        match self {
            Self::Bytes(bytes) => raw::read(dtype, n_values, bytes),
            Self::Column(Column { data, n_bytes }) => raw::check_len(dtype, n_values, n_bytes).map(|()| data),
        }
    }
}

fn refuse(path: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Mismatch {
    Mismatch::new(path, expected, got)
}

type Parameters = HashMap<String, InferParameter>;

/// Whether the parameter called `name` is true.
pub(super) fn is_true(parameters: &Parameters, name: &str) -> bool {
    let choice = parameters.get(name).and_then(|parameter| parameter.parameter_choice.as_ref());
    matches!(choice, Some(ParameterChoice::BoolParam(true)))
}

/// The time that the request says to want, in microseconds; 0 says nothing.
fn timeout(parameters: &Parameters) -> Result<Option<Duration>, Mismatch> {
    let Some(parameter) = parameters.get("timeout") else { return Ok(None) };
    let micros = match parameter.parameter_choice {
        Some(ParameterChoice::Int64Param(micros)) => u64::try_from(micros).ok(),
        Some(ParameterChoice::Uint64Param(micros)) => Some(micros),
        _ => None,
    };
    let micros =
        micros.ok_or_else(|| refuse("parameters.timeout", "a whole number of microseconds", "another value"))?;
    Ok(Some(Duration::from_micros(micros)).filter(|time| !time.is_zero()))
}

fn no_shared_memory(parameters: &Parameters, place: &str, at: usize) -> Result<(), Mismatch> {
    if !parameters.contains_key("shared_memory_region") {
        return Ok(());
    }
    let path = format!("{place}[{at}].parameters.shared_memory_region");
    Err(refuse(path, "tensors in the message", "shared memory, which this server does not have"))
}

fn read_input(
    (at, input): (usize, &InferInputTensor),
    raw: Option<Raw<'_>>,
    limits: &DecodeLimits,
) -> Result<NamedTensor, Mismatch> {
    let path = |part: &str| format!("inputs[{at}]{part}");
    no_shared_memory(&input.parameters, "inputs", at)?;
    let dtype: Dtype = input.datatype.parse().map_err(|_| refuse(path(".datatype"), DATATYPES, "another one"))?;
    if limits.nesting_max < input.shape.len() {
        return Err(refuse(path(".shape"), format!("at most {} sizes", limits.nesting_max), "more"));
    }
    let shape = input.shape.iter().map(|&size| usize::try_from(size));
    let shape: Vec<usize> =
        shape.collect::<Result<_, _>>().map_err(|_| refuse(path(".shape"), "sizes of 0 or more", "a negative one"))?;
    if limits.rows_max < shape.first().copied().unwrap_or(1) {
        return Err(refuse(path(".shape"), format!("at most {} rows", limits.rows_max), "more"));
    }
    let n_values = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    let n_values = n_values.ok_or_else(|| refuse(path(".shape"), "sizes whose product fits in memory", "more"))?;
    // Only strings take more memory than they take bytes here.
    if dtype == Dtype::String && limits.values_max < n_values {
        return Err(refuse(path(".shape"), format!("at most {} values", limits.values_max), "more"));
    }
    let typed = input.contents.as_ref();
    let data = match (raw, typed) {
        (Some(_), Some(typed)) if contents::is_set(typed) => {
            return Err(refuse(path(".contents"), "none, since raw_input_contents come with the request", "values"));
        }
        (Some(raw), _) => raw
            .read(dtype, n_values)
            .map_err(|fault| refuse(format!("raw_input_contents[{at}]"), fault.expected, fault.got))?,
        (None, Some(typed)) => contents::read(dtype, n_values, typed)
            .map_err(|fault| refuse(path(".contents"), fault.expected, fault.got))?,
        (None, None) => return Err(refuse(path(""), "contents, or raw_input_contents beside the inputs", "neither")),
    };
    let tensor =
        Tensor::new(shape, data).map_err(|_| refuse(path(".shape"), "a shape of its values", "another one"))?;
    Ok(NamedTensor { name: input.name.clone(), tensor })
}

const DATATYPES: &str = "one of BOOL, UINT8 to UINT64, INT8 to INT64, FP32, FP64, BYTES";

/// The outputs asked for, by position; all of them where the request names none.
fn wanted(request: &ModelInferRequest, signature: &Signature) -> Result<Vec<usize>, Mismatch> {
    let mut wanted = Vec::with_capacity(request.outputs.len());
    for (at, output) in request.outputs.iter().enumerate() {
        no_shared_memory(&output.parameters, "outputs", at)?;
        let Some(index) = signature.outputs.iter().position(|spec| spec.name == output.name) else {
            let names: Vec<_> = signature.outputs.iter().map(|spec| spec.name.as_str()).collect();
            return Err(refuse(format!("outputs[{at}].name"), format!("one of {}", names.join(", ")), "another name"));
        };
        if wanted.contains(&index) {
            return Err(refuse(format!("outputs[{at}].name"), "each output once", "it twice"));
        }
        wanted.push(index);
    }
    Ok(if wanted.is_empty() { (0..signature.outputs.len()).collect() } else { wanted })
}
