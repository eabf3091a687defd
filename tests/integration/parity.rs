//! The server's answers are onnxruntime's, on real rows.

use std::io::Read as _;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::harness::{PREDICT, TestRegistry, python, repository};

const N_ROWS: usize = 10_000;
const TEXT: [&str; 4] = ["carrier", "origin", "dest", "weekday"];

/// The first rows of September as instances.
fn instances() -> Vec<Value> {
    let file = std::fs::File::open(repository("models/flights/data/2013-09.csv.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let instance = |record: csv::StringRecord| {
        let mut row = Map::new();
        for (name, value) in headers.iter().zip(&record).filter(|(name, _)| !["flight_id", "time", "late"].contains(name)) {
            let value = match value {
                "" => Value::Null,
                text if TEXT.contains(&name) => json!(text),
                number => json!(number.parse::<f64>().unwrap()),
            };
            row.insert(name.to_owned(), value);
        }
        Value::Object(row)
    };
    reader.records().take(N_ROWS).map(|record| instance(record.unwrap())).collect()
}

#[tokio::test]
async fn ten_thousand_real_rows_get_onnxruntimes_answers() {
    let server = TestRegistry::flights().serve().await;
    for version in [1, 2] {
        let model = server.registry.file(&format!("flights/{version}/model.onnx"));
        let output = Command::new(python())
            .arg(repository("tests/python/onnxruntime_predict.py"))
            .arg(&model)
            .arg(repository("models/flights/data/2013-09.csv.gz"))
            .arg(N_ROWS.to_string())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let expected: Value = serde_json::from_slice(&output.stdout).unwrap();
        server.activate("flights", version).await;
        let mut row = 0;
        let mut largest = 0.0_f64;
        for chunk in instances().chunks(500) {
            let response = server.post(PREDICT, json!({ "instances": chunk }).to_string()).await;
            let answer: Value = response.json().await.unwrap();
            for prediction in answer["predictions"].as_array().unwrap() {
                let want = &expected["probabilities"][row];
                for (class, name) in ["on_time", "late"].into_iter().enumerate() {
                    let got = prediction["probabilities"][name].as_f64().unwrap();
                    largest = largest.max((got - want[class].as_f64().unwrap()).abs());
                }
                let label = ["on_time", "late"][usize::try_from(expected["label"][row].as_u64().unwrap()).unwrap()];
                assert_eq!(prediction["label"], label, "version {version} row {row}");
                row += 1;
            }
        }
        assert_eq!(row, N_ROWS);
        assert!(largest <= 1e-5, "version {version}: probabilities differ by {largest}");
    }
    server.stop().await;
}
