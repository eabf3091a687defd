//! A call of one message each way, without what streams need: its message is read as bodies are over HTTP, and decoded from the
//! bytes as they came.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header, request};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prost::Message;
use prost::bytes::{BufMut as _, Bytes, BytesMut};
use tonic::body::Body;
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::{Code, Status};

use super::status::status;
use crate::http::{ApiError, BodyLimits, Gather, gather};

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// In front of a message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

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

/// Reads the message of a call; a limit of `limits` is one of the message.
///
/// # Errors
/// [`Status`] where the body is not one message, is beyond a limit, or breaks off.
pub(super) async fn read<B, M>(headers: &HeaderMap, body: &mut B, mut limits: BodyLimits<'_>) -> Result<M, Status>
where
    B: HttpBody<Data = Bytes> + Unpin,
    M: Message + Default,
{
    limits.bytes_max = limits.bytes_max.saturating_add(PREFIX_BYTES);
    let mut arriving = Arriving { bytes_max: limits.bytes_max, ..Arriving::default() };
    let gathered = gather(headers, body, limits, &mut arriving).await;
    let _held = gathered.map_err(|error| status(&error))?;
    M::decode(arriving.message()?).map_err(|error| Status::invalid_argument(error.to_string()))
}

/// The parts of a body, joined where there are several.
#[derive(Debug, Default)]
struct Arriving {
    bytes_max: usize,
    first: Bytes,
    joined: BytesMut,
}

impl Gather for Arriving {
    fn add(&mut self, part: Bytes) {
        if self.first.is_empty() && self.joined.is_empty() {
            self.first = part;
            return;
        }
        if self.joined.is_empty() {
            // Room is made once for what the prefix announces; what does not come takes no memory.
            let first = std::mem::take(&mut self.first);
            let announced = split(&first).map_or(0, |(_, n_bytes, _)| n_bytes + PREFIX_BYTES);
            self.joined.reserve(announced.min(self.bytes_max).max(first.len() + part.len()));
            self.joined.extend_from_slice(&first);
        }
        self.joined.extend_from_slice(&part);
    }
}

impl Arriving {
    fn message(self) -> Result<Bytes, Status> {
        let mut body = if self.joined.is_empty() { self.first } else { self.joined.freeze() };
        let refused = |expected: &str| Err(Status::invalid_argument(format!("the call's body: expected {expected}")));
        let (flag, announced, n_bytes) = match split(&body) {
            Some((flag, announced, rest)) => (flag, announced, rest.len()),
            None if body.is_empty() => return refused("one message, got none"),
            None => return refused("one message, got an end within its prefix"),
        };
        if self.bytes_max - PREFIX_BYTES < announced {
            return Err(status(&ApiError::TooLarge { limit: self.bytes_max - PREFIX_BYTES }));
        }
        match flag {
            0 if n_bytes == announced => Ok(body.split_off(PREFIX_BYTES)),
            0 if n_bytes < announced => refused("one message, got an end within it"),
            0 => refused("one message, got more behind it"),
            _ => refused("a message that is not compressed, since grpc-encoding names no coding"),
        }
    }
}

/// The flag, the length that is announced, and what follows.
fn split(body: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (&[flag, a, b, c, d], rest) = body.split_first_chunk::<PREFIX_BYTES>()?;
    Some((flag, usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?, rest))
}

/// The answer of a call that went well.
///
/// # Errors
/// [`Status`] where the message is longer than the protocol can say.
pub(super) fn answer(message: &impl Message) -> Result<Response<Body>, Status> {
    let n_bytes = message.encoded_len();
    let announced = u32::try_from(n_bytes).map_err(|_| Status::resource_exhausted("the answer takes 4 GiB or more"))?;
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + n_bytes);
    bytes.put_u8(0);
    bytes.put_u32(announced);
    message.encode(&mut bytes).map_err(|error| Status::internal(error.to_string()))?;
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from(i32::from(Code::Ok)));
    let body = OneMessage { message: Some(bytes.freeze()), trailers: Some(trailers) };
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    Ok(response)
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
    use super::*;

    #[track_caller]
    fn check(body: &[u8], expected: Result<&[u8], &str>) {
        for part_len in [1, 3, 6, 100] {
            let mut arriving = Arriving { bytes_max: 8 + PREFIX_BYTES, ..Arriving::default() };
            body.chunks(part_len).for_each(|part| arriving.add(Bytes::copy_from_slice(part)));
            match (arriving.message(), expected) {
                (Ok(message), Ok(expected)) => assert_eq!(message, expected),
                (Err(status), Err(expected)) => assert_eq!(status.message(), expected, "in parts of {part_len}"),
                (message, expected) => panic!("{message:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn a_body_is_one_message_within_the_limit() {
        check(&[0, 0, 0, 0, 0], Ok(&[]));
        check(&[0, 0, 0, 0, 3, 7, 8, 9], Ok(&[7, 8, 9]));
        check(&[], Err("the call's body: expected one message, got none"));
        check(&[0, 0, 0], Err("the call's body: expected one message, got an end within its prefix"));
        check(&[0, 0, 0, 0, 3, 7], Err("the call's body: expected one message, got an end within it"));
        check(&[0, 0, 0, 0, 1, 7, 8], Err("the call's body: expected one message, got more behind it"));
        let compressed =
            "the call's body: expected a message that is not compressed, since grpc-encoding names no coding";
        check(&[1, 0, 0, 0, 1, 7], Err(compressed));
        check(&[0, 0, 0, 0, 9, 7], Err(&ApiError::TooLarge { limit: 8 }.to_string()));
    }
}
