//! MLflow's JSON: `dataframe_split`, `dataframe_records`, `instances` or `inputs`, exactly one of them, and perhaps `params`.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::frame::{COLUMNS_MAX, Frame};
use crate::http::json::{DecodeError, DecodeLimits, Faults, Ignored, Key, clip, parse, refuse};
use crate::http::v1::{ColumnsSeed, Extras, Plan, RowsSeed};
use crate::tensor::NamedTensor;

/// Reads a body.
///
/// # Errors
/// [`DecodeError`]; a path starts at the member that holds the rows.
pub(super) fn decode(body: &[u8], plan: &Plan<'_>, limits: &DecodeLimits) -> Result<Vec<NamedTensor>, DecodeError> {
    parse(body, |deserializer, faults| BodySeed { faults, plan, limits }.deserialize(deserializer))
}

#[derive(Clone, Copy)]
struct BodySeed<'a> {
    faults: &'a Faults,
    plan: &'a Plan<'a>,
    limits: &'a DecodeLimits,
}

impl<'a> BodySeed<'a> {
    const EXPECTED: &'static str =
        "an object with one of \"dataframe_split\", \"dataframe_records\", \"instances\", \"inputs\"";

    fn refuse<E: de::Error>(&self, got: &str) -> E {
        self.faults.raise_at("body", Self::EXPECTED, got)
    }

    fn rows(self, extras: Extras) -> RowsSeed<'a> {
        let Self { faults, plan, limits } = self;
        RowsSeed { faults, plan, limits, extras }
    }
}

impl<'de> DeserializeSeed<'de> for BodySeed<'_> {
    type Value = Vec<NamedTensor>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_> {
    type Value = Vec<NamedTensor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { faults, plan, limits } = self;
        let mut inputs = None;
        while let Some(Key(name)) = map.next_key()? {
            let is_rows = matches!(&*name, "dataframe_split" | "dataframe_records" | "instances" | "inputs");
            if is_rows && inputs.is_some() {
                return Err(faults.raise_at("body", Self::EXPECTED, "two"));
            }
            let read = match &*name {
                "dataframe_split" => map.next_value_seed(SplitSeed(self)),
                "dataframe_records" => map.next_value_seed(self.rows(Extras::PassedOver)),
                "instances" => map.next_value_seed(self.rows(Extras::Refused)),
                "inputs" => map.next_value_seed(ColumnsSeed { faults, plan, limits }),
                "params" | "parameters" => {
                    // No model here has parameters; MLflow passes them over too.
                    let params = map.next_value::<&RawValue>()?.get();
                    if !params.starts_with('{') && params != "null" {
                        return Err(faults.raise_at(name.into_owned(), "an object", "another value"));
                    }
                    continue;
                }
                other => {
                    let expected = "one of dataframe_split, dataframe_records, instances, inputs, params";
                    return Err(faults.raise_at(clip(other), expected, "an unknown member"));
                }
            };
            inputs = Some(read.map_err(|error| faults.within(|| name.into_owned(), error))?);
        }
        inputs.ok_or_else(|| self.refuse("none of them"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.refuse("a list"))
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

/// `dataframe_split`: `columns` and `index`, which may be left out, and `data`, a list a row.
struct SplitSeed<'a>(BodySeed<'a>);

impl SplitSeed<'_> {
    const EXPECTED: &'static str = "an object with \"columns\" and \"data\"";

    fn refuse<E: de::Error>(&self, got: &str) -> E {
        self.0.faults.raise(Self::EXPECTED, got)
    }
}

impl<'de> DeserializeSeed<'de> for SplitSeed<'_> {
    type Value = Vec<NamedTensor>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SplitSeed<'_> {
    type Value = Vec<NamedTensor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let faults = self.0.faults;
        let (mut columns, mut data) = (None, None);
        while let Some(Key(name)) = map.next_key()? {
            match &*name {
                "columns" if columns.is_none() => columns = Some(map.next_value::<&RawValue>()?),
                "data" if data.is_none() => data = Some(map.next_value::<&RawValue>()?),
                "index" => {
                    map.next_value::<Ignored>()?;
                }
                "columns" | "data" => return Err(faults.raise_at(format!(".{name}"), "each name once", "it twice")),
                other => {
                    let expected = "one of columns, data, index";
                    return Err(faults.raise_at(format!(".{}", clip(other)), expected, "an unknown member"));
                }
            }
        }
        let Some(data) = data else { return Err(faults.raise_at(".data", "a list of rows", "nothing")) };
        // The names may come behind the rows, so both are read once they are there.
        let read = self.read(columns, data);
        read.map_err(|error| {
            if faults.is_found() { de::Error::custom("") } else { faults.raise(Self::EXPECTED, error.to_string()) }
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.refuse("a list"))
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

impl SplitSeed<'_> {
    fn read(&self, columns: Option<&RawValue>, data: &RawValue) -> serde_json::Result<Vec<NamedTensor>> {
        let BodySeed { faults, plan, limits } = self.0;
        let named = columns.map(|columns| names(columns.get(), faults)).transpose();
        let named = named.map_err(|error| faults.within(|| ".columns".to_owned(), error))?.flatten();
        let mut deserializer = serde_json::Deserializer::from_str(data.get());
        let read = match named {
            None => self.0.rows(Extras::PassedOver).deserialize(&mut deserializer),
            Some(names) => {
                let frame = Frame::new(plan, names, limits).map_err(|mismatch| {
                    let error = faults.raise_mismatch(mismatch);
                    faults.within(|| ".columns".to_owned(), error)
                })?;
                deserializer.deserialize_any(TableVisitor { faults, frame })
            }
        };
        read.map_err(|error| faults.within(|| ".data".to_owned(), error))
    }
}

/// The names of the columns; `None` where they are the numbers from 0 on, which pandas gives to columns without names.
fn names(columns: &str, faults: &Faults) -> serde_json::Result<Option<Vec<String>>> {
    let names: Option<Names> = serde_json::from_str(columns)
        .map_err(|_| faults.raise(format!("a list of at most {COLUMNS_MAX} names"), "another value"))?;
    Ok(names.and_then(|names| names.are_named.then_some(names.names)))
}

/// The names of columns, a bounded number of them.
struct Names {
    names: Vec<String>,
    /// Whether they are anything else than the numbers from 0 on.
    are_named: bool,
}

impl<'de> serde::Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A name, or a number in its place.
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Name {
            Number(usize),
            Text(String),
        }
        struct NamesVisitor;
        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Names, A::Error> {
                let mut all = Names { names: Vec::new(), are_named: false };
                while let Some(name) = seq.next_element()? {
                    let at = all.names.len();
                    if COLUMNS_MAX <= at {
                        return Err(de::Error::custom("too many"));
                    }
                    all.are_named |= !matches!(name, Name::Number(number) if number == at);
                    all.names.push(match name {
                        Name::Text(text) => text,
                        Name::Number(number) => number.to_string(),
                    });
                }
                Ok(all)
            }
        }
        deserializer.deserialize_seq(NamesVisitor)
    }
}

/// A list of rows, each a list with a value a column.
struct TableVisitor<'a, 'p> {
    faults: &'a Faults,
    frame: Frame<'p>,
}

impl<'de> Visitor<'de> for TableVisitor<'_, '_> {
    type Value = Vec<NamedTensor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Self { faults, mut frame } = self;
        loop {
            let row = frame.n_rows();
            match seq.next_element_seed(ListSeed { faults, frame: &mut frame }) {
                Ok(Some(())) => {}
                Ok(None) => return frame.into_tensors(faults),
                Err(error) => return Err(faults.within(|| format!("[{row}]"), error)),
            }
        }
    }
}

/// A row as a list.
struct ListSeed<'a, 'p> {
    faults: &'a Faults,
    frame: &'a mut Frame<'p>,
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl ListSeed<'_, '_> {
    fn refuse<E: de::Error>(&self, got: &str) -> E {
        self.faults.raise("a row: a list with a value a column", got)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { faults, frame } = self;
        frame.start_row(faults)?;
        let mut at = 0;
        while seq.next_element_seed(CellSeed { faults, frame: &mut *frame, at })?.is_some() {
            at += 1;
        }
        frame.end_row(faults, at)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.refuse("an object"))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
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

/// A value of a row.
struct CellSeed<'a, 'p> {
    faults: &'a Faults,
    frame: &'a mut Frame<'p>,
    at: usize,
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.frame.read(self.faults, self.at, deserializer)
    }
}
