//! `gudgeon conform` against a server of our own; docs/API.md has what it says of others.

use serde_json::Value;

use super::harness::{TestRegistry, gudgeon};

/// Runs the command; gives back its exit code and its report.
fn conform(arguments: &[&str]) -> (i32, Value) {
    let (code, out, error) = gudgeon(&[&["conform", "--json"], arguments].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code}: {out}{error}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_check_passes_here_over_http_and_grpc() {
    let registry = TestRegistry::flights().with_case("iris", 1, "iris_logreg").with_case("ints", 1, "sk_onehot_ints");
    let server = registry.serve().await;
    let mut skipped_by_all: Option<Vec<String>> = None;
    for model in ["iris", "flights", "ints"] {
        let (code, report) = conform(&[&server.http, "--grpc", &server.grpc, "--model", model]);
        let checks = report["checks"].as_array().unwrap();
        let named = |result: &str| -> Vec<String> {
            checks.iter().filter(|check| check["result"] == result).map(|check| check["check"].to_string()).collect()
        };
        let failed: Vec<_> = checks.iter().filter(|check| check["result"] == "fail").collect();
        assert!(code == 0 && failed.is_empty() && report["conforms"] == true, "{model}: {failed:#?}");
        assert!(50 < checks.len(), "{} checks", checks.len());
        let skipped = named("skip");
        let both = |before: Vec<String>| before.into_iter().filter(|check| skipped.contains(check)).collect();
        skipped_by_all = Some(skipped_by_all.map_or_else(|| skipped.clone(), both));
    }
    assert_eq!(skipped_by_all.unwrap(), Vec::<String>::new(), "no check is skipped whatever the model");
    // Without a name the first model of the index is asked, and the table has a line a check.
    let (code, out, _) = gudgeon(&["conform", &server.http]);
    assert!(code == 0 && out.contains("required checks passed") && !out.contains("gRPC"), "{out}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_such_server_is_told_of() {
    let server = TestRegistry::empty().with_case("iris", 1, "iris_logreg").serve().await;
    let told = |arguments: &[&str]| gudgeon(&[&["conform"], arguments].concat());
    let (code, _, error) = told(&[&server.ops, "--model", "iris"]);
    assert!(code == 2 && error.contains("no metadata of model \"iris\""), "{code}: {error}");
    let (code, _, error) = told(&[&server.http, "--model", "nothing"]);
    assert!(code == 2 && error.contains("404"), "{code}: {error}");
    let (code, _, error) = told(&["http://127.0.0.1:1", "--model", "iris"]);
    assert!(code == 2 && error.contains("no answer"), "{code}: {error}");
    let (code, _, error) = told(&["localhost"]);
    assert!(code == 2 && error.contains("expected an address like"), "{code}: {error}");
    // The port of operations speaks no gRPC: every call fails, and that is required.
    let (code, out, _) = told(&[&server.http, "--grpc", &server.ops, "--model", "iris"]);
    assert!(code == 1 && out.contains("FAIL"), "{code}: {out}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_goes_along_where_one_is_given() {
    let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
    let keys = registry.file(".keys");
    std::fs::write(&keys, format!("tests {}\n", super::callers::digest("a-key"))).unwrap();
    let server = registry.serve_with(|config| config.api_keys_file = keys).await;
    let (code, _, error) = gudgeon(&["conform", &server.http, "--model", "iris"]);
    assert!(code == 2 && error.contains("401"), "{code}: {error}");
    let (code, report) = conform(&[&server.http, "--grpc", &server.grpc, "--model", "iris", "--api-key", "a-key"]);
    assert!(code == 0 && report["conforms"] == true, "{report:#}");
    server.stop().await;
}
