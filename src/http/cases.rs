//! The codecs' cases: a case is a file under tests/cases/http. A new case needs no code.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::{ApiError, Face};
use super::json::{DecodeError, DecodeLimits};
use super::{v1, v2};
use crate::model::{ModelName, Signature, Version};
use crate::tensor::{NamedTensor, Tensor};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases/http").join(name)
}

/// A signature of the cases, by name.
pub(super) fn signature(name: &str) -> Signature {
    let text = std::fs::read_to_string(folder("signatures").join(name).with_extension("json")).unwrap();
    let signature: Signature = serde_json::from_str(&text).unwrap();
    signature.validate().unwrap();
    signature
}

/// Runs `check` on every case of a folder; a case fails with its file's name.
fn each_case<C: for<'de> Deserialize<'de>>(name: &str, check: impl Fn(&C) -> Result<(), String>) {
    let mut paths: Vec<_> = folder(name).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no cases in {name}");
    let failures: Vec<_> = paths
        .iter()
        .filter_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let case: C = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            check(&case).err().map(|failure| format!("{}: {failure}", path.display()))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecodeCase {
    #[serde(rename = "about")]
    _about: String,
    signature: String,
    /// The body, as JSON.
    request: Option<Box<RawValue>>,
    /// The body, as text, where it is no JSON.
    body: Option<String>,
    /// What follows the JSON, as hexadecimal digits.
    tail: Option<String>,
    /// What the header field says of the JSON's length, where that is not its length.
    json_length: Option<String>,
    limits: Option<Limits>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    rows_max: Option<usize>,
    values_max: Option<usize>,
    nesting_max: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    inputs: Option<Vec<NamedTensor>>,
    form: Option<String>,
    id: Option<String>,
    outputs: Option<Vec<usize>>,
    /// Which of these are wanted in the binary form.
    binary: Option<Vec<bool>>,
    timeout_us: Option<u128>,
    status: Option<u16>,
    code: Option<String>,
    path: Option<String>,
    expected: Option<String>,
    got: Option<String>,
}

impl DecodeCase {
    /// The body with what follows its JSON, and the header field that says where.
    fn framed(&self) -> (Vec<u8>, Option<String>) {
        let json = self.body();
        let hex = self.tail.as_deref().unwrap_or_default().replace(' ', "");
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let tail = (0..hex.len()).step_by(2).map(byte);
        let length = self.json_length.clone().or_else(|| self.tail.as_ref().map(|_| json.len().to_string()));
        (json.iter().copied().chain(tail).collect(), length)
    }

    fn body(&self) -> &[u8] {
        let body = self.request.as_ref().map(|request| request.get()).or(self.body.as_deref());
        body.unwrap_or_else(|| panic!("a case has \"request\" or \"body\"")).as_bytes()
    }

    fn limits(&self) -> DecodeLimits {
        let all = DecodeLimits::default();
        let Some(limits) = &self.limits else { return all };
        DecodeLimits {
            rows_max: limits.rows_max.unwrap_or(all.rows_max),
            values_max: limits.values_max.unwrap_or(all.values_max),
            nesting_max: limits.nesting_max.unwrap_or(all.nesting_max),
        }
    }

    fn check_inputs(&self, signature: &Signature, inputs: &[NamedTensor]) -> Result<(), String> {
        let Some(want) = &self.expect.inputs else { return Err("was read, against what was expected".to_owned()) };
        let text = |tensors: &[NamedTensor]| serde_json::to_string(tensors).unwrap();
        same("inputs", &text(want), &text(inputs))?;
        signature.check(inputs.to_vec()).map(drop).map_err(|mismatch| mismatch.to_string())
    }

    fn check_error(&self, face: Face, error: DecodeError) -> Result<(), String> {
        let shown = error.to_string();
        let error = ApiError::decode(face, error);
        let (status, code) = error.kind();
        same("status", &self.expect.status, &Some(status.as_u16()))
            .map_err(|failure| format!("{failure} ({shown})"))?;
        same("code", &self.expect.code.as_deref(), &Some(code))?;
        if let ApiError::BadInput { mismatch, .. } = error {
            same("path", &self.expect.path.as_deref(), &Some(&mismatch.path))
                .map_err(|failure| format!("{failure} ({shown})"))?;
            if let Some(expected) = &self.expect.expected {
                same("expected", expected, &mismatch.expected)?;
            }
            if let Some(got) = &self.expect.got {
                same("got", got, &mismatch.got)?;
            }
        }
        Ok(())
    }
}

fn same<W: PartialEq<G> + std::fmt::Debug, G: std::fmt::Debug>(what: &str, want: &W, got: &G) -> Result<(), String> {
    if want == got { Ok(()) } else { Err(format!("{what}: expected {want:?}, got {got:?}")) }
}

#[test]
fn every_v1_body_is_read_or_refused_as_its_case_says() {
    each_case("v1-requests", |case: &DecodeCase| {
        let signature = signature(&case.signature);
        match v1::decode(case.body(), (&signature, signature.plain_row_len()), &case.limits()) {
            Ok(decoded) => {
                let form = if decoded.form == v1::Form::Rows { "rows" } else { "columns" };
                same("form", &case.expect.form.as_deref(), &Some(form))?;
                case.check_inputs(&signature, &decoded.inputs)
            }
            Err(error) => case.check_error(Face::V1, error),
        }
    });
}

#[test]
fn every_v2_body_is_read_or_refused_as_its_case_says() {
    each_case("v2-requests", |case: &DecodeCase| {
        let signature = signature(&case.signature);
        let (body, length) = case.framed();
        let framed = v2::Framed::of(&body, length.as_deref().map(str::as_bytes));
        match framed.and_then(|framed| v2::decode(framed, &signature, &case.limits())) {
            Ok(request) => {
                same("id", &case.expect.id, &request.id)?;
                if let Some(outputs) = &case.expect.outputs {
                    same("outputs", outputs, &request.outputs.iter().map(|wanted| wanted.index).collect::<Vec<_>>())?;
                }
                if let Some(binary) = &case.expect.binary {
                    let got = request.outputs.iter().map(|wanted| wanted.binary.unwrap_or(request.binary));
                    same("binary", binary, &got.collect::<Vec<_>>())?;
                }
                same("timeout_us", &case.expect.timeout_us, &request.timeout.map(|time| time.as_micros()))?;
                if case.expect.path.is_none() {
                    return case.check_inputs(&signature, &request.inputs);
                }
                // The codec reads it; the signature refuses it.
                let Err(mismatch) = signature.check(request.inputs) else { return Err("fits".to_owned()) };
                case.check_error(Face::V2, mismatch.into())
            }
            Err(error) => case.check_error(Face::V2, error),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerCase {
    #[serde(rename = "about")]
    _about: String,
    signature: String,
    form: Option<String>,
    id: Option<String>,
    wanted: Option<Vec<usize>>,
    /// Which of those are wanted in the binary form.
    binary: Option<Vec<bool>>,
    outputs: Vec<NamedTensor>,
    answer: Value,
    /// What follows the JSON, as hexadecimal digits.
    tail: Option<String>,
}

impl AnswerCase {
    fn tensors(&self) -> Vec<Tensor> {
        self.outputs.iter().map(|output| output.tensor.clone()).collect()
    }
}

fn same_answer(want: &Value, got: &[u8]) -> Result<(), String> {
    let value: Value = serde_json::from_slice(got).map_err(|error| format!("not JSON: {error}"))?;
    same("answer", &want.to_string(), &value.to_string())
}

#[test]
fn every_v1_answer_is_written_as_its_case_says() {
    let model: ModelName = "flights".parse().unwrap();
    each_case("v1-answers", |case: &AnswerCase| {
        let form = if case.form.as_deref() == Some("columns") { v1::Form::Columns } else { v1::Form::Rows };
        let (signature, outputs) = (signature(&case.signature), case.tensors());
        let n_rows = outputs.first().map_or(0, Tensor::n_rows);
        let version = Version::try_from(3).unwrap();
        let answer = v1::Answer { model: &model, version, signature: &signature, outputs: &outputs, n_rows, form };
        same_answer(&case.answer, &v1::encode(&answer).unwrap())
    });
}

#[test]
fn every_v2_answer_is_written_as_its_case_says() {
    let model: ModelName = "flights".parse().unwrap();
    each_case("v2-answers", |case: &AnswerCase| {
        let (signature, outputs) = (signature(&case.signature), case.tensors());
        let wanted = case.wanted.clone().unwrap_or_else(|| (0..outputs.len()).collect());
        let binary = |at: usize| case.binary.as_ref().map(|binary| binary[at]);
        let wanted: Vec<_> =
            wanted.iter().enumerate().map(|(at, &index)| v2::Wanted { index, binary: binary(at) }).collect();
        let answer = v2::InferAnswer {
            model: &model,
            version: Version::try_from(3).unwrap(),
            id: case.id.as_deref(),
            signature: &signature,
            outputs: &outputs,
            wanted: &wanted,
            binary: false,
        };
        let v2::Encoded { body, json_len } = v2::encode(&answer).unwrap();
        let (json, tail) = body.split_at(json_len.unwrap_or(body.len()));
        let tail: String = tail.iter().map(|byte| format!("{byte:02x}")).collect();
        same("tail", &case.tail.as_deref().unwrap_or_default().replace(' ', ""), &tail)?;
        same_answer(&case.answer, json)
    });
}
