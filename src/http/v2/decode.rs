//! An infer request: `{"id"?, "parameters"?, "inputs": [...], "outputs"?: [...]}`.
//!
//! Members and parameters that this build does not know are passed over, as the protocol's extensions want it.

use std::fmt;
use std::time::Duration;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::bare::bare_request;
use super::framed::{Framed, Tail};
use super::parameters::RequestParameters;
use super::tensor::{OutputSeed, TensorSeed, Wanted};
use crate::http::json::{DecodeError, DecodeLimits, Faults, Ignored, Key, TextSeed, parse, refuse};
use crate::model::Signature;
use crate::oip::Columns;
use crate::tensor::NamedTensor;

/// The most characters of a request's id.
pub(crate) const ID_CHARS_MAX: usize = 256;

/// What an infer request asks for. [`Signature::check`] still holds the inputs against the signature.
#[derive(Debug, Clone, PartialEq)]
pub struct InferRequest {
    /// The caller's id, to be echoed.
    pub id: Option<String>,
    /// The inputs, as sent.
    pub inputs: Vec<NamedTensor>,
    /// The outputs asked for, in order; all of them where the request names none.
    pub outputs: Vec<Wanted>,
    /// Whether outputs that say nothing of it are wanted in the binary form.
    pub binary: bool,
    /// The time that the request wants to have at most.
    pub timeout: Option<Duration>,
}

/// Reads an infer request for a model of `signature`.
///
/// # Errors
/// [`DecodeError`]; a path starts at `id`, `inputs` or `outputs`.
pub fn decode(body: Framed<'_>, signature: &Signature, limits: &DecodeLimits) -> Result<InferRequest, DecodeError> {
    decode_arrived((body, &Columns::default(), false), signature, limits)
}

/// As [`decode`], where columns were read off the wire; whether this is to be done `again`.
///
/// # Errors
/// As [`decode`].
pub(in crate::http) fn decode_arrived(
    (body, columns, again): (Framed<'_>, &Columns, bool),
    signature: &Signature,
    limits: &DecodeLimits,
) -> Result<InferRequest, DecodeError> {
    let Framed { json, tail, .. } = body;
    if json.is_empty() && body.is_raw() {
        return bare_request(tail, signature);
    }
    parse(json, |deserializer, faults| {
        // Bare tokens make the JSON be read twice, and so what lies behind it; then no columns were read off the wire.
        let tail = Tail::new(columns.hand_out(again), tail);
        let request = deserializer.deserialize_any(RequestVisitor { faults, signature, limits, tail: &tail })?;
        tail.end(faults)?;
        Ok(request)
    })
}

/// What the seeds of a request share.
#[derive(Clone, Copy)]
struct RequestVisitor<'a> {
    faults: &'a Faults,
    signature: &'a Signature,
    limits: &'a DecodeLimits,
    tail: &'a Tail<'a>,
}

impl RequestVisitor<'_> {
    const EXPECTED: &'static str = "an object with \"inputs\"";

    fn refuse<E: de::Error>(&self, got: &str) -> E {
        self.faults.raise_at("body", Self::EXPECTED, got)
    }
}

impl<'de> Visitor<'de> for RequestVisitor<'_> {
    type Value = InferRequest;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InferRequest, A::Error> {
        let Self { faults, signature, .. } = self;
        let twice = |name: &str| faults.raise_at(name, "each member once", "it twice");
        let (mut id, mut inputs, mut outputs, mut parameters) = (None, None, None, None);
        while let Some(Key(name)) = map.next_key()? {
            let within = |error: A::Error| faults.within(|| name.to_string(), error);
            match &*name {
                "id" if id.is_some() => return Err(twice("id")),
                "id" => {
                    let text = map.next_value_seed(TextSeed { faults, expected: "a string" }).map_err(within)?;
                    if text.chars().nth(ID_CHARS_MAX).is_some() {
                        return Err(faults.raise_at("id", format!("at most {ID_CHARS_MAX} characters"), "more"));
                    }
                    id = Some(text.into_owned());
                }
                "inputs" if inputs.is_some() => return Err(twice("inputs")),
                "inputs" => inputs = Some(map.next_value_seed(InputsSeed(self)).map_err(within)?),
                "outputs" if outputs.is_some() => return Err(twice("outputs")),
                "outputs" => outputs = Some(map.next_value_seed(OutputsSeed(self)).map_err(within)?),
                "parameters" if parameters.is_some() => return Err(twice("parameters")),
                "parameters" => parameters = Some(RequestParameters::read(faults, &mut map).map_err(within)?),
                _ => {
                    map.next_value::<Ignored>()?;
                }
            }
        }
        let Some(inputs) = inputs else { return Err(self.refuse("an object without it")) };
        let outputs = outputs.unwrap_or_else(|| all_outputs(signature));
        let RequestParameters { binary_data_output, timeout } = parameters.unwrap_or_default();
        Ok(InferRequest {
            id,
            inputs,
            outputs,
            binary: binary_data_output.unwrap_or(false),
            timeout: timeout.filter(|time| !time.is_zero()),
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<InferRequest, A::Error> {
        Err(self.refuse("a list"))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<InferRequest, E> {
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

/// Reads the list of input tensors.
struct InputsSeed<'a>(RequestVisitor<'a>);

/// Reads the list of outputs asked for.
struct OutputsSeed<'a>(RequestVisitor<'a>);

/// A seed and visitor of a list; anything else is refused.
macro_rules! list_seed {
    ($seed:ident, $value:ty, $expected:literal, $read:expr) => {
        impl $seed<'_> {
            fn refuse<E: de::Error>(&self, got: &str) -> E {
                self.0.faults.raise($expected, got)
            }
        }

        impl<'de> DeserializeSeed<'de> for $seed<'_> {
            type Value = $value;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_any(self)
            }
        }

        impl<'de> Visitor<'de> for $seed<'_> {
            type Value = $value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($expected)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                $read(self.0, seq)
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
    };
}

list_seed!(InputsSeed, Vec<NamedTensor>, "a list of tensors", read_inputs);
list_seed!(OutputsSeed, Vec<Wanted>, "a list of outputs", read_outputs);

fn read_inputs<'de, A: SeqAccess<'de>>(shared: RequestVisitor<'_>, mut seq: A) -> Result<Vec<NamedTensor>, A::Error> {
    let RequestVisitor { faults, signature, limits, tail } = shared;
    let mut inputs = Vec::new();
    loop {
        let index = inputs.len();
        if signature.inputs.len() < index {
            let expected = format!("at most {} inputs", signature.inputs.len());
            return Err(faults.raise(expected, "more"));
        }
        match seq.next_element_seed(TensorSeed { faults, limits, tail }) {
            Ok(Some(input)) => inputs.push(input),
            Ok(None) => return Ok(inputs),
            Err(error) => return Err(faults.within(|| format!("[{index}]"), error)),
        }
    }
}

fn read_outputs<'de, A: SeqAccess<'de>>(shared: RequestVisitor<'_>, mut seq: A) -> Result<Vec<Wanted>, A::Error> {
    let RequestVisitor { faults, signature, .. } = shared;
    let mut outputs: Vec<Wanted> = Vec::new();
    loop {
        let index = outputs.len();
        match seq.next_element_seed(OutputSeed { faults, signature }) {
            Ok(Some(output)) if outputs.iter().any(|other| other.index == output.index) => {
                return Err(faults.raise_at(format!("[{index}].name"), "each output once", "it twice"));
            }
            Ok(Some(output)) => outputs.push(output),
            Ok(None) if outputs.is_empty() => return Ok(all_outputs(signature)),
            Ok(None) => return Ok(outputs),
            Err(error) => return Err(faults.within(|| format!("[{index}]"), error)),
        }
    }
}

pub(super) fn all_outputs(signature: &Signature) -> Vec<Wanted> {
    (0..signature.outputs.len()).map(|index| Wanted { index, binary: None }).collect()
}
