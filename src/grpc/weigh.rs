//! A call's body under the limits that bodies have over HTTP: what all of them may take together, and how long one may stall.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use prost::bytes::Bytes;
use tokio::time::Sleep;
use tonic::Status;

use super::status::status;
use crate::http::Share;

/// A call's part of what all bodies may take together; it is given back when the call has ended.
#[derive(Debug, Clone)]
pub(super) struct Weight {
    /// Keeps the part until the answer is there, which is after the body has gone.
    _share: Arc<Mutex<Share>>,
}

/// A body that is weighed as it comes.
#[derive(Debug)]
pub(super) struct Weighed<B> {
    body: B,
    share: Arc<Mutex<Share>>,
    n_bytes: usize,
    /// The longest that the next part may take; a stream of requests may wait for as long as it likes.
    stall: Option<Duration>,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<B> Weighed<B> {
    /// `body`, held against `share`.
    pub(super) fn new(body: B, share: Share, stall: Option<Duration>) -> (Self, Weight) {
        let share = Arc::new(Mutex::new(share));
        let weight = Weight { _share: Arc::clone(&share) };
        (Self { body, share, n_bytes: 0, stall, waiting: None }, weight)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Weighed<B>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            let Some(stall) = this.stall else { return Poll::Pending };
            let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
            return match waiting.as_mut().poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(()) => {
                    let stalled = Status::deadline_exceeded("the request did not arrive in time");
                    Poll::Ready(Some(Err(stalled.into())))
                }
            };
        };
        this.waiting = None;
        let frame = match frame {
            None => return Poll::Ready(None),
            Some(frame) => frame.map_err(Into::into)?,
        };
        // A stream's requests come one after the other: the largest of its parts so far is what it takes, not their sum.
        let n_bytes = frame.data_ref().map_or(0, Bytes::len);
        this.n_bytes = if this.stall.is_some() { this.n_bytes + n_bytes } else { this.n_bytes.max(n_bytes) };
        let grown = this.share.lock().unwrap_or_else(PoisonError::into_inner).grow(this.n_bytes);
        Poll::Ready(Some(match grown {
            Ok(()) => Ok(frame),
            Err(error) => Err(status(&error).into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
