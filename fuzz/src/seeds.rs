//! What the fuzzers of the decoders start from: the cases of their tests, and requests that fit each signature.

use std::path::Path;
use std::{env, fs, io};

use prost::Message as _;
use serde_json::Value;

use crate::decoders::SIGNATURES;
use crate::grpc::inference::{InferTensorContents, ModelInferRequest, model_infer_request::InferInputTensor};
use crate::model::TensorSpec;

/// Writes the seeds of every decoder to the folder that `SEEDS` names, where it is set.
pub fn write_where_asked() {
    if let Ok(folder) = env::var("SEEDS") {
        write(Path::new(&folder)).expect("a folder that can be written to");
    }
}

fn write(folder: &Path) -> io::Result<()> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cases/http");
    for target in ["v1", "v2", "v2_binary", "grpc", "csv", "invocations"] {
        fs::create_dir_all(folder.join(target))?;
    }
    for (number, (name, signature)) in (0_u8..).zip(SIGNATURES.iter()) {
        for face in ["v1", "v2"] {
            for entry in fs::read_dir(cases.join(format!("{face}-requests")))? {
                let path = entry?.path();
                let case: Value = serde_json::from_slice(&fs::read(&path)?)?;
                if case["signature"].as_str() != Some(name) {
                    continue;
                }
                let body = case["body"].as_str().map_or_else(|| case["request"].to_string(), str::to_owned);
                let file = path.file_stem().unwrap_or_default();
                fs::write(folder.join(face).join(file), [&[number], body.as_bytes()].concat())?;
                if face == "v1" {
                    fs::write(folder.join("invocations").join(file), [&[number], body.as_bytes()].concat())?;
                }
                if face == "v2" {
                    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_le_bytes();
                    fs::write(folder.join("v2_binary").join(file), [&[number][..], &length, body.as_bytes()].concat())?;
                }
            }
        }
        let names: Vec<_> = signature.features.iter().map(|feature| feature.name.as_str()).collect();
        let row = vec!["1.5"; names.len()].join(",");
        let table = format!("{}\n{row}\n\"a \"\"b\"\"\",{row}\n,\n", names.join(","));
        fs::write(folder.join("csv").join(name), [&[number], table.as_bytes()].concat())?;
        for form in [
            serde_json::json!({ "dataframe_split": { "columns": names, "index": [0], "data": [vec![1.5; names.len()]] } }),
            serde_json::json!({ "dataframe_records": [names.iter().map(|name| (*name, 1.5)).collect::<std::collections::BTreeMap<_, _>>()] }),
        ] {
            let form = form.to_string();
            let file = format!("{name}-{}", form.len());
            fs::write(folder.join("invocations").join(file), [&[number], form.as_bytes()].concat())?;
        }
        let input = |is_raw: bool| {
            move |spec: &TensorSpec| InferInputTensor {
                name: spec.name.clone(),
                datatype: spec.datatype.as_str().to_owned(),
                shape: spec.shape.iter().map(|size| size.map_or(2, |size| size as i64)).collect(),
                contents: (!is_raw).then(|| InferTensorContents { fp32_contents: vec![1.5; 4], ..Default::default() }),
                ..Default::default()
            }
        };
        for is_raw in [false, true] {
            let inputs: Vec<_> = signature.inputs.iter().map(input(is_raw)).collect();
            let raw_input_contents = if is_raw { vec![vec![1; 16].into(); inputs.len()] } else { Vec::new() };
            let request = ModelInferRequest { inputs, raw_input_contents, ..Default::default() };
            let bytes = [&[number], request.encode_to_vec().as_slice()].concat();
            fs::write(folder.join("grpc").join(format!("{name}-{is_raw}")), bytes)?;
        }
    }
    Ok(())
}
