//! Tensors as JSON, in the Open Inference Protocol's form: `{"name", "datatype", "shape", "data"}` with flat data.
//!
//! A float that JSON cannot write is `null` (NaN) or the string `"Infinity"` / `"-Infinity"`; reading also takes the
//! string `"NaN"`. The artifact's golden cases use this form, so each of them is also the body of a request.

use serde::de::Error as _;
use serde::ser::{SerializeSeq as _, SerializeStruct as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Data, Dtype, Tensor};

/// A tensor with its name: one input or output.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Raw")]
pub struct NamedTensor {
    /// The input's or output's name.
    pub name: String,
    /// Its values.
    pub tensor: Tensor,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    datatype: Dtype,
    shape: Vec<usize>,
    data: serde_json::Value,
}

/// The value of a float written as text: `NaN`, `Infinity`, `-Infinity`.
pub fn parse_float_token(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(values) => values.serialize(serializer),
            Self::Uint8(values) => serializer.collect_seq(values),
            Self::Uint16(values) => values.serialize(serializer),
            Self::Uint32(values) => values.serialize(serializer),
            Self::Uint64(values) => values.serialize(serializer),
            Self::Int8(values) => values.serialize(serializer),
            Self::Int16(values) => values.serialize(serializer),
            Self::Int32(values) => values.serialize(serializer),
            Self::Int64(values) => values.serialize(serializer),
            Self::Fp32(values) => {
                let mut seq = serializer.serialize_seq(Some(values.len()))?;
                for &value in values {
                    if value.is_infinite() {
                        seq.serialize_element(infinity(value.is_sign_negative()))?;
                    } else {
                        // serde_json writes NaN as null.
                        seq.serialize_element(&value)?;
                    }
                }
                seq.end()
            }
            Self::Fp64(values) => {
                let mut seq = serializer.serialize_seq(Some(values.len()))?;
                for &value in values {
                    if value.is_infinite() {
                        seq.serialize_element(infinity(value.is_sign_negative()))?;
                    } else {
                        seq.serialize_element(&value)?;
                    }
                }
                seq.end()
            }
            Self::String(values) => values.serialize(serializer),
        }
    }
}

fn infinity(negative: bool) -> &'static str {
    if negative { "-Infinity" } else { "Infinity" }
}

impl Serialize for NamedTensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("NamedTensor", 4)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("datatype", &self.tensor.dtype())?;
        fields.serialize_field("shape", self.tensor.shape())?;
        fields.serialize_field("data", self.tensor.data())?;
        fields.end()
    }
}

impl TryFrom<Raw> for NamedTensor {
    type Error = serde_json::Error;

    fn try_from(Raw { name, datatype, shape, data }: Raw) -> Result<Self, Self::Error> {
        let data = read_data(datatype, data)?;
        let tensor =
            Tensor::new(shape, data).map_err(|error| Self::Error::custom(format!("tensor {name:?}: {error}")))?;
        Ok(Self { name, tensor })
    }
}

fn read_data(dtype: Dtype, data: serde_json::Value) -> serde_json::Result<Data> {
    use serde_json::from_value;
    Ok(match dtype {
        Dtype::Bool => Data::Bool(from_value(data)?),
        Dtype::Uint8 => Data::Uint8(from_value(data)?),
        Dtype::Uint16 => Data::Uint16(from_value(data)?),
        Dtype::Uint32 => Data::Uint32(from_value(data)?),
        Dtype::Uint64 => Data::Uint64(from_value(data)?),
        Dtype::Int8 => Data::Int8(from_value(data)?),
        Dtype::Int16 => Data::Int16(from_value(data)?),
        Dtype::Int32 => Data::Int32(from_value(data)?),
        Dtype::Int64 => Data::Int64(from_value(data)?),
        Dtype::Fp32 => {
            Data::Fp32(from_value::<Vec<Float>>(data)?.into_iter().map(|Float(value)| narrow(value)).collect())
        }
        Dtype::Fp64 => Data::Fp64(from_value::<Vec<Float>>(data)?.into_iter().map(|Float(value)| value).collect()),
        Dtype::String => Data::String(from_value(data)?),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the value was written from an f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// A JSON number, `null` (NaN) or one of the three tokens of [`parse_float_token`].
struct Float(f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Token(String),
            Missing,
        }
        match Form::deserialize(deserializer)? {
            Form::Number(value) => Ok(Self(value)),
            Form::Missing => Ok(Self(f64::NAN)),
            Form::Token(text) => {
                let value = parse_float_token(&text);
                value.map(Self).ok_or_else(|| D::Error::custom("expected a number, null, NaN, Infinity or -Infinity"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_that_json_cannot_write_survive() {
        let data = Data::Fp32(vec![0.1, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]);
        let named = NamedTensor { name: "x".to_owned(), tensor: Tensor::column(data) };
        let text = serde_json::to_string(&named).unwrap();
        assert_eq!(text, r#"{"name":"x","datatype":"FP32","shape":[4,1],"data":[0.1,null,"Infinity","-Infinity"]}"#);
        let back: NamedTensor = serde_json::from_str(&text).unwrap();
        let values = back.tensor.as_f32().unwrap();
        assert_eq!(values[0].to_bits(), 0.1_f32.to_bits());
        assert!(values[1].is_nan());
        assert_eq!(&values[2..], [f32::INFINITY, f32::NEG_INFINITY]);
    }

    #[test]
    fn integers_beyond_two_to_the_53_survive() {
        let named =
            NamedTensor { name: "id".to_owned(), tensor: Tensor::vector(Data::Int64(vec![9_007_199_254_740_993])) };
        let back: NamedTensor = serde_json::from_str(&serde_json::to_string(&named).unwrap()).unwrap();
        assert_eq!(back, named);
    }
}
