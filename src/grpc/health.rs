//! `grpc.health.v1`: the server under the empty name and the protocol's service, and every model under its own.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health as Service;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::front::Closing;
use crate::http::AppState;
use crate::http::v2::routes::not_all_ready;

/// How often a watched status is looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// The name of the protocol's service.
const SERVICE: &str = "inference.GRPCInferenceService";

/// Answers the calls of `grpc.health.v1.Health`.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub(super) state: Arc<AppState>,
    pub(super) closing: Closing,
}

impl Health {
    /// The status under `name`; `None` where nothing has that name.
    fn status(&self, name: &str) -> Option<ServingStatus> {
        let is_serving = match name {
            "" | SERVICE => not_all_ready(&self.state).is_none(),
            model => self.state.slots.find(model)?.acquire().is_some() && !self.state.readiness.is_draining(),
        };
        Some(if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing })
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// The statuses of one watch.
struct Watch {
    health: Health,
    name: String,
    /// What was told last; `None` before the first one.
    told: Option<Option<ServingStatus>>,
}

impl Watch {
    /// Waits until there is something new to be told.
    async fn next(&mut self) -> Option<HealthCheckResponse> {
        loop {
            let now = self.health.status(&self.name);
            if self.told != Some(now) {
                self.told = Some(now);
                // A name that nothing has may come to have a meaning.
                return Some(response(now.unwrap_or(ServingStatus::ServiceUnknown)));
            }
            if tokio::time::timeout(INTERVAL, self.health.closing.closed()).await.is_ok() {
                return None;
            }
        }
    }
}

#[tonic::async_trait]
impl Service for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let status = self.status(&request.get_ref().service);
        let status = status.ok_or_else(|| Status::not_found("no service or model of that name"))?;
        Ok(Response::new(response(status)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let watch = Watch { health: self.clone(), name: request.into_inner().service, told: None };
        let statuses = unfold(watch, async |mut watch| {
            let status = watch.next().await?;
            Some((Ok(status), watch))
        });
        Ok(Response::new(Box::pin(statuses)))
    }
}
