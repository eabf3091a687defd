//! Drift: no false alarm on held-back rows in the order of time, the season by name, a changed unit in the first window.

use std::io::Read as _;

use serde_json::{Map, Value, json};

use super::harness::{PREDICT, TestRegistry, TestServer, gudgeon, repository};

const WINDOW: usize = 1_000;
const TEXT: [&str; 4] = ["carrier", "origin", "dest", "weekday"];

/// One row of the data, as an application would send it.
#[derive(Clone)]
struct Flight {
    id: u64,
    instance: Map<String, Value>,
}

fn flights(month: u32) -> Vec<Flight> {
    let file = std::fs::File::open(repository(&format!("models/flights/data/2013-{month:02}.csv.gz"))).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let flight = |record: csv::StringRecord| {
        let mut flight = Flight { id: 0, instance: Map::new() };
        for (name, value) in headers.iter().zip(&record) {
            match (name, value) {
                ("flight_id", id) => flight.id = id.parse().unwrap(),
                ("time" | "late", _) => {}
                (name, "") => drop(flight.instance.insert(name.to_owned(), Value::Null)),
                (name, text) if TEXT.contains(&name) => drop(flight.instance.insert(name.to_owned(), json!(text))),
                (name, number) => {
                    drop(flight.instance.insert(name.to_owned(), json!(number.parse::<f64>().unwrap())));
                }
            }
        }
        flight
    };
    reader.records().map(|record| flight(record.unwrap())).collect()
}

/// Sends rows in requests small enough that a window closes at its number of rows.
async fn replay(server: &TestServer, rows: &[Flight]) {
    for chunk in rows.chunks(50) {
        let instances: Vec<&Map<String, Value>> = chunk.iter().map(|flight| &flight.instance).collect();
        let response = server.post(PREDICT, json!({ "instances": instances }).to_string()).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    }
}

async fn reports(server: &TestServer) -> Vec<Value> {
    let (status, drift) = server.admin_get("/models/flights/drift").await;
    assert_eq!(status, 200, "{drift}");
    drift["windows"].as_array().unwrap().clone()
}

/// Columns of the window that are a warning or worse.
async fn drifted(server: &TestServer, window: &str) -> Vec<String> {
    let reports = reports(server).await;
    let report = reports.iter().find(|report| report["window"] == window).unwrap();
    let columns = report["columns"].as_array().unwrap().iter();
    columns.filter(|column| is_drifted(column)).map(|column| column["name"].as_str().unwrap().to_owned()).collect()
}

fn is_drifted(column: &Value) -> bool {
    ["warn", "critical"].contains(&column["status"].as_str().unwrap())
}

/// Every warning and every alarm of every window, in words.
async fn warnings(server: &TestServer) -> Vec<String> {
    let mut warnings = Vec::new();
    for report in reports(server).await {
        for column in report["columns"].as_array().unwrap() {
            let (window, rows, name) = (&report["window"], &report["rows"], &column["name"]);
            if is_drifted(column) {
                let (psi, limit) = (&column["psi_corrected"], &column["warn_at"]);
                warnings.push(format!("{window} ({rows} rows) {name} {}: {psi} of {limit}", column["status"]));
            }
            let alarms = column["alarms"].as_array().unwrap().iter();
            warnings.extend(alarms.map(|alarm| format!("{window} ({rows} rows) {name}: {alarm}")));
        }
    }
    warnings
}

/// Replays rows a quarter of a window at a time; no window of any size may say anything.
async fn replay_in_silence(server: &TestServer, rows: &[Flight]) {
    let mut said = Vec::new();
    for (quarter, rows) in rows.chunks_exact(WINDOW / 4).enumerate() {
        replay(server, rows).await;
        said.extend(warnings(server).await.into_iter().map(|warning| format!("after quarter {quarter}: {warning}")));
    }
    assert!(said.is_empty(), "{} warnings:\n{}", said.len(), said.join("\n"));
}

/// A registry with a version fitted to half of the rows of `months`, chosen by the hash of their id, and the other half.
fn half_of(months: std::ops::RangeInclusive<u32>, seed: u32) -> (TestRegistry, Vec<Flight>) {
    let registry = TestRegistry::empty();
    let folder = registry.file("flights");
    std::fs::create_dir(&folder).unwrap();
    let mut pipeline: toml::Table =
        std::fs::read_to_string(repository("models/flights/pipeline.toml")).unwrap().parse().unwrap();
    let data = repository("models/flights/data");
    let file = |month: u32| data.join(format!("2013-{month:02}.csv.gz")).display().to_string();
    pipeline["data"]["files"] = toml::Value::from(months.clone().map(file).collect::<Vec<_>>());
    pipeline["split"] = toml::Value::Table(toml::toml! { by = "hash" holdout = 0.5 validation = 0.0 });
    pipeline["split"].as_table_mut().unwrap().insert("seed".to_owned(), toml::Value::from(seed));
    std::fs::write(folder.join("pipeline.toml"), pipeline.to_string()).unwrap();
    std::fs::copy(repository("models/flights/model.toml"), folder.join("model.toml")).unwrap();
    let path = folder.join("pipeline.toml");
    let (code, out, error) = gudgeon(&["train", path.to_str().unwrap(), "--json"]);
    assert_eq!(code, 0, "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let held_back = report["split"]["holdout_rows"].as_u64().unwrap();
    let holdout = |flight: &Flight| gudgeon::trainer::split::is_held_out(&flight.id.to_string(), seed.into(), 0.5);
    let rows: Vec<Flight> = months.flat_map(flights).filter(holdout).collect();
    assert_eq!(rows.len() as u64, held_back, "the test must hold back what the trainer did");
    (registry, rows)
}

/// A fixed shuffle: the windows are then samples of all the months, as the reference is.
fn shuffled(mut rows: Vec<Flight>) -> Vec<Flight> {
    let mut state = 20_131_231_u64;
    for place in (1..rows.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap() % (place + 1);
        rows.swap(place, other);
    }
    rows
}

#[tokio::test]
async fn held_back_rows_raise_no_warning_in_the_order_of_time() {
    for seed in [0, 7] {
        let (registry, rows) = half_of(1..=8, seed);
        assert!(rows.len() / WINDOW >= 100, "only {} rows", rows.len());
        let server = registry.serve().await;
        replay_in_silence(&server, &rows).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn held_back_rows_raise_no_warning_shuffled_and_a_changed_unit_is_found_in_the_first_window() {
    let (registry, rows) = half_of(1..=8, 0);
    let rows = shuffled(rows);
    let server = registry.serve().await;
    replay_in_silence(&server, &rows[..20 * WINDOW]).await;
    let kilometres = |flight: &Flight| {
        let mut flight = flight.clone();
        let miles = flight.instance["distance"].as_f64().unwrap();
        flight.instance.insert("distance".to_owned(), json!(miles * 1.609_344));
        flight
    };
    let faulty: Vec<Flight> = rows[..WINDOW].iter().map(kilometres).collect();
    replay(&server, &faulty).await;
    assert_eq!(drifted(&server, "rows:1000").await, ["distance"], "the first full window");
    let series = |name: &str, more: &str| {
        format!(r#"gudgeon_drift_{name}{{model="flights",version="1",feature="distance",window="rows:1000"{more}}}"#)
    };
    assert_eq!(server.metric(&series("status", "")).await.to_bits(), 2.0_f64.to_bits(), "critical");
    let (index, limit) = (series("psi_corrected", ""), series("threshold", r#",level="critical""#));
    assert!(server.metric(&limit).await <= server.metric(&index).await);
    server.stop().await;
}

#[tokio::test]
async fn the_year_shows_which_features_drift_with_the_season() {
    let (registry, _) = half_of(1..=3, 0);
    let server = registry.serve().await;
    let july: Vec<Flight> = flights(7).into_iter().step_by(2).collect();
    replay(&server, &july).await;
    // A few days may be as warm in March; half a month is not.
    assert_eq!(drifted(&server, "rows:25000").await, ["temp", "dewp"]);
    for window in ["rows:1000", "1h", "24h"] {
        for name in drifted(&server, window).await {
            assert!(["temp", "dewp"].contains(&name.as_str()), "{window}: {name}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_version_without_a_profile_gets_one_from_its_first_rows() {
    let server = TestRegistry::empty().with_case("cancer", 1, "bc_logreg").serve().await;
    let drift = async || server.admin_get("/models/cancer/drift").await.1;
    assert_eq!(drift().await["bootstrap_rows_left"], 5_000);
    let row = |row: usize| (0..30).map(|column| (row * (column + 7) % 101) as f64 / 8.0).collect::<Vec<_>>();
    let instances: Vec<_> = (0..500).map(row).collect();
    let body = json!({ "instances": instances }).to_string();
    // Rows that come while the sample is busy are left out, and the profile is made beside serving.
    let report = loop {
        let response = server.post("/v1/models/cancer:predict", body.clone()).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        let report = drift().await;
        if !report["windows"].as_array().unwrap().is_empty() {
            break report;
        }
    };
    assert_eq!(report["bootstrap_rows_left"], 0);
    // The features and the prediction.
    assert_eq!(report["windows"][0]["columns"].as_array().unwrap().len(), 31, "{report}");
    server.stop().await;
}
