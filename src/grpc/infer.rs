//! One prediction: a `ModelInferRequest` as the shared way of predictions takes it.

use std::time::Duration;

use prost::bytes::Bytes;

use super::answer::{Answer, Written};
use super::decode::{Ahead, Arrived, Decoded, decode, is_true};
use super::inference::ModelInferRequest;
use super::inference::model_infer_request::InferInputTensor;
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
    type Answer = Written;

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
    ) -> Result<Written, ApiError> {
        let output = |&index: &usize| {
            let (spec, tensor) = servable.signature().outputs.get(index).zip(outputs.get(index))?;
            Some((spec.name.as_str(), tensor))
        };
        let outputs: Option<Vec<_>> = wanted.iter().map(output).collect();
        let answer = Answer {
            model: servable.model().as_str(),
            version: servable.version_text(),
            id: &self.request.id,
            is_raw: *is_raw,
            tells_last: is_true(&self.request.parameters, "triton_enable_empty_final_response"),
        };
        Ok(answer.write(outputs.ok_or(ApiError::Internal)?.into_iter()))
    }
}
