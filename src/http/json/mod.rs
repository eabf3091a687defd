//! JSON bytes straight into typed values: what the v1 and v2 codecs share.
//!
//! There is no intermediate tree. A fault names its place, what was expected and what kind of thing came; it never
//! quotes a value.

mod base64;
mod clip;
mod fault;
mod key;
mod limits;
mod tokens;
mod value;
mod write;

pub(in crate::http) use base64::encoded as base64;
pub(crate) use clip::clip;
pub(in crate::http) use fault::Faults;
pub use fault::{DecodeError, Malformed};
pub(in crate::http) use key::{Ignored, Key, TextSeed, refuse};
pub use limits::DecodeLimits;
pub(in crate::http) use value::{Nest, ValueSeed, expected_value};
pub(in crate::http) use write::{Flat, Nested, Value};

use serde_json::de::{Deserializer, SliceRead};

/// Reads one JSON document with `read`. A document that fails for a bare `NaN`, `Infinity` or `-Infinity` is read again
/// with these tokens made readable.
///
/// # Errors
/// [`DecodeError::Malformed`] where the bytes are not JSON, [`DecodeError::BadInput`] where `read` found a fault.
pub(in crate::http) fn parse<T>(
    body: &[u8],
    read: impl Fn(&mut Deserializer<SliceRead<'_>>, &Faults) -> serde_json::Result<T>,
) -> Result<T, DecodeError> {
    let result = attempt(body, &Faults::new(false), &read);
    if matches!(result, Err(DecodeError::Malformed(_)))
        && let Some(readable) = tokens::readable(body)
    {
        return attempt(&readable, &Faults::new(true), &read);
    }
    result
}

fn attempt<T>(
    body: &[u8],
    faults: &Faults,
    read: impl Fn(&mut Deserializer<SliceRead<'_>>, &Faults) -> serde_json::Result<T>,
) -> Result<T, DecodeError> {
    let mut deserializer = Deserializer::from_slice(body);
    let result = read(&mut deserializer, faults).and_then(|value| deserializer.end().map(|()| value));
    result.map_err(|error| faults.explain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Data, Dtype};

    fn read(body: &str, dtype: Dtype) -> Result<(Vec<usize>, Data), String> {
        parse(body.as_bytes(), |deserializer, faults| {
            let mut data = Data::with_capacity(dtype, 0);
            let mut nest = Nest::new(3);
            ValueSeed::nested(faults, &mut data, &mut nest).read(deserializer)?;
            Ok((nest.dims(), data))
        })
        .map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(body: &str, dtype: Dtype, expected: Result<(&[usize], Data), &str>) {
        let expected = expected.map(|(dims, data)| (dims.to_vec(), data)).map_err(str::to_owned);
        assert_eq!(read(body, dtype), expected);
    }

    #[test]
    fn nested_lists_give_their_shape() {
        check("[[1,2],[3,4],[5,6]]", Dtype::Int8, Ok((&[3, 2], Data::Int8(vec![1, 2, 3, 4, 5, 6]))));
        check("7", Dtype::Int64, Ok((&[], Data::Int64(vec![7]))));
        check("[]", Dtype::Int64, Ok((&[0], Data::Int64(vec![]))));
        check("[[],[]]", Dtype::Int64, Ok((&[2, 0], Data::Int64(vec![]))));
    }

    #[test]
    fn ragged_and_uneven_lists_are_refused() {
        check("[[1,2],[3]]", Dtype::Int8, Err("[1]: expected a list of 2, as before, got a list of 1"));
        check("[[1],2]", Dtype::Int8, Err("[1]: expected a list, got a number"));
        check("[1,[2]]", Dtype::Int8, Err("[1]: expected a whole number from -128 to 127, got a list"));
        check("[[],1]", Dtype::Int8, Err("[1]: expected a list, got a number"));
        check("[[[[1]]]]", Dtype::Int8, Err("[0][0][0]: expected a whole number from -128 to 127, got a list"));
    }

    #[test]
    fn whole_numbers_are_exact_or_refused() {
        check("9007199254740993", Dtype::Int64, Ok((&[], Data::Int64(vec![9_007_199_254_740_993]))));
        check("18446744073709551615", Dtype::Uint64, Ok((&[], Data::Uint64(vec![u64::MAX]))));
        check("7.0", Dtype::Int32, Ok((&[], Data::Int32(vec![7]))));
        check("1.5", Dtype::Int32, Err(": expected a whole number from -2147483648 to 2147483647, got a fraction"));
        check("300", Dtype::Int8, Err(": expected a whole number from -128 to 127, got a number out of range"));
        check(
            "9223372036854775808",
            Dtype::Int64,
            Err(
                ": expected a whole number from -9223372036854775808 to 9223372036854775807, got a number out of range",
            ),
        );
        check("null", Dtype::Uint8, Err(": expected a whole number from 0 to 255, got null"));
    }

    #[test]
    fn numbers_in_strings_are_not_cast() {
        check("\"7\"", Dtype::Fp32, Err(": expected a number, or null where it is unknown, got a string"));
        check("\"7\"", Dtype::Uint8, Err(": expected a whole number from 0 to 255, got a string"));
        check("7", Dtype::String, Err(": expected a string, or null where it is unknown, got a number"));
        check("1", Dtype::Bool, Err(": expected true or false, got a number"));
        check("true", Dtype::Fp64, Err(": expected a number, or null where it is unknown, got true or false"));
    }

    #[test]
    fn a_float_beyond_its_type_is_refused() {
        check("1e39", Dtype::Fp32, Err(": expected a number that FP32 can hold, got a number out of range"));
        check("1e39", Dtype::Fp64, Ok((&[], Data::Fp64(vec![1e39]))));
        check("3.4028235e38", Dtype::Fp32, Ok((&[], Data::Fp32(vec![f32::MAX]))));
        check("1e400", Dtype::Fp64, Err("the body is not valid JSON: number out of range (line 1, column 5)"));
    }

    #[test]
    fn non_finite_tokens_are_read_bare_or_quoted() {
        let (dims, data) = read("[NaN, \"NaN\", Infinity, -Infinity, \"-Infinity\", null]", Dtype::Fp32).unwrap();
        let Data::Fp32(values) = data else { unreachable!("the dtype was FP32") };
        assert_eq!(dims, [6]);
        assert!(values[0].is_nan() && values[1].is_nan() && values[5].is_nan());
        assert_eq!(values[2..5], [f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY]);
        check("[\"a\", NaN]", Dtype::String, Err("[1]: expected a string, or null where it is unknown, got a number"));
        check("[\"NaN\"]", Dtype::String, Ok((&[1], Data::String(vec!["NaN".to_owned()]))));
    }

    #[test]
    fn malformed_json_is_located() {
        check("[1,\n 2,]", Dtype::Int8, Err("the body is not valid JSON: trailing comma (line 2, column 4)"));
        check("[1] x", Dtype::Int8, Err("the body is not valid JSON: trailing characters (line 1, column 5)"));
        check("[NaN, x]", Dtype::Fp32, Err("the body is not valid JSON: expected value (line 1, column 7)"));
        check("", Dtype::Fp32, Err("the body is not valid JSON: EOF while parsing a value (line 1, column 0)"));
        check(
            "\"\\ud800\"",
            Dtype::String,
            Err("the body is not valid JSON: unexpected end of hex escape (line 1, column 8)"),
        );
        let deep = "[".repeat(250_000);
        assert!(read(&deep, Dtype::Fp32).unwrap_err().contains("got a list"));
    }
}
