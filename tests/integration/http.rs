//! The routes as clients meet them: what each answers, what is refused and with what status, fields and code.

use gudgeon::http::ROUTES;
use gudgeon::metrics::Listener;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::harness::{TOKEN, TestRegistry, TestServer, body, repository};

const IRIS: &str = "/v1/models/iris:predict";

async fn iris() -> TestServer {
    TestRegistry::empty().with_case("iris", 1, "iris_logreg").serve().await
}

/// The address of a route's listener, and its path with names filled in.
fn url(server: &TestServer, listener: Listener, path: &str, operation: &str) -> String {
    let path = path.replace("{model}", "iris").replace("{version}", "1").replace("{alias}", "champion");
    let path = path.replace("{id}", operation);
    let base = if listener == Listener::Http { &server.http } else { &server.ops };
    format!("{base}{path}")
}

fn two_rows() -> Value {
    json!([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]])
}

#[tokio::test]
async fn every_route_of_the_table_answers() {
    let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
    let server = registry.serve_with(|config| config.feedback_rows = 10).await;
    let (_, begun) = server.admin_post("/models/iris:activate?async=true", json!({ "version": 1 })).await;
    let operation = begun["id"].as_str().unwrap();
    for route in ROUTES {
        let method: Method = route.method.parse().unwrap();
        let url = url(&server, route.listener, route.path, operation);
        let request = server.client.request(method, url).bearer_auth(TOKEN);
        let response = request.send().await.unwrap();
        let status = response.status();
        let has_id = response.headers().contains_key("x-request-id");
        let text = response.text().await.unwrap();
        assert!(has_id, "{route:?}");
        // Bodies are empty here: 400 and 422 are the routes' own answers. There is nothing to roll back to: 409, and no
        // challenger.
        let is_own = matches!(status.as_u16(), 200 | 400 | 409 | 422) || text.contains("\"no_challenger\"");
        assert!(is_own, "{} {}: {status} {text}", route.method, route.path);
    }
    server.stop().await;
}

/// The rows and answers of the case `map_sk_logreg_zipmap`, as onnxruntime gave them.
#[tokio::test]
async fn a_model_of_maps_is_asked_with_objects_of_keys_in_batches() {
    let server = TestRegistry::empty().with_case("cities", 1, "map_sk_logreg_zipmap").serve().await;
    let rows = json!([
        { "city=Oslo": 1, "temp": -9 },
        { "city=Bergen": 1, "temp": -5.5, "rain": 0.25 },
        {},
        { "temp": 40, "city=Rome": 1 },
    ]);
    let sent = json!({ "instances": rows }).to_string();
    let (status, answer) = body(server.post("/v1/models/cities:predict", sent).await).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let recorded = repository("tests/cases/models/map_sk_logreg_zipmap/output_1.output_probability.json");
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(recorded).unwrap()).unwrap();
    for (row, place) in [0, 1, 12, 13].into_iter().enumerate() {
        let got = &answer["predictions"][row];
        let (want, warm) = (&recorded[place], &got["probabilities"]["warm"]);
        let difference = want["warm"].as_f64().unwrap() - warm.as_f64().unwrap();
        assert!(difference.abs() < 1e-6, "row {row}: expected {want}, got {got}");
    }
    let tensor = json!({ "name": "x", "datatype": "FP32", "shape": [1, 5], "data": [0, 1, 0, 0.25, -5.5] });
    let sent = json!({ "inputs": [tensor] }).to_string();
    let (status, second) = body(server.post("/v2/models/cities/infer", sent).await).await;
    assert_eq!(status, StatusCode::OK, "{second}");
    server.stop().await;
}

/// The names of the classes beside each answer, and probabilities by target: neither has the rows on its first axis.
#[tokio::test]
async fn outputs_that_do_not_follow_the_rows_come_whole_or_by_their_own_row_axis() {
    let registry = TestRegistry::empty().with_case("named", 1, "sk_class_labels");
    let server = registry.with_case("targets", 1, "sk_rf_three_targets").serve().await;
    let rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]];
    let instances = json!({ "instances": rows }).to_string();
    let tensor = json!({ "name": "X", "datatype": "FP32", "shape": [2, 4], "data": rows });
    let tensors = json!({ "inputs": [tensor] }).to_string();
    let names = json!(["setosa", "versicolor", "virginica"]);

    let (_, answer) = body(server.post("/v1/models/named:predict", instances.clone()).await).await;
    assert_eq!(answer["predictions"][1]["label"], "virginica", "{answer}");
    let (_, answer) = body(server.post("/v2/models/named/infer", tensors.clone()).await).await;
    let output = answer["outputs"].as_array().unwrap().iter().find(|output| output["name"] == "class_labels").unwrap();
    assert_eq!((&output["shape"], &output["data"]), (&json!([3]), &names));

    let (_, metadata) = body(server.get("/v2/models/targets").await).await;
    assert_eq!(metadata["outputs"][1]["shape"], json!([3, -1, 3]), "{metadata}");
    let (_, whole) = body(server.post("/v2/models/targets/infer", tensors).await).await;
    assert_eq!(whole["outputs"][1]["shape"], json!([3, 2, 3]), "{whole}");
    let (_, by_row) = body(server.post("/v1/models/targets:predict", instances).await).await;
    let data = whole["outputs"][1]["data"].as_array().unwrap();
    for (row, prediction) in by_row["predictions"].as_array().unwrap().iter().enumerate() {
        let of_target = |target: usize| data[(target * 2 + row) * 3..][..3].to_vec();
        let expected: Vec<_> = (0..3).map(of_target).collect();
        assert_eq!(prediction["probabilities"], json!(expected), "{by_row}");
    }
    server.stop().await;
}

#[tokio::test]
async fn no_method_of_an_admin_route_answers_without_the_token() {
    let server = iris().await;
    let admin: Vec<_> = ROUTES.iter().filter(|route| route.needs_token).map(|route| route.path).collect();
    let spelled = [
        "/admin",
        "/admin/",
        "/admin/models/",
        "//admin/models",
        "/admin//models",
        "/ADMIN/models",
        "/%61dmin/models",
        "/admin%2fmodels",
        "/admin/nothing/here",
    ];
    for path in admin.iter().chain(&spelled) {
        for method in
            [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]
        {
            let request = || server.client.request(method.clone(), url(&server, Listener::Ops, path, "nothing"));
            for request in [
                request(),
                request().bearer_auth("another"),
                request().bearer_auth(""),
                request().basic_auth(TOKEN, Some(TOKEN)),
            ] {
                let response = request.send().await.unwrap();
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
                assert!(
                    response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"),
                    "{method} {path}"
                );
            }
            // The index is told to everybody.
            if ROUTES.iter().any(|route| route.listener == Listener::Http && route.path == *path) {
                continue;
            }
            let public =
                server.client.request(method.clone(), url(&server, Listener::Http, path, "nothing")).bearer_auth(TOKEN);
            assert_eq!(public.send().await.unwrap().status(), StatusCode::NOT_FOUND, "public {method} {path}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_and_foreign_host_names_do_not_reach_the_admin_routes() {
    let server = iris().await;
    let own = server.ops.trim_start_matches("http://").to_owned();
    for (field, value, status) in [
        ("origin", "http://evil.example", 403),
        ("origin", "null", 403),
        ("origin", server.ops.as_str(), 200),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("host", "evil.example:8082", 403),
        ("host", "localhost", 200),
        ("host", own.as_str(), 200),
    ] {
        let request = server.client.get(format!("{}/admin/models", server.ops)).bearer_auth(TOKEN).header(field, value);
        let (got, answer) = body(request.send().await.unwrap()).await;
        assert_eq!(got.as_u16(), status, "{field}: {value}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn both_faces_give_one_answer_and_name_the_version() {
    let server = iris().await;
    let rows = two_rows();
    let flat: Vec<_> = rows.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap().clone()).collect();
    let (_, meta) = body(server.get("/v2/models/iris").await).await;
    let input = &meta["inputs"][0];
    assert_eq!((&input["datatype"], &input["shape"]), (&json!("FP32"), &json!([-1, 4])), "{meta}");
    assert_eq!((&meta["platform"], &meta["versions"]), (&json!("onnx_onnxv1"), &json!(["1"])));

    let sent = json!({ "id": "42", "inputs": [
        { "name": input["name"], "shape": [2, 4], "datatype": "FP32", "data": flat },
    ] });
    let response = server.post("/v2/models/iris/infer", sent.to_string()).await;
    assert_eq!(
        (&response.headers()["x-model-version"], &response.headers()["x-model-name"]),
        (&"1".parse().unwrap(), &"iris".parse().unwrap())
    );
    let (status, v2) = body(response).await;
    assert_eq!((status.as_u16(), &v2["id"], &v2["model_version"]), (200, &json!("42"), &json!("1")), "{v2}");
    let outputs = v2["outputs"].as_array().unwrap();
    let label = outputs.iter().find(|output| output["datatype"] == "INT64").unwrap();
    assert_eq!(label["data"], json!([0, 2]));

    for path in [IRIS, "/v1/models/iris/versions/1:predict", "/v1/models/iris/labels/champion:predict"] {
        let (status, rows) = body(server.post(path, json!({ "instances": two_rows() }).to_string()).await).await;
        assert_eq!((status.as_u16(), &rows["model_version"]), (200, &json!("1")), "{rows}");
        assert_eq!(rows["predictions"].as_array().unwrap().len(), 2);
        let (status, columns) = body(server.post(path, json!({ "inputs": two_rows() }).to_string()).await).await;
        assert_eq!(status.as_u16(), 200, "{columns}");
        assert!(columns["outputs"].is_object(), "{columns}");
    }
    server.stop().await;
}

#[tokio::test]
async fn metadata_status_and_health_are_what_clients_look_for() {
    let server = iris().await;
    for (path, pointer, expected) in [
        ("/v2", "/name", json!("gudgeon")),
        ("/v2", "/extensions/0", json!("binary_tensor_data")),
        ("/v2/health/live", "/live", json!(true)),
        ("/v2/health/ready", "/ready", json!(true)),
        ("/v2/models/iris/ready", "/ready", json!(true)),
        ("/v2/models/iris/versions/1/ready", "/name", json!("iris")),
        ("/v2/models/iris/versions/1", "/name", json!("iris")),
        ("/v1/models", "/models/0", json!("iris")),
        ("/v1/models/iris", "/model_version_status/0/state", json!("AVAILABLE")),
        ("/v1/models/iris", "/ready", json!(true)),
        ("/v1/models/iris/versions/1", "/model_version_status/0/version", json!("1")),
        ("/v1/models/iris/metadata", "/model_spec/name", json!("iris")),
        ("/v1/models/iris/metadata", "/signature/inputs/0/datatype", json!("FP32")),
        ("/v1/models/iris/versions/1/metadata", "/model_spec/version", json!("1")),
        ("/livez", "/live", json!(true)),
        ("/readyz", "/ready", json!(true)),
    ] {
        let (status, answer) = body(server.get(path).await).await;
        assert_eq!((status.as_u16(), answer.pointer(pointer)), (200, Some(&expected)), "{path}: {answer}");
    }
    let (status, index) = body(server.post("/v2/repository/index", "").await).await;
    assert_eq!((status.as_u16(), &index[0]["state"]), (200, &json!("READY")), "{index}");
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_a_404_and_another_method_a_405_that_names_the_right_one() {
    let server = iris().await;
    for (method, path, status, code, allow) in [
        ("GET", "/nothing", 404, "unknown_route", None),
        ("GET", "/v1/models/nope", 404, "unknown_model", None),
        ("POST", "/v1/models/nope:predict", 404, "unknown_model", None),
        ("POST", "/v1/models/%00:predict", 404, "unknown_model", None),
        ("POST", "/v1/models/%ff:predict", 404, "unknown_route", None),
        ("POST", "/v1/models/%2e%2e%2firis:predict", 404, "unknown_model", None),
        ("POST", "/v1/models/iris:explain", 404, "unknown_route", None),
        ("POST", "/v1/models/iris/versions/2:predict", 404, "unknown_version", None),
        ("POST", "/v1/models/iris/versions/01:predict", 404, "unknown_version", None),
        ("POST", "/v1/models/iris/labels/challenger:predict", 404, "unknown_version", None),
        ("POST", "/v1/models/iris/labels/latest:predict", 404, "unknown_version", None),
        ("GET", "/v2/models/nope/ready", 404, "unknown_model", None),
        ("POST", "/v2/models/iris/versions/9/infer", 404, "unknown_version", None),
        ("GET", "/v1/models/iris:predict", 405, "method_not_allowed", Some("POST")),
        ("POST", "/v1/models/iris", 405, "method_not_allowed", Some("GET, HEAD")),
        ("DELETE", "/v1/models/iris:predict", 405, "method_not_allowed", Some("POST")),
        ("GET", "/v2/models/iris/infer", 405, "method_not_allowed", Some("POST")),
        ("PUT", "/livez", 405, "method_not_allowed", Some("GET, HEAD")),
    ] {
        let request = server.client.request(method.parse().unwrap(), format!("{}{path}", server.http));
        let response = request.send().await.unwrap();
        let allowed = response.headers().get("allow").map(|allow| allow.to_str().unwrap().to_owned());
        let (got, answer) = body(response).await;
        assert_eq!((got.as_u16(), answer["code"].as_str()), (status, Some(code)), "{method} {path}: {answer}");
        assert_eq!(allowed.as_deref(), allow, "{method} {path}");
        assert!(answer["error"].is_string());
    }
    assert_eq!(server.client.head(format!("{}/livez", server.http)).send().await.unwrap().status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn what_a_body_is_declared_as_decides_whether_it_is_read() {
    let server = iris().await;
    let sent = json!({ "instances": two_rows() }).to_string();
    for (field, value, status) in [
        ("content-type", "application/json; charset=utf-8", 200),
        ("content-type", "application/x-www-form-urlencoded", 200),
        ("content-type", "text/csv", 415),
        ("content-type", "application/json; charset=utf-16", 415),
        ("content-encoding", "br", 415),
        ("content-encoding", "gzip", 400),
        ("content-encoding", "identity", 200),
        ("x-request-timeout-ms", "5000", 200),
        ("x-request-timeout-ms", "soon", 422),
    ] {
        let request = server.client.post(format!("{}{IRIS}", server.http)).header(field, value).body(sent.clone());
        let (got, answer) = body(request.send().await.unwrap()).await;
        assert_eq!(got.as_u16(), status, "{field}: {value}: {answer}");
    }
    let request = server.client.post(format!("{}/v2/models/iris/infer", server.http));
    let binary = request.header("inference-header-content-length", "10").body("{}").send().await.unwrap();
    let (status, answer) = body(binary).await;
    assert_eq!((status.as_u16(), &answer["path"]), (400, &json!("inference-header-content-length")));
    let (status, answer) = body(server.post("/v2/models/iris/infer", r#"{"inputs":[]}"#).await).await;
    assert_eq!((status.as_u16(), &answer["path"]), (400, &json!("inputs")));
    server.stop().await;
}

#[tokio::test]
async fn an_id_is_kept_where_it_is_sane_and_made_where_it_is_not() {
    let server = iris().await;
    for (sent, is_kept) in [(Some("order-17_a.b"), true), (None, false), (Some("a b"), false), (Some("x\"y"), false)] {
        let mut request = server.client.get(format!("{}/livez", server.http));
        if let Some(sent) = sent {
            request = request.header("x-request-id", sent);
        }
        let response = request.send().await.unwrap();
        let got = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(sent == Some(got.as_str()), is_kept, "{sent:?} became {got}");
        assert!(is_kept || got.len() == 36, "{got}");
    }
    server.stop().await;
}

#[tokio::test]
async fn every_outcome_is_counted_once_under_the_version_that_served() {
    let server = iris().await;
    let good = json!({ "instances": two_rows() }).to_string();
    for _ in 0..3 {
        assert_eq!(server.post(IRIS, good.clone()).await.status(), 200);
    }
    assert_eq!(server.post(IRIS, "{").await.status(), 400);
    assert_eq!(server.post(IRIS, r#"{"instances":[[1]]}"#).await.status(), 422);
    assert_eq!(server.post("/v1/models/nope:predict", good).await.status(), 404);
    for (outcome, n) in [("ok", 3.0), ("invalid", 2.0), ("failed", 0.0), ("cancelled", 0.0)] {
        let series = format!(r#"gudgeon_requests_total{{model="iris",outcome="{outcome}",version="1"}}"#);
        assert!((server.metric(&series).await - n).abs() < f64::EPSILON, "{outcome}");
    }
    assert!((server.metric("gudgeon_requests_unrouted_total").await - 1.0).abs() < f64::EPSILON);
    assert!(
        (server.metric(r#"gudgeon_request_duration_seconds_count{model="iris",version="1"}"#).await - 5.0).abs()
            < f64::EPSILON
    );
    assert!(server.metric(r#"gudgeon_requests_in_flight{model="iris"}"#).await.abs() < f64::EPSILON);
    server.stop().await;
}

#[tokio::test]
async fn a_head_without_one_host_field_is_refused() {
    let server = iris().await;
    for head in ["GET /livez HTTP/1.1\r\n\r\n", "GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.http.trim_start_matches("http://")).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 400", "{head:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_upload_becomes_a_version_that_can_be_inspected_and_activated_at_once() {
    let server = iris().await;
    let graph = std::fs::read(repository("tests/cases/models/iris_rf100/model.onnx")).unwrap();
    let url = format!("{}/admin/models/iris/versions?label=forest&activate=true", server.ops);
    let request = server.admin(server.client.post(&url)).body(graph.clone());
    let (status, answer) = body(request.send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &answer["version"]), (201, &json!(2)), "{answer}");
    // The forest and the regression take and give the same.
    assert_eq!(answer["activation"]["champion"], json!(2), "{answer}");
    let (status, version) = server.admin_get("/models/iris/versions/2").await;
    assert_eq!(
        (status.as_u16(), &version["label"], &version["state"]),
        (200, &json!("forest"), &json!("serving")),
        "{version}"
    );
    assert!(version["manifest"]["signature"].is_object(), "{version}");
    let (status, drift) = server.admin_get("/models/iris/drift").await;
    assert_eq!((status.as_u16(), &drift["version"]), (200, &json!(2)), "{drift}");
    let (status, report) = server.admin_post("/models/iris/versions/1:verify", json!({})).await;
    assert_eq!(status.as_u16(), 200, "{report}");

    let request = server.admin(server.client.post(format!("{url}&colour=red"))).body(graph.clone());
    assert_eq!(request.send().await.unwrap().status(), 422);
    let request = server.admin(server.client.post(&url)).header("content-type", "multipart/form-data").body(graph);
    assert_eq!(request.send().await.unwrap().status(), 415);
    let (status, answer) = server.upload("iris", b"no graph".to_vec()).await;
    assert_eq!((status.as_u16(), &answer["code"]), (422, &json!("not_a_model")), "{answer}");
    server.stop().await;
}
