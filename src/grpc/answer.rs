//! The answer to a `ModelInferRequest`, written as the bytes of its message: the message's type would hold every name, shape and
//! value once more.

use prost::Message as _;
use prost::bytes::{BufMut as _, Bytes};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tonic::Status;

use super::arriving::PREFIX_BYTES;
use super::contents;
use super::inference::{InferTensorContents, ModelInferResponse};
use crate::http::exchange::heavy;
use crate::oip::raw;
use crate::tensor::Tensor;

/// `parameters["triton_final_response"] = true`: a request has one answer, which is its last.
const IS_LAST: &[u8] = b"\x0a\x15triton_final_response\x12\x02\x08\x01";
/// A field's number and type; the messages here have no number over 15.
const KEY_BYTES: usize = 1;

/// A `ModelInferResponse` behind room for the length of it.
#[derive(Debug)]
pub(super) struct Written(Vec<u8>);

/// What an answer says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) model: &'a str,
    pub(super) version: &'a str,
    pub(super) id: &'a str,
    /// Whether tensors go as bytes.
    pub(super) is_raw: bool,
    /// Whether it says that it is the last answer.
    pub(super) tells_last: bool,
}

/// One of the outputs.
struct Output<'a> {
    name: &'a str,
    tensor: &'a Tensor,
    /// `None` where tensors go as bytes.
    contents: Option<InferTensorContents>,
}

impl Answer<'_> {
    /// Writes it with `outputs`, each with its name.
    pub(super) fn write<'a>(self, outputs: impl Iterator<Item = (&'a str, &'a Tensor)>) -> Written {
        let typed = |tensor: &Tensor| (!self.is_raw).then(|| contents::typed(tensor.data()));
        let outputs = outputs.map(|(name, tensor)| Output { name, tensor, contents: typed(tensor) });
        let outputs: Vec<_> = outputs.map(|output| (output.len(), output)).collect();
        let texts = [(1, self.model), (2, self.version), (3, self.id)];
        let texts_len: usize = texts.iter().map(|(_, text)| text_len(text)).sum();
        let last_len = if self.tells_last { field_len(IS_LAST.len()) } else { 0 };
        let raw_len = |tensor: &Tensor| if self.is_raw { field_len(raw::len(tensor.data())) } else { 0 };
        let outputs_len: usize = outputs.iter().map(|(len, output)| field_len(*len) + raw_len(output.tensor)).sum();
        let mut out = Vec::with_capacity(PREFIX_BYTES + texts_len + last_len + outputs_len);
        out.put_bytes(0, PREFIX_BYTES);
        for (number, text) in texts {
            put_text(number, text, &mut out);
        }
        if self.tells_last {
            put_head(4, IS_LAST.len(), &mut out);
            out.extend_from_slice(IS_LAST);
        }
        for (len, output) in &outputs {
            put_head(5, *len, &mut out);
            output.put(&mut out);
        }
        for (_, output) in outputs.iter().filter(|_| self.is_raw) {
            let data = output.tensor.data();
            put_head(6, raw::len(data), &mut out);
            raw::write(data, &mut out);
        }
        Written(out)
    }
}

impl Output<'_> {
    fn shape_len(&self) -> usize {
        self.tensor.shape().iter().map(|&size| encoded_len_varint(size as u64)).sum()
    }

    fn len(&self) -> usize {
        let shape_len = if self.tensor.shape().is_empty() { 0 } else { field_len(self.shape_len()) };
        let contents_len = self.contents.as_ref().map_or(0, |contents| field_len(contents.encoded_len()));
        text_len(self.name) + text_len(self.tensor.dtype().as_str()) + shape_len + contents_len
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_text(1, self.name, out);
        put_text(2, self.tensor.dtype().as_str(), out);
        if !self.tensor.shape().is_empty() {
            put_head(3, self.shape_len(), out);
            for &size in self.tensor.shape() {
                encode_varint(size as u64, out);
            }
        }
        if let Some(contents) = &self.contents {
            put_head(5, contents.encoded_len(), out);
            contents.encode_raw(out);
        }
    }
}

impl Written {
    /// The bytes that a call is answered with: the message behind its length.
    ///
    /// # Errors
    /// [`Status`] where the message is longer than the protocol can say.
    pub(super) fn framed(self) -> Result<Bytes, Status> {
        let Self(mut bytes) = self;
        let n_bytes = u32::try_from(bytes.len() - PREFIX_BYTES);
        let n_bytes = n_bytes.map_err(|_| Status::resource_exhausted("the answer takes 4 GiB or more"))?;
        if let Some(length) = bytes.get_mut(1..PREFIX_BYTES) {
            length.copy_from_slice(&n_bytes.to_be_bytes());
        }
        Ok(bytes.into())
    }

    /// The message, for the library's own way of sending it.
    ///
    /// # Errors
    /// [`Status`] where it is not one, which is a fault of this module.
    pub(super) fn message(self) -> Result<ModelInferResponse, Status> {
        let message = Bytes::from(self.0).split_off(PREFIX_BYTES);
        let decoded = heavy(message.len(), || ModelInferResponse::decode(message));
        decoded.map_err(|error| Status::internal(error.to_string()))
    }
}

/// What a field of `len` bytes takes.
fn field_len(len: usize) -> usize {
    KEY_BYTES + encoded_len_varint(len as u64) + len
}

fn text_len(text: &str) -> usize {
    if text.is_empty() { 0 } else { field_len(text.len()) }
}

fn put_head(number: u32, len: usize, out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

/// A text that is empty is not said.
fn put_text(number: u32, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        put_head(number, text.len(), out);
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::grpc::inference::InferParameter;
    use crate::grpc::inference::infer_parameter::ParameterChoice;
    use crate::grpc::inference::model_infer_response::InferOutputTensor;
    use crate::tensor::Data;

    fn tensors() -> impl Strategy<Value = Tensor> {
        let data = prop_oneof![
            vec(any::<f32>(), 0..200).prop_map(Data::Fp32),
            vec(any::<i64>(), 0..40).prop_map(Data::Int64),
            vec(any::<bool>(), 0..40).prop_map(Data::Bool),
            vec(".{0,200}", 0..5).prop_map(Data::String),
        ];
        (data, 0..3_usize).prop_map(|(data, n_axes)| {
            let shape = match (data.len(), n_axes) {
                (1, 0) => Vec::new(),
                (len, 0 | 1) => vec![len],
                (len, _) => vec![len, 1],
            };
            Tensor::new(shape, data).unwrap()
        })
    }

    /// The same by the message's type.
    fn expected(answer: Answer<'_>, outputs: &[(String, Tensor)]) -> ModelInferResponse {
        let last = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
        let raw = |tensor: &Tensor| {
            let mut bytes = Vec::new();
            raw::write(tensor.data(), &mut bytes);
            bytes.into()
        };
        ModelInferResponse {
            model_name: answer.model.to_owned(),
            model_version: answer.version.to_owned(),
            id: answer.id.to_owned(),
            parameters: answer.tells_last.then(|| ("triton_final_response".to_owned(), last)).into_iter().collect(),
            outputs: outputs
                .iter()
                .map(|(name, tensor)| InferOutputTensor {
                    name: name.clone(),
                    datatype: tensor.dtype().as_str().to_owned(),
                    shape: tensor.shape().iter().map(|&size| i64::try_from(size).unwrap()).collect(),
                    contents: (!answer.is_raw).then(|| contents::typed(tensor.data())),
                    ..InferOutputTensor::default()
                })
                .collect(),
            raw_output_contents: outputs.iter().filter(|_| answer.is_raw).map(|(_, tensor)| raw(tensor)).collect(),
        }
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_message(
            (model, version, id) in ("[a-z]{1,200}", "[1-9][0-9]{0,4}", ".{0,130}"),
            outputs in vec(("[a-z]{0,130}", tensors()), 0..4),
            (is_raw, tells_last) in any::<(bool, bool)>(),
        ) {
            let answer = Answer { model: &model, version: &version, id: &id, is_raw, tells_last };
            let write = || answer.write(outputs.iter().map(|(name, tensor)| (name.as_str(), tensor)));
            let expected = expected(answer, &outputs).encode_to_vec();
            let framed = write().framed().unwrap();
            let (prefix, message) = framed.split_at(PREFIX_BYTES);
            prop_assert_eq!(prefix, [&[0], &u32::try_from(expected.len()).unwrap().to_be_bytes()[..]].concat());
            prop_assert_eq!(message, &expected);
            prop_assert_eq!(write().message().unwrap().encode_to_vec(), expected);
        }
    }
}
