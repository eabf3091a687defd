//! One value of a table that is not JSON, read by the eyes that read JSON: what it becomes is the same.

use serde::de::value::Error;
use serde::de::{Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::tensor::Dtype;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    /// There is none.
    Missing,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

impl<'a> Cell<'a> {
    /// What `text` says where a value of `dtype` is expected; what it cannot say stays text, which will not fit.
    pub(super) fn of_text(text: &'a str, dtype: Dtype) -> Self {
        let trimmed = text.trim();
        match (dtype, trimmed) {
            (Dtype::String, _) => Self::Text(text),
            (_, "") => Self::Missing,
            // As pandas writes them, and JSON.
            (Dtype::Bool, "True" | "TRUE" | "true") => Self::Bool(true),
            (Dtype::Bool, "False" | "FALSE" | "false") => Self::Bool(false),
            (Dtype::Bool, _) => Self::Text(text),
            _ => Self::of_number(trimmed).unwrap_or(Self::Text(text)),
        }
    }

    /// A number as JSON tells them apart: whole ones are never rounded twice, and -0 is a float.
    fn of_number(text: &str) -> Option<Self> {
        if let Ok(value) = text.parse::<u64>() {
            return Some(Self::Unsigned(value));
        }
        if let Some(value) = text.parse::<i64>().ok().filter(|value| *value != 0) {
            return Some(Self::Signed(value));
        }
        let value: f64 = text.parse().ok()?;
        // Digits that end up infinite are a number out of range, not a word for infinity.
        let is_word = !text.contains(|char: char| char.is_ascii_digit());
        (value.is_finite() || is_word).then(|| Self::of_float(value))
    }

    /// A float; one that is no number is missing.
    pub(super) fn of_float(value: f64) -> Self {
        if value.is_nan() { Self::Missing } else { Self::Float(value) }
    }
}

impl<'de> Deserializer<'de> for Cell<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Missing => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Signed(value) => visitor.visit_i64(value),
            Self::Unsigned(value) => visitor.visit_u64(value),
            Self::Float(value) => visitor.visit_f64(value),
            Self::Text(text) => visitor.visit_str(text),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, dtype: Dtype, expected: Cell<'_>) {
        assert_eq!(Cell::of_text(text, dtype), expected, "{text:?} as {dtype}");
    }

    #[test]
    fn a_text_says_what_its_column_expects() {
        for text in ["", "  ", "NaN", "nan"] {
            check(text, Dtype::Fp32, Cell::Missing);
        }
        check(" 7 ", Dtype::Fp32, Cell::Unsigned(7));
        check("-7", Dtype::Int8, Cell::Signed(-7));
        check("7.0", Dtype::Int8, Cell::Float(7.0));
        check("-inf", Dtype::Fp64, Cell::Float(f64::NEG_INFINITY));
        check("18446744073709551615", Dtype::Uint64, Cell::Unsigned(u64::MAX));
        check("true", Dtype::Bool, Cell::Bool(true));
        check("NA", Dtype::String, Cell::Text("NA"));
        check(" 7 ", Dtype::String, Cell::Text(" 7 "));
        for text in ["1e400", "0x10", "1_000", "seven", "7;"] {
            check(text, Dtype::Fp64, Cell::Text(text));
        }
        check("1", Dtype::Bool, Cell::Text("1"));
        let Cell::Float(zero) = Cell::of_text("-0", Dtype::Fp64) else { panic!("-0 is a float") };
        assert!(zero.is_sign_negative());
    }
}
