//! The decoders: any bytes, for models of a few kinds.

use std::fs::DirEntry;
use std::path::Path;
use std::sync::LazyLock;

use prost::Message as _;

use crate::grpc::{self, inference::ModelInferRequest};
use crate::http::{DecodeLimits, scoring, v1, v2};
use crate::model::{Checked, Mismatch, Signature};
use crate::tensor::{Data, NamedTensor};

/// Limits small enough for a fuzzer to reach.
fn limits() -> DecodeLimits {
    DecodeLimits { rows_max: 50, values_max: 500, ..DecodeLimits::default() }
}

/// The signatures that the cases of the decoders are for, by name.
pub static SIGNATURES: LazyLock<Vec<(String, Signature)>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/http/signatures");
    let entries = std::fs::read_dir(folder).expect("the cases of the decoders");
    let read = |entry: std::io::Result<DirEntry>| {
        let path = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&path).expect("a readable signature");
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        (name, serde_json::from_str(&text).expect("a signature"))
    };
    let mut signatures: Vec<_> = entries.map(read).collect();
    signatures.sort_by(|a: &(String, Signature), b| a.0.cmp(&b.0));
    signatures
});

/// The first byte says which model the rest is for.
fn addressed(data: &[u8]) -> Option<(&'static Signature, &[u8])> {
    let (&number, rest) = data.split_first()?;
    let (_, signature) = SIGNATURES.get(usize::from(number) % SIGNATURES.len())?;
    Some((signature, rest))
}

/// What every decoded request must be, and what every refused one.
fn look(inputs: Vec<NamedTensor>, signature: &Signature) -> Result<Checked, Mismatch> {
    for NamedTensor { tensor, .. } in &inputs {
        assert_eq!(tensor.data().len(), tensor.shape().iter().product::<usize>());
    }
    let checked = signature.check(inputs).inspect_err(short)?;
    for (tensor, spec) in checked.tensors().iter().zip(&signature.inputs) {
        assert_eq!(tensor.dtype(), spec.datatype);
        assert_eq!(tensor.n_rows(), checked.n_rows());
        assert_eq!(tensor.data().len(), tensor.shape().iter().product::<usize>());
        if let Data::String(values) = tensor.data() {
            assert!(values.iter().map(String::len).sum::<usize>() < 1 << 20);
        }
    }
    Ok(checked)
}

fn short(fault: &Mismatch) {
    assert!(fault.to_string().len() < 4_096, "a message of {} bytes", fault.to_string().len());
}

/// The form of TF Serving and KServe v1. What the fast reader takes, the general one reads with the same bits.
pub fn read_v1(data: &[u8]) {
    let Some((signature, body)) = addressed(data) else { return };
    let read = |row_len| v1::decode(body, (signature, row_len), &limits());
    let result = read(signature.plain_row_len());
    assert_eq!(format!("{result:?}"), format!("{:?}", read(None)));
    match result {
        Ok(v1::Decoded { inputs, .. }) => drop(look(inputs, signature)),
        Err(error) => assert!(error.to_string().len() < 4_096),
    }
}

/// The Open Inference Protocol over HTTP. Of a body with tensors behind its JSON, the first two bytes are the length of that.
pub fn read_v2(data: &[u8], has_tensors: bool) {
    let Some((signature, body)) = addressed(data) else { return };
    let (length, body) = match body.split_first_chunk() {
        Some((&length, rest)) if has_tensors => (Some(u16::from_le_bytes(length).to_string()), rest),
        _ => (None, body),
    };
    let framed = v2::Framed::of(body, length.as_deref().map(str::as_bytes));
    match framed.and_then(|framed| v2::decode(framed, signature, &limits())) {
        Ok(v2::InferRequest { inputs, .. }) => drop(look(inputs, signature)),
        Err(error) => assert!(error.to_string().len() < 4_096),
    }
}

/// MLflow's forms.
pub fn read_invocation(data: &[u8], is_csv: bool) {
    let Some((signature, body)) = addressed(data) else { return };
    match scoring::decode(body, is_csv, signature, &limits()) {
        Ok(inputs) => drop(look(inputs, signature)),
        Err(error) => assert!(error.to_string().len() < 4_096),
    }
}

/// The Open Inference Protocol over gRPC.
pub fn read_grpc(data: &[u8]) {
    let Some((signature, message)) = addressed(data) else { return };
    let Ok(request) = ModelInferRequest::decode(message) else { return };
    let arrived = grpc::Arrived { request: &request, ahead: &grpc::Ahead::default(), again: false };
    match grpc::decode(arrived, signature, &limits()) {
        Ok(decoded) => drop(look(decoded.inputs, signature)),
        Err(fault) => short(&fault),
    }
}
