//! What operators do: list, inspect, register, verify, activate, roll back.

pub(super) mod challenger;
pub(super) mod describe;
mod guard;
mod history;
pub(super) mod operations;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, Request, State};
use axum::response::Response;
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::{self, BodyLimits};
use super::error::{ApiError, Face};
use super::exchange::{find, heavy};
use super::json::clip;
use super::segments::{Segments, before_verb, verb, without_verb};
use super::{AppState, json_value, parse_small};
use crate::drift::WindowReport;
use crate::lifecycle::{Actor, Ask, Call, Force, Kind, Lifecycle, LifecycleError, Prune, Tracked, Upload};
use crate::model::{Digest, Manifest, Mismatch, ModelName, Version};

pub(super) use guard::guard;
#[cfg(test)]
pub(super) use guard::is_guarded;
pub(super) use history::history;
pub(super) use operations::{events, operation, operations};

/// Bodies of commands hold a number and a reason.
const COMMAND_BYTES_MAX: usize = 64 << 10;
const VERBS: [&str; 5] = ["activate", "rollback", "challenge", "withdraw", "prune"];

pub(super) fn model_name(name: &str) -> Result<ModelName, ApiError> {
    name.parse().map_err(|_| ApiError::UnknownModel(clip(name)))
}

fn version_number(model: &ModelName, version: &str) -> Result<Version, ApiError> {
    version.parse().map_err(|_| ApiError::UnknownVersion { model: model.to_string(), version: clip(version) })
}

/// Who asks: the name that the client gives, the address that it has, its key for the request.
pub(super) fn actor(parts: &Parts) -> Result<Actor, ApiError> {
    let who = parts.headers.get("x-gudgeon-actor").and_then(|who| who.to_str().ok()).filter(|who| !who.is_empty());
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    Ok(Actor {
        who: who.map_or_else(|| "admin".to_owned(), clip),
        from: peer.map(|ConnectInfo(peer)| peer.ip().to_string()),
        call: Call { operation: None, key: operations::key(parts)? },
    })
}

pub(super) async fn models(State(state): State<Arc<AppState>>) -> Result<Response, ApiError> {
    let models = state.lifecycle.run(|lifecycle| lifecycle.list()).await?;
    Ok(json_value(&json!({ "models": models })))
}

pub(super) async fn model(
    State(state): State<Arc<AppState>>,
    Segments(segment): Segments<String>,
) -> Result<Response, ApiError> {
    let model = model_name(without_verb(&segment, &VERBS)?)?;
    let status = state.lifecycle.run(move |lifecycle| lifecycle.inspect(&model)).await?;
    Ok(json_value(&status))
}

#[derive(Serialize)]
struct DriftBody<'a> {
    model: &'a ModelName,
    version: Version,
    /// Whether there is anything to watch.
    is_watched: bool,
    /// Rows still wanted for the reference profile.
    bootstrap_rows_left: usize,
    windows: Vec<WindowReport>,
}

pub(super) async fn drift(
    State(state): State<Arc<AppState>>,
    Segments(model): Segments<String>,
) -> Result<Response, ApiError> {
    let slot = find(&state, &model)?;
    // Unlike a prediction it need not be tried again in a moment: nothing is on its way.
    let servable = slot.acquire().ok_or_else(|| LifecycleError::NoChampion { model: slot.name().clone() })?;
    let monitor = servable.monitor();
    let body = DriftBody {
        model: servable.model(),
        version: servable.version(),
        is_watched: monitor.is_some(),
        bootstrap_rows_left: monitor.map_or(0, |monitor| monitor.bootstrap_rows_left()),
        windows: monitor.map_or_else(Vec::new, |monitor| heavy(usize::MAX, || monitor.reports())),
    };
    Ok(json_value(&body))
}

#[derive(Serialize)]
struct VersionBody {
    #[serde(flatten)]
    status: crate::lifecycle::VersionStatus,
    manifest: Option<Manifest>,
}

pub(super) async fn version(
    State(state): State<Arc<AppState>>,
    Segments((model, segment)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let model = model_name(&model)?;
    let version = version_number(&model, without_verb(&segment, &["verify"])?)?;
    let name = model.clone();
    let (status, manifest) = state
        .lifecycle
        .run(move |lifecycle| {
            let status = lifecycle.inspect(&name)?;
            let found = status.versions.into_iter().find(|status| status.version == version);
            // A manifest that cannot be read is told of as the version's problem.
            Ok((found, lifecycle.manifest(&name, version).ok().flatten()))
        })
        .await?;
    let unknown = || ApiError::UnknownVersion { model: model.to_string(), version: version.to_string() };
    Ok(json_value(&VersionBody { status: status.ok_or_else(unknown)?, manifest }))
}

pub(super) async fn verify(
    State(state): State<Arc<AppState>>,
    Segments((model, segment)): Segments<(String, String)>,
    request: Request,
) -> Result<Response, ApiError> {
    let model = model_name(&model)?;
    let version = version_number(&model, before_verb(&segment, "verify")?)?;
    let parts = request.into_parts().0;
    operations::check_async(&parts)?;
    let actor = actor(&parts)?;
    let digest = operations::digest(&parts, &actor, &[]);
    let name = model.clone();
    let ask = Ask { kind: Kind::Verify, model, version: Some(version), actor, why: None, digest };
    let tracked = state.lifecycle.begin(ask, move |lifecycle, actor| {
        let report = lifecycle.verify(&name, version, actor)?;
        Ok(json!({ "model": name, "version": version, "report": report }))
    })?;
    Ok(operations::respond(&parts, &tracked, StatusCode::OK).await)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Activate {
    version: Version,
    #[serde(default)]
    reason: Option<String>,
    /// Whether the gate's word is overridden; that needs a reason.
    #[serde(default)]
    force: bool,
}

impl Activate {
    fn force(&self) -> Result<Force, ApiError> {
        let has_reason = self.reason.as_ref().is_some_and(|reason| !reason.trim().is_empty());
        match (self.force, has_reason) {
            (false, _) => Ok(Force::No),
            (true, true) => Ok(Force::Yes),
            (true, false) => {
                let mismatch = Mismatch::new("reason", "a text that says why the gate is overridden", "none");
                Err(ApiError::BadInput { face: Face::V1, mismatch })
            }
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollBack {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PruneBody {
    #[serde(default)]
    keep: Option<usize>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    reason: Option<String>,
}

/// `:activate`, `:rollback`, `:challenge`, `:withdraw` and `:prune`.
pub(super) async fn steer(
    State(state): State<Arc<AppState>>,
    Segments(segment): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (name, verb) = match verb(&segment) {
        (name, Some(verb)) if VERBS.contains(&verb) => (name, verb),
        (_, Some(_)) => return Err(ApiError::UnknownRoute),
        (_, None) => return Err(ApiError::Method { allow: Some("GET, HEAD") }),
    };
    let model = model_name(name)?;
    let (parts, mut body) = request.into_parts();
    body::expect_json(&parts.headers)?;
    let stall = state.options.body_timeout;
    let limits = BodyLimits { bytes_max: COMMAND_BYTES_MAX, stall, total: Some(stall), budget: None };
    let body = body::read(&parts.headers, &mut body, limits).await?.bytes;
    operations::check_async(&parts)?;
    let actor = actor(&parts)?;
    let digest = operations::digest(&parts, &actor, &body);
    let tracked = begin(&state.lifecycle, verb, &body, (model, actor, digest))?;
    Ok(operations::respond(&parts, &tracked, StatusCode::OK).await)
}

fn begin(
    lifecycle: &Arc<Lifecycle>,
    verb: &str,
    body: &[u8],
    (model, actor, digest): (ModelName, Actor, Digest),
) -> Result<Arc<Tracked>, ApiError> {
    let name = model.clone();
    let ask = |kind, version, why| Ask { kind, model, version, actor, why, digest };
    let begun = match verb {
        "activate" => {
            let expected =
                "an object with \"version\", a whole number from 1, and perhaps \"reason\", a string, and \"force\"";
            let wanted: Activate = parse_small(body, Face::V1, expected)?;
            let force = wanted.force()?;
            let Activate { version, reason, .. } = wanted;
            let ask = ask(Kind::Activate, Some(version), reason.clone());
            lifecycle
                .begin(ask, move |lifecycle, actor| lifecycle.activate_under((&name, version), force, actor, reason))
        }
        "rollback" => {
            let RollBack { reason } =
                parse_or_default(body, "an object with perhaps \"reason\", a string, or nothing")?;
            let ask = ask(Kind::Rollback, None, reason.clone());
            lifecycle.begin(ask, move |lifecycle, actor| lifecycle.roll_back(&name, actor, reason))
        }
        "challenge" => {
            let (version, trial, reason) = challenger::asked(body)?;
            let ask = ask(Kind::Challenge, Some(version), reason.clone());
            lifecycle.begin(ask, move |lifecycle, actor| lifecycle.challenge(&name, version, trial, (actor, reason)))
        }
        "withdraw" => {
            let RollBack { reason } =
                parse_or_default(body, "an object with perhaps \"reason\", a string, or nothing")?;
            let ask = ask(Kind::Withdraw, None, reason.clone());
            lifecycle.begin(ask, move |lifecycle, actor| lifecycle.withdraw(&name, actor, reason))
        }
        _ => {
            let expected = "an object with perhaps \"keep\", a whole number, \"dry_run\" and \"reason\", or nothing";
            let PruneBody { keep, dry_run, reason } = parse_or_default(body, expected)?;
            let ask = ask(Kind::Prune, None, reason.clone());
            lifecycle
                .begin(ask, move |lifecycle, actor| lifecycle.prune(&name, Prune { keep, dry_run, actor, why: reason }))
        }
    };
    Ok(begun?)
}

fn parse_or_default<T: Default + serde::de::DeserializeOwned>(body: &[u8], expected: &str) -> Result<T, ApiError> {
    if body.is_empty() { Ok(T::default()) } else { parse_small(body, Face::V1, expected) }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterQuery {
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    activate: bool,
    /// Read where the answer is written.
    #[serde(default, rename = "async")]
    _async: bool,
}

/// Registers the body, a graph, as a new version; `activate=true` makes it the active one too.
pub(super) async fn register(
    State(state): State<Arc<AppState>>,
    Segments(model): Segments<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let model = model_name(&model)?;
    let (parts, mut body) = request.into_parts();
    let query = Query::<RegisterQuery>::try_from_uri(&parts.uri).map_err(|_| {
        let expected = "label, reason and activate (true or false)";
        ApiError::BadInput { face: Face::V1, mismatch: Mismatch::new("query", expected, "another form") }
    })?;
    let Query(RegisterQuery { label, reason, activate, _async }) = query;
    body::expect_bytes(&parts.headers)?;
    let options = &state.options;
    let (bytes_max, stall) = (options.upload_bytes_max, options.body_timeout);
    let limits = BodyLimits { bytes_max, stall, total: None, budget: None };
    let graph = body::read(&parts.headers, &mut body, limits).await?.bytes;
    let actor = actor(&parts)?;
    let digest = heavy(graph.len(), || operations::digest(&parts, &actor, &graph));
    let name = model.clone();
    let ask = Ask { kind: Kind::Register, model, version: None, actor, why: reason.clone(), digest };
    let tracked = state.lifecycle.begin(ask, move |lifecycle, actor| {
        let upload = Upload { model: graph.into(), label, why: reason.clone(), actor: actor.clone() };
        let registered = lifecycle.register(&name, upload)?;
        let version = registered.version;
        let mut answer = json!({
            "model": name,
            "version": version,
            "model_sha256": registered.model_digest,
            "manifest_sha256": registered.manifest_digest,
        });
        if activate {
            // The version is there whatever became of the activation: the answer says both.
            answer["activation"] = match lifecycle.activate(&name, version, actor, reason) {
                Ok(activation) => json!(activation),
                Err(error) => {
                    let mut refusal = json!({ "error": error.to_string(), "code": error.kind().1 });
                    if let Some((name, data)) = error.data() {
                        refusal[name] = data;
                    }
                    refusal
                }
            };
        }
        Ok(answer)
    })?;
    Ok(operations::respond(&parts, &tracked, StatusCode::CREATED).await)
}
