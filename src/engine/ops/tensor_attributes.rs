//! Attributes that are tensors or graphs.

use super::OpError;
use super::attributes::Attributes;
use crate::engine::onnx::{AttributeType, GraphProto};
use crate::engine::tensors;
use crate::tensor::Tensor;

impl<'a> Attributes<'a> {
    /// A tensor of any type.
    pub(in crate::engine) fn any_tensor(&self, name: &str) -> Result<Option<Tensor>, OpError> {
        let Some(attribute) = self.find(name, AttributeType::Tensor)? else { return Ok(None) };
        let tensor = attribute.t.as_ref().ok_or_else(|| OpError::Bad(format!("attribute {name}: no tensor")))?;
        tensors::read(tensor).map(Some)
    }

    pub(in crate::engine) fn graph(&self, name: &str) -> Result<Option<&'a GraphProto>, OpError> {
        Ok(self.find(name, AttributeType::Graph)?.and_then(|attribute| attribute.g.as_ref()))
    }
}
