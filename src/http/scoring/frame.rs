//! A table under the names of its columns, whatever it is written in: which column goes where, and the rows that it makes.

use serde::de::{self, DeserializeSeed, Deserializer};

use crate::http::json::{DecodeLimits, Faults, Ignored, ValueSeed, clip};
use crate::http::v1::{Extras, NamedSeed, Plan, Table, Target, stray};
use crate::model::{Feature, Mismatch};
use crate::tensor::{Dtype, NamedTensor};

/// The most columns, those that are passed over included.
pub(super) const COLUMNS_MAX: usize = 65_536;

/// Where a column goes.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// To a feature or an input, by name.
    Named(Target),
    /// To this value of a row of the only input.
    Part(usize),
    /// Nowhere.
    Extra,
}

/// A table that is being read.
pub(super) struct Frame<'a> {
    table: Table<'a>,
    columns: Vec<(String, Place)>,
    rows_max: usize,
}

impl<'a> Frame<'a> {
    /// A table for a model of `plan`, with columns of these names.
    ///
    /// Columns that the model does not know are passed over, unless it leaves out a column that it may: that may be the same one,
    /// misspelt. The model of a bare graph without names of features takes as many columns as its only input has values.
    ///
    /// # Errors
    /// [`Mismatch`], its path relative to the table.
    pub(super) fn new(plan: &'a Plan<'a>, names: Vec<String>, limits: &DecodeLimits) -> Result<Self, Mismatch> {
        if COLUMNS_MAX < names.len() {
            return Err(Mismatch::new("", format!("at most {COLUMNS_MAX} columns"), "more"));
        }
        let place = |(at, name): (usize, &String)| plan.target(name, at).map_or(Place::Extra, Place::Named);
        let mut places: Vec<_> = names.iter().enumerate().map(place).collect();
        let is_unknown = places.iter().all(|place| matches!(place, Place::Extra));
        if is_unknown && is_row_of_only_input(plan, names.len()) {
            places = (0..names.len()).map(Place::Part).collect();
        }
        let columns: Vec<_> = names.into_iter().zip(places).collect();
        check_extras(plan, &columns)?;
        Ok(Self { table: Table::new(plan, Extras::PassedOver), columns, rows_max: plan.rows_max(limits) })
    }

    /// How many columns there are.
    pub(super) fn n_columns(&self) -> usize {
        self.columns.len()
    }

    /// The type of the values that column `at` is read into; `None` where it is passed over.
    pub(super) fn dtype(&self, at: usize) -> Option<Dtype> {
        let plan = self.table.plan;
        match self.columns.get(at)?.1 {
            Place::Named(Target { feature: Some(feature), .. }) => plan.place(feature).map(|(_, _, dtype)| dtype),
            Place::Named(Target { input, .. }) => plan.spec(input?).map(|spec| spec.datatype),
            Place::Part(_) => plan.spec(0).map(|spec| spec.datatype),
            Place::Extra => None,
        }
    }

    /// The number of the row that comes next, from 0.
    pub(super) fn n_rows(&self) -> usize {
        self.table.n_rows
    }

    /// Starts a row.
    pub(super) fn start_row<E: de::Error>(&mut self, faults: &Faults) -> Result<(), E> {
        if self.rows_max <= self.table.n_rows {
            return Err(faults.raise(format!("at most {} rows", self.rows_max), "more"));
        }
        self.table.start_row();
        Ok(())
    }

    /// Reads the value of column `at` in this row.
    pub(super) fn read<'de, D: Deserializer<'de>>(
        &mut self,
        faults: &Faults,
        at: usize,
        value: D,
    ) -> Result<(), D::Error> {
        let Some((name, place)) = self.columns.get(at) else { return Err(self.ragged(faults, "more")) };
        let read = match *place {
            Place::Extra => serde::Deserialize::deserialize(value).map(|_: Ignored| ()),
            Place::Named(target) => NamedSeed { faults, table: &mut self.table, target }.deserialize(value),
            Place::Part(part) => match self.table.part_place(part) {
                Some((data, at)) => ValueSeed::one(faults, data, at).read(value),
                None => Err(faults.raise("a model with one input", "another")),
            },
        };
        read.map_err(|error| faults.within(|| format!(".{}", clip(name)), error))
    }

    /// Ends a row of `n_cells` values.
    pub(super) fn end_row<E: de::Error>(&mut self, faults: &Faults, n_cells: usize) -> Result<(), E> {
        if n_cells != self.columns.len() {
            return Err(self.ragged(faults, &n_cells.to_string()));
        }
        self.table.end_row(faults)
    }

    /// The tensors, after the last row.
    pub(super) fn into_tensors<E: de::Error>(self, faults: &Faults) -> Result<Vec<NamedTensor>, E> {
        if self.table.n_rows == 0 {
            return Err(faults.raise("at least one row", "none"));
        }
        self.table.into_tensors(faults)
    }

    /// A row that has not as many values as there are columns.
    fn ragged<E: de::Error>(&self, faults: &Faults, got: &str) -> E {
        faults.raise(format!("{} values, one a column", self.columns.len()), got)
    }
}

/// Whether `n` values are a row of the only input, whose values have no names but those that `engine::describe` makes of its own.
fn is_row_of_only_input(plan: &Plan<'_>, n: usize) -> bool {
    let signature = plan.signature;
    let [only] = signature.inputs.as_slice() else { return false };
    let is_numbered = |feature: &Feature| feature.name == format!("{}_{}", only.name, feature.column);
    signature.features.iter().all(is_numbered) && only.shape.len() <= 2 && only.row_len() == Some(n)
}

/// Refuses a column that the model does not know where it leaves out one that it does.
fn check_extras(plan: &Plan<'_>, columns: &[(String, Place)]) -> Result<(), Mismatch> {
    let is_extra = |(name, place): &&(String, Place)| matches!(place, Place::Extra) && !is_index(name);
    let Some((extra, _)) = columns.iter().find(is_extra).filter(|_| !plan.takes_any_name()) else { return Ok(()) };
    let signature = plan.signature;
    let (mut features, mut inputs) = (vec![false; signature.features.len()], vec![false; signature.inputs.len()]);
    for (_, place) in columns {
        let Place::Named(Target { feature, input }) = *place else { continue };
        let given =
            feature.map_or_else(|| input.and_then(|input| inputs.get_mut(input)), |feature| features.get_mut(feature));
        if let Some(given) = given {
            *given = true;
        }
    }
    let is_given = |at: usize| {
        let of = plan.place(at).and_then(|(input, ..)| inputs.get(input));
        features.get(at).is_some_and(|given| *given) || of.is_some_and(|given| *given)
    };
    let mut features = signature.features.iter().enumerate();
    match features.find(|(at, _)| !is_given(*at)) {
        Some((_, feature)) => Err(stray(plan, &clip(extra), &feature.name)),
        None => Ok(()),
    }
}

/// Whether a column is the index that pandas writes beside the others.
fn is_index(name: &str) -> bool {
    name.is_empty() || name.starts_with("__index_level_")
}
