//! The Open Inference Protocol over HTTP and gRPC, asked by the clients that people use: tritonclient and kserve's.

use std::process::Command;

use super::harness::{TOKEN, TestRegistry, oip_python, repository};

fn host(url: &str) -> &str {
    url.trim_start_matches("http://")
}

#[tokio::test]
async fn every_call_of_the_public_clients_passes() {
    let server = TestRegistry::flights().with_case("iris", 1, "iris_logreg").serve().await;
    let output = Command::new(oip_python())
        .arg(repository("tests/python/oip_conformance.py"))
        .args([host(&server.http), server.grpc.as_str(), host(&server.ops), TOKEN])
        .output();
    let output = output.unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    assert!(out.lines().filter(|line| line.starts_with("ok ")).count() >= 50, "{out}");
    let calls = server.metric("gudgeon_http_requests_total{listener=\"grpc\",status=\"2xx\"}").await;
    assert!(30.0 < calls, "{calls} calls were counted");
    server.stop().await;
}
