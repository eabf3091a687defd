//! Drift: no false alarm on held-back rows, the season by name, a changed unit in the first full window.

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

/// Columns of the window that are a warning or worse.
async fn drifted(server: &TestServer, window: &str) -> Vec<String> {
    let (status, drift) = server.admin_get("/models/flights/drift").await;
    assert_eq!(status, 200, "{drift}");
    let windows = drift["windows"].as_array().unwrap();
    let report = windows.iter().find(|report| report["window"] == window).unwrap();
    let columns = report["columns"].as_array().unwrap().iter();
    let is_drifted = |column: &&Value| ["warn", "critical"].contains(&column["status"].as_str().unwrap());
    columns.filter(is_drifted).map(|column| column["name"].as_str().unwrap().to_owned()).collect()
}

/// A registry with a version fitted to half of the rows of `months`, chosen by the hash of their id, and the other half.
fn half_of(months: std::ops::RangeInclusive<u32>) -> (TestRegistry, Vec<Flight>) {
    let registry = TestRegistry::empty();
    let folder = registry.file("flights");
    std::fs::create_dir(&folder).unwrap();
    let mut pipeline: toml::Table =
        std::fs::read_to_string(repository("models/flights/pipeline.toml")).unwrap().parse().unwrap();
    let data = repository("models/flights/data");
    let file = |month: u32| data.join(format!("2013-{month:02}.csv.gz")).display().to_string();
    pipeline["data"]["files"] = toml::Value::from(months.clone().map(file).collect::<Vec<_>>());
    pipeline["split"] = toml::Value::Table(toml::toml! { by = "hash" holdout = 0.5 validation = 0.0 });
    std::fs::write(folder.join("pipeline.toml"), pipeline.to_string()).unwrap();
    std::fs::copy(repository("models/flights/model.toml"), folder.join("model.toml")).unwrap();
    let path = folder.join("pipeline.toml");
    let (code, out, error) = gudgeon(&["train", path.to_str().unwrap(), "--json"]);
    assert_eq!(code, 0, "{error}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let held_back = report["split"]["holdout_rows"].as_u64().unwrap();
    let holdout = |flight: &Flight| gudgeon::trainer::split::is_held_out(&flight.id.to_string(), 0, 0.5);
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
async fn a_hundred_windows_of_held_back_rows_raise_no_warning_and_a_changed_unit_is_found_in_the_first() {
    let (registry, rows) = half_of(1..=8);
    let rows = shuffled(rows);
    let server = registry.serve().await;
    let n_windows = rows.len() / WINDOW;
    assert!(n_windows >= 100, "only {n_windows} windows");
    for (window, rows) in rows.chunks_exact(WINDOW).enumerate() {
        replay(&server, rows).await;
        let warned = drifted(&server, "rows:1000").await;
        assert!(warned.is_empty(), "window {window} of {n_windows}: {warned:?}");
    }
    let kilometres = |flight: &Flight| {
        let mut flight = flight.clone();
        let miles = flight.instance["distance"].as_f64().unwrap();
        flight.instance.insert("distance".to_owned(), json!(miles * 1.609_344));
        flight
    };
    let faulty: Vec<Flight> = rows[..WINDOW].iter().map(kilometres).collect();
    replay(&server, &faulty).await;
    let found = drifted(&server, "rows:1000").await;
    assert!(found.contains(&"distance".to_owned()), "the first full window names {found:?}");
    let status = r#"gudgeon_drift_status{model="flights",version="1",feature="distance",window="rows:1000"}"#;
    assert!(server.metric(status).await > 0.5);
    server.stop().await;
}

#[tokio::test]
async fn the_year_shows_which_features_drift_with_the_season() {
    let (registry, _) = half_of(1..=3);
    let server = registry.serve().await;
    let july: Vec<Flight> = flights(7).into_iter().step_by(2).collect();
    replay(&server, &july).await;
    let found = drifted(&server, "rows:1000").await;
    for season in ["temp", "dewp"] {
        assert!(found.contains(&season.to_owned()), "{season} is not among {found:?}");
    }
    for steady in ["carrier", "origin", "distance", "hour", "plane_age"] {
        assert!(!found.contains(&steady.to_owned()), "{steady} is among {found:?}");
    }
    server.stop().await;
}
