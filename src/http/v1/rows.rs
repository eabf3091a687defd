//! `instances`: a list of rows.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::row::RowSeed;
use super::table::Table;
use super::target::Plan;
use crate::http::json::{DecodeLimits, Faults, refuse};
use crate::tensor::NamedTensor;

/// Reads the list of rows into one tensor an input.
pub(super) struct RowsSeed<'a> {
    pub(super) faults: &'a Faults,
    pub(super) plan: &'a Plan<'a>,
    pub(super) limits: &'a DecodeLimits,
}

impl RowsSeed<'_> {
    const EXPECTED: &'static str = "a list of rows";

    fn refuse<E: de::Error>(&self, got: &str) -> E {
        self.faults.raise(Self::EXPECTED, got)
    }
}

impl<'de> DeserializeSeed<'de> for RowsSeed<'_> {
    type Value = Vec<NamedTensor>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_> {
    type Value = Vec<NamedTensor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::EXPECTED)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Self { faults, plan, limits } = self;
        let rows_max = limits.rows_max.min(limits.values_max / plan.row_values);
        let mut table = Table::new(plan);
        loop {
            let row = table.n_rows;
            if rows_max < row {
                return Err(faults.raise(format!("at most {rows_max} rows"), "more"));
            }
            match seq.next_element_seed(RowSeed { faults, table: &mut table }) {
                Ok(Some(())) => {}
                Ok(None) => break,
                Err(error) => return Err(faults.within(|| format!("[{row}]"), error)),
            }
        }
        if table.n_rows == 0 {
            return Err(faults.raise("at least one row", "none"));
        }
        table.into_tensors(faults)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.refuse("an object"))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(self.refuse("a string"))
    }

    refuse! {
        visit_bool(bool) => "true or false",
        visit_i64(i64) => "a number",
        visit_u64(u64) => "a number",
        visit_f64(f64) => "a number",
        visit_unit => "null",
    }
}
