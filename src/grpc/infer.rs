//! One prediction: a `ModelInferRequest` as the shared way of predictions takes it.

use std::time::Duration;

use prost::bytes::Bytes;

use super::contents;
use super::decode::{Ahead, Arrived, Decoded, decode, is_true};
use super::inference::infer_parameter::ParameterChoice;
use super::inference::model_infer_request::InferInputTensor;
use super::inference::model_infer_response::InferOutputTensor;
use super::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use crate::http::exchange::{Asked, Attempt, Exchange, Size};
use crate::http::{ApiError, DecodeLimits, Face};
use crate::oip::raw;
use crate::slot::Servable;
use crate::tensor::{Dtype, Tensor};

/// A request that has arrived, with the time that it has and the id that the log knows it by.
pub(super) struct Received<'a> {
    pub(super) request: &'a ModelInferRequest,
    pub(super) ahead: &'a Ahead,
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

impl Exchange for Received<'_> {
    type Form = Form;
    type Answer = ModelInferResponse;

    fn size(&self) -> Size {
        // The values are what takes time; a typed one takes a byte at least.
        let typed = |input: &InferInputTensor| input.contents.as_ref().map_or(0, prost::Message::encoded_len);
        let mut size = Size { text: 0, raw: self.ahead.columns.n_bytes() };
        for (at, input) in self.request.inputs.iter().enumerate() {
            let raw = self.request.raw_input_contents.get(at).map_or(0, Bytes::len);
            // Strings and flags are read one by one, whatever carries them.
            let is_one_by_one = matches!(input.datatype.as_str(), "BYTES" | "BOOL");
            size.text += typed(input) + if is_one_by_one { raw } else { 0 };
            size.raw += if is_one_by_one { 0 } else { raw };
        }
        size
    }

    fn answer_size(&self, outputs: &[Tensor], _: &Form) -> Size {
        let n_bytes = |output: &Tensor| raw::len(output.data());
        let is_text = |output: &&Tensor| output.dtype() == Dtype::String;
        Size {
            text: outputs.iter().filter(is_text).map(n_bytes).sum(),
            raw: outputs.iter().filter(|output| !is_text(output)).map(n_bytes).sum(),
        }
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn request_id(&self) -> Option<&str> {
        Some(self.request_id)
    }

    fn read(&self, servable: &Servable, limits: &DecodeLimits, attempt: Attempt) -> Result<Asked<Form>, ApiError> {
        let signature = servable.signature();
        let refused = |mismatch| ApiError::BadInput { face: Face::V2, mismatch };
        let arrived = Arrived { request: self.request, ahead: self.ahead, again: attempt == Attempt::First };
        let Decoded { inputs, wanted, is_raw, timeout } = decode(arrived, signature, limits).map_err(refused)?;
        let inputs = signature.check(inputs).map_err(refused)?;
        Ok(Asked { inputs, form: Form { wanted, is_raw }, timeout })
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
