//! A client of the admin route: what `activate`, `rollback`, `list` and `train --activate` speak through.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::request::Builder;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use indicatif::ProgressBar;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::AdminArgs;
use super::operations::step_text;
use super::web::Web;
use crate::config;
use crate::evaluation::Report;
use crate::lifecycle::{Activation, Challenged, ChallengerStatus, Event, ModelStatus, Operation, Progress, Pruned};
use crate::model::Breach;

/// Loading and verifying a large version takes a while, and so may its gate.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Speaks to one server's admin route.
pub(super) struct AdminClient {
    web: Web,
    url: String,
    token: String,
    /// Whether a person watches: then operations are followed, not just waited for.
    shows_progress: bool,
}

/// The error body of every route.
#[derive(Deserialize)]
struct ErrorBody {
    error: String,
    code: String,
    #[serde(default)]
    breaches: Vec<Breach>,
    #[serde(default)]
    report: Option<Box<Report>>,
}

/// What a server refused, with what it said beside the text.
#[derive(Debug, thiserror::Error)]
#[error("{text} ({code})")]
pub(super) struct Refused {
    text: String,
    code: String,
    /// How the version breaks the contract.
    pub(super) breaches: Vec<Breach>,
    /// What the gate said.
    pub(super) report: Option<Box<Report>>,
}

impl From<ErrorBody> for Refused {
    fn from(ErrorBody { error, code, breaches, report }: ErrorBody) -> Self {
        Self { text: error, code, breaches, report }
    }
}

#[derive(Deserialize)]
struct Models {
    models: Vec<ModelStatus>,
}

#[derive(Deserialize)]
struct Operations {
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
}

impl AdminClient {
    pub(super) fn new(args: &AdminArgs) -> anyhow::Result<Self> {
        let web = Web::new(&args.url, &args.trust)?;
        let token = config::admin_token(args.admin_token_file.as_deref())?;
        Ok(Self { web, url: args.url.trim_end_matches('/').to_owned(), token, shows_progress: false })
    }

    /// Shows how far an operation is, where a person watches.
    pub(super) fn with_progress(self) -> Self {
        Self { shows_progress: std::io::stderr().is_terminal(), ..self }
    }

    pub(super) async fn list(&self) -> anyhow::Result<Vec<ModelStatus>> {
        Ok(self.get::<Models>("/admin/models").await?.models)
    }

    pub(super) async fn inspect(&self, model: &str) -> anyhow::Result<ModelStatus> {
        self.get(&format!("/admin/models/{model}")).await
    }

    pub(super) async fn history(&self, model: &str, query: &str) -> anyhow::Result<Vec<Event>> {
        Ok(self.get::<Events>(&format!("/admin/models/{model}/history?{query}")).await?.events)
    }

    pub(super) async fn operations(&self) -> anyhow::Result<Vec<Operation>> {
        Ok(self.get::<Operations>("/admin/operations").await?.operations)
    }

    pub(super) async fn prune(&self, model: &str, body: &serde_json::Value) -> anyhow::Result<Pruned> {
        self.post(&format!("/admin/models/{model}:prune"), body).await
    }

    /// Follows an operation to its end; `show` gets every step.
    pub(super) async fn follow(&self, id: &str, mut show: impl FnMut(&Progress)) -> anyhow::Result<Operation> {
        let place = format!("/admin/operations/{id}");
        let mut events = self.send(Request::get(format!("{place}/events")), Bytes::new()).await?;
        let mut text = String::new();
        // A stream that breaks off is no matter: what came of the operation is asked for afterwards.
        while let Some(Ok(frame)) = events.frame().await {
            text.push_str(&String::from_utf8_lossy(frame.data_ref().map_or(&[], |data| data)));
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
                if let Ok(step) = serde_json::from_str(data) {
                    show(&step);
                }
                text = rest.to_owned();
            }
        }
        let operation: Operation = self.get(&place).await?;
        if !operation.state.is_final() {
            bail!("{} stopped telling of operation {id}: `gudgeon operations {id}` follows it", self.url);
        }
        if let Some(end) = operation.progress.last() {
            show(end);
        }
        Ok(operation)
    }

    pub(super) async fn drift(&self, model: &str) -> anyhow::Result<serde_json::Value> {
        self.get(&format!("/admin/models/{model}/drift")).await
    }

    pub(super) async fn activate(&self, model: &str, version: u64, reason: Option<&str>) -> anyhow::Result<Activation> {
        self.activate_under((model, version), false, reason).await
    }

    /// `force` overrides the gate.
    pub(super) async fn activate_under(
        &self,
        (model, version): (&str, u64),
        force: bool,
        reason: Option<&str>,
    ) -> anyhow::Result<Activation> {
        let body = serde_json::json!({ "version": version, "reason": reason, "force": force });
        self.post(&format!("/admin/models/{model}:activate"), &body).await
    }

    pub(super) async fn roll_back(&self, model: &str, reason: Option<&str>) -> anyhow::Result<Activation> {
        let body = serde_json::json!({ "reason": reason });
        self.post(&format!("/admin/models/{model}:rollback"), &body).await
    }

    pub(super) async fn challenge(&self, model: &str, body: &serde_json::Value) -> anyhow::Result<Challenged> {
        self.post(&format!("/admin/models/{model}:challenge"), body).await
    }

    pub(super) async fn withdraw(&self, model: &str, reason: Option<&str>) -> anyhow::Result<Challenged> {
        let body = serde_json::json!({ "reason": reason });
        self.post(&format!("/admin/models/{model}:withdraw"), &body).await
    }

    pub(super) async fn challenger(&self, model: &str) -> anyhow::Result<ChallengerStatus> {
        self.get(&format!("/admin/models/{model}/challenger")).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.answer(Request::get(path), Bytes::new()).await
    }

    /// Asks for an operation and waits for what comes of it.
    async fn post<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> anyhow::Result<T> {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let body = Bytes::from(body.to_string());
        if !self.shows_progress {
            return self.answer(request, body).await;
        }
        let begun: Operation = self.answer(request.header("prefer", "respond-async"), body).await?;
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        let ended = self.follow(&begun.id, |step| bar.set_message(step_text(step))).await;
        bar.finish_and_clear();
        let operation = ended?;
        match operation.failure {
            Some(failure) => {
                Err(Refused::from(serde_json::from_value::<ErrorBody>(serde_json::json!(failure))?).into())
            }
            None => serde_json::from_value(operation.result.unwrap_or_default())
                .context("the answer is not what this version of gudgeon expects"),
        }
    }

    async fn answer<T: DeserializeOwned>(&self, request: Builder, body: Bytes) -> anyhow::Result<T> {
        let body = whole(self.send(request, body).await?).await?;
        serde_json::from_slice(&body).context("the answer is not what this version of gudgeon expects")
    }

    async fn send(&self, request: Builder, body: Bytes) -> anyhow::Result<Incoming> {
        let request = request
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header("x-gudgeon-actor", config::actor())
            .body(Full::new(body))?;
        let response = tokio::time::timeout(TIMEOUT, self.web.send(request)).await.context("no answer in time");
        let response = response.flatten().with_context(|| {
            format!("no answer from {}: is `gudgeon serve` running? name its operations address with --url", self.url)
        })?;
        let (status, body) = (response.status(), response.into_body());
        if status.is_success() {
            return Ok(body);
        }
        let body = whole(body).await?;
        let Ok(ErrorBody { error, code, breaches, report }) = serde_json::from_slice::<ErrorBody>(&body) else {
            bail!("{} answered {status}", self.url);
        };
        if status == StatusCode::UNAUTHORIZED {
            let hint = "set GUDGEON_ADMIN_TOKEN or --admin-token-file to the server's token";
            return Err(anyhow!("{error}: {hint}"));
        }
        Err(Refused::from(ErrorBody { error, code, breaches, report }).into())
    }
}

/// All of a body.
async fn whole(body: Incoming) -> anyhow::Result<Bytes> {
    let collected = tokio::time::timeout(TIMEOUT, body.collect()).await.context("the answer did not end in time")?;
    Ok(collected.context("the answer broke off")?.to_bytes())
}
