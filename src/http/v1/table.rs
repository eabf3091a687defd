//! The rows read so far, a column an input.

use serde::de;

use super::target::Plan;
use crate::http::json::{Faults, clip, expected_value};
use crate::model::{Mismatch, TensorSpec};
use crate::tensor::{Data, NamedTensor, Tensor};

/// What becomes of a name that stands for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Extras {
    /// It is a fault.
    Refused,
    /// It is a column more than the model takes, and passed over; but not in a row that leaves something out, where it may be
    /// that, misspelt.
    PassedOver,
}

/// The rows so far.
pub(in crate::http) struct Table<'a> {
    pub(in crate::http) plan: &'a Plan<'a>,
    pub(super) columns: Vec<Column>,
    extras: Extras,
    /// The first name of the current row that was passed over.
    extra: Option<String>,
    /// Which features the current row has given.
    seen: Vec<bool>,
    pub(in crate::http) n_rows: usize,
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
    pub(in crate::http) fn new(plan: &'a Plan<'a>, extras: Extras) -> Self {
        let column = |spec: &TensorSpec| Column {
            data: Data::with_capacity(spec.datatype, 0),
            dims: spec.shape.iter().skip(1).copied().collect(),
            base: 0,
            is_given: false,
        };
        let columns = plan.signature.inputs.iter().map(column).collect();
        let seen = vec![false; plan.signature.features.len()];
        Self { plan, columns, extras, extra: None, seen, n_rows: 0 }
    }

    /// Starts a row. Values that features will fill start as missing, those of maps as zeros.
    pub(in crate::http) fn start_row(&mut self) {
        self.seen.fill(false);
        self.extra = None;
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

    /// Whether `name`, which stands for nothing, is passed over.
    pub(super) fn passes_over(&mut self, name: &str) -> bool {
        if self.plan.takes_any_name() {
            return true;
        }
        if self.extras == Extras::PassedOver && self.extra.is_none() {
            self.extra = Some(clip(name));
        }
        self.extras == Extras::PassedOver
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

    /// Where value `at` of a row of the only input goes.
    pub(in crate::http) fn part_place(&mut self, at: usize) -> Option<(&mut Data, usize)> {
        let column = self.columns.first_mut()?;
        column.is_given = true;
        Some((&mut column.data, column.base + at))
    }

    /// Whether nothing of `input` has been given in this row.
    fn is_free(&self, input: usize) -> bool {
        let is_given = self.columns.get(input).is_none_or(|column| column.is_given);
        let mut seen = self.seen.iter().zip(&self.plan.feature_inputs);
        !is_given && !seen.any(|(seen, of)| *seen && *of == input)
    }

    /// Ends a row: everything that must be there is.
    pub(in crate::http) fn end_row<E: de::Error>(&self, faults: &Faults) -> Result<(), E> {
        for (index, feature) in self.plan.signature.features.iter().enumerate() {
            let is_seen = self.seen.get(index).is_some_and(|seen| *seen);
            let Some((input, _, dtype)) = self.plan.place(index) else { continue };
            let is_given = self.columns.get(input).is_some_and(|column| column.is_given);
            let is_map = self.plan.is_map.get(input).is_some_and(|is_map| *is_map);
            let may_be_missing = feature.optional && (dtype.holds_missing() || is_map);
            if is_seen || is_given {
                continue;
            }
            if !may_be_missing {
                let expected = expected_value(dtype);
                return Err(faults.raise_at(format!(".{}", feature.name), expected, "nothing"));
            }
            if let Some(extra) = &self.extra {
                return Err(faults.raise_mismatch(stray(self.plan, extra, &feature.name)));
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

    pub(in crate::http) fn into_tensors<E: de::Error>(self, faults: &Faults) -> Result<Vec<NamedTensor>, E> {
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

/// `name` stands for nothing and `left_out` is not there: the one may be the other, misspelt.
pub(in crate::http) fn stray(plan: &Plan<'_>, name: &str, left_out: &str) -> Mismatch {
    let expected =
        format!("{}, since {left_out:?} is left out: give that, or take this column away", plan.known_names());
    Mismatch::new(format!(".{name}"), expected, "an unknown name")
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
