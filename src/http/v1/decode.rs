//! A v1 body to named tensors: `{"instances": [...]}` or `{"inputs": ...}`, exactly one of them.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::columns::ColumnsSeed;
use super::plain;
use super::rows::RowsSeed;
use super::table::Extras;
use super::target::Plan;
use crate::http::json::{DecodeError, DecodeLimits, Faults, Key, TextSeed, clip, parse, refuse};
use crate::model::{Mismatch, Signature};
use crate::tensor::NamedTensor;

/// How the rows were written, which decides how the answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `instances`: one member a row; answered with `predictions`.
    Rows,
    /// `inputs`: one member a column; answered with `outputs`.
    Columns,
}

/// What a body asks for. [`Signature::check`] still holds the tensors against the signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// One tensor an input that was given, in the order of the signature.
    pub inputs: Vec<NamedTensor>,
    /// How to answer.
    pub form: Form,
}

/// Reads a v1 body for a model of `signature`, of which the [plain row's length](Signature::plain_row_len) is told.
///
/// # Errors
/// [`DecodeError`]; a path starts at `instances` or `inputs`.
pub fn decode(
    body: &[u8],
    (signature, plain_row_len): (&Signature, Option<usize>),
    limits: &DecodeLimits,
) -> Result<Decoded, DecodeError> {
    match plain_row_len.and_then(|row_len| plain::decode(body, signature, row_len, limits)) {
        Some(decoded) => Ok(decoded),
        None => decode_any(body, signature, limits),
    }
}

/// Reads a body however it is written.
pub(super) fn decode_any(body: &[u8], signature: &Signature, limits: &DecodeLimits) -> Result<Decoded, DecodeError> {
    let Some(plan) = Plan::new(signature) else {
        return Err(Mismatch::new("signature", "features that lie inside their inputs", "another").into());
    };
    parse(body, |deserializer, faults| BodySeed { faults, plan: &plan, limits }.deserialize(deserializer))
}

struct BodySeed<'a> {
    faults: &'a Faults,
    plan: &'a Plan<'a>,
    limits: &'a DecodeLimits,
}

impl BodySeed<'_> {
    const EXPECTED: &'static str = "an object with \"instances\" or \"inputs\"";

    fn refuse<E: de::Error>(&self, got: &str) -> E {
        self.faults.raise_at("body", Self::EXPECTED, got)
    }
}

impl<'de> DeserializeSeed<'de> for BodySeed<'_> {
    type Value = Decoded;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Decoded, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_> {
    type Value = Decoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Decoded, A::Error> {
        let Self { faults, plan, limits } = self;
        let mut decoded: Option<Decoded> = None;
        while let Some(Key(name)) = map.next_key()? {
            let form = match &*name {
                "instances" => Form::Rows,
                "inputs" => Form::Columns,
                "signature_name" => {
                    let expected = "\"serving_default\", the only signature";
                    let text = map.next_value_seed(TextSeed { faults, expected });
                    let text = text.map_err(|error| faults.within(|| "signature_name".to_owned(), error))?;
                    if text != "serving_default" {
                        return Err(faults.raise_at("signature_name", expected, "another name"));
                    }
                    continue;
                }
                other => {
                    let expected = "one of instances, inputs, signature_name";
                    return Err(faults.raise_at(clip(other), expected, "an unknown member"));
                }
            };
            if decoded.is_some() {
                return Err(faults.raise_at("body", "one of \"instances\" and \"inputs\", once", "two"));
            }
            let inputs = match form {
                Form::Rows => map.next_value_seed(RowsSeed { faults, plan, limits, extras: Extras::Refused }),
                Form::Columns => map.next_value_seed(ColumnsSeed { faults, plan, limits }),
            };
            let inputs = inputs.map_err(|error| faults.within(|| name.into_owned(), error))?;
            decoded = Some(Decoded { inputs, form });
        }
        decoded.ok_or_else(|| faults.raise_at("body", BodySeed::EXPECTED, "neither"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Decoded, A::Error> {
        Err(self.refuse("a list"))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Decoded, E> {
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
