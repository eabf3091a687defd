//! An infer answer: `{"model_name", "model_version", "id"?, "outputs": [{"name", "datatype", "shape", "data"}]}`.

use serde::{Serialize, Serializer};

use crate::http::json::Flat;
use crate::model::{ModelName, Signature, TensorSpec, Version};
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
    pub wanted: &'a [usize],
}

/// The answer's body; a float that is not finite is `null`.
///
/// # Errors
/// None in practice: writing to memory does not fail.
pub fn encode(answer: &InferAnswer<'_>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Body {
        model_name: answer.model,
        model_version: answer.version.to_string(),
        id: answer.id,
        outputs: Outputs(answer),
    })
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

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: Dtype,
    shape: &'a [usize],
    data: Flat<'a>,
}

impl<'a> Output<'a> {
    fn new(spec: &'a TensorSpec, tensor: &'a Tensor) -> Self {
        Self { name: &spec.name, datatype: tensor.dtype(), shape: tensor.shape(), data: Flat(tensor.data()) }
    }
}

impl Serialize for Outputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let InferAnswer { signature, outputs, wanted, .. } = self.0;
        let output = |&index: &usize| Some(Output::new(signature.outputs.get(index)?, outputs.get(index)?));
        serializer.collect_seq(wanted.iter().filter_map(output))
    }
}
