//! Tensors of ours as the library's, and back.

use ort::session::SessionInputValue;
use ort::value::{DynValue, PrimitiveTensorElementType, Tensor, TensorRef};

use crate::tensor::{Data, Dtype, Tensor as Ours};

/// A view of the values; strings are copied.
pub(super) fn to_library(tensor: &Ours) -> ort::Result<SessionInputValue<'_>> {
    let shape = || tensor.shape().to_vec();
    Ok(match tensor.data() {
        Data::Bool(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::Uint8(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::Uint16(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::Uint32(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::Uint64(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::Int8(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::Int16(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::Int32(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::Int64(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::Fp32(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::Fp64(values) => TensorRef::from_array_view((shape(), values.as_slice()))?.into(),
        Data::String(values) => Tensor::from_string_array((shape(), values.as_slice()))?.into(),
    })
}

/// A copy of the values, which must be of type `dtype`.
pub(super) fn from_library(value: &DynValue, dtype: Dtype) -> Result<Ours, String> {
    if dtype == Dtype::String {
        let (shape, strings) = value.try_extract_strings().map_err(|error| error.to_string())?;
        return ours(shape, Data::String(strings));
    }
    match dtype {
        Dtype::Bool => numbers(value, Data::Bool),
        Dtype::Uint8 => numbers(value, Data::Uint8),
        Dtype::Uint16 => numbers(value, Data::Uint16),
        Dtype::Uint32 => numbers(value, Data::Uint32),
        Dtype::Uint64 => numbers(value, Data::Uint64),
        Dtype::Int8 => numbers(value, Data::Int8),
        Dtype::Int16 => numbers(value, Data::Int16),
        Dtype::Int32 => numbers(value, Data::Int32),
        Dtype::Int64 => numbers(value, Data::Int64),
        Dtype::Fp32 => numbers(value, Data::Fp32),
        Dtype::Fp64 => numbers(value, Data::Fp64),
        Dtype::String => Err("strings are no numbers".to_owned()),
    }
}

fn numbers<T: PrimitiveTensorElementType + Clone>(value: &DynValue, data: fn(Vec<T>) -> Data) -> Result<Ours, String> {
    let (shape, values) = value.try_extract_tensor::<T>().map_err(|error| error.to_string())?;
    ours(shape, data(values.to_vec()))
}

fn ours(shape: &[i64], data: Data) -> Result<Ours, String> {
    let size = |&size: &i64| usize::try_from(size).map_err(|_| format!("an axis of size {size}"));
    let shape = shape.iter().map(size).collect::<Result<Vec<_>, _>>()?;
    Ours::new(shape, data).map_err(|error| error.to_string())
}
