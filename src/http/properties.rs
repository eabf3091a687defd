//! Properties of the codecs: values survive, and no bytes make them panic.

use proptest::prelude::*;

use super::cases::signature;
use super::json::DecodeLimits;
use super::{v1, v2};
use crate::model::{ModelName, Signature, TensorSpec, Version};
use crate::tensor::{Data, Dtype, NamedTensor, Tensor};

/// A model whose outputs are its inputs, so that an answer is a request again.
fn echo(dtype: Dtype, n_columns: usize) -> Signature {
    let spec = TensorSpec { name: "x".to_owned(), datatype: dtype, shape: vec![None, Some(n_columns)] };
    Signature {
        inputs: vec![spec.clone()],
        outputs: vec![spec],
        features: Vec::new(),
        classes: Vec::new(),
        maps: Vec::new(),
    }
}

/// A finite or missing value, bit for bit.
fn data() -> impl Strategy<Value = Data> {
    let len = 6_usize;
    let fp32 = prop_oneof![8 => any::<f32>().prop_filter("finite", |value| value.is_finite()), 1 => Just(f32::NAN)];
    let fp64 = prop_oneof![8 => any::<f64>().prop_filter("finite", |value| value.is_finite()), 1 => Just(f64::NAN)];
    prop_oneof![
        prop::collection::vec(any::<bool>(), len).prop_map(Data::Bool),
        prop::collection::vec(any::<u8>(), len).prop_map(Data::Uint8),
        prop::collection::vec(any::<u64>(), len).prop_map(Data::Uint64),
        prop::collection::vec(any::<i16>(), len).prop_map(Data::Int16),
        prop::collection::vec(any::<i64>(), len).prop_map(Data::Int64),
        prop::collection::vec(fp32, len).prop_map(Data::Fp32),
        prop::collection::vec(fp64, len).prop_map(Data::Fp64),
        prop::collection::vec(any::<String>(), len).prop_map(Data::String),
    ]
}

/// Equal, a NaN to a NaN.
fn same(a: &Data, b: &Data) -> bool {
    match (a, b) {
        (Data::Fp32(a), Data::Fp32(b)) => {
            a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
        }
        (Data::Fp64(a), Data::Fp64(b)) => {
            a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
        }
        _ => a == b,
    }
}

/// The member `name` of a v1 answer under another name.
fn renamed(answer: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(answer).unwrap();
    let text = text.replacen(&format!("\"{from}\":"), &format!("\"{to}\":"), 1);
    text.replacen(r#","model_name":"m","model_version":"1""#, "", 1).into_bytes()
}

proptest! {
    #[test]
    fn a_v1_answer_read_as_a_request_has_the_same_values(data in data(), by_rows in any::<bool>()) {
        let signature = echo(data.dtype(), 3);
        let outputs = [Tensor::new(vec![2, 3], data).unwrap()];
        let model: ModelName = "m".parse().unwrap();
        let form = if by_rows { v1::Form::Rows } else { v1::Form::Columns };
        let answer = v1::Answer {
            model: &model, version: Version::FIRST, signature: &signature, outputs: &outputs, n_rows: 2, form,
        };
        let (from, to) = if by_rows { ("predictions", "instances") } else { ("outputs", "inputs") };
        let body = renamed(&v1::encode(&answer).unwrap(), from, to);
        let decoded = v1::decode(&body, (&signature, signature.plain_row_len()), &DecodeLimits::default()).unwrap();
        prop_assert_eq!(decoded.form, form);
        prop_assert_eq!(decoded.inputs[0].tensor.shape(), outputs[0].shape());
        prop_assert!(same(decoded.inputs[0].tensor.data(), outputs[0].data()));
    }

    #[test]
    fn a_v2_answer_read_as_a_request_has_the_same_values(data in data(), id in any::<String>()) {
        let signature = echo(data.dtype(), 3);
        let outputs = [Tensor::new(vec![2, 3], data).unwrap()];
        let model: ModelName = "m".parse().unwrap();
        let answer = v2::InferAnswer {
            model: &model, version: Version::FIRST, id: Some(&id), signature: &signature, outputs: &outputs,
            wanted: &[v2::Wanted { index: 0, binary: None }], binary: false,
        };
        let text = String::from_utf8(v2::encode(&answer).unwrap().body).unwrap();
        let body = text.replacen("\"outputs\":[{\"name\":\"x\"", "\"inputs\":[{\"name\":\"x\"", 1);
        prop_assume!(body.matches("\"inputs\":[{\"name\":\"x\"").count() == 1);
        let request = v2::decode(v2::Framed::json(body.as_bytes()), &signature, &DecodeLimits::default()).unwrap();
        prop_assert_eq!(request.id, Some(id));
        prop_assert!(same(request.inputs[0].tensor.data(), outputs[0].data()));
    }

    #[test]
    fn a_binary_v2_answer_read_as_a_request_has_the_same_values(data in data()) {
        let signature = echo(data.dtype(), 3);
        let outputs = [Tensor::new(vec![2, 3], data).unwrap()];
        let model: ModelName = "m".parse().unwrap();
        let answer = v2::InferAnswer {
            model: &model, version: Version::FIRST, id: None, signature: &signature, outputs: &outputs,
            wanted: &[v2::Wanted { index: 0, binary: None }], binary: true,
        };
        let v2::Encoded { mut body, json_len } = v2::encode(&answer).unwrap();
        let json = String::from_utf8(body[..json_len.unwrap()].to_vec()).unwrap();
        let json = json.replacen("\"outputs\":[", "\"inputs\":[", 1);
        body.splice(..json_len.unwrap(), json.bytes());
        let framed = v2::Framed::of(&body, Some(json.len().to_string().as_bytes())).unwrap();
        let request = v2::decode(framed, &signature, &DecodeLimits::default()).unwrap();
        prop_assert!(same(request.inputs[0].tensor.data(), outputs[0].data()));
    }

    #[test]
    fn a_tensor_in_the_artifacts_form_is_a_v2_input(data in data()) {
        let signature = echo(data.dtype(), 3);
        let named = NamedTensor { name: "x".to_owned(), tensor: Tensor::new(vec![2, 3], data).unwrap() };
        let body = serde_json::to_vec(&serde_json::json!({ "inputs": [named] })).unwrap();
        let request = v2::decode(v2::Framed::json(&body), &signature, &DecodeLimits::default()).unwrap();
        prop_assert!(same(request.inputs[0].tensor.data(), named.tensor.data()));
    }

    #[test]
    fn no_bytes_make_a_codec_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes);
    }

    #[test]
    fn no_near_json_makes_a_codec_panic(
        text in r#"\{("instances"|"inputs"|"outputs"|"id"):([\[\]{},:]|"hour"|"carrier"|"name"|"data"|"shape"|"datatype"|"FP32"|-?[0-9]{1,3}|null|true|NaN|-Infinity|1e39|"x"){0,30}\}?"#
    ) {
        decode_all(text.as_bytes());
    }
}

/// Whatever is read fits the signature in type and shape, or is refused by it.
fn decode_all(body: &[u8]) {
    for name in ["flights", "matrix", "bare", "single", "image", "ints", "sequence"] {
        let signature = signature(name);
        if let Ok(decoded) = v1::decode(body, (&signature, signature.plain_row_len()), &DecodeLimits::default()) {
            signature.check(decoded.inputs).unwrap();
        }
        for json_length in [None, Some("0"), Some("2"), Some("80")] {
            let framed = v2::Framed::of(body, json_length.map(str::as_bytes));
            if let Ok(request) = framed.and_then(|framed| v2::decode(framed, &signature, &DecodeLimits::default())) {
                drop(signature.check(request.inputs));
            }
        }
    }
}
