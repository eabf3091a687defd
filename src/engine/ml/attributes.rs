//! Reads a node's attributes, strictly: a wrong type or text that is not UTF-8 is an error, not a default.

use crate::engine::kernel::OpError;
use crate::engine::onnx::{AttributeProto, AttributeType, GraphProto, NodeProto};
use crate::engine::tensors;
use crate::tensor::{Data, Tensor};

/// The attributes of one node.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Attributes<'a>(&'a NodeProto);

impl<'a> Attributes<'a> {
    pub(in crate::engine) fn new(node: &'a NodeProto) -> Self {
        Self(node)
    }

    pub(in crate::engine) fn has(&self, name: &str) -> bool {
        self.0.attribute.iter().any(|attribute| attribute.name == name)
    }

    fn find(&self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>, OpError> {
        let Some(attribute) = self.0.attribute.iter().find(|attribute| attribute.name == name) else {
            return Ok(None);
        };
        if attribute.r#type != kind as i32 {
            return Err(OpError::Bad(format!("attribute {name}: expected {kind:?}, got type {}", attribute.r#type)));
        }
        Ok(Some(attribute))
    }

    pub(in crate::engine) fn int(&self, name: &str) -> Result<Option<i64>, OpError> {
        Ok(self.find(name, AttributeType::Int)?.map(|attribute| attribute.i))
    }

    pub(in crate::engine) fn float(&self, name: &str) -> Result<Option<f32>, OpError> {
        Ok(self.find(name, AttributeType::Float)?.map(|attribute| attribute.f))
    }

    pub(in crate::engine) fn text(&self, name: &str) -> Result<Option<&'a str>, OpError> {
        self.find(name, AttributeType::String)?.map(|attribute| utf8(name, &attribute.s)).transpose()
    }

    pub(in crate::engine) fn ints(&self, name: &str) -> Result<&'a [i64], OpError> {
        Ok(self.find(name, AttributeType::Ints)?.map_or(&[], |attribute| &attribute.ints))
    }

    pub(in crate::engine) fn floats(&self, name: &str) -> Result<&'a [f32], OpError> {
        Ok(self.find(name, AttributeType::Floats)?.map_or(&[], |attribute| &attribute.floats))
    }

    pub(in crate::engine) fn strings(&self, name: &str) -> Result<Vec<&'a str>, OpError> {
        let Some(attribute) = self.find(name, AttributeType::Strings)? else { return Ok(Vec::new()) };
        attribute.strings.iter().map(|text| utf8(name, text)).collect()
    }

    pub(in crate::engine) fn tensor(&self, name: &str) -> Result<Option<Tensor>, OpError> {
        let Some(attribute) = self.find(name, AttributeType::Tensor)? else { return Ok(None) };
        let tensor = attribute.t.as_ref().ok_or_else(|| OpError::Bad(format!("attribute {name}: no tensor")))?;
        tensors::read(tensor).map(Some)
    }

    pub(in crate::engine) fn graph(&self, name: &str) -> Result<Option<&'a GraphProto>, OpError> {
        Ok(self.find(name, AttributeType::Graph)?.and_then(|attribute| attribute.g.as_ref()))
    }

    /// The numbers of `name`, or of `{name}_as_tensor` where that is given; and whether they are doubles.
    pub(in crate::engine) fn numbers(&self, name: &str) -> Result<(Vec<f64>, bool), OpError> {
        let as_tensor = format!("{name}_as_tensor");
        if self.has(&as_tensor) {
            return self.numbers_of_tensor(&as_tensor);
        }
        Ok((self.floats(name)?.iter().map(|&value| f64::from(value)).collect(), false))
    }

    /// The numbers of the tensor `name`, none where it is not given; and whether they are doubles.
    pub(in crate::engine) fn numbers_of_tensor(&self, name: &str) -> Result<(Vec<f64>, bool), OpError> {
        match self.named_tensor(name)?.map(Tensor::into_data) {
            None => Ok((Vec::new(), false)),
            Some(Data::Fp64(values)) => Ok((values, true)),
            Some(Data::Fp32(values)) => Ok((values.into_iter().map(f64::from).collect(), false)),
            Some(_) => OpError::bad(format!("attribute {name}: expected float or double numbers")),
        }
    }

    /// The values of the tensor of bytes `name`, none where it is not given.
    pub(in crate::engine) fn bytes(&self, name: &str) -> Result<Vec<u8>, OpError> {
        match self.named_tensor(name)?.map(Tensor::into_data) {
            None => Ok(Vec::new()),
            Some(Data::Uint8(values)) => Ok(values),
            Some(_) => OpError::bad(format!("attribute {name}: expected bytes")),
        }
    }

    fn named_tensor(&self, name: &str) -> Result<Option<Tensor>, OpError> {
        self.tensor(name).map_err(|error| match error {
            OpError::Bad(problem) => OpError::Bad(format!("attribute {name}: {problem}")),
            unknown @ OpError::Unknown(_) => unknown,
        })
    }
}

fn utf8<'a>(name: &str, text: &'a [u8]) -> Result<&'a str, OpError> {
    std::str::from_utf8(text).map_err(|_| OpError::Bad(format!("attribute {name}: the text is not UTF-8")))
}
