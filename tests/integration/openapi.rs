//! The description of the API: that it is there, changes with what serves, and says what the server does.

use std::collections::BTreeMap;

use gudgeon::http::ROUTES;
use gudgeon::metrics::Listener;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::harness::{PREDICT, TestRegistry, TestServer, body, flight};

/// Graphs of each kind: columns of one tensor, strings, maps, several targets, whole numbers.
const CASES: [&str; 9] = [
    "iris_logreg",
    "mixed_onehot_rf",
    "diabetes_ridge",
    "linear_two_targets",
    "tree_input_int64",
    "map_doubles",
    "map_ints",
    "sk_ordinal_strings",
    "digits_mlp",
];

async fn everything() -> TestServer {
    let registry = CASES.iter().fold(TestRegistry::flights(), |registry, case| registry.with_case(case, 1, case));
    registry.serve().await
}

impl TestServer {
    async fn description(&self, listener: Listener) -> Value {
        let address = if listener == Listener::Http { &self.http } else { &self.ops };
        let (status, document) = body(self.client.get(format!("{address}/openapi.json")).send().await.unwrap()).await;
        assert_eq!(status, 200, "{document}");
        document
    }
}

#[tokio::test]
async fn each_listener_describes_its_own_routes_and_has_a_page() {
    let server = everything().await;
    for listener in [Listener::Http, Listener::Ops] {
        let document = server.description(listener).await;
        assert_eq!(document["openapi"], "3.1.0");
        for route in ROUTES.iter().filter(|route| route.listener == listener) {
            let operation = &document["paths"][route.path][route.method.to_lowercase()];
            // This server remembers no predictions.
            if route.path.ends_with(":feedback") {
                assert!(operation.is_null(), "{}", route.path);
                continue;
            }
            assert_eq!(operation["summary"], route.purpose, "{} {}", route.method, route.path);
            assert_eq!(operation["security"].is_array(), route.needs_token, "{}", route.path);
        }
        let address = if listener == Listener::Http { &server.http } else { &server.ops };
        let page = server.client.get(format!("{address}/docs")).send().await.unwrap();
        assert_eq!(page.status(), 200);
        assert!(
            page.headers()["content-security-policy"]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'; script-src 'sha256-")
        );
        assert!(page.text().await.unwrap().contains("fetch(\"openapi.json\")"));
    }
    server.stop().await;
}

#[tokio::test]
async fn the_tag_changes_with_the_version_that_serves_and_not_before() {
    let server = TestRegistry::flights().serve().await;
    let ask = async |etag: Option<&str>| {
        let request = server.client.get(format!("{}/openapi.json", server.http));
        let request = etag.into_iter().fold(request, |request, etag| request.header("if-none-match", etag));
        let answer = request.send().await.unwrap();
        let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), etag, answer.text().await.unwrap())
    };
    let (status, first, text) = ask(None).await;
    assert_eq!(status, 200);
    assert!(text.contains("of which version 2 serves now"));
    assert_eq!(ask(Some(&first)).await, (304, first.clone(), String::new()));
    server.post(PREDICT, json!({ "instances": [flight()] }).to_string()).await;
    assert_eq!(ask(Some(&first)).await.0, 304);
    assert_eq!(server.activate("flights", 1).await.0, 200);
    let (status, second, text) = ask(Some(&first)).await;
    assert_eq!(status, 200);
    assert!(first != second && text.contains("of which version 1 serves now"), "{second}");
    assert_eq!(server.activate("flights", 2).await.0, 200);
    assert_eq!(ask(Some(&first)).await.0, 304, "it is the first description again");
    let packed = server.client.get(format!("{}/openapi.json", server.http)).header("accept-encoding", "gzip");
    let packed = packed.send().await.unwrap();
    assert_eq!(
        (&packed.headers()["content-encoding"], packed.headers()["etag"].to_str().unwrap()),
        (&"gzip".parse().unwrap(), first.as_str())
    );
    assert!(packed.bytes().await.unwrap().len() < text.len() / 4);
    server.stop().await;
}

#[tokio::test]
async fn a_models_row_has_its_features_by_name() {
    let server = everything().await;
    let document = server.description(Listener::Http).await;
    let schemas = &document["components"]["schemas"];
    let row = &schemas["FlightsRow"];
    let names: Vec<_> = row["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let flight = flight();
    assert_eq!(names, flight.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>());
    let (carrier, hour) = (&row["properties"]["carrier"], &row["properties"]["hour"]);
    assert_eq!((&carrier["type"], &carrier["x-kind"]), (&json!(["string", "null"]), &json!("categorical")));
    assert_eq!(
        (carrier["x-levels-count"].as_u64(), &carrier["examples"]),
        (Some(16), &json!(["UA"])),
        "as in golden.json"
    );
    assert_eq!((&hour["type"], &hour["x-training-range"]), (&json!(["number", "null"]), &json!([5.0, 23.0])));
    let required = row["required"].as_array().unwrap();
    assert!(required.contains(&json!("hour")) && !required.contains(&json!("plane_age")), "{required:?}");
    assert_eq!(row["additionalProperties"], false);
    let by_class = &schemas["FlightsPrediction"]["properties"]["probabilities"];
    assert_eq!(by_class["required"], json!(["on_time", "late"]));
    assert_eq!(document["x-models"]["flights"], json!({ "version": "2", "prefix": "Flights", "row": "FlightsRow" }));
    // A graph that takes a map takes keys that it does not know.
    assert_eq!(schemas["MapDoublesRow"]["additionalProperties"], true);
    server.stop().await;
}

#[tokio::test]
async fn every_example_is_answered_as_described() {
    let server = everything().await;
    let document = server.description(Listener::Http).await;
    let mut n_examples = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(example) = item["post"].pointer("/requestBody/content/application~1json/example") else { continue };
        let (status, answer) = body(server.post(path, example.to_string()).await).await;
        assert_eq!(status, 200, "{path}: {example}: {answer}");
        let request = &item["post"]["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(fault(&document, request, example), None, "{path}: {example}");
        check(&document, (path, "post", path), status, &answer);
        n_examples += 1;
    }
    assert!(2 <= n_examples, "{n_examples} examples");
    server.stop().await;
}

/// What one would ask of each model.
fn questions() -> BTreeMap<&'static str, Vec<Value>> {
    let iris = json!({ "X": [[5.1, 3.5, 1.4, 0.2]] });
    BTreeMap::from([
        (
            "flights",
            vec![
                json!({ "instances": [flight()] }),
                json!({ "instances": [flight()], "signature_name": "serving_default" }),
            ],
        ),
        (
            "iris_logreg",
            vec![
                json!({ "instances": [[5.1, 3.5, 1.4, 0.2], { "X_0": 5.1, "X_1": null, "X_2": 1, "X_3": 0.2 }] }),
                json!({ "inputs": [[5.1, 3.5, 1.4, 0.2]] }),
                json!({ "inputs": { "X_0": [5.1], "X_1": [3.5], "X_2": [1.4], "X_3": [0.2] } }),
            ],
        ),
        ("diabetes_ridge", vec![json!({ "instances": [vec![0.0; 10]] }), json!({ "inputs": [vec![0.0; 10]] })]),
        ("digits_mlp", vec![json!({ "instances": [vec![1.0; 64]] })]),
        ("map_doubles", vec![json!({ "instances": [{}, { "unknown": 1 }] })]),
        ("none", vec![iris]),
    ])
}

#[tokio::test]
async fn answers_are_as_they_are_described() {
    let server = everything().await;
    let document = server.description(Listener::Http).await;
    for (model, questions) in questions() {
        let path = format!("/v1/models/{model}:predict");
        for question in questions {
            let (status, answer) = body(server.post(&path, question.to_string()).await).await;
            let shared = "/v1/models/{model}:predict";
            check(&document, (shared, "post", &path), status, &answer);
            if model != "none" {
                assert_eq!(status, 200, "{path}: {question}: {answer}");
                let request = &document["paths"][&path]["post"]["requestBody"]["content"]["application/json"]["schema"];
                assert_eq!(fault(&document, request, &question), None, "{path}: {question}");
                check(&document, (&path, "post", &path), status, &answer);
            }
        }
        assert_eq!(server.post(&path, "{").await.status().as_u16(), if model == "none" { 404 } else { 400 });
    }
    for (listener, prepared) in [(Listener::Http, false), (Listener::Ops, false), (Listener::Ops, true)] {
        if prepared {
            let sent = json!({ "version": 1, "mode": "canary", "share": 0.5, "reason": "a test" });
            assert_eq!(server.admin_post("/models/flights:challenge", sent).await.0, 200);
            server.post(PREDICT, json!({ "instances": [flight()] }).to_string()).await;
        }
        look_at_everything(&server, listener).await;
    }
    server.stop().await;
}

/// Every route that only looks, for a model that is there and for one that is not.
async fn look_at_everything(server: &TestServer, listener: Listener) {
    let document = server.description(listener).await;
    let address = if listener == Listener::Http { &server.http } else { &server.ops };
    let known = |path: &str, model: &str| {
        path.replace("{model}", model).replace("{version}", "1").replace("{alias}", "champion").replace("{id}", "none")
    };
    for route in ROUTES.iter().filter(|route| route.listener == listener && route.method == "GET") {
        for path in ["flights", "iris_logreg", "none"].map(|model| known(route.path, model)) {
            let answer = server.admin(server.client.get(format!("{address}{path}"))).send().await.unwrap();
            if answer.headers().get("content-type").is_some_and(|kind| kind == "application/json") {
                let (status, answer) = body(answer).await;
                check(&document, (route.path, "get", &path), status, &answer);
            }
        }
    }
}

#[tokio::test]
async fn operations_are_answered_as_they_are_described() {
    let server = TestRegistry::flights().with_case("iris", 1, "iris_logreg").serve().await;
    let document = server.description(Listener::Ops).await;
    let post = async |path: &str, shared: &str, sent: Value| {
        let (status, answer) = server.admin_post(path, sent).await;
        check(&document, (&format!("/admin{shared}"), "post", path), status, &answer);
        (status, answer)
    };
    let verb = async |verb: &str, sent: Value| {
        post(&format!("/models/flights:{verb}"), &format!("/models/{{model}}:{verb}"), sent).await.0
    };
    assert_eq!(verb("activate", json!({ "version": 1, "force": true })).await, 422, "without a reason");
    assert_eq!(verb("activate", json!({ "version": 1, "force": true, "reason": "a test" })).await, 200);
    assert_eq!(verb("activate?async=true", json!({ "version": 2 })).await, 202);
    assert_eq!(verb("activate?async=perhaps", json!({ "version": 2 })).await, 422);
    assert_eq!(verb("challenge", json!({ "version": 99 })).await, 404);
    let (_, answer) = server.activate("flights", 99).await;
    assert!(answer["error"].as_str().unwrap().starts_with("model flights has no version 99"), "{answer}");
    assert_eq!(verb("withdraw", json!({})).await, 404);
    assert_eq!(verb("prune", json!({ "keep": 5, "dry_run": true })).await, 200);
    assert_eq!(verb("rollback", json!({})).await, 200);
    let (status, _) =
        post("/models/flights/versions/2:verify", "/models/{model}/versions/{version}:verify", json!({})).await;
    assert_eq!(status, 200);
    let graph = std::fs::read(super::harness::repository("tests/cases/models/iris_logreg/model.onnx")).unwrap();
    let (status, answer) = server.upload("iris", graph).await;
    assert_eq!(status, 201);
    check(&document, ("/admin/models/{model}/versions", "post", "an upload"), status, &answer);
    let (status, answer) = server.upload("iris", b"no graph".to_vec()).await;
    assert_eq!(status, 422);
    check(&document, ("/admin/models/{model}/versions", "post", "no graph"), status, &answer);
    look_at_everything(&server, Listener::Ops).await;
    let unload = server.client.post(format!("{}/v2/repository/models/flights/unload", server.ops));
    assert_eq!(server.admin(unload).send().await.unwrap().status(), 200);
    let (status, answer) = server.admin_get("/models/flights/drift").await;
    assert_eq!((status.as_u16(), &answer["code"]), (422, &json!("no_champion")), "nothing that comes back by itself");
    look_at_everything(&server, Listener::Ops).await;
    server.stop().await;
}

/// Holds an answer against what the document says of its route, every member included.
#[track_caller]
fn check(document: &Value, (path, method, asked): (&str, &str, &str), status: StatusCode, answer: &Value) {
    let path = path.split('?').next().unwrap();
    let described = &document["paths"][path][method]["responses"][status.as_str()];
    assert!(described.is_object(), "{asked}: {status} is not described: {answer}");
    let schema = &described["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{asked}: {status} has no schema");
    // What describes itself is looked at elsewhere.
    if path != "/openapi.json" {
        assert_eq!(fault(document, schema, answer), None, "{asked}: {status}: {answer}");
    }
}

/// Where `value` is not what `schema` says; members that an object's schema does not name are a fault. As much of JSON Schema as
/// the documents use.
fn fault(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(place) = schema["$ref"].as_str() {
        let named = document.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("{place} is nowhere"));
        return fault(document, named, value);
    }
    if let Some(ways) = schema["anyOf"].as_array() {
        let faults: Vec<_> = ways.iter().map(|way| fault(document, way, value)).collect();
        return faults.iter().all(Option::is_some).then(|| format!("no way fits: {faults:?}"));
    }
    let kinds = match &schema["type"] {
        Value::Null => Vec::new(),
        Value::String(kind) => vec![kind.as_str()],
        kinds => kinds.as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect(),
    };
    let is_kind = |kind: &&str| match *kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other}"),
    };
    if !kinds.is_empty() && !kinds.iter().any(is_kind) {
        return Some(format!("{value} is none of {kinds:?}"));
    }
    let is_word = |words: &Vec<Value>| words.contains(value);
    if schema["enum"].as_array().is_some_and(|words| !is_word(words))
        || schema.get("const").is_some_and(|word| word != value)
    {
        return Some(format!("{value} is not among {schema}"));
    }
    let out_of_range = value.as_f64().is_some_and(|number| {
        schema["minimum"].as_f64().is_some_and(|min| number < min)
            || schema["maximum"].as_f64().is_some_and(|max| max < number)
    });
    if out_of_range {
        return Some(format!("{value} is out of range"));
    }
    members_fault(document, schema, value).or_else(|| items_fault(document, schema, value))
}

fn members_fault(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let members = value.as_object()?;
    let known = schema["properties"].as_object();
    let missing =
        schema["required"].as_array().into_iter().flatten().find(|name| !members.contains_key(name.as_str().unwrap()));
    if let Some(name) = missing {
        return Some(format!("no {name}"));
    }
    members.iter().find_map(|(name, value)| {
        let found = match (known.and_then(|known| known.get(name)), &schema["additionalProperties"]) {
            (Some(schema), _) => fault(document, schema, value),
            (None, Value::Object(other)) => fault(document, &Value::Object(other.clone()), value),
            (None, Value::Bool(true)) => None,
            // An object without any members named may have all.
            (None, Value::Null) if known.is_none_or(serde_json::Map::is_empty) => None,
            (None, _) => Some("it is not described".to_owned()),
        };
        found.map(|fault| format!("{name}: {fault}"))
    })
}

fn items_fault(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let items = value.as_array()?;
    let n_items = items.len() as u64;
    if schema["minItems"].as_u64().is_some_and(|min| n_items < min)
        || schema["maxItems"].as_u64().is_some_and(|max| max < n_items)
    {
        return Some(format!("{n_items} items"));
    }
    let of = |index: usize| schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
    items.iter().enumerate().find_map(|(index, item)| Some(format!("[{index}]: {}", fault(document, of(index), item)?)))
}
