//! Tensors as JSON that is always valid: a float that is not finite is `null`.

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use crate::tensor::{Data, Tensor};

/// One value of a tensor.
pub(in crate::http) struct Value<'a> {
    pub(in crate::http) data: &'a Data,
    pub(in crate::http) index: usize,
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let index = self.index;
        // serde_json writes floats in their shortest form, and those that are not finite as null.
        match self.data {
            Data::Bool(values) => values.get(index).serialize(serializer),
            Data::Uint8(values) => values.get(index).serialize(serializer),
            Data::Uint16(values) => values.get(index).serialize(serializer),
            Data::Uint32(values) => values.get(index).serialize(serializer),
            Data::Uint64(values) => values.get(index).serialize(serializer),
            Data::Int8(values) => values.get(index).serialize(serializer),
            Data::Int16(values) => values.get(index).serialize(serializer),
            Data::Int32(values) => values.get(index).serialize(serializer),
            Data::Int64(values) => values.get(index).serialize(serializer),
            Data::Fp32(values) => values.get(index).serialize(serializer),
            Data::Fp64(values) => values.get(index).serialize(serializer),
            Data::String(values) => values.get(index).serialize(serializer),
        }
    }
}

/// All values in row-major order, as one list.
pub(in crate::http) struct Flat<'a>(pub(in crate::http) &'a Data);

impl Serialize for Flat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Data::Bool(values) => values.serialize(serializer),
            Data::Uint8(values) => serializer.collect_seq(values),
            Data::Uint16(values) => values.serialize(serializer),
            Data::Uint32(values) => values.serialize(serializer),
            Data::Uint64(values) => values.serialize(serializer),
            Data::Int8(values) => values.serialize(serializer),
            Data::Int16(values) => values.serialize(serializer),
            Data::Int32(values) => values.serialize(serializer),
            Data::Int64(values) => values.serialize(serializer),
            Data::Fp32(values) => values.serialize(serializer),
            Data::Fp64(values) => values.serialize(serializer),
            Data::String(values) => values.serialize(serializer),
        }
    }
}

/// A tensor, or one row of it, as nested lists.
pub(in crate::http) struct Nested<'a> {
    data: &'a Data,
    dims: &'a [usize],
    start: usize,
    /// The one place of an axis that is wanted.
    row: Option<(usize, usize)>,
}

impl<'a> Nested<'a> {
    /// The whole tensor.
    pub(in crate::http) fn whole(tensor: &'a Tensor) -> Self {
        Self { data: tensor.data(), dims: tensor.shape(), start: 0, row: None }
    }

    /// Row `row` of the rows on `axis`: a bare value where rows have no further axes. `null` beyond the end.
    pub(in crate::http) fn row(tensor: &'a Tensor, axis: usize, row: usize) -> Self {
        Self { row: Some((axis, row)), ..Self::whole(tensor) }
    }
}

impl Serialize for Nested<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { data, dims, start, row } = *self;
        let Some((&n_items, rest)) = dims.split_first() else {
            return Value { data, index: start }.serialize(serializer);
        };
        let stride: usize = rest.iter().product();
        if let Some((0, row)) = row {
            let start = start.saturating_add(row.saturating_mul(stride));
            return Nested { data, dims: rest, start, row: None }.serialize(serializer);
        }
        let row = row.map(|(axis, row)| (axis - 1, row));
        let mut seq = serializer.serialize_seq(Some(n_items))?;
        for item in 0..n_items {
            seq.serialize_element(&Nested { data, dims: rest, start: start + item * stride, row })?;
        }
        seq.end()
    }
}
