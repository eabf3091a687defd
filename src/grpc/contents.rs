//! Tensors in messages: raw, as bytes beside the tensors, or typed, as their contents.

use prost::bytes::Bytes;

use super::inference::InferTensorContents;
use crate::oip::raw::{self, RawFault};
use crate::tensor::{Data, Dtype};

/// How many values `contents` have; those of a type that is not set are none.
fn n_set(contents: &InferTensorContents) -> usize {
    let InferTensorContents {
        bool_contents,
        int_contents,
        int64_contents,
        uint_contents,
        uint64_contents,
        fp32_contents,
        fp64_contents,
        bytes_contents,
    } = contents;
    let lens = [
        bool_contents.len(),
        int_contents.len(),
        int64_contents.len(),
        uint_contents.len(),
        uint64_contents.len(),
        fp32_contents.len(),
        fp64_contents.len(),
        bytes_contents.len(),
    ];
    lens.into_iter().sum()
}

/// Whether `contents` hold any value.
pub(super) fn is_set(contents: &InferTensorContents) -> bool {
    0 < n_set(contents)
}

/// Reads `n_values` values out of typed contents.
///
/// # Errors
/// [`RawFault`] where they are not as many, lie in the list of another type, or are out of their type's range.
pub(super) fn read(dtype: Dtype, n_values: usize, contents: &InferTensorContents) -> Result<Data, RawFault> {
    let data = match dtype {
        Dtype::Bool => Data::Bool(contents.bool_contents.clone()),
        Dtype::Uint8 => Data::Uint8(narrowed(&contents.uint_contents, dtype)?),
        Dtype::Uint16 => Data::Uint16(narrowed(&contents.uint_contents, dtype)?),
        Dtype::Uint32 => Data::Uint32(contents.uint_contents.clone()),
        Dtype::Uint64 => Data::Uint64(contents.uint64_contents.clone()),
        Dtype::Int8 => Data::Int8(narrowed(&contents.int_contents, dtype)?),
        Dtype::Int16 => Data::Int16(narrowed(&contents.int_contents, dtype)?),
        Dtype::Int32 => Data::Int32(contents.int_contents.clone()),
        Dtype::Int64 => Data::Int64(contents.int64_contents.clone()),
        Dtype::Fp32 => Data::Fp32(contents.fp32_contents.clone()),
        Dtype::Fp64 => Data::Fp64(contents.fp64_contents.clone()),
        Dtype::String => {
            let texts = contents.bytes_contents.iter().enumerate().map(|(at, bytes)| raw::text_of(bytes, at));
            Data::String(texts.collect::<Result<_, _>>()?)
        }
    };
    if data.len() == n_values && n_set(contents) == n_values {
        return Ok(data);
    }
    let expected = format!("{n_values} values in {}", list_of(dtype));
    let got = format!("{} there and {} elsewhere", data.len(), n_set(contents).saturating_sub(data.len()));
    Err(RawFault { expected, got })
}

fn narrowed<W: Copy, N: TryFrom<W>>(wide: &[W], dtype: Dtype) -> Result<Vec<N>, RawFault> {
    let narrow = |&value: &W| {
        let fault = || RawFault { expected: format!("values in the range of {dtype}"), got: "one beyond".to_owned() };
        N::try_from(value).map_err(|_| fault())
    };
    wide.iter().map(narrow).collect()
}

fn list_of(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "bool_contents",
        Dtype::Uint8 | Dtype::Uint16 | Dtype::Uint32 => "uint_contents",
        Dtype::Uint64 => "uint64_contents",
        Dtype::Int8 | Dtype::Int16 | Dtype::Int32 => "int_contents",
        Dtype::Int64 => "int64_contents",
        Dtype::Fp32 => "fp32_contents",
        Dtype::Fp64 => "fp64_contents",
        Dtype::String => "bytes_contents",
    }
}

/// `data` as typed contents.
pub(crate) fn typed(data: &Data) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    match data {
        Data::Bool(values) => contents.bool_contents.clone_from(values),
        Data::Uint8(values) => contents.uint_contents = widened(values),
        Data::Uint16(values) => contents.uint_contents = widened(values),
        Data::Uint32(values) => contents.uint_contents.clone_from(values),
        Data::Uint64(values) => contents.uint64_contents.clone_from(values),
        Data::Int8(values) => contents.int_contents = widened(values),
        Data::Int16(values) => contents.int_contents = widened(values),
        Data::Int32(values) => contents.int_contents.clone_from(values),
        Data::Int64(values) => contents.int64_contents.clone_from(values),
        Data::Fp32(values) => contents.fp32_contents.clone_from(values),
        Data::Fp64(values) => contents.fp64_contents.clone_from(values),
        Data::String(values) => {
            contents.bytes_contents = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
        }
    }
    contents
}

fn widened<N: Copy, W: From<N>>(narrow: &[N]) -> Vec<W> {
    narrow.iter().map(|&value| W::from(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_reads_back() {
        let all = [
            Data::Bool(vec![true, false]),
            Data::Uint8(vec![0, 255]),
            Data::Uint16(vec![1, u16::MAX]),
            Data::Uint32(vec![1, u32::MAX]),
            Data::Uint64(vec![1, u64::MAX]),
            Data::Int8(vec![-1, i8::MIN]),
            Data::Int16(vec![-1, i16::MIN]),
            Data::Int32(vec![-1, i32::MIN]),
            Data::Int64(vec![-1, i64::MIN]),
            Data::Fp32(vec![-0.1, f32::INFINITY]),
            Data::Fp64(vec![-0.1, f64::NEG_INFINITY]),
            Data::String(vec![String::new(), "Köln".to_owned()]),
        ];
        for data in all {
            assert_eq!(read(data.dtype(), 2, &typed(&data)), Ok(data));
        }
    }

    #[test]
    fn values_of_another_number_list_or_range_are_refused() {
        let contents = typed(&Data::Int32(vec![1, 300]));
        let message = |dtype, n_values| {
            let RawFault { expected, got } = read(dtype, n_values, &contents).unwrap_err();
            format!("{expected} / {got}")
        };
        assert_eq!(message(Dtype::Int32, 3), "3 values in int_contents / 2 there and 0 elsewhere");
        assert_eq!(message(Dtype::Fp32, 2), "2 values in fp32_contents / 0 there and 2 elsewhere");
        assert_eq!(message(Dtype::Int8, 2), "values in the range of INT8 / one beyond");
        let bytes = InferTensorContents { bytes_contents: vec![Bytes::from_static(b"\xff")], ..Default::default() };
        assert!(read(Dtype::String, 1, &bytes).is_err());
    }
}
