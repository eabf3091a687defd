//! The gate as the server enforces it: what is better passes, what is worse does not, and a person's word is on record.

use serde_json::{Value, json};

use super::harness::{TestRegistry, TestServer, gudgeon, repository};

/// The sample registry with its gate and its data: version 2 is the champion, version 1 was trained on four months less.
fn flights() -> TestRegistry {
    let registry = TestRegistry::flights();
    std::fs::copy(repository("models/flights/gate.toml"), registry.file("flights/gate.toml")).unwrap();
    std::os::unix::fs::symlink(repository("models/flights/data"), registry.file("flights/data")).unwrap();
    registry
}

async fn activate(server: &TestServer, body: Value) -> (u16, Value) {
    let (status, answer) = server.admin_post("/models/flights:activate", body).await;
    (status.as_u16(), answer)
}

async fn champion(server: &TestServer) -> u64 {
    let (_, answer) = server.admin_get("/models/flights").await;
    answer["champion"].as_u64().unwrap()
}

async fn last_event(server: &TestServer) -> Value {
    let (_, history) = server.admin_get("/models/flights/history").await;
    history["events"].as_array().unwrap().last().unwrap().clone()
}

async fn decisions(server: &TestServer, verdict: &str) -> f64 {
    server.metric(&format!(r#"gudgeon_gate_decisions_total{{model="flights",verdict="{verdict}"}}"#)).await
}

async fn roll_back(server: &TestServer, expected: u64) {
    let (status, answer) = server.admin_post("/models/flights:rollback", json!({})).await;
    assert_eq!((status.as_u16(), &answer["champion"]), (200, &json!(expected)), "{answer}");
}

#[track_caller]
fn check_of<'r>(report: &'r Value, name: &str) -> &'r Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name:?} in {report}"))
}

#[tokio::test]
async fn a_worse_version_is_refused_with_every_figure_unless_a_person_gives_a_reason() {
    let server = flights().serve().await;
    let (status, answer) = activate(&server, json!({ "version": 1, "reason": "a test" })).await;
    assert_eq!((status, &answer["code"]), (422, &json!("gate_failed")), "{answer}");
    let text = answer["error"].as_str().unwrap();
    assert!(text.contains("the gate says FAIL: primary roc_auc FAIL: surely no better"), "{text}");
    assert!(text.contains("gudgeon activate flights 1 --force --reason WHY"), "{text}");
    let primary = check_of(&answer["report"], "primary roc_auc");
    let [low, delta, high] = ["ci_low", "delta", "ci_high"].map(|key| primary[key].as_f64().unwrap());
    assert!(low < delta && delta < high && high < 0.0, "{primary}");
    for name in ["serving parity", "serving p99", "serving size", "serving schema"] {
        assert_eq!(check_of(&answer["report"], name)["verdict"], "PASS", "{answer}");
    }
    let event = last_event(&server).await;
    assert_eq!((&event["outcome"], &event["version"]), (&json!("refused"), &json!(1)), "{event}");
    assert_eq!(champion(&server).await, 2);
    assert!((decisions(&server, "fail").await - 1.0).abs() < 0.1);

    for reason in [json!(null), json!("  ")] {
        let (status, answer) = activate(&server, json!({ "version": 1, "force": true, "reason": reason })).await;
        assert_eq!(
            (status, &answer["code"], &answer["path"]),
            (422, &json!("bad_input"), &json!("reason")),
            "{answer}"
        );
    }
    let wish = json!({ "version": 1, "force": true, "reason": "the newer one misreads the wind" });
    let (status, answer) = activate(&server, wish).await;
    assert_eq!((status, &answer["champion"]), (200, &json!(1)), "{answer}");
    let event = last_event(&server).await;
    assert_eq!(
        (&event["outcome"], &event["why"]),
        (&json!("ok"), &json!("the newer one misreads the wind")),
        "{event}"
    );
    let detail = event["detail"].as_str().unwrap();
    assert!(detail.starts_with("forced although the gate says FAIL (as reported before): primary roc_auc"), "{detail}");
    assert!((server.metric(r#"gudgeon_gate_overrides_total{model="flights"}"#).await - 1.0).abs() < 0.1);
    server.stop().await;
}

#[tokio::test]
async fn a_better_version_passes_and_its_report_counts_while_all_that_it_speaks_of_is_there() {
    let server = flights().serve().await;
    let wish = json!({ "version": 1, "force": true, "reason": "to begin with the older one" });
    assert_eq!(activate(&server, wish).await.0, 200);
    let passes = async |how: &str| {
        let (status, answer) = activate(&server, json!({ "version": 2, "reason": "a test" })).await;
        assert_eq!((status, &answer["champion"]), (200, &json!(2)), "{answer}");
        assert_eq!(last_event(&server).await["detail"], json!(format!("the gate says PASS ({how})")));
        roll_back(&server, 1).await;
    };
    // The trainer's own report, made when the version was trained, against this champion.
    passes("as reported before").await;
    let gate = server.registry.file("flights/gate.toml");
    let text = std::fs::read_to_string(&gate).unwrap();
    let text = format!("{text}\n# a word\n");
    std::fs::write(&gate, &text).unwrap();
    passes("computed now").await;
    let kept = || -> Value {
        serde_json::from_slice(&std::fs::read(server.registry.file("flights/.reports/2-1.json")).unwrap()).unwrap()
    };
    let before = kept();
    passes("as reported before").await;
    std::fs::write(&gate, format!("{text}\n# a word more\n")).unwrap();
    passes("computed now").await;
    assert_ne!(kept()["digests"]["gate"], before["digests"]["gate"]);
    assert_eq!(kept()["digests"]["holdout"], before["digests"]["holdout"]);
    passes("as reported before").await;
    std::fs::write(&gate, text.replace("min_delta = 0.0", "min_delta = 0.5")).unwrap();
    let (status, answer) = activate(&server, json!({ "version": 2 })).await;
    assert_eq!((status, &answer["code"]), (422, &json!("gate_inconclusive")), "{answer}");
    assert_eq!(check_of(&answer["report"], "primary roc_auc")["verdict"], "INCONCLUSIVE");
    assert_eq!(champion(&server).await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_gate_that_cannot_be_computed_is_no_pass_and_keeps_nobody_from_going_back() {
    let server = flights().serve().await;
    let refused = async |part: &str| {
        let (status, answer) = activate(&server, json!({ "version": 1 })).await;
        assert_eq!((status, &answer["code"]), (422, &json!("gate_not_computed")), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(part), "expected {part:?} in {answer}");
        assert_eq!(champion(&server).await, 2);
    };
    std::fs::remove_file(server.registry.file("flights/data")).unwrap();
    refused("flights/data: No such file or directory").await;
    let gate = server.registry.file("flights/gate.toml");
    let text = std::fs::read_to_string(&gate).unwrap();
    std::fs::write(&gate, text.replace("[holdout]", "[holdout]\nuri = \"autumn.csv\"")).unwrap();
    refused("gate.toml holdout \"autumn.csv\": expected a file in ").await;
    std::fs::write(&gate, "[primary]\nmetric = \"auc\"\n").unwrap();
    refused("expected roc_auc").await;
    assert!((decisions(&server, "not_computed").await - 3.0).abs() < 0.1);
    let (status, answer) = activate(&server, json!({ "version": 2 })).await;
    assert_eq!((status, &answer["changed"]), (200, &json!(false)), "the champion is champion: {answer}");
    roll_back(&server, 1).await;
    let wish = json!({ "version": 2, "force": true, "reason": "the holdout is lost" });
    assert_eq!(activate(&server, wish).await.0, 200);
    let detail = last_event(&server).await["detail"].clone();
    assert!(detail.as_str().unwrap().starts_with("forced although the gate could not be computed"), "{detail}");
    server.stop().await;
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the binary blocks while the server of this very test answers it")]
async fn the_command_line_shows_the_table_and_ends_with_the_gates_exit_code() {
    let server = flights().serve().await;
    let (url, token) = (server.ops.clone(), server.registry.file(".token"));
    let run = move |more: &[&str]| {
        let command = ["activate", "flights", "1", "--url", &url, "--admin-token-file", token.to_str().unwrap()];
        gudgeon(&[&command[..], more].concat())
    };
    let answers = tokio::task::spawn_blocking(move || {
        [run(&[]), run(&["--force"]), run(&["--force", "--reason", "it is better on Mondays"])]
    });
    let [refused, without_reason, forced] = answers.await.unwrap();
    assert_eq!(refused.0, 10, "{refused:?}");
    assert!(refused.1.starts_with("FAIL: roc_auc at 95 % confidence\n"), "{}", refused.1);
    assert!(refused.1.contains("slice origin=JFK") && refused.2.contains("(gate_failed)"), "{refused:?}");
    assert!(without_reason.0 == 2 && without_reason.2.contains("--reason"), "{without_reason:?}");
    assert!(forced.0 == 0 && forced.1.starts_with("flights version 1 serves now"), "{forced:?}");
    server.stop().await;
}

/// A model that was made elsewhere: no pipeline says how its rows are read.
#[tokio::test]
async fn a_model_without_a_pipeline_is_held_against_its_gate_too() {
    let registry = flights();
    let holdout = registry.file("holdout.csv");
    write_autumn(&holdout);
    let models = registry.path().to_str().unwrap().to_owned();
    for version in ["1", "2"] {
        let graph = repository("models/flights").join(version).join("model.onnx");
        let sample = holdout.to_str().unwrap();
        let command =
            ["register", graph.to_str().unwrap(), "--model", "guest", "--models", &models, "--sample", sample];
        let (code, _, err) = gudgeon(&[&command[..], &["--classes", "on_time,late"]].concat());
        assert_eq!(code, 0, "{err}");
    }
    let digest = gudgeon::model::Digest::of(&std::fs::read(&holdout).unwrap());
    let gate = format!(
        "[holdout]\nuri = \"../holdout.csv\"\nsha256 = \"{digest}\"\nlabel = \"late\"\nmin_rows = 1000\n\
         [primary]\nmetric = \"roc_auc\"\n[floor]\nroc_auc = 0.6\n"
    );
    std::fs::write(registry.file("guest/gate.toml"), gate).unwrap();
    let server = registry.serve().await;
    let (status, answer) = server.activate("guest", 1).await;
    assert_eq!(status, 200, "the floor holds: {answer}");
    let (_, history) = server.admin_get("/models/guest/history").await;
    let detail = history["events"].as_array().unwrap().last().unwrap()["detail"].clone();
    assert_eq!(detail, json!("the gate says PASS (computed now)"));
    let (status, answer) = server.activate("guest", 2).await;
    let report = if status == 200 {
        let kept = std::fs::read(server.registry.file("guest/.reports/2-1.json")).unwrap();
        serde_json::from_slice(&kept).unwrap()
    } else {
        answer["report"].clone()
    };
    let primary = check_of(&report, "primary roc_auc");
    let [old, new] = ["champion", "challenger"].map(|key| primary[key].as_f64().unwrap());
    assert!(0.6 < old && old < new, "{primary}");
    assert_eq!(check_of(&report, "holdout digest")["verdict"], "PASS", "{report}");
    std::fs::remove_dir_all(server.registry.file("guest/.reports")).unwrap();
    std::fs::write(&holdout, std::fs::read_to_string(&holdout).unwrap().trim_end()).unwrap();
    let other = if status == 200 { 1 } else { 2 };
    let (status, answer) = server.activate("guest", other).await;
    assert_eq!((status.as_u16(), &answer["code"]), (422, &json!("gate_not_computed")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains(&format!("expected sha256 {digest}, got ")), "{answer}");
    server.stop().await;
}

/// Flights of October with class names for labels.
fn write_autumn(path: &std::path::Path) {
    let file = std::fs::File::open(repository("models/flights/data/2013-10.csv.gz")).unwrap();
    let text = std::io::read_to_string(flate2::read::MultiGzDecoder::new(file)).unwrap();
    let mut lines = text.lines();
    let head = lines.next().unwrap();
    let late = head.split(',').position(|name| name == "late").unwrap();
    let named = |line: &str| {
        let cells = line.split(',').enumerate();
        let cell = |(place, cell): (usize, &str)| match (place == late, cell) {
            (true, "0") => "on_time".to_owned(),
            (true, _) => "late".to_owned(),
            (false, cell) => cell.to_owned(),
        };
        cells.map(cell).collect::<Vec<_>>().join(",")
    };
    let rows: Vec<String> = std::iter::once(head.to_owned()).chain(lines.map(named)).collect();
    std::fs::write(path, rows.join("\n") + "\n").unwrap();
}
