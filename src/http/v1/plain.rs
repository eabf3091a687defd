//! The body that most callers send: `{"instances": [[5.1, 3.5, 1.4, null], ...]}` for a model with one input of floats.
//!
//! It is read in one pass, three times as fast as by the general reader. Whatever is written in another way, or is wrong, is
//! left to that one, which says what is wrong: nothing is refused here.

use super::decode::{Decoded, Form};
use crate::http::json::DecodeLimits;
use crate::model::Signature;
use crate::tensor::{Data, Dtype, NamedTensor, Tensor};

/// Powers of ten that a 64-bit float holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Powers of ten, as far as the digits that are looked at together go.
const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
/// Whole numbers up to here are exact in a 64-bit float.
const EXACT_MAX: u64 = 1 << 53;
/// So many digits fit into 64 bits, whatever they are.
const DIGITS_MAX: usize = 19;

/// What `body` asks for, where it is plain; `None` leaves it to the general reader. `row_len` is [`Signature::plain_row_len`].
pub(super) fn decode(body: &[u8], signature: &Signature, row_len: usize, limits: &DecodeLimits) -> Option<Decoded> {
    let spec = signature.inputs.first()?;
    let rows_max = limits.rows_max.min(limits.values_max / row_len);
    let mut text = Text { rest: body };
    text.expect(b'{')?;
    text.skip_space();
    text.rest = text.rest.strip_prefix(b"\"instances\"")?;
    text.expect(b':')?;
    let (data, n_rows) = match spec.datatype {
        Dtype::Fp32 => {
            let (values, n_rows) = rows(&mut text, row_len, rows_max, to_f32)?;
            (Data::Fp32(values), n_rows)
        }
        Dtype::Fp64 => {
            let (values, n_rows) = rows(&mut text, row_len, rows_max, Some)?;
            (Data::Fp64(values), n_rows)
        }
        _ => return None,
    };
    text.expect(b'}')?;
    text.skip_space();
    if !text.rest.is_empty() {
        return None;
    }
    let tensor = Tensor::new(vec![n_rows, row_len], data).ok()?;
    Some(Decoded { inputs: vec![NamedTensor { name: spec.name.clone(), tensor }], form: Form::Rows })
}

/// The nearest 32-bit float; `None` where a finite value would become infinite.
#[expect(clippy::cast_possible_truncation, reason = "rounding is meant, and overflow is looked at")]
fn to_f32(value: f64) -> Option<f32> {
    let narrow = value as f32;
    (narrow.is_finite() || value.is_nan()).then_some(narrow)
}

/// A list of 1 to `rows_max` lists of `row_len` values, and how many there are.
fn rows<T>(
    text: &mut Text<'_>,
    row_len: usize,
    rows_max: usize,
    convert: impl Fn(f64) -> Option<T>,
) -> Option<(Vec<T>, usize)> {
    let mut values = Vec::with_capacity(row_len);
    let mut n_rows = 0;
    text.expect(b'[')?;
    loop {
        if rows_max <= n_rows {
            return None;
        }
        text.expect(b'[')?;
        for at in 0..row_len {
            if 0 < at {
                text.expect(b',')?;
            }
            values.push(convert(text.value()?)?);
        }
        text.expect(b']')?;
        n_rows += 1;
        text.skip_space();
        match text.next()? {
            b',' => {}
            b']' => return Some((values, n_rows)),
            _ => return None,
        }
    }
}

/// What is left to read.
struct Text<'a> {
    rest: &'a [u8],
}

impl Text<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Space, then `byte`.
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (self.next()? == byte).then_some(())
    }

    /// A number, or NaN for `null`.
    fn value(&mut self) -> Option<f64> {
        self.skip_space();
        if let [b'n', b'u', b'l', b'l', rest @ ..] = self.rest {
            self.rest = rest;
            return Some(f64::NAN);
        }
        self.number()
    }

    /// A number as JSON writes it. Few digits and a small power of ten make a product or quotient of two exact numbers,
    /// rounded once (Clinger, "How to read floating point numbers accurately", 1990); the rest is for the standard library.
    fn number(&mut self) -> Option<f64> {
        let token = self.rest;
        let is_negative = self.take(b'-');
        if let Some(magnitude) = self.short() {
            return Some(if is_negative { -magnitude } else { magnitude });
        }
        let mut digits = Digits::default();
        let is_zero = self.rest.first() == Some(&b'0');
        let n_whole = self.few_digits(&mut digits);
        if n_whole == 0 || (is_zero && 1 < n_whole) {
            return None;
        }
        let mut power: i32 = 0;
        let has_point = self.take(b'.');
        if has_point {
            let n_behind = self.many_digits(&mut digits);
            power = -i32::try_from(n_behind).ok().filter(|&n| 0 < n)?;
        }
        let has_exponent = self.take(b'e') || self.take(b'E');
        if has_exponent {
            power = power.checked_add(self.exponent()?)?;
        }
        let exact = EXACT_POWERS.get(usize::try_from(power.unsigned_abs()).ok()?);
        let magnitude = match exact {
            Some(exact) if digits.n <= DIGITS_MAX && digits.value <= EXACT_MAX => {
                let value = to_f64(digits.value);
                if power < 0 { value / exact } else { value * exact }
            }
            // A whole number goes another way there: it is never rounded twice.
            _ if !has_point && !has_exponent => return None,
            _ => {
                let token = token.get(..token.len() - self.rest.len())?;
                let value: f64 = std::str::from_utf8(token).ok()?.parse().ok()?;
                return value.is_finite().then_some(value);
            }
        };
        Some(if is_negative { -magnitude } else { magnitude })
    }

    /// A number of up to seven digits before its point and up to seven behind it, as most are; `None`, with nothing read, leaves it
    /// to the longer way.
    fn short(&mut self) -> Option<f64> {
        let (&head, _) = self.rest.split_first_chunk()?;
        let (whole, n_whole) = leading_digits(head);
        if n_whole == 0 || n_whole == head.len() || (head[0] == b'0' && 1 < n_whole) {
            return None;
        }
        let behind = self.rest.get(n_whole..)?;
        match behind {
            [b'.', fraction @ ..] => {
                let (&tail, _) = fraction.split_first_chunk()?;
                let (part, n_behind) = leading_digits(tail);
                let rest = fraction.get(n_behind..)?;
                if n_behind == 0 || n_behind == tail.len() || matches!(rest, [b'e' | b'E', ..]) {
                    return None;
                }
                self.rest = rest;
                let value = whole * TENS.get(n_behind)? + part;
                Some(to_f64(value) / EXACT_POWERS.get(n_behind)?)
            }
            [b'e' | b'E', ..] => None,
            rest => {
                self.rest = rest;
                Some(to_f64(whole))
            }
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.rest.first() == Some(&byte);
        if is_there {
            self.next();
        }
        is_there
    }

    /// Reads digits into `digits`; gives back how many there were.
    fn few_digits(&mut self, digits: &mut Digits) -> usize {
        let len_before = self.rest.len();
        while let [byte @ b'0'..=b'9', rest @ ..] = self.rest {
            digits.push(byte - b'0');
            self.rest = rest;
        }
        len_before - self.rest.len()
    }

    /// As [`Self::few_digits`], eight at a time.
    fn many_digits(&mut self, digits: &mut Digits) -> usize {
        let len_before = self.rest.len();
        while let Some((&eight, rest)) = self.rest.split_first_chunk() {
            let (value, n_digits) = leading_digits(eight);
            digits.push_many(value, n_digits);
            if n_digits < eight.len() {
                self.rest = self.rest.get(n_digits..).unwrap_or_default();
                return len_before - self.rest.len();
            }
            self.rest = rest;
        }
        len_before - self.rest.len() + self.few_digits(digits)
    }

    fn exponent(&mut self) -> Option<i32> {
        let is_negative = self.take(b'-');
        if !is_negative {
            self.take(b'+');
        }
        let mut digits = Digits::default();
        if self.few_digits(&mut digits) == 0 || DIGITS_MAX < digits.n {
            return None;
        }
        let size = i32::try_from(digits.value).ok()?;
        Some(if is_negative { -size } else { size })
    }
}

/// The digits of a number.
#[derive(Default)]
struct Digits {
    /// Their value, as long as there are at most [`DIGITS_MAX`] of them.
    value: u64,
    /// How many there are behind leading zeros.
    n: usize,
}

impl Digits {
    fn push(&mut self, digit: u8) {
        self.value = self.value.wrapping_mul(10).wrapping_add(digit.into());
        self.n += usize::from(0 < self.n || 0 < digit);
    }

    /// `n_digits` digits, at most eight, of this value.
    fn push_many(&mut self, value: u64, n_digits: usize) {
        self.value = self.value.wrapping_mul(TENS.get(n_digits).copied().unwrap_or(1)).wrapping_add(value);
        // Zeros behind the first other digit count; how many of these digits are in front of it is looked at only then.
        self.n += match (self.n, value) {
            (0, 0) => 0,
            (0, value) => value.ilog10() as usize + 1,
            _ => n_digits,
        };
    }
}

/// The value of the digits that `eight` bytes begin with, and how many these are: all eight are looked at together, as
/// bytes of one word.
fn leading_digits(eight: [u8; 8]) -> (u64, usize) {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    let word = u64::from_le_bytes(eight) ^ ZEROS;
    // A digit is now 0 to 9: with 6 more its high half stays 0. A byte above 15 is none; it is looked at by itself, so that
    // adding cannot carry into the next one.
    let low = word & 0x0f0f_0f0f_0f0f_0f0f;
    let others = (word | (low + 0x0606_0606_0606_0606)) & 0xf0f0_f0f0_f0f0_f0f0;
    let n_digits = others.trailing_zeros() as usize / 8;
    if n_digits == 0 {
        return (0, 0);
    }
    // Zeros in front, then pairs, fours and all of them: each step takes ten, a hundred, ten thousand times the front half.
    let word = word << (64 - 8 * n_digits);
    let pairs = (word.wrapping_mul(10) + (word >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let value = (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff;
    (value, n_digits)
}

#[expect(clippy::cast_precision_loss, reason = "the caller has checked that it is at most 2^53")]
fn to_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::decode::decode_any;
    use super::*;
    use crate::model::TensorSpec;

    fn signature(datatype: Dtype) -> Signature {
        let spec = TensorSpec { name: "x".to_owned(), datatype, shape: vec![None, Some(2)] };
        Signature {
            inputs: vec![spec],
            outputs: Vec::new(),
            features: Vec::new(),
            classes: Vec::new(),
            maps: Vec::new(),
        }
    }

    /// Bits of each value, so that every NaN is equal to itself and -0 is not 0.
    fn bits(decoded: &Decoded) -> (Vec<usize>, Vec<u64>) {
        let tensor = &decoded.inputs[0].tensor;
        let bits = match tensor.data() {
            Data::Fp32(values) => values.iter().map(|value| value.to_bits().into()).collect(),
            Data::Fp64(values) => values.iter().map(|value| value.to_bits()).collect(),
            other => unreachable!("{other:?}"),
        };
        (tensor.shape().to_vec(), bits)
    }

    /// What is plain is read as the general reader reads it. Gives back whether it was.
    #[track_caller]
    fn check(body: &str) -> bool {
        let limits = DecodeLimits { rows_max: 3, ..DecodeLimits::default() };
        let mut was_plain = false;
        for datatype in [Dtype::Fp32, Dtype::Fp64] {
            let signature = signature(datatype);
            let Some(plain) = decode(body.as_bytes(), &signature, 2, &limits) else { continue };
            was_plain = true;
            let general = decode_any(body.as_bytes(), &signature, &limits);
            assert_eq!(general.as_ref().map(bits).map_err(ToString::to_string), Ok(bits(&plain)), "{body}");
            assert_eq!(plain.form, Form::Rows);
        }
        was_plain
    }

    #[test]
    fn plain_rows_are_read_here() {
        for body in [
            r#"{"instances":[[1,2]]}"#,
            " { \"instances\" :\n[ [ 1.5e3 , -0 ] , [ -0.0, 0.1 ] ,[null,1E-7]\t] } \r\n",
            r#"{"instances":[[123456789012345678901234567890.5, 1e-320]]}"#,
            r#"{"instances":[[3.4028235e38, 9007199254740992]]}"#,
            r#"{"instances":[[16777217, 16777217.0]]}"#,
            r#"{"instances":[[0.000000000000000000000000000000000001, 1e+5]]}"#,
        ] {
            assert!(check(body), "{body}");
        }
    }

    #[test]
    fn everything_else_is_left_alone() {
        for body in [
            "",
            "{}",
            r#"{"instances":[]}"#,
            r#"{"instances":[[]]}"#,
            r#"{"instances":[[1]]}"#,
            r#"{"instances":[[1,2,3]]}"#,
            r#"{"instances":[[1,2],]}"#,
            r#"{"instances":[[1,2]],"signature_name":"serving_default"}"#,
            r#"{"instances":[[1,2]]} x"#,
            r#"{"instances":[[1,2],[1,2],[1,2],[1,2]]}"#,
            r#"{"inputs":[[1,2]]}"#,
            r#"{"instances":[[01,2]]}"#,
            r#"{"instances":[[1.,2]]}"#,
            r#"{"instances":[[.5,2]]}"#,
            r#"{"instances":[[+1,2]]}"#,
            r#"{"instances":[[1e,2]]}"#,
            r#"{"instances":[[1e400,2]]}"#,
            r#"{"instances":[[-,2]]}"#,
            r#"{"instances":[[NaN,2]]}"#,
            r#"{"instances":[["1",2]]}"#,
            r#"{"instances":[[18446744073709551616,2]]}"#,
            r#"{"instances":[{"x":[1,2]}]}"#,
        ] {
            assert!(!check(body), "{body}");
        }
    }

    proptest! {
        #[test]
        fn every_number_is_read_as_the_general_reader_does(
            a in "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?",
            b in "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,9})?",
        ) {
            check(&format!("{{\"instances\":[[{a},{b}]]}}"));
            let is_plain = check(&format!("{{\"instances\":[[{b},{b}]]}}"));
            prop_assert!(is_plain);
        }

        #[test]
        fn every_float_comes_back(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let body = format!("{{\"instances\":[[{value:?},1]]}}");
            let limits = DecodeLimits::default();
            let read = decode(body.as_bytes(), &signature(Dtype::Fp64), 2, &limits).map(|read| bits(&read).1);
            prop_assert_eq!(read, Some(vec![value.to_bits(), 1.0_f64.to_bits()]));
        }

        #[test]
        fn a_broken_body_is_never_read_otherwise(text in "[\\[\\]{}\",:0-9eE. nul+-]{0,24}") {
            check(&format!("{{\"instances\":[[{text}"));
            check(&format!("{{\"instances\":[[1,2]{text}"));
        }
    }
}
