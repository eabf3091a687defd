//! ONNX tensors as ours.

use super::kernel::OpError;
use super::onnx::{DataType, TensorProto};
use crate::tensor::{Data, Dtype, Tensor};

/// The element type of ONNX type `elem_type`.
pub(super) fn dtype(elem_type: i64) -> Result<Dtype, OpError> {
    let known = i32::try_from(elem_type).ok().and_then(|elem_type| DataType::try_from(elem_type).ok());
    Ok(match known {
        Some(DataType::Float) => Dtype::Fp32,
        Some(DataType::Double) => Dtype::Fp64,
        Some(DataType::String) => Dtype::String,
        Some(DataType::Bool) => Dtype::Bool,
        Some(DataType::Uint8) => Dtype::Uint8,
        Some(DataType::Uint16) => Dtype::Uint16,
        Some(DataType::Uint32) => Dtype::Uint32,
        Some(DataType::Uint64) => Dtype::Uint64,
        Some(DataType::Int8) => Dtype::Int8,
        Some(DataType::Int16) => Dtype::Int16,
        Some(DataType::Int32) => Dtype::Int32,
        Some(DataType::Int64) => Dtype::Int64,
        Some(other) => return OpError::unknown(format!("values of ONNX type {other:?}")),
        None => return OpError::unknown(format!("values of ONNX type {elem_type}")),
    })
}

/// The values of `proto`, whose sizes the format's check has held against its values.
pub(super) fn read(proto: &TensorProto) -> Result<Tensor, OpError> {
    let shape = proto.dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| OpError::Bad(format!("a tensor of shape {:?}", proto.dims)))?;
    let raw = proto.raw_data.as_slice();
    let data = if raw.is_empty() { typed(proto)? } else { untyped(proto, raw)? };
    Tensor::new(shape, data).map_err(|error| OpError::Bad(error.to_string()))
}

fn untyped(proto: &TensorProto, raw: &[u8]) -> Result<Data, OpError> {
    Ok(match dtype(proto.data_type.into())? {
        Dtype::Bool => Data::Bool(raw.iter().map(|&value| value != 0).collect()),
        Dtype::Uint8 => Data::Uint8(raw.to_vec()),
        Dtype::Int8 => Data::Int8(raw.iter().map(|&value| i8::from_le_bytes([value])).collect()),
        Dtype::Uint16 => Data::Uint16(raw.as_chunks().0.iter().map(|&chunk| u16::from_le_bytes(chunk)).collect()),
        Dtype::Uint32 => Data::Uint32(raw.as_chunks().0.iter().map(|&chunk| u32::from_le_bytes(chunk)).collect()),
        Dtype::Uint64 => Data::Uint64(raw.as_chunks().0.iter().map(|&chunk| u64::from_le_bytes(chunk)).collect()),
        Dtype::Int16 => Data::Int16(raw.as_chunks().0.iter().map(|&chunk| i16::from_le_bytes(chunk)).collect()),
        Dtype::Int32 => Data::Int32(raw.as_chunks().0.iter().map(|&chunk| i32::from_le_bytes(chunk)).collect()),
        Dtype::Int64 => Data::Int64(raw.as_chunks().0.iter().map(|&chunk| i64::from_le_bytes(chunk)).collect()),
        Dtype::Fp32 => Data::Fp32(raw.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()),
        Dtype::Fp64 => Data::Fp64(raw.as_chunks().0.iter().map(|&chunk| f64::from_le_bytes(chunk)).collect()),
        Dtype::String => return OpError::bad("strings as raw data"),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ONNX keeps narrow types in wider fields; the low bits are the value"
)]
fn typed(proto: &TensorProto) -> Result<Data, OpError> {
    let (ints, wide) = (&proto.int32_data, &proto.uint64_data);
    Ok(match dtype(proto.data_type.into())? {
        Dtype::Bool => Data::Bool(ints.iter().map(|&value| value != 0).collect()),
        Dtype::Uint8 => Data::Uint8(ints.iter().map(|&value| value as u8).collect()),
        Dtype::Int8 => Data::Int8(ints.iter().map(|&value| value as i8).collect()),
        Dtype::Uint16 => Data::Uint16(ints.iter().map(|&value| value as u16).collect()),
        Dtype::Int16 => Data::Int16(ints.iter().map(|&value| value as i16).collect()),
        Dtype::Int32 => Data::Int32(ints.clone()),
        Dtype::Uint32 => Data::Uint32(wide.iter().map(|&value| value as u32).collect()),
        Dtype::Uint64 => Data::Uint64(wide.clone()),
        Dtype::Int64 => Data::Int64(proto.int64_data.clone()),
        Dtype::Fp32 => Data::Fp32(proto.float_data.clone()),
        Dtype::Fp64 => Data::Fp64(proto.double_data.clone()),
        Dtype::String => {
            let texts = proto.string_data.iter().map(|text| String::from_utf8(text.clone()));
            Data::String(
                texts.collect::<Result<_, _>>().map_err(|_| OpError::Bad("text that is not UTF-8".to_owned()))?,
            )
        }
    })
}
