//! `gudgeon train --activate` on a running server: the gate decides.

use std::sync::Arc;

use super::super::harness::{TestServer, gudgeon};
use super::{flights_without_versions, trained};

/// Trains `flights` by its name and activates; gives back exit code and standard output.
#[expect(clippy::disallowed_methods, reason = "the binary blocks while the server of this very test answers it")]
async fn train_and_activate(server: &TestServer, options: &[&str]) -> (i32, String) {
    let [models, token] = [server.registry.path().to_owned(), server.registry.file(".token")];
    let mut command: Vec<String> = ["train", "flights", "--activate", "--models"].map(str::to_owned).to_vec();
    command.extend([models.to_str().unwrap(), "--url", &server.ops, "--admin-token-file"].map(str::to_owned));
    command.push(token.to_str().unwrap().to_owned());
    command.extend(options.iter().map(|&option| option.to_owned()));
    let run = move || gudgeon(&command.iter().map(String::as_str).collect::<Vec<_>>());
    let (code, out, err) = tokio::task::spawn_blocking(run).await.unwrap();
    assert_eq!(err, "");
    (code, out)
}

async fn champion(server: &TestServer) -> u64 {
    let (_, status) = server.admin_get("/models/flights").await;
    status["champion"].as_u64().unwrap_or_else(|| panic!("no champion in {status}"))
}

#[tokio::test]
async fn a_better_version_is_activated_and_a_worse_one_is_not() {
    let registry = flights_without_versions();
    trained(&registry, &["--train-until", "2013-03-01", "--holdout-until", "2013-05-01"]);
    let server = TestServer::start(Arc::new(registry), |_| {}).await;
    server.activate("flights", 1).await;
    let autumn = ["--holdout-from", "2013-09-01", "--holdout-until", "2014-01-01"];
    let (code, out) = train_and_activate(&server, &[&["--train-until", "2013-09-01"], &autumn[..]].concat()).await;
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("gate: PASS"), "{out}");
    assert_eq!(champion(&server).await, 2, "{out}");
    let (code, out) = train_and_activate(&server, &[&["--train-until", "2013-03-01"], &autumn[..]].concat()).await;
    assert_eq!(code, 10, "{out}");
    assert!(out.contains("gate: FAIL") && out.contains("not activated: the gate says FAIL"), "{out}");
    assert!(server.registry.file("flights/3/model.onnx").is_file(), "it is registered all the same");
    assert_eq!(champion(&server).await, 2);
    server.stop().await;
}
