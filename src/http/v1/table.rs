//! The rows read so far, a column an input.

use serde::de;

use super::target::Plan;
use crate::http::json::{Faults, expected_value};
use crate::model::TensorSpec;
use crate::tensor::{Data, NamedTensor, Tensor};

/// The rows so far.
pub(super) struct Table<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) columns: Vec<Column>,
    /// Which features the current row has given.
    seen: Vec<bool>,
    pub(super) n_rows: usize,
}

/// The values of one input.
pub(super) struct Column {
    pub(super) data: Data,
    /// The sizes behind the row axis; those that vary are settled by the first row.
    dims: Vec<Option<usize>>,
    /// Where the current row starts.
    pub(super) base: usize,
    /// Whether the current row gave the input as a whole.
    pub(super) is_given: bool,
}

impl<'a> Table<'a> {
    pub(super) fn new(plan: &'a Plan<'a>) -> Self {
        let column = |spec: &TensorSpec| Column {
            data: Data::with_capacity(spec.datatype, 0),
            dims: spec.shape.iter().skip(1).copied().collect(),
            base: 0,
            is_given: false,
        };
        let columns = plan.signature.inputs.iter().map(column).collect();
        Self { plan, columns, seen: vec![false; plan.signature.features.len()], n_rows: 0 }
    }

    /// Starts a row. Values that features will fill start as missing, those of maps as zeros.
    pub(super) fn start_row(&mut self) {
        self.seen.fill(false);
        let specs = self.plan.signature.inputs.iter().zip(&self.plan.is_map);
        for (column, (spec, is_map)) in self.columns.iter_mut().zip(specs) {
            column.base = column.data.len();
            column.is_given = false;
            match (spec.row_len(), is_map) {
                (Some(row_len), true) => column.data.extend_zeros(row_len),
                (Some(row_len), false) => extend_missing(&mut column.data, row_len),
                (None, _) => {}
            }
        }
        self.n_rows += 1;
    }

    /// Where a feature's value of this row goes; `None` where it has been given.
    pub(super) fn feature_place(&mut self, feature: usize) -> Option<(&mut Data, usize)> {
        let (input, offset, _) = self.plan.place(feature)?;
        let column = self.columns.get_mut(input)?;
        let seen = self.seen.get_mut(feature)?;
        if *seen || column.is_given {
            return None;
        }
        *seen = true;
        Some((&mut column.data, column.base + offset))
    }

    /// The column of an input that this row gives as a whole; `None` where a part of it has been given.
    pub(super) fn input_place(&mut self, input: usize) -> Option<&mut Column> {
        if !self.is_free(input) {
            return None;
        }
        let column = self.columns.get_mut(input)?;
        column.is_given = true;
        Some(column)
    }

    /// Whether nothing of `input` has been given in this row.
    fn is_free(&self, input: usize) -> bool {
        let is_given = self.columns.get(input).is_none_or(|column| column.is_given);
        let mut seen = self.seen.iter().zip(&self.plan.feature_inputs);
        !is_given && !seen.any(|(seen, of)| *seen && *of == input)
    }

    /// Ends a row: everything that must be there is.
    pub(super) fn end_row<E: de::Error>(&self, faults: &Faults) -> Result<(), E> {
        for (index, feature) in self.plan.signature.features.iter().enumerate() {
            let is_seen = self.seen.get(index).is_some_and(|seen| *seen);
            let Some((input, _, dtype)) = self.plan.place(index) else { continue };
            let is_given = self.columns.get(input).is_some_and(|column| column.is_given);
            let is_map = self.plan.is_map.get(input).is_some_and(|is_map| *is_map);
            let may_be_missing = feature.optional && (dtype.holds_missing() || is_map);
            if !is_seen && !is_given && !may_be_missing {
                let expected = expected_value(dtype);
                return Err(faults.raise_at(format!(".{}", feature.name), expected, "nothing"));
            }
        }
        for ((column, spec), is_covered) in
            self.columns.iter().zip(&self.plan.signature.inputs).zip(&self.plan.is_covered)
        {
            if !column.is_given && !is_covered {
                return Err(faults.raise_at(format!(".{}", spec.name), "a value", "nothing"));
            }
        }
        Ok(())
    }

    pub(super) fn into_tensors<E: de::Error>(self, faults: &Faults) -> Result<Vec<NamedTensor>, E> {
        let n_rows = self.n_rows;
        let named = |(column, spec): (Column, &TensorSpec)| {
            let Column { data, dims, .. } = column;
            let shape = std::iter::once(n_rows).chain(dims.into_iter().map(|dim| dim.unwrap_or(0))).collect();
            let tensor = Tensor::new(shape, data).map_err(|error| faults.raise("rows of one shape", error.to_string()));
            Ok(NamedTensor { name: spec.name.clone(), tensor: tensor? })
        };
        self.columns.into_iter().zip(&self.plan.signature.inputs).map(named).collect()
    }
}

impl Column {
    /// How many axes there are behind the row axis.
    pub(super) fn n_dims(&self) -> usize {
        self.dims.len()
    }

    /// Holds the shape of a value for the whole input against what it must be; sizes that vary are settled.
    pub(super) fn check_dims<E: de::Error>(&mut self, faults: &Faults, dims: &[usize]) -> Result<(), E> {
        let is_one = dims.is_empty() && self.dims.iter().all(|dim| *dim == Some(1));
        let fits = self.dims.len() == dims.len()
            && self.dims.iter().zip(dims).all(|(want, got)| want.is_none_or(|want| want == *got));
        if !is_one && !fits {
            let want: Vec<_> =
                self.dims.iter().map(|dim| dim.map_or_else(|| "-1".to_owned(), |dim| dim.to_string())).collect();
            return Err(faults.raise(format!("values of shape [{}]", want.join(", ")), format!("shape {dims:?}")));
        }
        for (want, got) in self.dims.iter_mut().zip(dims) {
            *want = Some(*got);
        }
        Ok(())
    }
}

/// Appends `n` missing values; zeros where the type cannot say so.
fn extend_missing(data: &mut Data, n: usize) {
    let len = data.len() + n;
    match data {
        Data::Fp32(values) => values.resize(len, f32::NAN),
        Data::Fp64(values) => values.resize(len, f64::NAN),
        other => other.extend_zeros(n),
    }
}
