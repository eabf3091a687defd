//! The two parts of a body: JSON, and behind it the tensors that are in the binary form.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use serde::de;

use crate::http::json::{DecodeError, Faults};
use crate::model::Mismatch;
use crate::oip::Column;

/// The header field that says how long the JSON is.
pub const JSON_LENGTH: &str = "inference-header-content-length";

/// A body, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed<'a> {
    /// The JSON.
    pub json: &'a [u8],
    /// What follows it.
    pub tail: &'a [u8],
    is_raw: bool,
}

impl<'a> Framed<'a> {
    /// A body that is JSON alone.
    pub fn json(body: &'a [u8]) -> Self {
        Self { json: body, tail: &[], is_raw: false }
    }

    /// A body whose JSON is as long as the header field says, if it came.
    ///
    /// # Errors
    /// [`DecodeError::BadInput`] where the field is no length, or a larger one than the body's.
    pub fn of(body: &'a [u8], json_length: Option<&[u8]>) -> Result<Self, DecodeError> {
        let Some(text) = json_length else { return Ok(Self::json(body)) };
        let length = std::str::from_utf8(text).ok().and_then(|text| text.parse::<usize>().ok());
        let expected = || format!("a whole number up to the body's {} bytes", body.len());
        let (json, tail) = length
            .and_then(|length| body.split_at_checked(length))
            .ok_or_else(|| Mismatch::new(JSON_LENGTH, expected(), "another value"))?;
        Ok(Self { json, tail, is_raw: json.is_empty() })
    }

    /// Whether the body is the data of a tensor alone.
    pub(super) fn is_raw(&self) -> bool {
        self.is_raw
    }
}

/// What follows the JSON, as the tensors take it in turn.
#[derive(Debug)]
pub(super) struct Tail<'a> {
    /// What was read off the wire already; it comes before the bytes.
    columns: RefCell<VecDeque<Column>>,
    bytes: Cell<&'a [u8]>,
}

/// A part of it.
pub(super) enum Taken<'a> {
    Bytes(&'a [u8]),
    Column(Column),
}

impl<'a> Tail<'a> {
    pub(super) fn new(columns: VecDeque<Column>, bytes: &'a [u8]) -> Self {
        Self { columns: RefCell::new(columns), bytes: Cell::new(bytes) }
    }

    fn n_bytes(&self) -> usize {
        self.bytes.get().len() + self.columns.borrow().iter().map(|column| column.n_bytes).sum::<usize>()
    }

    /// The next `n_bytes`.
    pub(super) fn take<E: de::Error>(&self, faults: &Faults, n_bytes: usize) -> Result<Taken<'a>, E> {
        let left = self.n_bytes();
        let beyond = || {
            let expected = format!("at most the {left} bytes that follow");
            faults.raise_at(".parameters.binary_data_size", expected, n_bytes.to_string())
        };
        if left < n_bytes {
            return Err(beyond());
        }
        if let Some(column) = self.columns.borrow_mut().pop_front() {
            return Ok(Taken::Column(column));
        }
        let (taken, rest) = self.bytes.get().split_at_checked(n_bytes).ok_or_else(beyond)?;
        self.bytes.set(rest);
        Ok(Taken::Bytes(taken))
    }

    /// Refuses what no tensor took.
    pub(super) fn end<E: de::Error>(&self, faults: &Faults) -> Result<(), E> {
        match self.n_bytes() {
            0 => Ok(()),
            left => Err(faults.raise_at("body", "as many bytes as the tensors take", format!("{left} bytes more"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_taken_apart_where_the_header_field_says() {
        let json = |text: &'static str| Framed { json: text.as_bytes(), tail: b"", is_raw: false };
        assert_eq!(Framed::of(b"{}", None), Ok(json("{}")));
        assert_eq!(Framed::of(b"{}", Some(b"2")), Ok(json("{}")));
        assert_eq!(Framed::of(b"{}ab", Some(b"2")), Ok(Framed { tail: b"ab", ..json("{}") }));
        assert!(Framed::of(b"ab", Some(b"0")).is_ok_and(|framed| framed.is_raw() && framed.tail == b"ab"));
        for wrong in ["3", "-1", "", "two", "18446744073709551616", "2.0"] {
            assert!(matches!(Framed::of(b"{}", Some(wrong.as_bytes())), Err(DecodeError::BadInput(_))), "{wrong}");
        }
    }
}
