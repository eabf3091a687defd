//! A call of one message each way, without what streams need: its message is read as bodies are over HTTP.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header, request};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tonic::body::Body;
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::{Code, Status};

use super::arriving::{Arriving, LARGE_BYTES, PREFIX_BYTES};
use super::decode::Ahead;
use super::inference::ModelInferRequest;
use super::status::status;
use crate::http::{BodyLimits, gather};

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether the call is to `path`, in the form that is read here: protobuf, not compressed.
pub(super) fn is_plain(head: &request::Parts, path: &str) -> bool {
    let is_protobuf = |declared: &HeaderValue| {
        [GRPC_CONTENT_TYPE.as_bytes(), b"application/grpc+proto"].contains(&declared.as_bytes())
    };
    head.method == Method::POST
        && head.uri.path() == path
        && head.headers.get(header::CONTENT_TYPE).is_some_and(is_protobuf)
        && head.headers.get(GRPC_ENCODING).is_none_or(|encoding| encoding == "identity")
}

/// A call's message, with its part of what all bodies may take together.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) request: ModelInferRequest,
    pub(super) ahead: Ahead,
    /// Kept until the answer is there.
    _held: Option<OwnedSemaphorePermit>,
}

/// Reads the message of a call; a limit of `limits` is one of the message.
///
/// # Errors
/// [`Status`] where the body is not one message, is beyond a limit, or breaks off.
pub(super) async fn read<B: HttpBody<Data = Bytes> + Unpin>(
    headers: &HeaderMap,
    body: &mut B,
    mut limits: BodyLimits<'_>,
) -> Result<Message, Status> {
    let mut arriving = Arriving::new(limits.bytes_max, LARGE_BYTES);
    limits.bytes_max = limits.bytes_max.saturating_add(PREFIX_BYTES);
    let gathered = gather(headers, body, limits, &mut arriving).await;
    arriving.check()?;
    let _held = gathered.map_err(|error| status(&error))?;
    let (request, ahead) = arriving.finish()?;
    Ok(Message { request, ahead, _held })
}

/// The answer of a call that went well: `message`, with its length in front of it.
pub(super) fn answer(message: Bytes) -> Response<Body> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from(i32::from(Code::Ok)));
    let body = OneMessage { message: Some(message), trailers: Some(trailers) };
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

/// One message and the status behind it.
struct OneMessage {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl HttpBody for OneMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let message = self.message.take().map(Frame::data);
        Poll::Ready(message.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.message.as_ref().map_or(0, |message| message.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::Full;
    use prost::Message as _;

    use super::*;
    use crate::http::BodyBudget;

    #[tokio::test]
    async fn a_message_holds_its_part_of_the_budget_until_it_is_dropped() {
        let budget = BodyBudget::new(1 << 20);
        let once = async || {
            let request = ModelInferRequest {
                raw_input_contents: vec![vec![0; 600 << 10].into()],
                ..ModelInferRequest::default()
            };
            let n_bytes = u32::try_from(request.encoded_len()).unwrap().to_be_bytes();
            let mut body = Full::<Bytes>::from([&[0], &n_bytes[..], &request.encode_to_vec()].concat());
            let stall = Duration::from_secs(10);
            let limits = BodyLimits { bytes_max: 1 << 20, stall, total: None, budget: Some(&budget) };
            read(&HeaderMap::new(), &mut body, limits).await
        };
        let first = once().await.unwrap();
        assert_eq!(once().await.unwrap_err().code(), Code::ResourceExhausted);
        drop(first);
        assert!(once().await.is_ok());
    }
}
