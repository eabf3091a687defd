//! A large body of JSON and tensors behind it, whose numbers go into their columns as they come off the wire: they are held
//! once, where joining the parts first and reading them then would hold them twice.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use serde::Deserialize;

use crate::http::error::ApiError;
use crate::http::gather::Gather;
use crate::oip::Columns;
use crate::oip::raw::Growing;
use crate::tensor::Dtype;

/// A smaller body is joined and read: that is as fast, and simpler.
const BODY_BYTES_MIN: usize = 1 << 20;
/// JSON that is longer is read once, with the body whole: its values are in it.
const JSON_BYTES_MAX: usize = 64 << 10;

/// Gathers such a body.
#[derive(Debug)]
pub(in crate::http) struct Arriving {
    json_len: usize,
    /// What the head says that the body takes.
    declared: usize,
    /// The JSON, and what follows the columns.
    bytes: BytesMut,
    /// The tensors that follow the JSON, up to the first one that is no list of numbers; `None` until the JSON is there.
    columns: Option<Vec<Growing>>,
    /// How many of these are full, or have nothing more to come.
    n_full: usize,
}

impl Arriving {
    /// For a body of `declared` bytes whose JSON is as long as the header field says; `None` where it is to be joined as others.
    pub(in crate::http) fn new(declared: usize, json_length: &HeaderValue) -> Option<Self> {
        let json_len = json_length.to_str().ok()?.parse::<usize>().ok()?;
        let is_for_here = BODY_BYTES_MIN <= declared && (1..=JSON_BYTES_MAX).contains(&json_len);
        is_for_here.then(|| Self { json_len, declared, bytes: BytesMut::new(), columns: None, n_full: 0 })
    }

    /// The bytes that are no columns, and the columns.
    pub(in crate::http) fn into_parts(self) -> (Bytes, Columns) {
        (self.bytes.freeze(), self.columns.unwrap_or_default().into_iter().collect())
    }
}

impl Gather for Arriving {
    fn add(&mut self, part: Bytes) -> Result<(), ApiError> {
        let mut rest = &part[..];
        if self.columns.is_none() {
            let (json, behind) = rest.split_at(rest.len().min(self.json_len - self.bytes.len()));
            self.bytes.extend_from_slice(json);
            rest = behind;
            if self.bytes.len() < self.json_len {
                return Ok(());
            }
            self.columns = Some(planned(&self.bytes, self.declared));
        }
        let columns = self.columns.as_deref_mut().unwrap_or_default();
        while !rest.is_empty()
            && let Some(column) = columns.get_mut(self.n_full)
        {
            rest = column.push(rest);
            self.n_full += usize::from(!rest.is_empty());
        }
        self.bytes.extend_from_slice(rest);
        Ok(())
    }
}

#[derive(Deserialize)]
struct Layout<'a> {
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    binary_data_size: Option<usize>,
}

/// The columns that `json` promises behind it in a body of `declared` bytes. Where it is not what it should be there are none: the decoder says what is wrong.
fn planned(json: &[u8], declared: usize) -> Vec<Growing> {
    let Ok(Layout { inputs }) = serde_json::from_slice(json) else { return Vec::new() };
    let size = |input: &Input<'_>| input.parameters.as_ref()?.binary_data_size;
    let tensors = inputs.iter().filter_map(|input| Some((&input.datatype, size(input)?)));
    let column = |(datatype, n_bytes): (&Cow<'_, str>, usize)| {
        // No room is made for what cannot come.
        let dtype = datatype.parse::<Dtype>().ok().filter(|_| n_bytes <= declared)?;
        Growing::new(dtype, n_bytes)
    };
    tensors.map_while(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::DecodeLimits;
    use crate::http::json::DecodeError;
    use crate::http::v2::{Framed, InferRequest, decode, decode_arrived};
    use crate::model::{Signature, TensorSpec};

    const JSON: &str = r#"{"inputs":[
        {"name":"a","datatype":"FP32","shape":[1,3],"parameters":{"binary_data_size":12}},
        {"name":"b","datatype":"INT64","shape":[1,1],"data":[7]},
        {"name":"c","datatype":"INT64","shape":[1,2],"parameters":{"binary_data_size":16}},
        {"name":"d","datatype":"BYTES","shape":[1,1],"parameters":{"binary_data_size":6}},
        {"name":"e","datatype":"UINT8","shape":[1,2],"parameters":{"binary_data_size":2}}]}"#;

    fn signature() -> Signature {
        let spec =
            |(name, datatype): (&str, Dtype)| TensorSpec { name: name.to_owned(), datatype, shape: vec![None, None] };
        let inputs =
            [("a", Dtype::Fp32), ("b", Dtype::Int64), ("c", Dtype::Int64), ("d", Dtype::String), ("e", Dtype::Uint8)];
        Signature {
            inputs: inputs.map(spec).to_vec(),
            outputs: Vec::new(),
            features: Vec::new(),
            classes: Vec::new(),
            maps: Vec::new(),
        }
    }

    /// `body` as it is read where it comes in parts of `part_len`; twice, as for a canary and then the champion.
    fn arrived(body: &[u8], json_len: usize, part_len: usize) -> [Result<InferRequest, DecodeError>; 2] {
        let length = HeaderValue::from(json_len);
        let mut arriving = Arriving::new(BODY_BYTES_MIN, &length).unwrap();
        body.chunks(part_len).for_each(|part| arriving.add(Bytes::copy_from_slice(part)).unwrap());
        let (bytes, columns) = arriving.into_parts();
        [true, false].map(|again| {
            let framed = Framed::of(&bytes, Some(length.as_bytes()))?;
            decode_arrived((framed, &columns, again), &signature(), &DecodeLimits::default())
        })
    }

    #[track_caller]
    fn check(json: &str, tail: &[u8]) {
        let body = [json.as_bytes(), tail].concat();
        let length = json.len().to_string();
        let framed = Framed::of(&body, Some(length.as_bytes())).unwrap();
        let at_once = decode(framed, &signature(), &DecodeLimits::default());
        for part_len in [1, 7, 64, 1_000] {
            for read in arrived(&body, json.len(), part_len) {
                assert_eq!(read, at_once, "in parts of {part_len}");
            }
        }
    }

    #[test]
    fn what_comes_in_parts_is_read_as_what_came_at_once() {
        let tail: Vec<u8> = [&[0, 0, 128, 63].repeat(3)[..], &[9; 16], &[2, 0, 0, 0, b'o', b'k'], &[1, 2]].concat();
        let read = arrived(&[JSON.as_bytes(), &tail].concat(), JSON.len(), 5);
        assert!(read.iter().all(Result::is_ok), "{read:?}");
        check(JSON, &tail);
        check(JSON, &tail[..tail.len() - 1]);
        check(JSON, &tail[..20]);
        check(JSON, &tail[..3]);
        check(JSON, &[&tail[..], b"more"].concat());
        check(&JSON.replace("\"binary_data_size\":12", "\"binary_data_size\":8"), &tail);
        check(&JSON.replace("\"binary_data_size\":12", "\"binary_data_size\":\"12\""), &tail);
        check(&JSON.replace("FP32", "FP31"), &tail);
        check(&JSON.replace("[7]", "[NaN]"), &tail);
        check(&JSON.replace("]}", ""), &tail);
    }

    #[test]
    fn small_bodies_and_long_json_are_joined_as_others() {
        let new = |declared, length: &'static str| Arriving::new(declared, &HeaderValue::from_static(length)).is_some();
        assert!(new(BODY_BYTES_MIN, "10"));
        assert!(!new(BODY_BYTES_MIN - 1, "10") && !new(BODY_BYTES_MIN, "65537"));
        assert!(!new(BODY_BYTES_MIN, "0") && !new(BODY_BYTES_MIN, "ten"));
    }
}
