//! `instances`: a list of rows.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::row::RowSeed;
use super::table::{Extras, Table};
use super::target::Plan;
use crate::http::json::{DecodeLimits, Faults, refuse};
use crate::tensor::NamedTensor;

/// Reads the list of rows into one tensor an input.
pub(in crate::http) struct RowsSeed<'a> {
    pub(in crate::http) faults: &'a Faults,
    pub(in crate::http) plan: &'a Plan<'a>,
    pub(in crate::http) limits: &'a DecodeLimits,
    pub(in crate::http) extras: Extras,
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
        let Self { faults, plan, limits, extras } = self;
        let rows_max = plan.rows_max(limits);
        let mut table = Table::new(plan, extras);
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
