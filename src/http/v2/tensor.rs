//! One tensor of a request: `{"name", "shape", "datatype", "data", "parameters"?}`, its members in any order. Where its
//! `parameters` have `binary_data_size`, its data is so many bytes behind the JSON instead.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::framed::{Tail, Taken};
use super::parameters::{InputParameters, OutputParameters};
use crate::http::json::{DecodeLimits, Faults, Ignored, Key, Nest, TextSeed, ValueSeed, clip, refuse};
use crate::model::Signature;
use crate::oip::{Column, raw};
use crate::tensor::{Data, Dtype, NamedTensor, Tensor};

/// Reads one input tensor.
pub(super) struct TensorSeed<'a> {
    pub(super) faults: &'a Faults,
    pub(super) limits: &'a DecodeLimits,
    pub(super) tail: &'a Tail<'a>,
}

/// Reads one member of the request's `outputs` and finds it in the signature.
pub(super) struct OutputSeed<'a> {
    pub(super) faults: &'a Faults,
    pub(super) signature: &'a Signature,
}

/// An output that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its position in [`Signature::outputs`].
    pub index: usize,
    /// Whether it is wanted in the binary form; `None` as the request says for all of them.
    pub binary: Option<bool>,
}

/// A seed and visitor of an object; anything else is refused.
macro_rules! object_seed {
    ($seed:ident, $value:ty, $expected:literal) => {
        impl $seed<'_> {
            fn refuse<E: de::Error>(&self, got: &str) -> E {
                self.faults.raise($expected, got)
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

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                self.read(map)
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
    };
}

object_seed!(TensorSeed, NamedTensor, "an object with \"name\", \"shape\", \"datatype\" and \"data\"");
object_seed!(OutputSeed, Wanted, "an object with \"name\"");

/// The members of a tensor so far.
#[derive(Default)]
struct Members<'de> {
    name: Option<String>,
    shape: Option<Vec<usize>>,
    dtype: Option<Dtype>,
    data: Option<(Vec<usize>, Data)>,
    /// Data that came before its type.
    raw: Option<&'de RawValue>,
    /// The bytes that it takes behind the JSON.
    binary_len: Option<usize>,
}

impl TensorSeed<'_> {
    fn read<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<NamedTensor, A::Error> {
        let Self { faults, limits, tail } = self;
        let mut members = Members::default();
        while let Some(Key(name)) = map.next_key()? {
            let within = |error: A::Error| faults.within(|| format!(".{name}"), error);
            let is_given = match &*name {
                "name" => members.name.is_some(),
                "shape" => members.shape.is_some(),
                "datatype" => members.dtype.is_some(),
                "data" => members.data.is_some() || members.raw.is_some(),
                _ => false,
            };
            if is_given {
                return Err(within(faults.raise("each member once", "it twice")));
            }
            match &*name {
                "name" => {
                    let text = map.next_value_seed(TextSeed { faults, expected: "a string" }).map_err(within)?;
                    members.name = Some(text.into_owned());
                }
                "shape" => members.shape = Some(read_shape(faults, limits, &mut map).map_err(within)?),
                "datatype" => {
                    let text = map.next_value_seed(TextSeed { faults, expected: "a datatype" }).map_err(within)?;
                    let dtype = text.parse::<Dtype>();
                    members.dtype = Some(dtype.map_err(|_| within(faults.raise(DATATYPES, clip(&text))))?);
                }
                "data" => match members.dtype {
                    Some(dtype) => {
                        let mut data = Data::with_capacity(dtype, 0);
                        let mut nest = Nest::new(limits.nesting_max);
                        map.next_value_seed(ValueSeed::nested(faults, &mut data, &mut nest)).map_err(within)?;
                        members.data = Some((nest.dims(), data));
                    }
                    None => members.raw = Some(map.next_value().map_err(within)?),
                },
                "parameters" => {
                    let InputParameters { binary_data_size, .. } =
                        InputParameters::read(faults, &mut map).map_err(within)?;
                    members.binary_len = binary_data_size;
                }
                _ => {
                    map.next_value::<Ignored>()?;
                }
            }
        }
        members.into_tensor(faults, limits, tail)
    }
}

const DATATYPES: &str = "one of BOOL, UINT8 to UINT64, INT8 to INT64, FP32, FP64, BYTES";

/// A list of sizes, each 0 or more.
fn read_shape<'de, A: MapAccess<'de>>(
    faults: &Faults,
    limits: &DecodeLimits,
    map: &mut A,
) -> Result<Vec<usize>, A::Error> {
    let mut sizes = Data::Uint64(Vec::new());
    let mut nest = Nest::new(1);
    map.next_value_seed(ValueSeed::nested(faults, &mut sizes, &mut nest))?;
    let Data::Uint64(sizes) = sizes else { return Err(faults.raise("a list of sizes", "another type")) };
    if nest.dims().is_empty() {
        return Err(faults.raise("a list of sizes", "one number"));
    }
    if limits.nesting_max < sizes.len() {
        return Err(faults.raise(format!("at most {} sizes", limits.nesting_max), "more"));
    }
    let size = |size: u64| usize::try_from(size).map_err(|_| faults.raise("sizes that fit in memory", "a larger one"));
    sizes.into_iter().map(size).collect()
}

impl Members<'_> {
    fn into_tensor<E: de::Error>(
        self,
        faults: &Faults,
        limits: &DecodeLimits,
        tail: &Tail<'_>,
    ) -> Result<NamedTensor, E> {
        let missing = |what: &str| faults.raise(format!("a tensor with \"{what}\""), "one without it");
        let name = self.name.ok_or_else(|| missing("name"))?;
        let shape = self.shape.ok_or_else(|| missing("shape"))?;
        let dtype = self.dtype.ok_or_else(|| missing("datatype"))?;
        if limits.rows_max < shape.first().copied().unwrap_or(1) {
            return Err(faults.raise_at(".shape", format!("at most {} rows", limits.rows_max), "more"));
        }
        let (dims, data) = match (self.data, self.raw, self.binary_len) {
            (None, None, Some(n_bytes)) => {
                let tensor = read_binary(faults, limits, (dtype, shape), tail.take(faults, n_bytes)?)?;
                return Ok(NamedTensor { name, tensor });
            }
            (_, _, Some(_)) => return Err(faults.raise("\"data\" or \"binary_data_size\"", "both")),
            (Some(data), _, None) => data,
            (None, Some(raw), None) => read_raw(faults, limits, dtype, raw)?,
            (None, None, None) => return Err(missing("data")),
        };
        if limits.values_max < data.len() {
            return Err(faults.raise_at(".data", format!("at most {} values", limits.values_max), "more"));
        }
        let is_nested = 1 < dims.len();
        if is_nested && dims != shape {
            return Err(faults.raise_at(".data", format!("lists of shape {shape:?}"), format!("shape {dims:?}")));
        }
        if dims.is_empty() {
            return Err(faults.raise_at(".data", "a list", "one value"));
        }
        let n_values = data.len();
        let tensor = Tensor::new(shape.clone(), data).map_err(|_| {
            faults.raise_at(".data", format!("as many values as shape {shape:?} takes"), format!("{n_values} values"))
        })?;
        Ok(NamedTensor { name, tensor })
    }
}

/// A tensor in the binary form.
fn read_binary<E: de::Error>(
    faults: &Faults,
    limits: &DecodeLimits,
    (dtype, shape): (Dtype, Vec<usize>),
    taken: Taken<'_>,
) -> Result<Tensor, E> {
    let n_values = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
    let n_values = n_values.ok_or_else(|| faults.raise_at(".shape", "sizes whose product fits in memory", "more"))?;
    // Only strings take more memory than they take bytes here.
    if dtype == Dtype::String && limits.values_max < n_values {
        return Err(faults.raise_at(".shape", format!("at most {} values", limits.values_max), "more"));
    }
    let data = match taken {
        Taken::Bytes(bytes) => raw::read(dtype, n_values, bytes),
        Taken::Column(Column { data, n_bytes }) => raw::check_len(dtype, n_values, n_bytes).map(|()| data),
    };
    let data = data.map_err(|fault| faults.raise_at(".parameters.binary_data_size", fault.expected, fault.got))?;
    Tensor::new(shape, data).map_err(|_| faults.raise_at(".shape", "a shape of its values", "another one"))
}

/// Data that came before its type.
fn read_raw<E: de::Error>(
    faults: &Faults,
    limits: &DecodeLimits,
    dtype: Dtype,
    raw: &RawValue,
) -> Result<(Vec<usize>, Data), E> {
    let mut data = Data::with_capacity(dtype, 0);
    let mut nest = Nest::new(limits.nesting_max);
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    match ValueSeed::nested(faults, &mut data, &mut nest).read(&mut deserializer) {
        Ok(()) => Ok((nest.dims(), data)),
        // The text is JSON, so what serde itself finds fault with is a number that no type can hold.
        Err(_) if !faults.is_found() => Err(faults.raise_at(".data", "numbers in range", "a number out of range")),
        Err(error) => {
            drop(faults.within(|| ".data".to_owned(), error));
            Err(E::custom(""))
        }
    }
}

impl OutputSeed<'_> {
    fn read<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Wanted, A::Error> {
        let Self { faults, signature } = self;
        let (mut output, mut binary) = (None, None);
        while let Some(Key(name)) = map.next_key()? {
            let within = |error: A::Error| faults.within(|| format!(".{name}"), error);
            match &*name {
                "name" => {
                    let text = map.next_value_seed(TextSeed { faults, expected: "a string" }).map_err(within)?;
                    if output.is_some() {
                        return Err(within(faults.raise("each member once", "it twice")));
                    }
                    let Some(position) = signature.outputs.iter().position(|spec| spec.name == text) else {
                        let names: Vec<_> = signature.outputs.iter().map(|spec| spec.name.as_str()).collect();
                        return Err(within(faults.raise(format!("one of {}", names.join(", ")), clip(&text))));
                    };
                    output = Some(position);
                }
                "parameters" => {
                    let OutputParameters { binary_data, .. } =
                        OutputParameters::read(faults, &mut map).map_err(within)?;
                    binary = binary_data;
                }
                _ => {
                    map.next_value::<Ignored>()?;
                }
            }
        }
        let index = output.ok_or_else(|| faults.raise("an output with \"name\"", "one without it"))?;
        Ok(Wanted { index, binary })
    }
}
