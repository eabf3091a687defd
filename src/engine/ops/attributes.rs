//! Reads a node's attributes, strictly: a wrong type or text that is not UTF-8 is an error, not a default.

use super::OpError;
use crate::engine::onnx::{AttributeProto, AttributeType, DataType, NodeProto};

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

    pub(super) fn find(&self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>, OpError> {
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

    /// The numbers of `name`, or of `{name}_as_tensor` where that is given; and whether they are doubles.
    pub(in crate::engine) fn numbers(&self, name: &str) -> Result<(Vec<f64>, bool), OpError> {
        let as_tensor = format!("{name}_as_tensor");
        let Some(attribute) = self.find(&as_tensor, AttributeType::Tensor)? else {
            return Ok((self.floats(name)?.iter().map(|&value| f64::from(value)).collect(), false));
        };
        floats_of(&as_tensor, attribute)
    }

    /// The numbers of the tensor `name`, none where it is not given; and whether they are doubles.
    pub(super) fn tensor(&self, name: &str) -> Result<(Vec<f64>, bool), OpError> {
        let attribute = self.find(name, AttributeType::Tensor)?;
        attribute.map_or(Ok((Vec::new(), false)), |attribute| floats_of(name, attribute))
    }

    /// The values of the tensor of bytes `name`.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, OpError> {
        let Some(attribute) = self.find(name, AttributeType::Tensor)? else { return Ok(Vec::new()) };
        let bad = || OpError::Bad(format!("attribute {name}: expected bytes"));
        let tensor =
            attribute.t.as_ref().filter(|tensor| tensor.data_type == DataType::Uint8 as i32).ok_or_else(bad)?;
        if !tensor.raw_data.is_empty() {
            return Ok(tensor.raw_data.clone());
        }
        tensor.int32_data.iter().map(|&value| u8::try_from(value).map_err(|_| bad())).collect()
    }
}

/// The values of a tensor of floats or doubles.
fn floats_of(name: &str, attribute: &AttributeProto) -> Result<(Vec<f64>, bool), OpError> {
    let bad = || OpError::Bad(format!("attribute {name}: expected float or double numbers"));
    let tensor = attribute.t.as_ref().ok_or_else(bad)?;
    let raw = tensor.raw_data.as_slice();
    let (values, rest, is_double): (Vec<f64>, _, _) = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Double) if raw.is_empty() => (tensor.double_data.clone(), raw, true),
        Ok(DataType::Double) => {
            let (chunks, rest) = raw.as_chunks();
            (chunks.iter().map(|&chunk| f64::from_le_bytes(chunk)).collect(), rest, true)
        }
        Ok(DataType::Float) if raw.is_empty() => {
            (tensor.float_data.iter().map(|&value| f64::from(value)).collect(), raw, false)
        }
        Ok(DataType::Float) => {
            let (chunks, rest) = raw.as_chunks();
            (chunks.iter().map(|&chunk| f64::from(f32::from_le_bytes(chunk))).collect(), rest, false)
        }
        _ => return Err(bad()),
    };
    if rest.is_empty() { Ok((values, is_double)) } else { Err(bad()) }
}

fn utf8<'a>(name: &str, text: &'a [u8]) -> Result<&'a str, OpError> {
    std::str::from_utf8(text).map_err(|_| OpError::Bad(format!("attribute {name}: the text is not UTF-8")))
}
