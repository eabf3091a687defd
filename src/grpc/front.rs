//! What stands before the services of the listener: every call's id, the net under panics, limits of bodies, metrics.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, Response, request};
use http_body::Body as HttpBody;
use prost::bytes::Bytes;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::server::Builder as Reflection;
use tower::ServiceExt as _;

use super::DESCRIPTORS;
use super::health::Health;
use super::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use super::service::{Inference, MODEL_INFER, infer, message_bytes_max};
use super::status::{http_status, status};
use super::unary::{GRPC_STATUS, is_plain};
use super::weigh::Weighed;
use crate::http::{ApiError, AppState, RequestId, Share};
use crate::metrics::{HttpAnswers, Listener};

/// The metadata key that carries a call's id, in and out.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The call whose body is as long as its caller likes.
const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// Whoever sent a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Tells streams that the server is about to end.
#[derive(Debug, Clone)]
pub(super) struct Closing(watch::Receiver<bool>);

impl Closing {
    /// Waits until streams are to end.
    pub(super) async fn closed(&mut self) {
        // A closed channel means that the server is gone.
        drop(self.0.wait_for(|is_closing| *is_closing).await);
    }
}

/// Answers the calls of the gRPC listener.
#[derive(Debug, Clone)]
pub struct Grpc {
    state: Arc<AppState>,
    routes: Routes,
    answers: HttpAnswers,
    closing: Arc<watch::Sender<bool>>,
}

/// The services cannot be described.
#[derive(Debug, thiserror::Error)]
#[error("the descriptors of the gRPC services cannot be read: {0}")]
pub struct GrpcError(#[from] tonic_reflection::server::Error);

impl Grpc {
    /// The protocol, health and reflection.
    ///
    /// # Errors
    /// Where the build's own descriptors are broken.
    pub fn new(state: Arc<AppState>) -> Result<Self, GrpcError> {
        let sender = watch::Sender::new(false);
        let closing = Closing(sender.subscribe());
        let inference = Inference { state: Arc::clone(&state), closing: closing.clone() };
        // Answers are not compressed: every client says that it takes that, and few mean it.
        let inference = GrpcInferenceServiceServer::new(inference)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Deflate)
            .max_decoding_message_size(message_bytes_max(&state))
            .max_encoding_message_size(usize::MAX);
        let health = HealthServer::new(Health { state: Arc::clone(&state), closing });
        let reflection = || {
            Reflection::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let routes = Routes::new(inference)
            .add_service(health)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .prepare();
        let answers = state.metrics.http_answers(Listener::Grpc);
        Ok(Self { state, routes, answers, closing: Arc::new(sender) })
    }

    /// Ends the streams, so that their connections can.
    pub fn close_streams(&self) {
        self.closing.send_replace(true);
    }

    /// Answers a call of `peer`: gives it an id, turns a panic into a status, and counts the answer.
    pub async fn answer<B>(&self, request: Request<B>, peer: SocketAddr) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let id = RequestId::of(parts.headers.get(REQUEST_ID));
        let mut response = match self.state.api_keys.admit_call(&parts.headers, parts.uri.path()) {
            Ok(_) => {
                // By reference: a request would be copied once more for every future that it is handed down to.
                let mut request = Some((parts, body));
                let answered = AssertUnwindSafe(self.routed(&mut request, peer, &id)).catch_unwind().await;
                answered.unwrap_or_else(|_| {
                    self.state.metrics.count_panic();
                    tracing::error!(request_id = id.as_str(), "a call panicked; it got the status INTERNAL");
                    let told = "an internal fault; the server's log has more under the request's id";
                    Status::internal(told).into_http()
                })
            }
            Err(error) => status(&error).into_http(),
        };
        let headers = response.headers_mut();
        let code = headers.get(GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        if code == Code::OutOfRange {
            // The library's word for a message over the limit; gRPC's other ones say this.
            headers.insert(GRPC_STATUS, HeaderValue::from(i32::from(Code::ResourceExhausted)));
        }
        let mut id = HeaderValue::from(id);
        // Each call has another: a place in the connection's table of header fields would be wasted on it.
        id.set_sensitive(true);
        headers.insert(REQUEST_ID, id);
        self.answers.count(http_status(code));
        response
    }

    async fn routed<B>(
        &self,
        request: &mut Option<(request::Parts, B)>,
        peer: SocketAddr,
        id: &RequestId,
    ) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if let Some((parts, body)) = request
            && is_plain(parts, MODEL_INFER)
        {
            let answered = infer(&self.state, (&parts.headers, body), id).await;
            return answered.unwrap_or_else(Status::into_http);
        }
        let Some((mut parts, body)) = request.take() else { return status(&ApiError::Internal).into_http() };
        let is_stream = parts.uri.path() == STREAM;
        let share = Share::of(self.state.body_budget.clone());
        let stall = (!is_stream).then_some(self.state.options.body_timeout);
        let (body, weight) = Weighed::new(body, share, stall);
        parts.extensions.insert(Peer(peer));
        parts.extensions.insert(id.clone());
        parts.extensions.insert(weight);
        // Boxed: the future of a prediction need not be as large as that of a route.
        let answered = Box::pin(async {
            // Decompressing and decoding are the library's: not before its connection gets on.
            tokio::task::yield_now().await;
            self.routes.clone().oneshot(Request::from_parts(parts, body)).await
        });
        let Ok(response) = answered.await;
        response
    }
}
