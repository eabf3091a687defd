//! Feedback: what really happened meets what was predicted, by the ids of predictions.

use serde_json::{Value, json};

use super::harness::{PREDICT, TestRegistry, TestServer, body, flight, oip_python, repository};
use super::oip::ran;

const FEEDBACK: &str = "/v1/models/flights:feedback";

async fn remembering(rows: usize) -> TestServer {
    TestRegistry::flights().serve_with(|config| config.feedback_rows = rows).await
}

/// Predicts `n_rows` flights; gives back the answer's id and its first label.
async fn predict(server: &TestServer, n_rows: usize) -> (String, String) {
    let answer = server.post(PREDICT, json!({ "instances": vec![flight(); n_rows] }).to_string()).await;
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let (status, answer) = body(answer).await;
    assert_eq!(status, 200, "{answer}");
    (id, answer["predictions"][0]["label"].as_str().unwrap().to_owned())
}

/// What became of the items, those that became of none left out.
async fn feedback(server: &TestServer, sent: Value) -> Value {
    let (status, mut counts) = body(server.post(FEEDBACK, sent.to_string()).await).await;
    assert_eq!(status, 200, "{counts}");
    counts.as_object_mut().unwrap().retain(|_, count| *count != json!(0));
    counts
}

#[tokio::test]
async fn labels_meet_their_predictions_once_and_are_counted_by_version() {
    let server = remembering(1_000).await;
    let (id, label) = predict(&server, 3).await;
    let other = if label == "late" { "on_time" } else { "late" };
    let item = |row: usize, label: &str| json!({ "id": id, "row": row, "label": label });
    assert_eq!(feedback(&server, json!({ "id": id, "label": label })).await, json!({ "joined": 1 }));
    let sent =
        json!([item(0, &label), item(1, other), item(2, "diverted"), item(3, &label), { "id": "x", "label": "late" }]);
    let expected = json!({ "joined": 2, "duplicate": 1, "invalid": 1, "unknown": 1 });
    assert_eq!(feedback(&server, sent).await, expected);
    let (second, _) = predict(&server, 1).await;
    assert_eq!(feedback(&server, json!({ "id": second, "value": 1.5 })).await, json!({ "invalid": 1 }));
    for (series, count) in [
        ("gudgeon_feedback_classes_total{model=\"flights\",result=\"right\",version=\"2\"}", 1.0),
        ("gudgeon_feedback_classes_total{model=\"flights\",result=\"wrong\",version=\"2\"}", 2.0),
        ("gudgeon_feedback_total{model=\"flights\",outcome=\"joined\"}", 3.0),
        ("gudgeon_feedback_total{model=\"flights\",outcome=\"duplicate\"}", 1.0),
        ("gudgeon_feedback_total{model=\"flights\",outcome=\"unknown\"}", 1.0),
        ("gudgeon_feedback_total{model=\"flights\",outcome=\"invalid\"}", 2.0),
        ("gudgeon_feedback_total{model=\"flights\",outcome=\"late\"}", 0.0),
    ] {
        assert!((server.metric(series).await - count).abs() < 1e-9, "{series}");
    }
    server.stop().await;
}

#[tokio::test]
async fn numbers_are_counted_by_how_far_they_were_off() {
    let registry = TestRegistry::empty().with_case("cost", 1, "diabetes_ridge");
    let server = registry.serve_with(|config| config.feedback_rows = 100).await;
    let n_values = body(server.get("/v2/models/cost").await).await.1["inputs"][0]["shape"][1].as_u64().unwrap();
    let row = vec![0.5; usize::try_from(n_values).unwrap()];
    let sent = json!({ "instances": [row] }).to_string();
    let answer =
        server.client.post(format!("{}/v1/models/cost:predict", server.http)).header("x-request-id", "order-17");
    let (_, answer) = body(answer.body(sent).send().await.unwrap()).await;
    let predicted = answer["predictions"][0].as_f64().unwrap();
    let sent = json!({ "id": "order-17", "value": predicted + 2.0 }).to_string();
    let (_, counts) = body(server.post("/v1/models/cost:feedback", sent).await).await;
    assert_eq!(counts["joined"], 1, "{counts}");
    for (name, value) in [("values", 1.0), ("absolute_error", 2.0), ("squared_error", 4.0)] {
        let series = format!("gudgeon_feedback_{name}_total{{model=\"cost\",version=\"1\"}}");
        assert!((server.metric(&series).await - value).abs() < 1e-3, "{series}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_remembered_is_bounded_and_what_was_forgotten_is_late() {
    // Eight rows in each of eight parts of the memory: of 100 requests at least 36 are forgotten, and a part has at least eight.
    let server = remembering(64).await;
    let (wide, label) = predict(&server, 9).await;
    let mut items = vec![json!({ "id": wide, "label": label })];
    for _ in 0..100 {
        let (id, label) = predict(&server, 1).await;
        items.push(json!({ "id": id, "label": label }));
    }
    let counts = feedback(&server, Value::from(items)).await;
    let count = |outcome: &str| counts[outcome].as_u64().unwrap_or_default();
    assert!((8..=64).contains(&count("joined")) && (1..=64).contains(&count("late")), "{counts}");
    // A request of more rows than a part has is not remembered.
    assert!(1 <= count("unknown") && count("joined") + count("late") + count("unknown") == 101, "{counts}");
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_remembered_unless_somebody_asks_for_it() {
    for change in [(0, true), (100, false)] {
        let (rows, monitoring) = change;
        let registry = TestRegistry::flights();
        let server = registry
            .serve_with(|config| {
                config.feedback_rows = rows;
                config.monitoring = monitoring;
            })
            .await;
        let (id, label) = predict(&server, 1).await;
        let answer = body(server.post(FEEDBACK, json!({ "id": id, "label": label }).to_string()).await).await;
        assert_eq!((answer.0.as_u16(), answer.1["code"].as_str()), (501, Some("not_implemented")), "{}", answer.1);
        assert!(answer.1["error"].as_str().unwrap().contains("--feedback-rows"), "{}", answer.1);
        assert!(!server.metrics().await.contains("gudgeon_feedback"));
        server.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_feedback_is_refused_as_a_whole() {
    let server = remembering(100).await;
    let (id, label) = predict(&server, 1).await;
    let sent = json!([{ "id": id, "label": label }, { "id": id, "label": 1.5 }]).to_string();
    let (status, answer) = body(server.post(FEEDBACK, sent).await).await;
    assert_eq!((status.as_u16(), answer["path"].as_str()), (422, Some("feedback[1].label")), "{answer}");
    assert_eq!(feedback(&server, json!({ "id": id, "label": label })).await, json!({ "joined": 1 }));
    let (status, answer) = body(server.post("/v1/models/none:feedback", "{}").await).await;
    assert_eq!((status.as_u16(), answer["code"].as_str()), (404, Some("unknown_model")));
    assert!(!server.metrics().await.contains("model=\"none\""));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_feedback_run() {
    let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
    let server = registry.serve_with(|config| config.feedback_rows = 100).await;
    let example = |name: &str| repository("examples/clients").join(name);
    let shell = ran(&example("feedback.sh"), &[&server.http]);
    assert!(shell.contains("\"joined\":1"), "{shell}");
    let python = ran(&oip_python(), &[example("feedback.py").to_str().unwrap(), &server.http]);
    assert!(python.contains("'joined': 2"), "{python}");
    server.stop().await;
}

#[tokio::test]
async fn a_model_that_gives_nothing_to_join_takes_no_feedback() {
    let registry = TestRegistry::flights().with_case("embedding", 1, "sk_ordinal_strings");
    let server = registry.serve_with(|config| config.feedback_rows = 100).await;
    let (status, answer) = body(server.post("/v1/models/embedding:feedback", "[]").await).await;
    assert_eq!((status.as_u16(), answer["path"].as_str()), (422, Some("model")), "{answer}");
    server.stop().await;
}
