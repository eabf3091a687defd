//! One JSON value, or nested lists of them, into typed data.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::base64;
use super::fault::Faults;
use super::key::{Key, TextSeed};
use super::tokens;
use crate::tensor::{Data, Dtype, parse_float_token};

/// Whole numbers up to here are exact in a 64-bit float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// What a value of `dtype` looks like, in words.
pub(in crate::http) fn expected_value(dtype: Dtype) -> String {
    let (min, max) = match dtype {
        Dtype::Bool => return "true or false".to_owned(),
        Dtype::Fp32 | Dtype::Fp64 => return "a number, or null where it is unknown".to_owned(),
        Dtype::String => return "a string, or null where it is unknown".to_owned(),
        Dtype::Uint8 => (0, u64::from(u8::MAX)),
        Dtype::Uint16 => (0, u64::from(u16::MAX)),
        Dtype::Uint32 => (0, u64::from(u32::MAX)),
        Dtype::Uint64 => (0, u64::MAX),
        Dtype::Int8 => (i64::from(i8::MIN), i8::MAX.unsigned_abs().into()),
        Dtype::Int16 => (i64::from(i16::MIN), i16::MAX.unsigned_abs().into()),
        Dtype::Int32 => (i64::from(i32::MIN), i32::MAX.unsigned_abs().into()),
        Dtype::Int64 => (i64::MIN, i64::MAX.unsigned_abs()),
    };
    format!("a whole number from {min} to {max}")
}

/// The shape of nested lists, found while they are read.
#[derive(Debug)]
pub(in crate::http) struct Nest {
    /// How many values the lists at each depth have; `None` until the first of them ends.
    dims: Vec<Option<usize>>,
    leaf_depth: Option<usize>,
    depth_max: usize,
    /// Where the first value is written; `None` appends.
    base: Option<usize>,
    n_values: usize,
}

impl Nest {
    /// Lists that nest at most `depth_max` deep; values are appended.
    pub(in crate::http) fn new(depth_max: usize) -> Self {
        Self { dims: Vec::new(), leaf_depth: None, depth_max, base: None, n_values: 0 }
    }

    /// Lists that nest at most `depth_max` deep; values are written from `base` on.
    pub(in crate::http) fn from_base(depth_max: usize, base: usize) -> Self {
        Self { base: Some(base), ..Self::new(depth_max) }
    }

    /// The length of the lists at each depth, outermost first; empty for one bare value.
    pub(in crate::http) fn dims(&self) -> Vec<usize> {
        self.dims.iter().map(|dim| dim.unwrap_or(0)).collect()
    }

    /// Enters a list at `depth`; false where values are due there.
    fn enter(&mut self, depth: usize) -> bool {
        if self.depth_max <= depth || self.leaf_depth == Some(depth) {
            return false;
        }
        if self.dims.len() <= depth {
            self.dims.push(None);
        }
        true
    }

    /// Takes a value at `depth`; false where a list is due there.
    fn leaf(&mut self, depth: usize) -> bool {
        if depth < self.dims.len() {
            return false;
        }
        self.leaf_depth = Some(depth);
        true
    }
}

/// Reads one value of the type of `data` and puts it there.
pub(in crate::http) struct ValueSeed<'a> {
    faults: &'a Faults,
    data: &'a mut Data,
    /// Where it goes; `None` appends.
    at: Option<usize>,
    nest: Option<(&'a mut Nest, usize)>,
}

impl<'a> ValueSeed<'a> {
    /// Reads one value into place `at`.
    pub(in crate::http) fn one(faults: &'a Faults, data: &'a mut Data, at: usize) -> Self {
        Self { faults, data, at: Some(at), nest: None }
    }

    /// Reads a value or nested lists of values.
    pub(in crate::http) fn nested(faults: &'a Faults, data: &'a mut Data, nest: &'a mut Nest) -> Self {
        let at = nest.base;
        Self { faults, data, at, nest: Some((nest, 0)) }
    }

    /// [`DeserializeSeed::deserialize`], by a name that needs no import.
    pub(in crate::http) fn read<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn refuse<E: de::Error>(&self, got: &str) -> E {
        self.faults.raise(expected_value(self.data.dtype()), got)
    }

    /// Notes a value in the nest. Every value passes here.
    fn leaf<E: de::Error>(&mut self, got: &str) -> Result<(), E> {
        if let Some((nest, depth)) = &mut self.nest {
            if !nest.leaf(*depth) {
                return Err(self.faults.raise("a list", got));
            }
            nest.n_values += 1;
        }
        Ok(())
    }

    fn whole<E: de::Error>(self, value: i128) -> Result<(), E> {
        let at = self.at;
        let fits = match &mut *self.data {
            Data::Uint8(values) => value.try_into().map(|value| put(values, at, value)).is_ok(),
            Data::Uint16(values) => value.try_into().map(|value| put(values, at, value)).is_ok(),
            Data::Uint32(values) => value.try_into().map(|value| put(values, at, value)).is_ok(),
            Data::Uint64(values) => value.try_into().map(|value| put(values, at, value)).is_ok(),
            Data::Int8(values) => value.try_into().map(|value| put(values, at, value)).is_ok(),
            Data::Int16(values) => value.try_into().map(|value| put(values, at, value)).is_ok(),
            Data::Int32(values) => value.try_into().map(|value| put(values, at, value)).is_ok(),
            Data::Int64(values) => value.try_into().map(|value| put(values, at, value)).is_ok(),
            Data::Fp32(values) => {
                put(values, at, nearest_f32(value));
                true
            }
            Data::Fp64(values) => {
                put(values, at, nearest_f64(value));
                true
            }
            Data::Bool(_) | Data::String(_) => return Err(self.refuse("a number")),
        };
        if fits { Ok(()) } else { Err(self.refuse("a number out of range")) }
    }

    fn float<E: de::Error>(self, value: f64) -> Result<(), E> {
        match &mut *self.data {
            Data::Fp64(values) => put(values, self.at, value),
            Data::Fp32(values) => {
                let Some(narrow) = narrow(value) else {
                    return Err(self.faults.raise("a number that FP32 can hold", "a number out of range"));
                };
                put(values, self.at, narrow);
            }
            Data::Bool(_) | Data::String(_) => return Err(self.refuse("a number")),
            _ if value.fract() != 0.0 => return Err(self.refuse("a fraction")),
            _ if value.abs() <= WHOLE_MAX => return self.whole(exact(value)),
            _ => return Err(self.refuse("a number out of range")),
        }
        Ok(())
    }

    fn missing<E: de::Error>(self) -> Result<(), E> {
        match &mut *self.data {
            Data::Fp32(values) => put(values, self.at, f32::NAN),
            Data::Fp64(values) => put(values, self.at, f64::NAN),
            Data::String(values) => put(values, self.at, String::new()),
            _ => return Err(self.refuse("null")),
        }
        Ok(())
    }

    /// A float token given as a string, or standing for a bare one.
    fn token(&self, text: &str) -> Option<f64> {
        let bare = if self.faults.has_tokens() { tokens::value(text) } else { None };
        bare.or_else(|| parse_float_token(text))
    }
}

fn put<T>(values: &mut Vec<T>, at: Option<usize>, value: T) {
    match at.and_then(|at| values.get_mut(at)) {
        Some(place) => *place = value,
        None => values.push(value),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a float takes the nearest value, as for any decimal number")]
fn nearest_f32(value: i128) -> f32 {
    value as f32
}

#[expect(clippy::cast_precision_loss, reason = "a float takes the nearest value, as for any decimal number")]
fn nearest_f64(value: i128) -> f64 {
    value as f64
}

/// The nearest `f32`; `None` where a finite value would become infinite.
#[expect(clippy::cast_possible_truncation, reason = "rounding is meant, and overflow is looked at")]
fn narrow(value: f64) -> Option<f32> {
    let narrow = value as f32;
    (narrow.is_finite() || !value.is_finite()).then_some(narrow)
}

#[expect(clippy::cast_possible_truncation, reason = "the caller has checked that it is whole and at most 2^53")]
fn exact(value: f64) -> i128 {
    value as i128
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.read(deserializer)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&expected_value(self.data.dtype()))
    }

    fn visit_bool<E: de::Error>(mut self, value: bool) -> Result<(), E> {
        self.leaf("true or false")?;
        let at = self.at;
        let Data::Bool(values) = &mut *self.data else { return Err(self.refuse("true or false")) };
        put(values, at, value);
        Ok(())
    }

    fn visit_i64<E: de::Error>(mut self, value: i64) -> Result<(), E> {
        self.leaf("a number")?;
        self.whole(value.into())
    }

    fn visit_u64<E: de::Error>(mut self, value: u64) -> Result<(), E> {
        self.leaf("a number")?;
        self.whole(value.into())
    }

    fn visit_f64<E: de::Error>(mut self, value: f64) -> Result<(), E> {
        self.leaf("a number")?;
        self.float(value)
    }

    fn visit_unit<E: de::Error>(mut self) -> Result<(), E> {
        self.leaf("null")?;
        self.missing()
    }

    fn visit_str<E: de::Error>(mut self, text: &str) -> Result<(), E> {
        self.leaf("a string")?;
        let is_bare = self.faults.has_tokens() && tokens::value(text).is_some();
        if let Data::String(values) = &mut *self.data
            && !is_bare
        {
            put(values, self.at, text.to_owned());
            return Ok(());
        }
        let got = if is_bare { "a number" } else { "a string" };
        let is_float = self.data.dtype().is_float();
        match self.token(text).filter(|_| is_float) {
            Some(value) => self.float(value),
            None => Err(self.refuse(got)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { faults, data, at: base, nest } = self;
        let Some((nest, depth)) = nest.and_then(|(nest, depth)| nest.enter(depth).then_some((nest, depth))) else {
            return Err(faults.raise(expected_value(data.dtype()), "a list"));
        };
        let base = nest.base.or(base);
        let mut n_items = 0;
        loop {
            let at = base.map(|base| base + nest.n_values);
            let seed = ValueSeed { faults, data: &mut *data, at, nest: Some((&mut *nest, depth + 1)) };
            match seq.next_element_seed(seed) {
                Ok(Some(())) => n_items += 1,
                Ok(None) => break,
                Err(error) => return Err(faults.within(|| format!("[{n_items}]"), error)),
            }
        }
        match nest.dims.get_mut(depth) {
            Some(dim @ None) => *dim = Some(n_items),
            Some(Some(dim)) if *dim != n_items => {
                return Err(faults.raise(format!("a list of {dim}, as before"), format!("a list of {n_items}")));
            }
            _ => {}
        }
        Ok(())
    }

    /// TensorFlow Serving's `{"b64": "..."}`.
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        if !matches!(self.data, Data::String(_)) {
            return Err(self.refuse("an object"));
        }
        self.leaf("an object")?;
        let faults = self.faults;
        let Some(Key(name)) = map.next_key()? else { return Err(self.refuse("an object")) };
        if name != "b64" {
            return Err(self.refuse("an object"));
        }
        let text = map.next_value_seed(TextSeed { faults, expected: "base64 text" })?;
        if map.next_key::<Key<'_>>()?.is_some() {
            return Err(self.refuse("an object with more than \"b64\""));
        }
        let text = base64::decoded(&text).and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| faults.raise_at(".b64", "base64 of a text in UTF-8", "something else"))?;
        if let Data::String(values) = &mut *self.data {
            put(values, self.at, text);
        }
        Ok(())
    }
}
