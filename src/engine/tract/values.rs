//! Between our tensors and the library's.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::tract_ndarray::ArrayD;
use tract_onnx::tract_hir::internal::{IntoTensor, TractResult};

use crate::tensor::{Data, Dtype, Tensor as Ours};

pub(in crate::engine) fn datum_type(dtype: Dtype) -> DatumType {
    match dtype {
        Dtype::Bool => DatumType::Bool,
        Dtype::Uint8 => DatumType::U8,
        Dtype::Uint16 => DatumType::U16,
        Dtype::Uint32 => DatumType::U32,
        Dtype::Uint64 => DatumType::U64,
        Dtype::Int8 => DatumType::I8,
        Dtype::Int16 => DatumType::I16,
        Dtype::Int32 => DatumType::I32,
        Dtype::Int64 => DatumType::I64,
        Dtype::Fp32 => DatumType::F32,
        Dtype::Fp64 => DatumType::F64,
        Dtype::String => DatumType::String,
    }
}

/// Our element type for the library's, where there is one.
pub(in crate::engine) fn dtype(dtype: DatumType) -> Option<Dtype> {
    Dtype::ALL.into_iter().find(|&ours| datum_type(ours) == dtype)
}

/// The library's copy of `ours`.
pub(in crate::engine) fn to_library(ours: &Ours) -> TractResult<Tensor> {
    let shape = ours.shape();
    match ours.data() {
        Data::Bool(values) => Tensor::from_shape(shape, values),
        Data::Uint8(values) => Tensor::from_shape(shape, values),
        Data::Uint16(values) => Tensor::from_shape(shape, values),
        Data::Uint32(values) => Tensor::from_shape(shape, values),
        Data::Uint64(values) => Tensor::from_shape(shape, values),
        Data::Int8(values) => Tensor::from_shape(shape, values),
        Data::Int16(values) => Tensor::from_shape(shape, values),
        Data::Int32(values) => Tensor::from_shape(shape, values),
        Data::Int64(values) => Tensor::from_shape(shape, values),
        Data::Fp32(values) => Tensor::from_shape(shape, values),
        Data::Fp64(values) => Tensor::from_shape(shape, values),
        Data::String(values) => Ok(ArrayD::from_shape_vec(shape, values.clone())?.into_tensor()),
    }
}

fn values<T: Datum + Clone>(tensor: &Tensor) -> TractResult<Vec<T>> {
    Ok(tensor.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}

/// The values of `tensor`, cast to `dtype` where the library computed in another type (labels may come as dimensions).
pub(in crate::engine) fn from_library(tensor: &Tensor, dtype: Dtype) -> TractResult<Data> {
    let cast = tensor.cast_to_dt(datum_type(dtype))?;
    Ok(match dtype {
        Dtype::Bool => Data::Bool(values(&cast)?),
        Dtype::Uint8 => Data::Uint8(values(&cast)?),
        Dtype::Uint16 => Data::Uint16(values(&cast)?),
        Dtype::Uint32 => Data::Uint32(values(&cast)?),
        Dtype::Uint64 => Data::Uint64(values(&cast)?),
        Dtype::Int8 => Data::Int8(values(&cast)?),
        Dtype::Int16 => Data::Int16(values(&cast)?),
        Dtype::Int32 => Data::Int32(values(&cast)?),
        Dtype::Int64 => Data::Int64(values(&cast)?),
        Dtype::Fp32 => Data::Fp32(values(&cast)?),
        Dtype::Fp64 => Data::Fp64(values(&cast)?),
        Dtype::String => Data::String(values(&cast)?),
    })
}
