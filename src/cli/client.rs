//! A client of the admin route: what `activate`, `rollback`, `list` and `train --activate` speak through.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::AdminArgs;
use crate::config;
use crate::evaluation::Report;
use crate::lifecycle::{Activation, Challenged, ChallengerStatus, Event, ModelStatus};
use crate::model::Breach;

/// Loading and verifying a large version takes a while.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Speaks to one server's admin route.
pub(super) struct AdminClient {
    http: reqwest::Client,
    url: String,
    token: String,
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

#[derive(Deserialize)]
struct Models {
    models: Vec<ModelStatus>,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
}

impl AdminClient {
    pub(super) fn new(args: &AdminArgs) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let token = config::admin_token(args.admin_token_file.as_deref())?;
        Ok(Self { http, url: args.url.trim_end_matches('/').to_owned(), token })
    }

    pub(super) async fn list(&self) -> anyhow::Result<Vec<ModelStatus>> {
        Ok(self.get::<Models>("/admin/models").await?.models)
    }

    pub(super) async fn inspect(&self, model: &str) -> anyhow::Result<ModelStatus> {
        self.get(&format!("/admin/models/{model}")).await
    }

    pub(super) async fn history(&self, model: &str) -> anyhow::Result<Vec<Event>> {
        Ok(self.get::<Events>(&format!("/admin/models/{model}/history")).await?.events)
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
        self.answer(self.http.get(format!("{}{path}", self.url))).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> anyhow::Result<T> {
        self.answer(self.http.post(format!("{}{path}", self.url)).json(body)).await
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> anyhow::Result<T> {
        let request = request.bearer_auth(&self.token).header("x-gudgeon-actor", config::actor());
        let response = request.send().await.with_context(|| {
            format!("no answer from {}: is `gudgeon serve` running? name its operations address with --url", self.url)
        })?;
        let status = response.status();
        let body = response.bytes().await.context("the answer broke off")?;
        if status.is_success() {
            return serde_json::from_slice(&body).context("the answer is not what this version of gudgeon expects");
        }
        let Ok(ErrorBody { error, code, breaches, report }) = serde_json::from_slice::<ErrorBody>(&body) else {
            bail!("{} answered {status}", self.url);
        };
        if status == reqwest::StatusCode::UNAUTHORIZED {
            let hint = "set GUDGEON_ADMIN_TOKEN or --admin-token-file to the server's token";
            return Err(anyhow!("{error}: {hint}"));
        }
        Err(Refused { text: error, code, breaches, report }.into())
    }
}
