//! SageMaker's multi-model contract: the platform lays models beside each other in a folder, and says which are to be in memory.
//! These routes are there only where the server was started for that, since the platform has no token.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::AppState;
use crate::http::error::{ApiError, Face};
use crate::http::exchange::Pick;
use crate::http::json::clip;
use crate::http::json_value;
use crate::http::predict::answer_routed;
use crate::http::segments::Segments;
use crate::http::v2::repository::{begin, small};
use crate::lifecycle::{Actor, Ask, Call, ErrorKind, Kind, LifecycleError};
use crate::model::{Digest, Mismatch, ModelName};
use crate::slot::Slot;

/// Models on one page of the list, unless the request says less.
const PAGE_MAX: usize = 100;

/// A multi-model endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiModel {
    /// Where the platform lays the models: `FOLDER/NAME/model/VERSION/model.onnx`.
    pub folder: PathBuf,
    /// The most models in memory.
    pub models_max: usize,
}

/// The folder of a model inside of its own, where the platform unpacks it.
pub const INNER_FOLDER: &str = "model";

/// `router` with the contract's routes.
pub(in crate::http) fn routed(router: Router<Arc<AppState>>) -> Router<Arc<AppState>> {
    router
        .route("/models", get(list).post(load))
        .route("/models/{model}", get(show).delete(unload))
        .route("/models/{model}/invoke", post(invoke))
}

#[derive(Debug, Default, Deserialize)]
struct LoadRequest {
    model_name: String,
    url: String,
}

async fn load(State(state): State<Arc<AppState>>, request: Request) -> Response {
    told(load_model(&state, request).await)
}

async fn load_model(state: &AppState, request: Request) -> Result<Response, ApiError> {
    let multi = options(state)?;
    let expected = "an object with \"model_name\" and \"url\"";
    let (_, LoadRequest { model_name, url }) = small(state, request, expected).await?;
    let bad = |path: &str, expected: String, got: &str| {
        Err(ApiError::BadInput { face: Face::Scoring, mismatch: Mismatch::new(path, expected, got) })
    };
    let Ok(model) = model_name.parse::<ModelName>() else {
        return bad("model_name", "a name of at most 64 letters, digits, '.', '_' and '-'".to_owned(), "another one");
    };
    let place = place_of(multi, &model);
    if Path::new(&url) != place {
        return bad("url", place.display().to_string(), "another place");
    }
    let loaded = loaded(state);
    if loaded.iter().any(|slot| slot.name() == &model) {
        return Err(ApiError::AlreadyLoaded(model.to_string()));
    }
    if multi.models_max <= loaded.len() {
        return Err(ApiError::NoRoom { n_models: multi.models_max });
    }
    change(state, model.clone(), Kind::Load).await?;
    tracing::info!(%model, "{model} was loaded for the platform");
    Ok(json_value(&entry(multi, &model)))
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    limit: Option<usize>,
    #[serde(alias = "nextPageToken")]
    next_page_token: Option<String>,
}

async fn list(State(state): State<Arc<AppState>>, request: Request) -> Response {
    told(list_models(&state, &request))
}

fn list_models(state: &AppState, request: &Request) -> Result<Response, ApiError> {
    let multi = options(state)?;
    let Ok(Query(ListQuery { limit, next_page_token })) = Query::<ListQuery>::try_from_uri(request.uri()) else {
        let mismatch = Mismatch::new("query", "limit and next_page_token", "another form");
        return Err(ApiError::BadInput { face: Face::Scoring, mismatch });
    };
    let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    // Slots come by name, so the last name of a page is where the next one begins.
    let loaded = loaded(state);
    let rest = loaded.iter().filter(|slot| next_page_token.as_deref().is_none_or(|last| last < slot.name().as_str()));
    let rest: Vec<_> = rest.collect();
    let page: Vec<Value> = rest.iter().take(limit).map(|slot| entry(multi, slot.name())).collect();
    let mut body = json!({ "models": page });
    if limit < rest.len()
        && let Some(last) = rest.get(limit - 1)
    {
        body["nextPageToken"] = last.name().as_str().into();
    }
    Ok(json_value(&body))
}

async fn show(State(state): State<Arc<AppState>>, Segments(model): Segments<String>) -> Response {
    told(options(&state).and_then(|multi| Ok(json_value(&entry(multi, loaded_slot(&state, &model)?.name())))))
}

async fn unload(State(state): State<Arc<AppState>>, Segments(model): Segments<String>) -> Response {
    told(unload_model(&state, &model).await)
}

async fn unload_model(state: &AppState, model: &str) -> Result<Response, ApiError> {
    let (multi, slot) = (options(state)?, loaded_slot(state, model)?);
    let model = slot.name();
    change(state, model.clone(), Kind::Unload).await?;
    tracing::info!(%model, "{model} was unloaded for the platform");
    Ok(json_value(&entry(multi, model)))
}

async fn invoke(State(state): State<Arc<AppState>>, Segments(model): Segments<String>, request: Request) -> Response {
    let target = loaded_slot(&state, &model).map(|slot| (slot, Pick::Champion));
    answer_routed(&state, target, request, Face::Scoring).await
}

fn told(result: Result<Response, ApiError>) -> Response {
    result.unwrap_or_else(|error| error.into_response_on(Face::Scoring))
}

fn options(state: &AppState) -> Result<&MultiModel, ApiError> {
    state.scoring.multi_model.as_ref().ok_or(ApiError::UnknownRoute)
}

/// Takes a model up into memory, or out, by the way of every load: it is opened in a child process first.
async fn change(state: &AppState, model: ModelName, kind: Kind) -> Result<(), ApiError> {
    let actor = Actor { who: "sagemaker".to_owned(), from: None, call: Call::default() };
    let tracked = begin(state, Ask { kind, model, version: None, actor, why: None, digest: Digest::of(&[]) })?;
    match tracked.ended().await {
        Ok(_) => Ok(()),
        Err(error) => Err(of_lifecycle(error)),
    }
}

/// What does not fit into memory is told so that the platform makes room.
fn of_lifecycle(error: &LifecycleError) -> ApiError {
    match ApiError::from(error) {
        ApiError::Operation { code: "verify_memory_exceeded", text, data, .. } => {
            ApiError::Operation { kind: ErrorKind::Storage, code: "verify_memory_exceeded", text, data }
        }
        other => other,
    }
}

fn loaded(state: &AppState) -> Vec<Arc<Slot>> {
    state.slots.all().into_iter().filter(|slot| slot.acquire().is_some()).collect()
}

fn loaded_slot(state: &AppState, model: &str) -> Result<Arc<Slot>, ApiError> {
    let slot = state.slots.find(model).filter(|slot| slot.acquire().is_some());
    slot.ok_or_else(|| ApiError::UnknownModel(clip(model)))
}

fn place_of(multi: &MultiModel, model: &ModelName) -> PathBuf {
    multi.folder.join(model.as_str()).join(INNER_FOLDER)
}

fn entry(multi: &MultiModel, model: &ModelName) -> Value {
    json!({ "modelName": model, "modelUrl": place_of(multi, model) })
}
