//! The Open Inference Protocol over HTTP and gRPC, asked by the clients that people use: tritonclient and kserve's.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use gudgeon::config::ByteSize;
use serde_json::{Value, json};

use super::harness::{TOKEN, TestRegistry, body as body_of, oip_python, repository};

fn host(url: &str) -> &str {
    url.trim_start_matches("http://")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_public_clients_passes() {
    let server = TestRegistry::flights().with_case("iris", 1, "iris_logreg").serve().await;
    let script = |name: &str| repository("tests/python").join(name).to_str().unwrap().to_owned();
    let (http, grpc) = (host(&server.http), server.grpc.as_str());
    let triton = ran(&oip_python(), &[&script("oip_conformance.py"), http, grpc, host(&server.ops), TOKEN]);
    let kserve = ran(&oip_python(), &[&script("oip_kserve.py"), http, grpc]);
    let n_calls = |out: &str| out.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(50 <= n_calls(&triton) && 12 <= n_calls(&kserve), "{triton}\n{kserve}");
    let calls = server.metric("gudgeon_http_requests_total{listener=\"grpc\",status=\"2xx\"}").await;
    assert!(30.0 < calls, "{calls} calls were counted");
    server.stop().await;
}

pub(crate) fn ran(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {out}\n{error}", program.display());
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_run() {
    let server = TestRegistry::empty().with_case("iris", 1, "iris_logreg").serve().await;
    let example = |name: &str| repository("examples/clients").join(name);
    let python = |name: &str, address: &str| ran(&oip_python(), &[example(name).to_str().unwrap(), address]);
    let v1 = ran(&example("v1.sh"), &[&server.http]);
    assert!(v1.contains("\"model_version\":\"1\""), "{v1}");
    assert!(python("v1.py", &server.http).starts_with("1 ["));
    let v2 = ran(&example("v2.sh"), &[&server.http]);
    assert!(v2.contains("\"id\":\"order-17\"") && v2.contains("binary_data_size"), "{v2}");
    assert!(v2.contains("\"success\":{\"count\":"), "{v2}");
    let (binary, remote) = (python("v2.py", host(&server.http)), python("grpc_client.py", &server.grpc));
    assert!(remote.starts_with(&binary) && remote.contains("answer to request 2"), "{binary}\n{remote}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_refused_and_a_drain_ends_streams() {
    let bytes_max = 1 << 20;
    let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
    let server = registry.serve_with(|config| config.body_bytes_max = ByteSize::mib(1)).await;
    // A message may be larger than its tensors, by a mebibyte.
    let limit = (2 * bytes_max).to_string();
    let mut client = Command::new(oip_python())
        .arg(repository("tests/python/oip_limits.py"))
        .args([server.grpc.as_str(), &limit])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    server.shut_down();
    assert_eq!(lines.next().unwrap().unwrap(), "UNAVAILABLE");
    server.ended().await;
    assert!(client.wait().unwrap().success());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn what_is_compressed_is_held_against_the_limit_that_it_has_uncompressed() {
    let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
    let server = registry.serve_with(|config| config.body_bytes_max = ByteSize::mib(1)).await;
    let path = format!("{}/v1/models/iris:predict", server.http);
    let send = async |body: Vec<u8>| {
        let request = server.client.post(&path).header("content-encoding", "gzip").header("accept-encoding", "gzip");
        request.body(body).send().await.unwrap()
    };
    let answer = send(gzip(br#"{"instances":[[5.1,3.5,1.4,0.2]]}"#)).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().get("content-encoding").is_none(), "a small answer comes as it is");
    let many = format!("{{\"instances\":[{}[5.1,3.5,1.4,0.2]]}}", "[5.1,3.5,1.4,0.2],".repeat(999));
    let answer = send(gzip(many.as_bytes())).await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let body = answer.bytes().await.unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["predictions"].as_array().unwrap().len(), 1000);
    assert!(body.len() < text.len() / 2);
    let bomb = gzip(&vec![b' '; 8 << 20]);
    assert!(bomb.len() < 64 << 10, "the bomb is small");
    let (status, answer) = body_of(send(bomb).await).await;
    assert_eq!((status.as_u16(), &answer["code"]), (413, &json!("body_too_large")));
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_was_unloaded_stays_out_until_it_is_loaded_or_activated() {
    let server = TestRegistry::flights().with_case("iris", 1, "iris_logreg").serve().await;
    let change = async |verb: &str| {
        let path = format!("{}/v2/repository/models/flights/{verb}", server.ops);
        server.admin(server.client.post(path)).send().await.unwrap()
    };
    let ready = async || server.get("/v2/models/flights/ready").await.status().as_u16();
    assert_eq!(ready().await, 200);
    let answer = change("unload").await;
    assert_eq!(answer.status(), 200);
    let operation = answer.headers()["x-operation-id"].to_str().unwrap().to_owned();
    assert_eq!(answer.text().await.unwrap(), "", "as Triton has it");
    assert_eq!(ready().await, 503);
    assert_eq!(server.get("/v2/health/ready").await.status(), 200, "what was taken out is not waited for");
    let (_, operation) = server.admin_get(&format!("/operations/{operation}")).await;
    assert_eq!((&operation["kind"], &operation["who"]), (&json!("unload"), &json!("tester")));
    let (_, status) = server.admin_get("/models/flights").await;
    assert!(status["problem"].as_str().unwrap().contains("load it again"), "{status}");
    assert!(server.metrics().await.contains("gudgeon_active_version{model=\"flights\"} 0\n"));
    assert_eq!(change("load").await.status(), 200);
    assert_eq!(ready().await, 200);
    assert_eq!(change("unload").await.status(), 200);
    let (status, answer) = server.activate("flights", 1).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(ready().await, 200);
    server.stop().await;
}

#[tokio::test]
async fn statistics_say_how_often_and_how_long() {
    let server = TestRegistry::empty().with_case("iris", 1, "iris_logreg").serve().await;
    let stats =
        async || body_of(server.get("/v2/models/iris/versions/1/stats").await).await.1["model_stats"][0].clone();
    let before = stats().await;
    assert_eq!((&before["inference_count"], &before["last_inference"]), (&json!(0), &json!(0)));
    for rows in ["[[5.1,3.5,1.4,0.2]]", "[[5.1,3.5,1.4,0.2],[6.7,3.0,5.2,2.3]]", "[[1]]"] {
        server.post("/v1/models/iris:predict", format!("{{\"instances\":{rows}}}")).await;
    }
    let after = stats().await;
    assert_eq!((&after["inference_count"], &after["execution_count"]), (&json!(3), &json!(2)));
    let (success, fail) = (&after["inference_stats"]["success"], &after["inference_stats"]["fail"]);
    assert_eq!((&success["count"], &fail["count"]), (&json!(2), &json!(1)));
    let ns = |part: &str| after["inference_stats"][part]["ns"].as_u64().unwrap();
    assert!(ns("compute_input") + ns("compute_infer") + ns("compute_output") <= ns("success"), "{after}");
    let sizes: Vec<_> = after["batch_stats"].as_array().unwrap().iter().map(|batch| &batch["batch_size"]).collect();
    assert_eq!(sizes, [&json!(1), &json!(2)]);
    server.stop().await;
}
