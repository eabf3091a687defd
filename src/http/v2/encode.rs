//! An infer answer: `{"model_name", "model_version", "id"?, "outputs": [{"name", "datatype", "shape", "data"}]}`, and behind
//! it the outputs that are wanted in the binary form, which have `"parameters": {"binary_data_size"}` instead of `data`.

use serde::{Serialize, Serializer};

use super::tensor::Wanted;
use crate::http::json::Flat;
use crate::model::{ModelName, Signature, Version};
use crate::oip::raw;
use crate::tensor::{Dtype, Tensor};

/// What is to be answered.
#[derive(Debug, Clone, Copy)]
pub struct InferAnswer<'a> {
    /// The model that answered.
    pub model: &'a ModelName,
    /// The version that answered.
    pub version: Version,
    /// The request's id.
    pub id: Option<&'a str>,
    /// The version's signature.
    pub signature: &'a Signature,
    /// One tensor an output, in the order of the signature.
    pub outputs: &'a [Tensor],
    /// Which of them are asked for, in the order asked for.
    pub wanted: &'a [Wanted],
    /// Whether outputs that say nothing of it are wanted in the binary form.
    pub binary: bool,
}

impl<'a> InferAnswer<'a> {
    fn is_binary(&self, wanted: Wanted) -> bool {
        wanted.binary.unwrap_or(self.binary)
    }

    fn outputs(self) -> impl Iterator<Item = Output<'a>> {
        self.wanted.iter().filter_map(move |&wanted| {
            let name = &self.signature.outputs.get(wanted.index)?.name;
            Some(Output { name, tensor: self.outputs.get(wanted.index)?, is_binary: self.is_binary(wanted) })
        })
    }
}

/// A body, and the length of its JSON where tensors follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes.
    pub body: Vec<u8>,
    /// How many of them are the JSON.
    pub json_len: Option<usize>,
}

/// The answer's body; a float that is not finite is `null` in JSON and itself in the binary form.
///
/// # Errors
/// None in practice: writing to memory does not fail.
pub fn encode(answer: &InferAnswer<'_>) -> serde_json::Result<Encoded> {
    let mut body = serde_json::to_vec(&Body {
        model_name: answer.model,
        model_version: answer.version.to_string(),
        id: answer.id,
        outputs: Outputs(answer),
    })?;
    if !answer.outputs().any(|output| output.is_binary) {
        return Ok(Encoded { body, json_len: None });
    }
    let json_len = body.len();
    for output in answer.outputs().filter(|output| output.is_binary) {
        raw::write(output.tensor.data(), &mut body);
    }
    Ok(Encoded { body, json_len: Some(json_len) })
}

#[derive(Serialize)]
struct Body<'a> {
    model_name: &'a ModelName,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Outputs<'a>,
}

struct Outputs<'a>(&'a InferAnswer<'a>);

impl Serialize for Outputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.outputs())
    }
}

struct Output<'a> {
    name: &'a str,
    tensor: &'a Tensor,
    is_binary: bool,
}

#[derive(Serialize)]
struct OutputBody<'a> {
    name: &'a str,
    datatype: Dtype,
    shape: &'a [usize],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<OutputParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Flat<'a>>,
}

#[derive(Serialize)]
struct OutputParameters {
    binary_data_size: usize,
}

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { name, tensor, is_binary } = *self;
        let (datatype, shape, data) = (tensor.dtype(), tensor.shape(), tensor.data());
        let body = if is_binary {
            let parameters = Some(OutputParameters { binary_data_size: raw::len(data) });
            OutputBody { name, datatype, shape, parameters, data: None }
        } else {
            OutputBody { name, datatype, shape, parameters: None, data: Some(Flat(data)) }
        };
        body.serialize(serializer)
    }
}
