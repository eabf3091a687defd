//! The model that is asked: what it takes, as JSON, in the binary form and as messages.

use std::str::FromStr;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::oip::raw;
use crate::tensor::{Data, Dtype};

/// An input: `NAME:DATATYPE:SIZE,SIZE,...`, one row of it where the first size is 1.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) datatype: String,
    pub(super) shape: Vec<i64>,
}

impl FromStr for Input {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected NAME:DATATYPE:SIZE,SIZE like X:FP32:1,4, got {text:?}");
        let (rest, shape) = text.rsplit_once(':').ok_or_else(expected)?;
        let (name, datatype) = rest.rsplit_once(':').ok_or_else(expected)?;
        let shape =
            shape.split(',').map(|size| size.trim().parse().map_err(|_| expected())).collect::<Result<_, _>>()?;
        Ok(Self { name: name.to_owned(), datatype: datatype.to_owned(), shape })
    }
}

/// A model, and a row for it.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) model: String,
    /// A version that it says to have.
    pub(super) version: Option<String>,
    pub(super) inputs: Vec<Tensor>,
    /// The names of its outputs.
    pub(super) outputs: Vec<String>,
}

/// One input's values.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) data: Data,
}

impl Tensor {
    /// Values for `input`; sizes that are open are 1.
    fn of(input: &Input) -> anyhow::Result<Self> {
        let Input { name, datatype, shape } = input;
        let dtype: Dtype =
            datatype.parse().map_err(|_| anyhow::anyhow!("input {name:?}: no values are known for {datatype}"))?;
        let shape: Vec<usize> = shape.iter().map(|&size| usize::try_from(size).unwrap_or(1)).collect();
        let n_values: usize = shape.iter().product();
        if n_values == 0 || 1 << 16 < n_values {
            bail!("input {name:?}: {n_values} values a row: name smaller sizes with --input");
        }
        // Small numbers, which every type holds: 1, 2, 3, 4, 1, ...
        let numbers = (0..n_values).map(|at| u8::try_from(at % 4 + 1).unwrap_or(1));
        let bytes: Vec<u8> = match dtype {
            Dtype::Bool => numbers.map(|number| number % 2).collect(),
            Dtype::String => numbers.flat_map(|number| [1, 0, 0, 0, b'a' + number]).collect(),
            Dtype::Fp32 => numbers.flat_map(|number| f32::from(number).to_le_bytes()).collect(),
            Dtype::Fp64 => numbers.flat_map(|number| f64::from(number).to_le_bytes()).collect(),
            _ => {
                let size = raw::value_bytes(dtype).unwrap_or(1);
                numbers.flat_map(|number| std::iter::once(number).chain(std::iter::repeat_n(0, size - 1))).collect()
            }
        };
        let data = raw::read(dtype, n_values, &bytes).map_err(|fault| anyhow::anyhow!("{}", fault.expected))?;
        Ok(Self { name: name.clone(), shape, data })
    }

    pub(super) fn dtype(&self) -> Dtype {
        self.data.dtype()
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        raw::write(&self.data, &mut bytes);
        bytes
    }

    /// The values, flat.
    pub(super) fn values(&self) -> Vec<Value> {
        values(&self.data)
    }

    /// The values in lists as the shape has them.
    fn nested(&self) -> Value {
        let inner = self.shape.iter().skip(1).rev();
        let mut parts = self.values();
        for &size in inner {
            parts = parts.chunks(size).map(|part| json!(part)).collect();
        }
        json!(parts)
    }

    fn body(&self, data: &Value) -> Value {
        json!({ "name": self.name, "shape": self.shape, "datatype": self.dtype().as_str(), "data": data })
    }
}

/// Values as JSON has them.
pub(super) fn values(data: &Data) -> Vec<Value> {
    match data {
        Data::Bool(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::Uint8(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::Uint16(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::Uint32(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::Uint64(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::Int8(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::Int16(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::Int32(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::Int64(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::Fp32(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::Fp64(values) => values.iter().map(|&value| json!(value)).collect(),
        Data::String(values) => values.iter().map(|value| json!(value)).collect(),
    }
}

impl Subject {
    /// `model`, as its metadata tell of it, or `given` where that says more.
    ///
    /// # Errors
    /// Where neither says what it takes.
    pub(super) fn of(model: &str, metadata: &Value, given: &[Input]) -> anyhow::Result<Self> {
        let told: Vec<Input> = serde_json::from_value(metadata["inputs"].clone()).unwrap_or_default();
        let inputs = if given.is_empty() { &told } else { given };
        if inputs.is_empty() {
            bail!("model {model:?} does not tell what it takes: name its inputs with --input NAME:DATATYPE:SIZES");
        }
        let texts = |list: &Value, text: fn(&Value) -> Option<&str>| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(|value| text(value).map(ToOwned::to_owned)).collect()
        };
        Ok(Self {
            model: model.to_owned(),
            version: texts(&metadata["versions"], Value::as_str).pop(),
            inputs: inputs.iter().map(Tensor::of).collect::<anyhow::Result<_>>().context("a row cannot be made up")?,
            outputs: texts(&metadata["outputs"], |output| output["name"].as_str()),
        })
    }

    /// An infer request with flat data.
    pub(super) fn flat(&self) -> Value {
        json!({ "inputs": self.inputs.iter().map(|input| input.body(&json!(input.values()))).collect::<Vec<_>>() })
    }

    /// As [`Self::flat`], with nested data.
    pub(super) fn nested(&self) -> Value {
        json!({ "inputs": self.inputs.iter().map(|input| input.body(&input.nested())).collect::<Vec<_>>() })
    }

    /// A request whose first `n_binary` inputs are behind the JSON, and the length of that.
    pub(super) fn binary(&self, n_binary: usize, outputs: Option<bool>) -> (Vec<u8>, usize) {
        let mut tail = Vec::new();
        let mut inputs = Vec::new();
        for (at, input) in self.inputs.iter().enumerate() {
            if n_binary <= at {
                inputs.push(input.body(&json!(input.values())));
                continue;
            }
            let bytes = input.bytes();
            let mut body = input.body(&Value::Null);
            if let Some(body) = body.as_object_mut() {
                body.remove("data");
                body.insert("parameters".to_owned(), json!({ "binary_data_size": bytes.len() }));
            }
            inputs.push(body);
            tail.extend(bytes);
        }
        let mut request = json!({ "inputs": inputs });
        if let Some(binary) = outputs {
            request["parameters"] = json!({ "binary_data_output": binary });
        }
        let mut body = request.to_string().into_bytes();
        let length = body.len();
        body.extend(tail);
        (body, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_made_of_what_the_model_says_to_take() {
        let metadata = json!({ "versions": ["1", "2"], "outputs": [{ "name": "y" }], "inputs": [
            { "name": "x", "datatype": "FP32", "shape": [-1, 2, 2] }, { "name": "s", "datatype": "BYTES", "shape": [-1, 1] }
        ]});
        let subject = Subject::of("m", &metadata, &[]).unwrap();
        assert_eq!((subject.version.as_deref(), subject.outputs.as_slice()), (Some("2"), &["y".to_owned()][..]));
        assert_eq!(subject.nested()["inputs"][0]["data"], json!([[[1.0, 2.0], [3.0, 4.0]]]));
        assert_eq!(subject.flat()["inputs"][1]["data"], json!(["b"]));
        let (body, length) = subject.binary(1, Some(true));
        assert_eq!(&body[length..length + 4], 1.0_f32.to_le_bytes());
        let given = "a:b:INT64:1,3".parse::<Input>().unwrap();
        assert_eq!(given, Input { name: "a:b".to_owned(), datatype: "INT64".to_owned(), shape: vec![1, 3] });
        assert!("x:FP32".parse::<Input>().is_err() && "x:FP32:one".parse::<Input>().is_err());
        assert!(Subject::of("m", &json!({}), &[]).is_err());
        assert_eq!(
            Subject::of("m", &json!({}), &[given]).unwrap().inputs[0].values(),
            [1, 2, 3].map(|value| json!(value))
        );
    }
}
