//! What was done to a model's versions: who, when, from where, why, and what came of it.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::model_name;
use crate::http::error::{ApiError, Face};
use crate::http::segments::Segments;
use crate::http::{AppState, json_value};
use crate::lifecycle::{Action, Event};
use crate::model::{Mismatch, Version};

/// Which events are wanted; all of them where nothing is said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// As many of the last ones.
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    action: Option<Action>,
    #[serde(default)]
    version: Option<Version>,
    /// From then on, RFC 3339.
    #[serde(default)]
    since: Option<String>,
}

pub(in crate::http) async fn history(
    State(state): State<Arc<AppState>>,
    Segments(model): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let model = model_name(&model)?;
    let bad_query = || {
        let expected = "limit and version, whole numbers, action, a word of the history, and since, a time in RFC 3339";
        ApiError::BadInput { face: Face::V1, mismatch: Mismatch::new("query", expected, "another form") }
    };
    let Query(wanted) = Query::<Wanted>::try_from_uri(request.uri()).map_err(|_| bad_query())?;
    let since = wanted.since.as_deref().map(str::parse::<jiff::Timestamp>).transpose().map_err(|_| bad_query())?;
    let history = state.lifecycle.run(move |lifecycle| lifecycle.history(&model)).await?;
    let events = wanted.among(history.events, since);
    Ok(json_value(&json!({ "events": events, "unreadable_lines": history.n_unreadable })))
}

impl Wanted {
    fn among(&self, mut events: Vec<Event>, since: Option<jiff::Timestamp>) -> Vec<Event> {
        events.retain(|event| {
            let is_since = |since: jiff::Timestamp| event.at.parse::<jiff::Timestamp>().is_ok_and(|at| since <= at);
            self.action.is_none_or(|action| event.action == action)
                && self.version.is_none_or(|version| event.version == Some(version))
                && since.is_none_or(is_since)
        });
        let n_too_many = self.limit.map_or(0, |limit| events.len().saturating_sub(limit));
        events.split_off(n_too_many)
    }
}
