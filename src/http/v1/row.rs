//! One row: an object by name, a list by position, or a bare value.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess, Visitor};

use super::table::Table;
use super::target::Target;
use crate::http::json::{Faults, Ignored, Key, Nest, ValueSeed, clip};

/// Reads one row into the table.
pub(super) struct RowSeed<'a, 'p> {
    pub(super) faults: &'a Faults,
    pub(super) table: &'a mut Table<'p>,
}

impl RowSeed<'_, '_> {
    fn expected(&self) -> &'static str {
        let plan = self.table.plan;
        match (plan.takes_bare_values(), plan.is_positional()) {
            (true, _) => "a row: a value, a list, or an object by name",
            (false, true) => "a row: an object by feature name, or a list in the order of the features",
            (false, false) => "a row: an object by input name, or the list of the only input",
        }
    }

    /// A bare value as the row of the only input.
    fn bare<'de, D: Deserializer<'de>>(self, value: D, got: &str) -> Result<(), D::Error> {
        if !self.table.plan.takes_bare_values() {
            return Err(self.faults.raise(self.expected(), got));
        }
        self.whole(value)
    }

    /// The only input as a whole.
    fn whole<'de, D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        let Self { faults, table } = self;
        table.start_row();
        let target = Target { feature: None, input: Some(0) };
        NamedSeed { faults, table, target }.deserialize(value)?;
        table.end_row(faults)
    }

    /// A list with one value a feature.
    fn positional<'de, A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { faults, table } = self;
        let n_features = table.plan.signature.features.len();
        let expected = || format!("a list of {n_features} values, one a feature");
        table.start_row();
        for feature in 0..n_features {
            let Some((data, at)) = table.feature_place(feature) else { continue };
            match seq.next_element_seed(ValueSeed::one(faults, data, at)) {
                Ok(Some(())) => {}
                Ok(None) => return Err(faults.raise(expected(), format!("a list of {feature}"))),
                Err(error) => return Err(faults.within(|| format!("[{feature}]"), error)),
            }
        }
        if seq.next_element::<de::IgnoredAny>()?.is_some() {
            return Err(faults.raise(expected(), "a longer list"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { faults, table } = self;
        table.start_row();
        let mut next = 0;
        while let Some(Key(name)) = map.next_key()? {
            let Some(target) = table.plan.target(&name, next) else {
                if table.passes_over(&name) {
                    map.next_value::<Ignored>()?;
                    continue;
                }
                let expected = table.plan.known_names();
                return Err(faults.raise_at(format!(".{}", clip(&name)), expected, "an unknown name"));
            };
            let value = map.next_value_seed(NamedSeed { faults, table: &mut *table, target });
            value.map_err(|error| faults.within(|| format!(".{}", clip(&name)), error))?;
            next = target.feature.map_or(next, |feature| feature + 1);
        }
        table.end_row(faults)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        let plan = self.table.plan;
        if plan.is_positional() {
            return self.positional(seq);
        }
        if plan.signature.inputs.len() == 1 {
            return self.whole(SeqAccessDeserializer::new(seq));
        }
        Err(self.faults.raise(self.expected(), "a list"))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.bare(value.into_deserializer(), "true or false")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.bare(value.into_deserializer(), "a number")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.bare(value.into_deserializer(), "a number")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.bare(value.into_deserializer(), "a number")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.bare(value.into_deserializer(), "a string")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.bare(().into_deserializer(), "null")
    }
}

/// Reads what stands under a name.
pub(in crate::http) struct NamedSeed<'a, 'p> {
    pub(in crate::http) faults: &'a Faults,
    pub(in crate::http) table: &'a mut Table<'p>,
    pub(in crate::http) target: Target,
}

impl<'de> DeserializeSeed<'de> for NamedSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { faults, table, target } = self;
        let twice = |faults: &Faults| faults.raise("each name once", "it twice");
        if let Some(feature) = target.feature {
            let depth_max = own_depth(table, target);
            let Some((data, at)) = table.feature_place(feature) else { return Err(twice(faults)) };
            let mut nest = Nest::from_base(depth_max, at);
            ValueSeed::nested(faults, data, &mut nest).read(deserializer)?;
            let n_values = nest.dims().iter().product::<usize>();
            return if n_values == 1 { Ok(()) } else { Err(faults.raise("one value", format!("{n_values} values"))) };
        }
        let input = target.input.unwrap_or(0);
        let is_fixed = table.plan.spec(input).is_some_and(|spec| spec.row_len().is_some());
        let Some(column) = table.input_place(input) else { return Err(twice(faults)) };
        let depth_max = column.n_dims();
        let mut nest = if is_fixed { Nest::from_base(depth_max, column.base) } else { Nest::new(depth_max) };
        ValueSeed::nested(faults, &mut column.data, &mut nest).read(deserializer)?;
        column.check_dims(faults, &nest.dims())
    }
}

/// How deep lists may nest around a feature's value: one that is all of the input of the same name may be written as that
/// input's row, `[7]`.
fn own_depth(table: &Table<'_>, target: Target) -> usize {
    let of = target.feature.and_then(|feature| table.plan.feature_inputs.get(feature).copied());
    let spec = target.input.filter(|input| Some(*input) == of).and_then(|input| table.plan.spec(input));
    spec.filter(|spec| spec.row_len() == Some(1)).map_or(0, |spec| spec.shape.len().saturating_sub(1))
}
