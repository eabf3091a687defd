//! A request without JSON: its body is a tensor.

use super::decode::{InferRequest, all_outputs};
use crate::http::json::DecodeError;
use crate::model::{Mismatch, Signature};
use crate::oip::raw;
use crate::tensor::{Data, Dtype, NamedTensor, Tensor};

/// A body that is nothing but the data of the model's only input, one row of it: a string as it is, anything else in the
/// binary form, with one size that follows from the length at most.
pub(super) fn bare_request(bytes: &[u8], signature: &Signature) -> Result<InferRequest, DecodeError> {
    let refuse = |expected: &str, got: String| DecodeError::from(Mismatch::new("body", expected, got));
    let [spec] = signature.inputs.as_slice() else {
        let expected =
            "JSON before the tensors (inference-header-content-length over 0), since the model has several inputs";
        return Err(refuse(expected, "tensors alone".to_owned()));
    };
    let behind = spec.shape.get(1..).unwrap_or_default();
    let tensor = if spec.datatype == Dtype::String {
        let shape: Vec<_> = std::iter::once(1).chain(behind.iter().map(|dim| dim.unwrap_or(1))).collect();
        if shape != vec![1; shape.len()] {
            return Err(refuse("JSON before the strings, since a row has several", "strings alone".to_owned()));
        }
        let text = raw::text_of(bytes, 0).map_err(|fault| refuse(&fault.expected, fault.got))?;
        Tensor::new(shape, Data::String(vec![text]))
    } else {
        let fixed = behind.iter().flatten().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let row_bytes =
            fixed.and_then(|fixed| fixed.checked_mul(raw::value_bytes(spec.datatype)?)).unwrap_or(usize::MAX);
        let is_open = |dim: &&Option<usize>| dim.is_none();
        if 1 < behind.iter().filter(is_open).count() {
            return Err(refuse(
                "JSON before the tensor, since several of its sizes vary",
                "the tensor alone".to_owned(),
            ));
        }
        let open = bytes.len().checked_div(row_bytes).unwrap_or(0);
        let shape: Vec<_> = std::iter::once(1).chain(behind.iter().map(|dim| dim.unwrap_or(open))).collect();
        let n_values = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).unwrap_or(usize::MAX);
        let data = raw::read(spec.datatype, n_values, bytes).map_err(|fault| refuse(&fault.expected, fault.got))?;
        Tensor::new(shape, data)
    };
    let tensor = tensor.map_err(|_| refuse("a row of the input", "another form".to_owned()))?;
    let inputs = vec![NamedTensor { name: spec.name.clone(), tensor }];
    Ok(InferRequest { id: None, inputs, outputs: all_outputs(signature), binary: true, timeout: None })
}
