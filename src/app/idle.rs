//! The time that a connection has for its next request's head.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use tokio::time::{Instant, Sleep};

/// Counts the beginnings and ends of a connection's requests: odd while one is being answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<AtomicU64>);

impl Turns {
    /// A request has come.
    pub(super) fn begin(&self) -> Turn {
        self.0.fetch_add(1, Ordering::Relaxed);
        Turn(Self(Arc::clone(&self.0)))
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn(Turns);

impl Turn {
    /// `body`, which belongs to the answer: the turn lasts until it has been sent.
    pub(super) fn until_sent(self, body: Body) -> Sent {
        Sent { body, _turn: self }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Sent {
    body: Body,
    _turn: Turn,
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// Watches how long a connection has waited for its next request. One timer serves all of its requests: it is set once for
/// the limit, and when it fires it is set again for what is left.
#[derive(Debug)]
pub(super) struct Idle {
    turns: Turns,
    limit: Duration,
    /// The count of turns when the connection was last looked at, and since when it has been that.
    seen: u64,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Idle {
    pub(super) fn new(turns: Turns, limit: Duration) -> Self {
        let since = Instant::now();
        Self { turns, limit, seen: 0, since, timer: Box::pin(tokio::time::sleep_until(since + limit)) }
    }

    /// Looks at the connection after it did what there was to do; ready once it has waited for too long.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let count = self.turns.count();
        if count != self.seen {
            self.seen = count;
            self.since = Instant::now();
        }
        loop {
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            let is_answering = count % 2 == 1;
            let until = if is_answering { now } else { self.since } + self.limit;
            if until <= now {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(until);
        }
    }
}
