//! The scoring containers' protocols: MLflow's routes for the default model, asked by MLflow's own client too.

use serde_json::{Value, json};

use super::harness::{PREDICT, TestRegistry, TestServer, body, flight, oip_python, repository};
use super::oip::ran;
use super::process::Process;

const SPLIT: &str = r#"{"dataframe_split":{"columns":["a","b","c","d"],"data":[[5.1,3.5,1.4,0.2]]}}"#;

async fn iris() -> TestServer {
    TestRegistry::empty().with_case("iris", 1, "iris_logreg").serve().await
}

async fn invoke(server: &TestServer, content_type: &str, sent: impl Into<reqwest::Body>) -> (u16, Value) {
    let request = server.client.post(format!("{}/invocations", server.http)).header("content-type", content_type);
    let (status, answer) = body(request.body(sent).send().await.unwrap()).await;
    (status.as_u16(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn mlflows_client_and_the_examples_pass() {
    let server = iris().await;
    let (host, port) = server.http.trim_start_matches("http://").split_once(':').unwrap();
    let script = repository("tests/python/mlflow_client.py");
    let told = ran(&oip_python(), &[script.to_str().unwrap(), host, port]);
    assert_eq!(told.lines().filter(|line| line.starts_with("ok ")).count(), 8, "{told}");
    let example = |name: &str| repository("examples/clients").join(name);
    let shell = ran(&example("mlflow.sh"), &[&server.http]);
    let lines: Vec<_> = shell.lines().collect();
    assert!(lines.len() == 2 && lines[0] == lines[1] && lines[0].starts_with("{\"predictions\":["), "{shell}");
    let python = ran(&oip_python(), &[example("mlflow_client.py").to_str().unwrap(), &format!("{host}:{port}")]);
    assert!(python.starts_with("1 [{"), "{python}");
    server.stop().await;
}

/// A flight's columns in another order, one that the model does not know among them.
fn frame(flight: &Value) -> (Vec<String>, Vec<Value>) {
    let known = flight.as_object().unwrap().iter().rev().map(|(name, value)| (name.clone(), value.clone()));
    std::iter::once(("tail_number".to_owned(), json!("N14228"))).chain(known).unzip()
}

#[tokio::test]
async fn every_form_is_answered_with_the_bytes_of_v1() {
    let server = TestRegistry::flights().serve().await;
    let expected = server.post(PREDICT, json!({ "instances": [flight(), flight()] }).to_string()).await;
    let expected = expected.text().await.unwrap();
    let (names, values) = frame(&flight());
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    };
    let line = values.iter().map(cell).collect::<Vec<_>>().join(",");
    let one = flight();
    let columns = one.as_object().unwrap().iter().map(|(name, value)| (name.clone(), json!([value, value])));
    let columns: serde_json::Map<_, _> = columns.collect();
    for (content_type, sent) in [
        ("application/json", json!({ "instances": [flight(), flight()], "params": {} }).to_string()),
        ("application/json", json!({ "inputs": columns }).to_string()),
        ("application/json; charset=utf-8", json!({ "dataframe_records": [flight(), flight()] }).to_string()),
        ("application/json", json!({ "dataframe_split": { "columns": names, "data": [values, values] } }).to_string()),
        ("text/csv; charset=utf-8", format!("{}\n{line}\n{line}\n", names.join(","))),
    ] {
        let url = format!("{}/invocations", server.http);
        let answer =
            server.client.post(url).header("content-type", content_type).body(sent.clone()).send().await.unwrap();
        assert_eq!(answer.headers()["x-model-version"], "2", "{sent}");
        assert_eq!(answer.text().await.unwrap(), expected, "{sent}");
    }
    let series = "gudgeon_requests_total{model=\"flights\",outcome=\"ok\",version=\"2\"}";
    assert!((server.metric(series).await - 6.0).abs() < 1e-9);
    server.stop().await;
}

#[tokio::test]
async fn errors_speak_mlflows_words_and_ours() {
    let server = iris().await;
    for (content_type, sent, status, error_code, code) in [
        ("application/json", "{\"instances\":[[1]]}", 400, "BAD_REQUEST", "bad_input"),
        ("application/json", "{\"instances\":", 400, "BAD_REQUEST", "malformed_json"),
        ("text/csv", "a,b,c\n1,2,3\n", 400, "BAD_REQUEST", "bad_input"),
        ("text/plain", SPLIT, 415, "BAD_REQUEST", "unsupported_media_type"),
        ("application/json; charset=latin-1", SPLIT, 415, "BAD_REQUEST", "unsupported_media_type"),
    ] {
        let (got, answer) = invoke(&server, content_type, sent).await;
        assert_eq!(
            (got, answer["error_code"].as_str(), answer["code"].as_str()),
            (status, Some(error_code), Some(code))
        );
        assert_eq!(answer["message"], answer["error"]);
    }
    let (status, answer) = invoke(&server, "application/vnd.apache.parquet", "PAR1").await;
    let expected = if cfg!(feature = "parquet") { (400, "parquet") } else { (415, "Parquet where gudgeon was built") };
    assert!(status == expected.0 && answer["error"].as_str().unwrap().contains(expected.1), "{status} {answer}");
    server.stop().await;
}

#[tokio::test]
async fn the_default_model_is_the_only_one_or_the_one_that_is_named() {
    let two = || TestRegistry::empty().with_case("iris", 1, "iris_logreg").with_case("other", 1, "iris_logreg");
    let server = two().serve().await;
    let (status, answer) = invoke(&server, "application/json", SPLIT).await;
    assert_eq!((status, answer["code"].as_str()), (404, Some("no_default_model")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("--default-model"), "{answer}");
    assert_eq!(server.get("/ping").await.status(), 404);
    server.stop().await;

    let server = two().serve_with(|config| config.default_model = "other".to_owned()).await;
    let (status, answer) = invoke(&server, "application/json", SPLIT).await;
    assert_eq!((status, answer["model_name"].as_str()), (200, Some("other")), "{answer}");
    for path in ["/ping", "/health"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (200, 0), "{path}");
    }
    server.stop().await;

    let server = two().serve_with(|config| config.default_model = "third".to_owned()).await;
    let (status, answer) = invoke(&server, "application/json", SPLIT).await;
    assert_eq!((status, answer["error_code"].as_str()), (404, Some("RESOURCE_DOES_NOT_EXIST")), "{answer}");
    server.stop().await;

    let server = TestRegistry::empty().serve().await;
    assert_eq!(server.get("/ping").await.status(), 503);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vertex_ais_routes_answer_as_invocations_and_ping() {
    let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
    let (predict, health) = ("/v1/endpoints/1/deployedModels/2:predict", "/v1/endpoints/1/deployedModels/2");
    let change = |config: &mut gudgeon::config::Config| {
        config.predict_route = predict.to_owned();
        config.health_route = health.to_owned();
    };
    let server = registry.serve_with(change).await;
    let sent = r#"{"instances":[[5.1,3.5,1.4,0.2]],"parameters":{"threshold":0.5}}"#;
    let (status, answer) = body(server.post(predict, sent).await).await;
    let v1 = body(server.post("/v1/models/iris:predict", r#"{"instances":[[5.1,3.5,1.4,0.2]]}"#).await).await;
    assert_eq!((status, &answer), (v1.0, &v1.1));
    assert_eq!(server.get(health).await.status(), 200);
    assert_eq!(server.get(predict).await.status(), 405);
    assert_eq!(server.client.get(format!("{}{health}", server.ops)).send().await.unwrap().status(), 404);
    let shell = ran(&repository("examples/clients/vertex.sh"), &[&server.http, predict, health]);
    assert!(shell.starts_with("200\n{\"predictions\":["), "{shell}");
    let python = repository("examples/clients/vertex.py");
    let python = ran(&oip_python(), &[python.to_str().unwrap(), &server.http, predict, health]);
    assert!(python.starts_with("200\n[{'label':"), "{python}");
    server.stop().await;
}

/// A container as SageMaker starts it: `serve` and its variables, the predictions on all interfaces.
#[test]
fn a_container_of_sagemaker_is_told_by_its_variables() {
    let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let variables = [("SAGEMAKER_BIND_TO_PORT", port.to_string()), ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "1".to_owned())];
    let server = Process::start_with(&registry, &[], &variables);
    let event = server.wait_for(|event| event["http_addr"].is_string());
    assert_eq!(event["http_addr"], format!("0.0.0.0:{port}"));
    server.wait_for(|event| event["message"] == "ready");
    let script = repository("tests/python/sagemaker_container.py");
    let told = ran(&oip_python(), &[script.to_str().unwrap(), "127.0.0.1", &port.to_string()]);
    assert_eq!(told.trim(), "200 0\n200\n413", "{told}");
}
