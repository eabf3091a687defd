//! `POST /v1/models/{model}:feedback`.

use axum::extract::Request;
use axum::response::Response;
use serde_json::{Map, Value};

use super::item::items;
use crate::http::AppState;
use crate::http::body;
use crate::http::error::{ApiError, Face};
use crate::http::exchange::{find, heavy};
use crate::http::json_value;
use crate::http::parse_small;
use crate::metrics::FeedbackOutcome;
use crate::model::{Head, Mismatch};

/// Joins feedback with the predictions of `model`, and says what came of it.
pub(in crate::http) async fn join(state: &AppState, model: &str, request: Request) -> Result<Response, ApiError> {
    let slot = find(state, model)?;
    let Some(feedback) = &state.feedback else {
        return Err(ApiError::Absent(
            "memory of predictions: start it with --feedback-rows and a number, and with monitoring",
        ));
    };
    if slot.acquire().is_some_and(|champion| champion.head() == Head::Raw) {
        let expected = "a model that gives classes, or one number a row";
        let mismatch = Mismatch::new("model", expected, "one whose predictions nothing can be joined with");
        return Err(ApiError::BadInput { face: Face::V1, mismatch });
    }
    let (parts, mut body) = request.into_parts();
    body::expect_json(&parts.headers)?;
    let body = body::read(&parts.headers, &mut body, state.body_limits()).await?;
    heavy(body.bytes.len(), || {
        let read: Value = parse_small(&body.bytes, Face::V1, "an object, or a list of them")?;
        let bad = |mismatch| ApiError::BadInput { face: Face::V1, mismatch };
        let items = items(read, state.options.rows_max).map_err(bad)?;
        let recent = feedback.recent(slot.name());
        let mut counts = [0_u64; FeedbackOutcome::ALL.len()];
        for item in &items {
            counts[recent.join(item) as usize] += 1;
        }
        let counted =
            FeedbackOutcome::ALL.iter().map(|outcome| outcome.as_str().to_owned()).zip(counts.map(Value::from));
        Ok(json_value(&counted.collect::<Map<_, _>>()))
    })
}
