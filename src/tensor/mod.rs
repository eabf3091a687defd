//! Typed, row-major tensors and the batches made of them.
//!
//! This module is vocabulary: it knows no model, no engine and no protocol. Axis 0 of every tensor is the row axis, so
//! requests can be joined ([`Tensor::concat_rows`]) and answers taken apart again ([`Tensor::slice_rows`]).

mod dtype;
mod json;

pub use dtype::{Dtype, UnknownDtype};
pub use json::{NamedTensor, parse_float_token};

use std::ops::Range;

/// The values of a tensor, row-major. Strings are UTF-8; an empty string is a missing category.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the dtype of the same name")]
pub enum Data {
    Bool(Vec<bool>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    String(Vec<String>),
}

/// Runs `$body` with `$values` bound to the vector inside `$data`, whatever its type.
macro_rules! each_dtype {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            Data::Bool($values) => $body,
            Data::Uint8($values) => $body,
            Data::Uint16($values) => $body,
            Data::Uint32($values) => $body,
            Data::Uint64($values) => $body,
            Data::Int8($values) => $body,
            Data::Int16($values) => $body,
            Data::Int32($values) => $body,
            Data::Int64($values) => $body,
            Data::Fp32($values) => $body,
            Data::Fp64($values) => $body,
            Data::String($values) => $body,
        }
    };
}

/// As [`each_dtype`], giving back a [`Data`] of the same type.
macro_rules! map_dtype {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            Data::Bool($values) => Data::Bool($body),
            Data::Uint8($values) => Data::Uint8($body),
            Data::Uint16($values) => Data::Uint16($body),
            Data::Uint32($values) => Data::Uint32($body),
            Data::Uint64($values) => Data::Uint64($body),
            Data::Int8($values) => Data::Int8($body),
            Data::Int16($values) => Data::Int16($body),
            Data::Int32($values) => Data::Int32($body),
            Data::Int64($values) => Data::Int64($body),
            Data::Fp32($values) => Data::Fp32($body),
            Data::Fp64($values) => Data::Fp64($body),
            Data::String($values) => Data::String($body),
        }
    };
}

impl Data {
    /// No values of type `dtype`, with room for `capacity`.
    pub fn with_capacity(dtype: Dtype, capacity: usize) -> Self {
        match dtype {
            Dtype::Bool => Self::Bool(Vec::with_capacity(capacity)),
            Dtype::Uint8 => Self::Uint8(Vec::with_capacity(capacity)),
            Dtype::Uint16 => Self::Uint16(Vec::with_capacity(capacity)),
            Dtype::Uint32 => Self::Uint32(Vec::with_capacity(capacity)),
            Dtype::Uint64 => Self::Uint64(Vec::with_capacity(capacity)),
            Dtype::Int8 => Self::Int8(Vec::with_capacity(capacity)),
            Dtype::Int16 => Self::Int16(Vec::with_capacity(capacity)),
            Dtype::Int32 => Self::Int32(Vec::with_capacity(capacity)),
            Dtype::Int64 => Self::Int64(Vec::with_capacity(capacity)),
            Dtype::Fp32 => Self::Fp32(Vec::with_capacity(capacity)),
            Dtype::Fp64 => Self::Fp64(Vec::with_capacity(capacity)),
            Dtype::String => Self::String(Vec::with_capacity(capacity)),
        }
    }

    /// `n` values of type `dtype` that are missing; `None` for types that cannot say so.
    pub fn missing(dtype: Dtype, n: usize) -> Option<Self> {
        match dtype {
            Dtype::Fp32 => Some(Self::Fp32(vec![f32::NAN; n])),
            Dtype::Fp64 => Some(Self::Fp64(vec![f64::NAN; n])),
            Dtype::String => Some(Self::String(vec![String::new(); n])),
            _ => None,
        }
    }

    /// `n` zeros of type `dtype`: empty strings, flags that are false.
    pub fn zeros(dtype: Dtype, n: usize) -> Self {
        let mut zeros = Self::with_capacity(dtype, n);
        zeros.extend_zeros(n);
        zeros
    }

    /// Makes room for `n` more values at once, where there is such room; else it is made as values come.
    pub fn make_room(&mut self, n: usize) {
        each_dtype!(self, values => drop(values.try_reserve_exact(n)));
    }

    /// Appends `n` zeros.
    pub fn extend_zeros(&mut self, n: usize) {
        each_dtype!(self, values => values.resize(values.len() + n, Default::default()));
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::Bool(_) => Dtype::Bool,
            Self::Uint8(_) => Dtype::Uint8,
            Self::Uint16(_) => Dtype::Uint16,
            Self::Uint32(_) => Dtype::Uint32,
            Self::Uint64(_) => Dtype::Uint64,
            Self::Int8(_) => Dtype::Int8,
            Self::Int16(_) => Dtype::Int16,
            Self::Int32(_) => Dtype::Int32,
            Self::Int64(_) => Dtype::Int64,
            Self::Fp32(_) => Dtype::Fp32,
            Self::Fp64(_) => Dtype::Fp64,
            Self::String(_) => Dtype::String,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        each_dtype!(self, values => values.len())
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Value `index` as a 64-bit float; `None` for strings and beyond the end.
    #[expect(clippy::cast_precision_loss, reason = "observers bin values; 53 bits are enough for that")]
    pub fn as_f64(&self, index: usize) -> Option<f64> {
        match self {
            Self::Bool(values) => values.get(index).map(|&value| f64::from(u8::from(value))),
            Self::Uint8(values) => values.get(index).map(|&value| f64::from(value)),
            Self::Uint16(values) => values.get(index).map(|&value| f64::from(value)),
            Self::Uint32(values) => values.get(index).map(|&value| f64::from(value)),
            Self::Uint64(values) => values.get(index).map(|&value| value as f64),
            Self::Int8(values) => values.get(index).map(|&value| f64::from(value)),
            Self::Int16(values) => values.get(index).map(|&value| f64::from(value)),
            Self::Int32(values) => values.get(index).map(|&value| f64::from(value)),
            Self::Int64(values) => values.get(index).map(|&value| value as f64),
            Self::Fp32(values) => values.get(index).map(|&value| f64::from(value)),
            Self::Fp64(values) => values.get(index).copied(),
            Self::String(_) => None,
        }
    }

    /// The values at `places`, in that order.
    ///
    /// # Panics
    /// Where a place is beyond the end.
    #[must_use]
    pub fn pick(&self, places: impl Iterator<Item = usize>) -> Self {
        map_dtype!(self, values => places.map(|place| &values[place]).cloned().collect())
    }

    /// Blocks of `len` values from each of `starts`, in that order.
    ///
    /// # Panics
    /// Where a block goes beyond the end.
    #[must_use]
    pub fn pick_blocks(&self, starts: impl Iterator<Item = usize>, len: usize) -> Self {
        map_dtype!(self, values => {
            let mut picked = Vec::with_capacity(starts.size_hint().0.saturating_mul(len));
            starts.for_each(|start| picked.extend_from_slice(&values[start..start + len]));
            picked
        })
    }

    /// Appends the values `range` of `other`; says whether both have one type.
    ///
    /// # Panics
    /// Where the range goes beyond the end.
    #[must_use]
    pub fn append_range(&mut self, other: &Self, range: Range<usize>) -> bool {
        match (self, other) {
            (Self::Bool(to), Self::Bool(from)) => to.extend_from_slice(&from[range]),
            (Self::Uint8(to), Self::Uint8(from)) => to.extend_from_slice(&from[range]),
            (Self::Uint16(to), Self::Uint16(from)) => to.extend_from_slice(&from[range]),
            (Self::Uint32(to), Self::Uint32(from)) => to.extend_from_slice(&from[range]),
            (Self::Uint64(to), Self::Uint64(from)) => to.extend_from_slice(&from[range]),
            (Self::Int8(to), Self::Int8(from)) => to.extend_from_slice(&from[range]),
            (Self::Int16(to), Self::Int16(from)) => to.extend_from_slice(&from[range]),
            (Self::Int32(to), Self::Int32(from)) => to.extend_from_slice(&from[range]),
            (Self::Int64(to), Self::Int64(from)) => to.extend_from_slice(&from[range]),
            (Self::Fp32(to), Self::Fp32(from)) => to.extend_from_slice(&from[range]),
            (Self::Fp64(to), Self::Fp64(from)) => to.extend_from_slice(&from[range]),
            (Self::String(to), Self::String(from)) => to.extend_from_slice(&from[range]),
            _ => return false,
        }
        true
    }

    fn slice(&self, range: Range<usize>) -> Self {
        map_dtype!(self, values => values[range].to_vec())
    }
}

/// Why a tensor cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The shape's product is not the number of values.
    #[error("shape {shape:?} takes {expected} values, got {got}")]
    Length {
        /// The shape asked for.
        shape: Vec<usize>,
        /// Its product.
        expected: u128,
        /// How many values came.
        got: usize,
    },
    /// Tensors to join differ in type or in the shape behind axis 0.
    #[error("tensors to join differ in type or row shape: {0}")]
    Join(String),
}

/// A row-major tensor: `data.len()` equals the product of `shape`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// A tensor of `shape` over `data`.
    ///
    /// # Errors
    /// [`TensorError::Length`] where the product of `shape` is not the number of values, or the other sizes beside an empty axis
    /// span more than memory has: no product of sizes of a tensor wraps.
    pub fn new(shape: Vec<usize>, data: Data) -> Result<Self, TensorError> {
        let is_countable = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim.max(1))).is_some();
        if is_countable && shape.iter().product::<usize>() == data.len() {
            return Ok(Self { shape, data });
        }
        let counted = |dim: usize| if is_countable { dim } else { dim.max(1) } as u128;
        let expected = shape.iter().fold(1_u128, |product, &dim| product.saturating_mul(counted(dim)));
        Err(TensorError::Length { shape, expected, got: data.len() })
    }

    /// One value a row: shape `[n_rows, 1]`.
    pub fn column(data: Data) -> Self {
        Self { shape: vec![data.len(), 1], data }
    }

    /// One value a row: shape `[n_rows]`.
    pub fn vector(data: Data) -> Self {
        Self { shape: vec![data.len()], data }
    }

    /// The sizes of the axes, rows first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values, row-major.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The values, row-major, without the shape.
    pub fn into_data(self) -> Data {
        self.data
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        self.data.dtype()
    }

    /// The size of axis 0; a scalar has one row.
    pub fn n_rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Values in one row; as many as can be counted where there are no rows.
    pub fn row_len(&self) -> usize {
        self.shape.iter().skip(1).fold(1, |product: usize, &dim| product.saturating_mul(dim))
    }

    /// The values as `f32`, if that is their type.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Fp32(values) => Some(values),
            _ => None,
        }
    }

    /// The values as strings, if that is their type.
    pub fn as_strings(&self) -> Option<&[String]> {
        match &self.data {
            Data::String(values) => Some(values),
            _ => None,
        }
    }

    /// A copy of rows `range`; the range is clamped to the rows that exist.
    #[must_use]
    pub fn slice_rows(&self, range: Range<usize>) -> Self {
        let n_rows = self.n_rows();
        let (start, end) = (range.start.min(n_rows), range.end.min(n_rows));
        let row_len = self.row_len();
        let mut shape = self.shape.clone();
        if let Some(rows) = shape.first_mut() {
            *rows = end.saturating_sub(start);
        }
        let data = self.data.slice(start * row_len..end.max(start) * row_len);
        Self { shape, data }
    }

    /// Joins tensors on axis 0.
    ///
    /// # Errors
    /// [`TensorError::Join`] where there are none, or they differ in type or in the shape behind axis 0.
    pub fn concat_rows(parts: &[&Self]) -> Result<Self, TensorError> {
        let Some((first, rest)) = parts.split_first() else {
            return Err(TensorError::Join("no tensors".to_owned()));
        };
        let mut shape = first.shape.clone();
        let mut data = Data::with_capacity(first.dtype(), parts.iter().map(|part| part.data.len()).sum());
        let mut fits = data.append_range(&first.data, 0..first.data.len());
        for part in rest {
            fits &= part.shape.get(1..) == first.shape.get(1..) && data.append_range(&part.data, 0..part.data.len());
            if !fits {
                let message = format!("{} {:?} and {} {:?}", first.dtype(), first.shape, part.dtype(), part.shape);
                return Err(TensorError::Join(message));
            }
        }
        if let Some(rows) = shape.first_mut() {
            *rows = parts.iter().map(|part| part.n_rows()).sum();
        }
        Ok(Self { shape, data })
    }

    /// The same values in another shape.
    ///
    /// # Errors
    /// [`TensorError::Length`] where `shape` takes another number of values.
    pub fn reshaped(self, shape: Vec<usize>) -> Result<Self, TensorError> {
        Self::new(shape, self.data)
    }
}

/// Joins lists of tensors on axis 0: `lists[l][i]` is tensor `i` of list `l`. `None` where there are none, or they do not fit
/// together (a dimension behind axis 0 differs).
pub fn join_rows(lists: &[&[Tensor]]) -> Option<Vec<Tensor>> {
    let n_tensors = lists.first()?.len();
    let join = |index: usize| {
        let parts: Option<Vec<&Tensor>> = lists.iter().map(|list| list.get(index)).collect();
        Tensor::concat_rows(&parts?).ok()
    };
    (0..n_tensors).map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_must_hold_exactly_its_values() {
        assert!(Tensor::new(vec![2, 3], Data::Fp32(vec![0.0; 6])).is_ok());
        let error = Tensor::new(vec![2, 3], Data::Fp32(vec![0.0; 5])).unwrap_err();
        assert_eq!(error.to_string(), "shape [2, 3] takes 6 values, got 5");
    }

    #[test]
    fn a_shape_whose_product_wraps_is_refused() {
        let shape = vec![1 << 33, 1 << 31];
        assert!(Tensor::new(shape, Data::Int64(Vec::new())).is_err());
        assert!(Tensor::new(vec![usize::MAX, usize::MAX, usize::MAX], Data::Int64(vec![1])).is_err());
        assert!(Tensor::new(vec![0, usize::MAX, 2], Data::Int64(Vec::new())).is_err());
        let none = Tensor::new(vec![0, usize::MAX], Data::Int64(Vec::new())).unwrap();
        assert_eq!((none.row_len(), none.slice_rows(0..3).n_rows()), (usize::MAX, 0));
    }

    #[test]
    fn joined_rows_come_apart_again() {
        let a = Tensor::new(vec![1, 2], Data::Int64(vec![1, 2])).unwrap();
        let b = Tensor::new(vec![2, 2], Data::Int64(vec![3, 4, 5, 6])).unwrap();
        let joined = Tensor::concat_rows(&[&a, &b]).unwrap();
        assert_eq!(joined.shape(), [3, 2]);
        assert_eq!(joined.slice_rows(0..1), a);
        assert_eq!(joined.slice_rows(1..3), b);
    }

    #[test]
    fn tensors_of_other_types_do_not_join() {
        let a = Tensor::column(Data::Int64(vec![1]));
        let b = Tensor::column(Data::Fp32(vec![1.0]));
        assert!(Tensor::concat_rows(&[&a, &b]).is_err());
    }
}
