//! The calls of the protocol's service.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use http::{HeaderMap, HeaderValue};
use http_body::Body as HttpBody;
use prost::bytes::Bytes;
use tonic::body::Body;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};

use super::answer::Written;
use super::decode::Ahead;
use super::describe::all;
use super::front::{Closing, Peer};
use super::infer::Received;
use super::inference::grpc_inference_service_server::GrpcInferenceService;
// Every message of the protocol is spoken here.
use super::inference::*;
use super::status::{status, timeout};
use super::unary;
use crate::http::exchange::{Pick, serve};
use crate::http::v2::{repository, routes};
use crate::http::{ApiError, AppState, BodyLimits, Face, RequestId};
use crate::lifecycle::{Actor, Ask, Call, Kind};
use crate::model::{Digest, Mismatch};
use crate::oip;
use crate::slot::{Servable, Slot};

/// The call for a prediction.
pub(super) const MODEL_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const MODEL_VERSION: &str = "x-model-version";
/// What a message may be larger than the tensors in it.
const MESSAGE_BYTES_MORE: usize = 1 << 20;

/// Answers the protocol's calls.
#[derive(Debug)]
pub(super) struct Inference {
    pub(super) state: Arc<AppState>,
    pub(super) closing: Closing,
}

/// What a call's head says.
struct Head<'a> {
    metadata: &'a HeaderMap,
    timeout: Duration,
    request_id: &'a str,
}

impl<'a> Head<'a> {
    fn of(state: &AppState, metadata: &'a HeaderMap, id: Option<&'a RequestId>) -> Result<Self, Status> {
        let asked = metadata.get("grpc-timeout").map(|text| timeout(text.as_bytes())).transpose()?;
        let timeout_max = state.options.request_timeout;
        let timeout = asked.map_or(timeout_max, |asked| asked.min(timeout_max));
        Ok(Self { metadata, timeout, request_id: id.map(RequestId::as_str).unwrap_or_default() })
    }
}

type Found = Result<(Arc<Slot>, Pick), ApiError>;

/// The version that `name` and `version`, which may be empty, mean.
fn found(state: &AppState, name: &str, version: &str) -> Found {
    if version.is_empty() { routes::champion(state, name) } else { routes::by_version(state, name, version) }
}

fn told<T>(found: Found, tell: impl FnOnce(&Slot, &Servable) -> T) -> Result<Response<T>, Status> {
    let told = found.and_then(|(slot, pick)| Ok(tell(&slot, &*pick.acquire(&slot)?)));
    told.map(Response::new).map_err(|error| status(&error))
}

async fn predict(
    state: &AppState,
    head: &Head<'_>,
    (request, ahead): (&ModelInferRequest, &Ahead),
) -> Result<(Arc<Servable>, Written), ApiError> {
    let target = found(state, &request.model_name, &request.model_version);
    let (slot, pick) = target.inspect_err(|_| state.metrics.count_unrouted())?;
    let received = Received { request, ahead, timeout: head.timeout, request_id: head.request_id };
    let (servable, result) = serve(state, (&slot, pick), head.metadata, std::future::ready(Ok(received))).await?;
    Ok((servable, result?))
}

/// Answers a call of [`MODEL_INFER`] in its plain form ([`unary::is_plain`]), as most are: the way through the library's service
/// costs as much as the prediction.
pub(super) async fn infer<B: HttpBody<Data = Bytes> + Unpin>(
    state: &AppState,
    (metadata, body): (&HeaderMap, &mut B),
    id: &RequestId,
) -> Result<http::Response<Body>, Status> {
    let limits = BodyLimits { bytes_max: message_bytes_max(state), ..state.body_limits() };
    let message = unary::read(metadata, body, limits).await?;
    let head = Head::of(state, metadata, Some(id))?;
    let predicted = predict(state, &head, (&message.request, &message.ahead)).await;
    let (servable, written) = predicted.map_err(|error| status(&error))?;
    let mut response = unary::answer(written.framed()?);
    if let Ok(version) = HeaderValue::from_str(servable.version_text()) {
        response.headers_mut().insert(MODEL_VERSION, version);
    }
    Ok(response)
}

/// The most bytes of a message.
pub(super) fn message_bytes_max(state: &AppState) -> usize {
    state.options.body_bytes_max.saturating_add(MESSAGE_BYTES_MORE)
}

fn unimplemented<T>(what: &'static str) -> Result<T, Status> {
    Err(status(&ApiError::Absent(what)))
}

/// The requests of one stream.
struct Requests {
    state: Arc<AppState>,
    closing: Closing,
    metadata: MetadataMap,
    id: Option<RequestId>,
    requests: Streaming<ModelInferRequest>,
}

impl Requests {
    /// The answer to the next request. A request that fails ends with an answer of its own, and the stream goes on.
    async fn next(&mut self) -> Option<Result<ModelStreamInferResponse, Status>> {
        let request = tokio::select! {
            () = self.closing.closed() => {
                return Some(Err(Status::unavailable("the server is stopping: open another stream")));
            }
            request = self.requests.message() => match request {
                Ok(request) => request?,
                Err(error) => return Some(Err(error)),
            },
        };
        let head = match Head::of(&self.state, self.metadata.as_ref(), self.id.as_ref()) {
            Ok(head) => head,
            Err(error) => return Some(Err(error)),
        };
        Some(match predict(&self.state, &head, (&request, &Ahead::default())).await {
            Ok((_, written)) => written.message().map(|response| ModelStreamInferResponse {
                error_message: String::new(),
                infer_response: Some(response),
            }),
            Err(error) => Ok(ModelStreamInferResponse {
                error_message: error.to_string(),
                infer_response: Some(ModelInferResponse {
                    model_name: request.model_name,
                    model_version: request.model_version,
                    id: request.id,
                    ..ModelInferResponse::default()
                }),
            }),
        })
    }
}

impl Inference {
    /// Whoever may change what is in memory.
    fn admitted<T>(&self, request: &Request<T>) -> Result<Actor, Status> {
        let metadata = request.metadata();
        let text = |key| metadata.get(key).and_then(|value| value.to_str().ok());
        let offered = text("authorization").and_then(|value| value.split_once(' '));
        let offered =
            offered.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        // An absent token takes the same way as a wrong one.
        if !self.state.admin_token.is(offered.unwrap_or_default()) {
            return Err(status(&ApiError::Unauthorized));
        }
        let who = text("x-gudgeon-actor").filter(|who| !who.is_empty());
        let peer = request.extensions().get::<Peer>().map(|Peer(peer): &Peer| SocketAddr::ip(peer).to_string());
        Ok(Actor { who: who.map_or_else(|| "admin".to_owned(), crate::http::clip), from: peer, call: Call::default() })
    }

    async fn change(&self, (kind, name): (Kind, &str), actor: Actor) -> Result<(), ApiError> {
        let model = name.parse().map_err(|_| ApiError::UnknownModel(crate::http::clip(name)))?;
        let ask = Ask { kind, model, version: None, actor, why: None, digest: Digest::of(&[]) };
        repository::begin(&self.state, ask)?.ended().await?;
        Ok(())
    }
}

fn only_repository(name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        return Ok(());
    }
    let mismatch = Mismatch::new("repository_name", "no name, since there is one repository", "a name");
    Err(ApiError::BadInput { face: Face::V2, mismatch })
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: routes::not_all_ready(&self.state).is_none() }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.into_inner();
        // A model that is not there is an error, one that is not ready is not.
        match found(&self.state, &name, &version).and_then(|(slot, pick)| pick.acquire(&slot)) {
            Ok(_) => Ok(Response::new(ModelReadyResponse { ready: true })),
            Err(ApiError::Unavailable { .. } | ApiError::UnknownVersion { .. }) => {
                Ok(Response::new(ModelReadyResponse { ready: false }))
            }
            Err(error) => Err(status(&error)),
        }
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(oip::ServerMetadata::default().into()))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        told(found(&self.state, &name, &version), |slot, servable| oip::ModelMetadata::of(slot, servable).into())
    }

    async fn model_infer(&self, request: Request<ModelInferRequest>) -> Result<Response<ModelInferResponse>, Status> {
        let head = Head::of(&self.state, request.metadata().as_ref(), request.extensions().get())?;
        let received = (request.get_ref(), &Ahead::default());
        let (servable, written) = predict(&self.state, &head, received).await.map_err(|error| status(&error))?;
        let mut response = Response::new(written.message()?);
        if let Ok(version) = MetadataValue::try_from(servable.version_text()) {
            response.metadata_mut().insert(MODEL_VERSION, version);
        }
        Ok(response)
    }

    type ModelStreamInferStream = Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send>>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let (metadata, id) = (request.metadata().clone(), request.extensions().get::<RequestId>().cloned());
        // What is wrong with it is told at once.
        Head::of(&self.state, metadata.as_ref(), None)?;
        let (state, closing) = (Arc::clone(&self.state), self.closing.clone());
        let requests = Some(Requests { state, closing, metadata, id, requests: request.into_inner() });
        let answers = unfold(requests, async |requests| {
            let mut requests = requests?;
            let answer = requests.next().await?;
            let goes_on = answer.is_ok();
            Some((answer, goes_on.then_some(requests)))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        let ModelConfigRequest { name, version } = request.into_inner();
        let limits = routes::config_limits(&self.state);
        told(found(&self.state, &name, &version), |slot, servable| ModelConfigResponse {
            config: Some(oip::Config::of(slot, servable, limits).into()),
        })
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        if name.is_empty() {
            let model_stats = all(oip::statistics(&self.state.slots));
            return Ok(Response::new(ModelStatisticsResponse { model_stats }));
        }
        told(found(&self.state, &name, &version), |_, servable| ModelStatisticsResponse {
            model_stats: vec![oip::ModelStats::of(servable).into()],
        })
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let RepositoryIndexRequest { repository_name, ready } = request.into_inner();
        only_repository(&repository_name).map_err(|error| status(&error))?;
        let models = all(repository::listed(&self.state, ready));
        Ok(Response::new(RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let actor = self.admitted(&request)?;
        let RepositoryModelLoadRequest { repository_name, model_name, parameters } = request.into_inner();
        let checked = only_repository(&repository_name)
            .and_then(|()| repository::check_parameters(parameters.keys().map(String::as_str)));
        checked.map_err(|error| status(&error))?;
        let changed = self.change((Kind::Load, &model_name), actor).await;
        changed.map(|()| Response::new(RepositoryModelLoadResponse {})).map_err(|error| status(&error))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let actor = self.admitted(&request)?;
        let RepositoryModelUnloadRequest { repository_name, model_name, .. } = request.into_inner();
        only_repository(&repository_name).map_err(|error| status(&error))?;
        let changed = self.change((Kind::Unload, &model_name), actor).await;
        changed.map(|()| Response::new(RepositoryModelUnloadResponse {})).map_err(|error| status(&error))
    }

    async fn system_shared_memory_status(
        &self,
        _: Request<SystemSharedMemoryStatusRequest>,
    ) -> Result<Response<SystemSharedMemoryStatusResponse>, Status> {
        unimplemented(oip::absent::SHARED_MEMORY)
    }

    async fn system_shared_memory_register(
        &self,
        _: Request<SystemSharedMemoryRegisterRequest>,
    ) -> Result<Response<SystemSharedMemoryRegisterResponse>, Status> {
        unimplemented(oip::absent::SHARED_MEMORY)
    }

    async fn system_shared_memory_unregister(
        &self,
        _: Request<SystemSharedMemoryUnregisterRequest>,
    ) -> Result<Response<SystemSharedMemoryUnregisterResponse>, Status> {
        unimplemented(oip::absent::SHARED_MEMORY)
    }

    async fn cuda_shared_memory_status(
        &self,
        _: Request<CudaSharedMemoryStatusRequest>,
    ) -> Result<Response<CudaSharedMemoryStatusResponse>, Status> {
        unimplemented(oip::absent::SHARED_MEMORY)
    }

    async fn cuda_shared_memory_register(
        &self,
        _: Request<CudaSharedMemoryRegisterRequest>,
    ) -> Result<Response<CudaSharedMemoryRegisterResponse>, Status> {
        unimplemented(oip::absent::SHARED_MEMORY)
    }

    async fn cuda_shared_memory_unregister(
        &self,
        _: Request<CudaSharedMemoryUnregisterRequest>,
    ) -> Result<Response<CudaSharedMemoryUnregisterResponse>, Status> {
        unimplemented(oip::absent::SHARED_MEMORY)
    }

    async fn trace_setting(&self, _: Request<TraceSettingRequest>) -> Result<Response<TraceSettingResponse>, Status> {
        unimplemented(oip::absent::TRACES)
    }

    async fn log_settings(&self, _: Request<LogSettingsRequest>) -> Result<Response<LogSettingsResponse>, Status> {
        unimplemented(oip::absent::LOG_SETTINGS)
    }
}
