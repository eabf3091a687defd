//! What both forms of a prediction share in being described: the values of tensors as JSON, and one row of a version that makes
//! sense.

use serde_json::{Map, Value, json};

use crate::http::json;
use crate::model::{Feature, Signature, TensorSpec};
use crate::slot::Servable;
use crate::tensor::{Dtype, NamedTensor};

/// A version, as it is described.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Shown<'a> {
    pub(in crate::http) signature: &'a Signature,
    /// One row of its inputs, or nothing.
    pub(in crate::http) sample: &'a [NamedTensor],
}

impl<'a> Shown<'a> {
    pub(in crate::http) fn of(servable: &'a Servable) -> Self {
        Self { signature: servable.signature(), sample: servable.sample() }
    }

    /// What a feature may be, as JSON: as it is in the sample, else as the signature knows it from training.
    pub(in crate::http) fn example(&self, feature: &Feature) -> Option<Value> {
        let input = self.sample.iter().find(|input| input.name == feature.input);
        if let Some(input) = input {
            return exact(&json::Value { data: input.tensor.data(), index: feature.column });
        }
        let level = feature.levels.first().map(|level| Value::from(level.as_str()));
        level.or_else(|| Some(Value::from(feature.min?)))
    }

    /// A row by feature name; `None` where not every feature has an example, or features are not all that the model takes.
    pub(in crate::http) fn example_row(&self) -> Option<Value> {
        let is_made_up = |name: &str| self.signature.features.iter().any(|feature| feature.input == name);
        if !self.signature.inputs.iter().all(|spec| is_made_up(&spec.name)) {
            return None;
        }
        let member = |feature: &Feature| Some((feature.name.clone(), self.example(feature)?));
        let row = self.signature.features.iter().map(member).collect::<Option<Map<_, _>>>()?;
        (!row.is_empty()).then_some(Value::Object(row))
    }

    /// The inputs as the Open Inference Protocol has them; `None` where there is no sample.
    pub(in crate::http) fn example_tensors(&self) -> Option<Vec<Value>> {
        let tensor = |NamedTensor { name, tensor }: &NamedTensor| {
            let data = exact(&json::Flat(tensor.data()))?;
            Some(json!({ "name": name, "shape": tensor.shape(), "datatype": tensor.dtype(), "data": data }))
        };
        let given: Option<Vec<_>> = self.sample.iter().map(tensor).collect();
        given.filter(|given| !given.is_empty()).or_else(|| self.made_up_tensors())
    }

    /// Inputs out of what the signature knows of training.
    fn made_up_tensors(&self) -> Option<Vec<Value>> {
        let tensor = |spec: &TensorSpec| {
            let row_len = spec.row_len()?;
            let value = |column| {
                let mut features = self.signature.features.iter();
                self.example(features.find(|feature| feature.input == spec.name && feature.column == column)?)
            };
            let data = (0..row_len).map(value).collect::<Option<Vec<_>>>()?;
            let shape: Vec<_> = std::iter::once(1).chain(spec.shape.iter().skip(1).flatten().copied()).collect();
            Some(json!({ "name": spec.name, "shape": shape, "datatype": spec.datatype, "data": data }))
        };
        self.signature.inputs.iter().map(tensor).collect()
    }
}

/// The JSON of `value` as it is written: a tree of its own would show floats of 32 bits as those of 64.
fn exact(value: &impl serde::Serialize) -> Option<Value> {
    serde_json::from_str(&serde_json::to_string(value).ok()?).ok()
}

/// One of several.
pub(in crate::http) fn any_of(ways: impl IntoIterator<Item = Value>) -> Value {
    let mut ways: Vec<_> = ways.into_iter().collect();
    if let [_] = ways.as_slice() {
        return ways.pop().unwrap_or_default();
    }
    json!({ "anyOf": ways })
}

/// Nested lists of `value`, of the sizes `dims` where they are fixed.
pub(in crate::http) fn nested(dims: Vec<Option<usize>>, value: Value) -> Value {
    dims.into_iter().rev().fold(value, |items, dim| {
        let mut list = json!({ "type": "array", "items": items });
        if let Some(dim) = dim {
            list["minItems"] = dim.into();
            list["maxItems"] = dim.into();
        }
        list
    })
}

/// What is taken for one value. `NaN`, `Infinity` and their like, and base64 for strings, are taken besides.
pub(in crate::http) fn value_of(dtype: Dtype) -> Value {
    let whole = |min: i64, max: u64| json!({ "type": "integer", "minimum": min, "maximum": max });
    match dtype {
        Dtype::Bool => json!({ "type": "boolean" }),
        Dtype::Uint8 => whole(0, u8::MAX.into()),
        Dtype::Uint16 => whole(0, u16::MAX.into()),
        Dtype::Uint32 => whole(0, u32::MAX.into()),
        Dtype::Uint64 => whole(0, u64::MAX),
        Dtype::Int8 => whole(i8::MIN.into(), i8::MAX.unsigned_abs().into()),
        Dtype::Int16 => whole(i16::MIN.into(), i16::MAX.unsigned_abs().into()),
        Dtype::Int32 => whole(i32::MIN.into(), i32::MAX.unsigned_abs().into()),
        Dtype::Int64 => whole(i64::MIN, i64::MAX.unsigned_abs()),
        Dtype::Fp32 => {
            // From here on a number is nearer to infinity than to what 32 bits can hold.
            let limit = f64::from(f32::MAX) + 2.0_f64.powi(103);
            json!({ "type": ["number", "null"], "exclusiveMinimum": -limit, "exclusiveMaximum": limit })
        }
        Dtype::Fp64 => json!({ "type": ["number", "null"], "minimum": f64::MIN, "maximum": f64::MAX }),
        Dtype::String => json!({ "type": ["string", "null"] }),
    }
}

/// What one value is given as.
pub(in crate::http) fn output_value(dtype: Dtype) -> Value {
    match dtype {
        Dtype::Bool => json!({ "type": "boolean" }),
        Dtype::String => json!({ "type": "string" }),
        Dtype::Fp32 | Dtype::Fp64 => json!({ "type": ["number", "null"] }),
        _ => json!({ "type": "integer" }),
    }
}
