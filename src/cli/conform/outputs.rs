//! What an infer answer gives, whether as JSON or behind it.

use serde_json::Value;

use super::asked::Answer;
use super::subject::values;
use crate::oip::raw;
use crate::tensor::Dtype;

/// Two numbers this near, relative to their size, are the same: one went through text.
const TOLERANCE: f64 = 1e-5;

/// The outputs of one answer.
#[derive(Debug, Clone)]
pub(super) struct Outputs(Vec<Output>);

#[derive(Debug, Clone)]
struct Output {
    name: String,
    shape: Vec<u64>,
    values: Vec<Value>,
}

impl Outputs {
    /// The outputs of `answer`, as the protocol wants them.
    ///
    /// # Errors
    /// What is wrong, for the table.
    pub(super) fn of(answer: &Answer) -> Result<Self, String> {
        if answer.status != 200 {
            return Err(answer.shown());
        }
        let length = answer.headers.get("inference-header-content-length").and_then(|length| length.to_str().ok());
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(answer.body.len());
        let (json, mut tail) = answer.body.split_at_checked(length).ok_or("the header field is beyond the body")?;
        let body: Value = serde_json::from_slice(json).map_err(|error| format!("no JSON: {error}"))?;
        if !body["model_name"].is_string() {
            return Err(format!("no \"model_name\": {}", answer.shown()));
        }
        let outputs = body["outputs"].as_array().ok_or_else(|| format!("no \"outputs\": {}", answer.shown()))?;
        let read = |output: &Value| Output::of(output, &mut tail);
        let outputs = outputs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if tail.is_empty() { Ok(Self(outputs)) } else { Err(format!("{} bytes belong to no output", tail.len())) }
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|output| output.name.as_str()).collect()
    }

    pub(super) fn last_name(&self) -> Option<String> {
        self.0.last().map(|output| output.name.clone())
    }

    pub(super) fn shown(&self) -> String {
        let output = |output: &Output| format!("{} {:?}", output.name, output.shape);
        self.0.iter().map(output).collect::<Vec<_>>().join(", ")
    }

    /// Where it is not `other`.
    fn difference(&self, other: &Self) -> Option<String> {
        if self.names() != other.names() {
            return Some(format!("outputs {:?} where {:?} came before", self.names(), other.names()));
        }
        let differs = |(own, other): &(&Output, &Output)| {
            own.shape != other.shape || !own.values.iter().zip(&other.values).all(|(own, other)| is_near(own, other))
        };
        let (own, _) = self.0.iter().zip(&other.0).find(differs)?;
        Some(format!("other values of {} than before", own.name))
    }
}

impl Output {
    fn of(output: &Value, tail: &mut &[u8]) -> Result<Self, String> {
        let name = output["name"].as_str().ok_or("an output without a name")?.to_owned();
        let fault = |what: &str| format!("output {name:?}: {what}");
        let shape = output["shape"].as_array().ok_or_else(|| fault("no shape"))?;
        let shape: Vec<u64> = shape.iter().filter_map(Value::as_u64).collect();
        let datatype = output["datatype"].as_str().ok_or_else(|| fault("no datatype"))?;
        let n_values = usize::try_from(shape.iter().product::<u64>()).unwrap_or(usize::MAX);
        let values = match output["parameters"]["binary_data_size"].as_u64() {
            None => flattened(&output["data"]).ok_or_else(|| fault("no data"))?,
            Some(size) => {
                let size = usize::try_from(size).unwrap_or(usize::MAX);
                let (own, rest) = tail.split_at_checked(size).ok_or_else(|| fault("fewer bytes than it says"))?;
                *tail = rest;
                let dtype: Dtype = datatype.parse().map_err(|_| fault("an unknown datatype"))?;
                let data = raw::read(dtype, n_values, own);
                values(&data.map_err(|wrong| fault(&format!("{} where {} should be", wrong.got, wrong.expected)))?)
            }
        };
        if values.len() != n_values {
            return Err(fault(&format!("{} values of shape {shape:?}", values.len())));
        }
        Ok(Self { name, shape, values })
    }
}

/// The values of a list, or of lists in lists.
fn flattened(data: &Value) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    for value in data.as_array()? {
        match value {
            Value::Array(_) => values.extend(flattened(value)?),
            other => values.push(other.clone()),
        }
    }
    Some(values)
}

fn is_near(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()).max(1.0),
        _ => one == other,
    }
}

/// Whether `answer` gives what `baseline` did.
pub(super) fn same(answer: &Answer, baseline: Option<&Outputs>) -> Result<String, String> {
    let outputs = Outputs::of(answer)?;
    match baseline {
        None => Ok(outputs.shown()),
        Some(baseline) => match outputs.difference(baseline) {
            None => Ok("the same outputs".to_owned()),
            Some(difference) => Err(difference),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};

    fn answer(body: &str, tail: &[u8]) -> Answer {
        let length = HeaderMap::from_iter([(
            http::HeaderName::from_static("inference-header-content-length"),
            HeaderValue::from(body.len()),
        )]);
        let headers = if tail.is_empty() { HeaderMap::new() } else { length };
        Answer { status: 200, headers, body: [body.as_bytes(), tail].concat().into() }
    }

    const JSON: &str =
        r#"{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[[1,2.0000001]]}]}"#;

    #[test]
    fn the_same_values_are_the_same_however_they_come() {
        let json = Outputs::of(&answer(JSON, b"")).unwrap();
        let framed = JSON.replace("\"data\":[[1,2.0000001]]", "\"parameters\":{\"binary_data_size\":8}");
        let tail = [1.0_f32.to_le_bytes(), 2.0_f32.to_le_bytes()].concat();
        assert!(same(&answer(&framed, &tail), Some(&json)).is_ok());
        let other = [1.0_f32.to_le_bytes(), 3.0_f32.to_le_bytes()].concat();
        assert!(same(&answer(&framed, &other), Some(&json)).unwrap_err().contains("other values of y"));
        assert!(Outputs::of(&answer(&framed, &tail[..7])).is_err());
        assert!(Outputs::of(&answer(&framed, &[&tail[..], b"more"].concat())).is_err());
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (from, to, expected) in [
            ("model_name", "name", "model_name"),
            ("[1,2]", "[1,3]", "2 values of shape [1, 3]"),
            ("\"datatype\":\"FP32\",", "", "no datatype"),
            ("\"data\"", "\"dat\"", "no data"),
        ] {
            let error = Outputs::of(&answer(&JSON.replacen(from, to, 1), b"")).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
