//! Operations: followed while they run, known for one when they are asked for again, told of afterwards; and what is pruned.

use reqwest::Response;
use serde_json::{Value, json};

use super::harness::{TestRegistry, TestServer, body, gudgeon, repository};

fn iris() -> Vec<u8> {
    std::fs::read(repository("tests/cases/models/iris_logreg/model.onnx")).unwrap()
}

async fn post(server: &TestServer, path: &str, fields: &[(&str, &str)], sent: Value) -> Response {
    let mut request = server.admin(server.client.post(format!("{}/admin{path}", server.ops))).json(&sent);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn events(server: &TestServer, path: &str) -> Vec<Value> {
    let (status, history) = server.admin_get(&format!("/models/{path}")).await;
    assert_eq!(status, 200, "{history}");
    history["events"].as_array().unwrap().clone()
}

/// The events of a stream that has ended: id, name and data.
fn parsed(stream: &str) -> Vec<(String, String, Value)> {
    let blocks = stream.split("\n\n").filter(|block| block.contains("data: "));
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {block}")).to_owned()
    };
    blocks
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data: ")).unwrap();
            (field(block, "id: "), field(block, "event: "), data)
        })
        .collect()
}

#[tokio::test]
async fn the_events_of_an_activation_tell_its_stages_in_order_and_end_with_it() {
    let server =
        TestRegistry::flights().with_case("iris", 1, "iris_rf100").with_case("iris", 2, "iris_rf100").serve().await;
    let response = post(&server, "/models/iris:activate?async=true", &[], json!({ "version": 2 })).await;
    let place = response.headers()["location"].to_str().unwrap().to_owned();
    let id = response.headers()["x-operation-id"].to_str().unwrap().to_owned();
    let (status, begun) = body(response).await;
    assert_eq!((status.as_u16(), &begun["id"], &begun["kind"]), (202, &json!(id), &json!("activate")), "{begun}");
    assert_eq!(place, format!("/admin/operations/{id}"));
    let stream = server.admin(server.client.get(format!("{}{place}/events", server.ops))).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let told = parsed(&stream.text().await.unwrap());
    let stages: Vec<_> = told.iter().filter_map(|(_, _, data)| data["stage"].as_str().map(str::to_owned)).collect();
    assert_eq!(stages, ["reading", "verifying", "loading", "recording", "swapping"]);
    let ids: Vec<usize> = told.iter().map(|(id, _, _)| id.parse().unwrap()).collect();
    assert_eq!(ids, (1..=told.len()).collect::<Vec<_>>());
    let (_, name, end) = told.last().unwrap();
    assert_eq!((name.as_str(), &end["state"]), ("end", &json!("succeeded")), "{end}");
    assert_eq!(end["result"]["champion"], json!(2), "{end}");
    // Whoever comes late, or back, gets the rest.
    let late = server.admin(server.client.get(format!("{}{place}/events", server.ops))).header("last-event-id", "4");
    assert_eq!(parsed(&late.send().await.unwrap().text().await.unwrap()), told[4..]);
    // The history names the operation.
    let last = events(&server, "iris/history?action=activate").await.pop().unwrap();
    assert_eq!((&last["operation"], &last["outcome"]), (&json!(id), &json!("ok")), "{last}");
    let (status, answer) = server.admin_get("/operations/nothing").await;
    assert_eq!((status.as_u16(), &answer["code"]), (404, &json!("unknown_operation")));
    server.stop().await;
}

#[tokio::test]
async fn an_operation_that_is_refused_says_why_in_its_stream_and_to_whoever_waits() {
    let server = TestRegistry::flights().serve().await;
    let response =
        post(&server, "/models/flights:activate", &[("prefer", "respond-async")], json!({ "version": 99 })).await;
    let (status, begun) = body(response).await;
    assert_eq!(status, 202, "{begun}");
    let path = format!("{}/admin/operations/{}/events", server.ops, begun["id"].as_str().unwrap());
    let told = parsed(&server.admin(server.client.get(path)).send().await.unwrap().text().await.unwrap());
    let (_, name, end) = told.last().unwrap();
    assert_eq!((name.as_str(), &end["state"]), ("end", &json!("refused")), "{end}");
    assert_eq!(end["failure"]["code"], json!("unknown_version"), "{end}");
    let waited = post(&server, "/models/flights:activate", &[], json!({ "version": 99 })).await;
    assert!(waited.headers().contains_key("x-operation-id"));
    assert_eq!(waited.status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_is_repeated_under_its_key_is_done_once_even_after_a_restart() {
    let server = TestRegistry::flights().serve().await;
    server.activate("flights", 1).await;
    server.activate("flights", 2).await;
    let key = [("idempotency-key", "change-4711")];
    let mut ids = Vec::new();
    for _ in 0..3 {
        let response = post(&server, "/models/flights:rollback", &key, json!({})).await;
        ids.push(response.headers()["x-operation-id"].clone());
        let (status, answer) = body(response).await;
        assert_eq!((status.as_u16(), &answer["champion"]), (200, &json!(1)), "{answer}");
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let (status, answer) = body(post(&server, "/models/flights:rollback", &key, json!({ "reason": "x" })).await).await;
    assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("key_reused")), "{answer}");
    let bad = post(&server, "/models/flights:rollback", &[("idempotency-key", "two words")], json!({})).await;
    assert_eq!(bad.status(), 422);
    let registry = std::sync::Arc::clone(&server.registry);
    server.stop().await;
    let server = TestServer::start(registry, |_| {}).await;
    let (_, answer) = body(post(&server, "/models/flights:rollback", &key, json!({})).await).await;
    assert_eq!((&answer["champion"], &answer["changed"]), (&json!(1), &json!(false)), "{answer}");
    assert_eq!(events(&server, "flights/history?action=rollback").await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_repeated_under_its_key_makes_one_version() {
    let server = TestRegistry::flights().serve().await;
    let upload = async || {
        let request = server.admin(server.client.post(format!("{}/admin/models/iris/versions", server.ops)));
        let request = request.header("content-type", "application/octet-stream").header("idempotency-key", "upload-1");
        body(request.body(iris()).send().await.unwrap()).await
    };
    let (first, second) = tokio::join!(upload(), upload());
    assert_eq!((first.0.as_u16(), &first.1["version"]), (201, &json!(1)), "{}", first.1);
    assert_eq!(first, second);
    assert_eq!(events(&server, "iris/history?action=register").await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn the_history_tells_what_is_asked_of_it_and_of_refused_uploads_too() {
    let server = TestRegistry::flights().serve().await;
    server.activate("flights", 1).await;
    let (_, seen) = server.admin_get("/models/flights/history").await;
    let at = seen["events"].as_array().unwrap().last().unwrap()["at"].as_str().unwrap().to_owned();
    server.activate("flights", 2).await;
    let (status, _) = server.upload("flights", b"not a model".to_vec()).await;
    assert!(status.is_client_error());
    let refused = events(&server, "flights/history?action=register").await.pop().unwrap();
    assert_eq!((&refused["outcome"], &refused["who"]), (&json!("refused"), &json!("tester")), "{refused}");
    assert!(refused["version"].is_null() && refused["detail"].is_string() && refused["from"].is_string(), "{refused}");
    let last = events(&server, "flights/history?action=activate&limit=1").await;
    assert_eq!((last.len(), &last[0]["version"]), (1, &json!(2)));
    let since = events(&server, &format!("flights/history?since={at}&version=2&action=activate")).await;
    assert_eq!(since.len(), 1, "{since:?}");
    for query in ["limit=many", "action=nothing", "since=yesterday", "what=1"] {
        let (status, answer) = server.admin_get(&format!("/models/flights/history?{query}")).await;
        assert_eq!((status.as_u16(), &answer["path"]), (422, &json!("query")), "{query}: {answer}");
    }
    server.stop().await;
}

async fn prune(server: &TestServer, sent: Value) -> Value {
    let (status, answer) = server.admin_post("/models/iris:prune", sent).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn pruning_keeps_the_newest_and_what_is_in_use_and_numbers_do_not_come_again() {
    let server = TestRegistry::flights().serve().await;
    for version in 1..=6 {
        let (status, answer) = server.upload("iris", iris()).await;
        assert_eq!((status.as_u16(), &answer["version"]), (201, &json!(version)), "{answer}");
    }
    // 1 is what the contract is read from, 3 is previous, 4 is champion.
    for version in [1, 3, 4] {
        let (status, answer) = server.activate("iris", version).await;
        assert_eq!(status, 200, "{answer}");
    }
    let (status, answer) = server.admin_post("/models/iris:prune", json!({})).await;
    assert_eq!((status.as_u16(), &answer["code"]), (422, &json!("no_retention")), "{answer}");
    let folder = server.registry.file("iris");
    std::fs::write(folder.join("model.toml"), "[retention]\nversions_on_disk = 1\n").unwrap();
    std::fs::create_dir_all(folder.join(".verified")).unwrap();
    std::fs::create_dir_all(folder.join(".reports")).unwrap();
    for pair in ["2-1", "3-2"] {
        std::fs::write(folder.join(format!(".reports/{pair}.json")), "{}").unwrap();
    }
    for version in [2, 4] {
        std::fs::write(folder.join(format!(".verified/{version}.json")), "{}").unwrap();
    }
    let would = prune(&server, json!({ "dry_run": true })).await;
    assert_eq!((&would["pruned"], &would["kept"]), (&json!([2, 5]), &json!([1, 3, 4, 6])), "{would}");
    assert!(folder.join("5").exists());
    let done = prune(&server, json!({ "reason": "space" })).await;
    assert_eq!(done["pruned"], json!([2, 5]), "{done}");
    assert!(!folder.join("5").exists() && !folder.join("2").exists());
    assert!(!folder.join(".verified/2.json").exists() && folder.join(".verified/4.json").exists());
    assert!(!folder.join(".reports/2-1.json").exists() && folder.join(".reports/3-2.json").exists());
    let hidden = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(hidden.filter(|name| name.starts_with(".tmp-")).count(), 0);
    let told = events(&server, "iris/history?action=prune&version=5").await;
    assert_eq!((told.len(), &told[0]["why"], &told[0]["who"]), (1, &json!("space"), &json!("tester")), "{told:?}");
    assert_eq!(prune(&server, json!({})).await["pruned"], json!([]), "once is enough");
    // The newest goes too where none need stay, and its number with it.
    assert_eq!(prune(&server, json!({ "keep": 0 })).await["pruned"], json!([6]));
    let (_, answer) = server.upload("iris", iris()).await;
    assert_eq!(answer["version"], json!(7), "{answer}");
    let (status, answer) = server.admin_post("/models/iris:rollback", json!({})).await;
    assert_eq!((status.as_u16(), &answer["champion"]), (200, &json!(3)), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prunes_without_a_server_and_lists_and_follows_operations() {
    let server = TestRegistry::flights().serve().await;
    for _ in 0..3 {
        server.upload("iris", iris()).await;
    }
    server.activate("iris", 1).await;
    let models = server.registry.path().to_str().unwrap().to_owned();
    let token = server.registry.file(".token").to_str().unwrap().to_owned();
    let ops = server.ops.clone();
    let (code, out, error) = gudgeon(&["prune", "iris", "--keep", "1", "--models", &models]);
    assert_eq!((code, out.as_str()), (0, "iris: removed 1: 2; 2 stay: 1, 3\n"), "{error}");
    let admin = ["--url", &ops, "--admin-token-file", &token];
    let (code, out, error) = gudgeon(&[&["operations", "--model", "iris"][..], &admin].concat());
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("register") && out.contains("activate") && out.contains("succeeded"), "{out}");
    let (_, listed) = server.admin_get("/operations?model=iris").await;
    let id = listed["operations"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    let (code, out, error) = gudgeon(&[&["operations", &id][..], &admin].concat());
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("swapping") && out.contains("\"champion\":1"), "{out}");
    let (code, out, error) = gudgeon(&[&["history", "iris", "--limit", "1"][..], &admin].concat());
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("FROM") && out.contains("gudgeon prune"), "{out}");
    server.stop().await;
}
