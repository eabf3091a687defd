//! One prediction: a `ModelInferRequest` as the shared way of predictions takes it.

use std::collections::HashMap;
use std::time::Duration;

use prost::bytes::Bytes;

use super::contents;
use super::inference::infer_parameter::ParameterChoice;
use super::inference::model_infer_request::InferInputTensor;
use super::inference::model_infer_response::InferOutputTensor;
use super::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use crate::http::exchange::{Asked, Attempt, Exchange};
use crate::http::v2::ID_CHARS_MAX;
use crate::http::{ApiError, DecodeLimits, Face};
use crate::model::{Mismatch, Signature};
use crate::oip::raw;
use crate::slot::Servable;
use crate::tensor::{Dtype, NamedTensor, Tensor};

/// A request that has arrived, with the time that it has and the id that the log knows it by.
pub(super) struct Received<'a> {
    pub(super) request: &'a ModelInferRequest,
    pub(super) timeout: Duration,
    pub(super) request_id: &'a str,
}

/// How a request wants its answer written.
pub(super) struct Form {
    /// The outputs asked for, by position.
    wanted: Vec<usize>,
    /// Whether tensors go as bytes: as they came.
    is_raw: bool,
}

fn refuse(path: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> ApiError {
    ApiError::BadInput { face: Face::V2, mismatch: Mismatch::new(path, expected, got) }
}

impl Exchange for Received<'_> {
    type Form = Form;
    type Answer = ModelInferResponse;

    fn n_bytes(&self) -> usize {
        // The values are what takes time; a typed one takes a byte at least.
        let raw: usize = self.request.raw_input_contents.iter().map(Bytes::len).sum();
        let typed = |input: &InferInputTensor| input.contents.as_ref().map_or(0, prost::Message::encoded_len);
        raw + self.request.inputs.iter().map(typed).sum::<usize>()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn request_id(&self) -> Option<&str> {
        Some(self.request_id)
    }

    fn read(&self, servable: &Servable, limits: &DecodeLimits, _: Attempt) -> Result<Asked<Form>, ApiError> {
        let (request, signature) = (self.request, servable.signature());
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
        let input = |(at, input)| read_input((at, input), request.raw_input_contents.get(at), limits);
        let inputs = request.inputs.iter().enumerate().map(input).collect::<Result<_, _>>()?;
        let form = Form { wanted: wanted(request, signature)?, is_raw };
        let inputs = signature.check(inputs).map_err(|mismatch| ApiError::BadInput { face: Face::V2, mismatch })?;
        Ok(Asked { inputs, form, timeout: timeout(&request.parameters)? })
    }

    fn write(
        &self,
        servable: &Servable,
        (outputs, _): (&[Tensor], usize),
        Form { wanted, is_raw }: &Form,
    ) -> Result<ModelInferResponse, ApiError> {
        let mut response = ModelInferResponse {
            model_name: servable.model().to_string(),
            model_version: servable.version_text().to_owned(),
            id: self.request.id.clone(),
            ..ModelInferResponse::default()
        };
        for &index in wanted {
            let (Some(spec), Some(tensor)) = (servable.signature().outputs.get(index), outputs.get(index)) else {
                return Err(ApiError::Internal);
            };
            let mut output = InferOutputTensor {
                name: spec.name.clone(),
                datatype: tensor.dtype().as_str().to_owned(),
                shape: tensor.shape().iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect(),
                ..InferOutputTensor::default()
            };
            if *is_raw {
                response.raw_output_contents.push(contents::raw(tensor.data()));
            } else {
                output.contents = Some(contents::typed(tensor.data()));
            }
            response.outputs.push(output);
        }
        if is_true(&self.request.parameters, "triton_enable_empty_final_response") {
            // Every request has one answer, which is its last.
            let choice = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
            response.parameters.insert("triton_final_response".to_owned(), choice);
        }
        Ok(response)
    }
}

type Parameters = HashMap<String, InferParameter>;

fn is_true(parameters: &Parameters, name: &str) -> bool {
    let choice = parameters.get(name).and_then(|parameter| parameter.parameter_choice.as_ref());
    matches!(choice, Some(ParameterChoice::BoolParam(true)))
}

/// The time that the request says to want, in microseconds; 0 says nothing.
fn timeout(parameters: &Parameters) -> Result<Option<Duration>, ApiError> {
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

fn no_shared_memory(parameters: &Parameters, place: &str, at: usize) -> Result<(), ApiError> {
    if !parameters.contains_key("shared_memory_region") {
        return Ok(());
    }
    let path = format!("{place}[{at}].parameters.shared_memory_region");
    Err(refuse(path, "tensors in the message", "shared memory, which this server does not have"))
}

fn read_input(
    (at, input): (usize, &InferInputTensor),
    raw_bytes: Option<&Bytes>,
    limits: &DecodeLimits,
) -> Result<NamedTensor, ApiError> {
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
    let data = match (raw_bytes, typed) {
        (Some(_), Some(typed)) if contents::is_set(typed) => {
            return Err(refuse(path(".contents"), "none, since raw_input_contents come with the request", "values"));
        }
        (Some(bytes), _) => raw::read(dtype, n_values, bytes)
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
fn wanted(request: &ModelInferRequest, signature: &Signature) -> Result<Vec<usize>, ApiError> {
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
