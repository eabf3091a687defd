//! Connections of the gRPC listener: HTTP/2, and nothing else.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::accept::{AcceptOptions, Connection, Phase, reached};
use super::stall::Stalling;
use crate::batch::Pool;
use crate::grpc::Grpc;

/// Calls of one connection that may be under way.
const CALLS_MAX: u32 = 256;
/// The most bytes of a call's metadata.
const METADATA_BYTES_MAX: u32 = 64 << 10;
/// How much of a call may be on its way before it has been read.
const WINDOW_BYTES: u32 = 1 << 20;
/// As above, of all calls of one connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Begins the first call that a look at the connection finds on the spot, since most are answered by then; it and the others
/// become tasks where they have to wait. Whoever polls a call lends its thread to the pool.
#[derive(Debug, Clone)]
struct Calls {
    pool: Arc<Pool>,
    /// Whether this look has begun one: the others of a connection shall run beside it, not after it.
    has_had_one: Arc<AtomicBool>,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Calls {
    fn execute(&self, call: F) {
        // Boxed once: a future is copied for every one that it is handed down to.
        let mut call = Box::pin(call);
        if !self.has_had_one.swap(true, Ordering::Relaxed) {
            // Whom it is to wake is the task that it becomes: that polls it once more.
            let mut nobody = Context::from_waker(Waker::noop());
            let mut begin = || self.pool.lend(|| call.as_mut().poll(&mut nobody)).is_ready();
            // A panic ends the call, as it would end its task, and not its connection.
            if catch_unwind(AssertUnwindSafe(&mut begin)).unwrap_or(true) {
                return;
            }
        }
        let pool = Arc::clone(&self.pool);
        tokio::spawn(poll_fn(move |context| pool.lend(|| call.as_mut().poll(context))));
    }
}

impl Connection {
    pub(super) async fn serve_http2(self, grpc: Grpc, pool: Arc<Pool>, options: AcceptOptions) {
        let Self { stream, peer, mut phase, .. } = self;
        let has_begun = Arc::new(AtomicBool::new(false));
        let begun = Arc::clone(&has_begun);
        let service = service_fn(move |request: Request<Incoming>| {
            begun.store(true, Ordering::Relaxed);
            let grpc = grpc.clone();
            async move { Ok::<_, Infallible>(grpc.answer(request, peer).await) }
        });
        let calls = Calls { pool, has_had_one: Arc::default() };
        let mut builder = http2::Builder::new(calls.clone());
        // A connection may be idle for as long as it likes, so long as somebody is there.
        builder
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .keep_alive_interval(Some(options.header_timeout))
            .keep_alive_timeout(options.header_timeout.min(Duration::from_secs(20)))
            .max_concurrent_streams(CALLS_MAX)
            .max_header_list_size(METADATA_BYTES_MAX)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let stream = TokioIo::new(Stalling::new(stream, options.write_timeout));
        let mut connection = pin!(builder.serve_connection(stream, service));
        let mut finishing = pin!(reached(&mut phase, Phase::Finish));
        let mut first_call = pin!(tokio::time::sleep(options.header_timeout));
        let (mut is_finishing, mut is_known) = (false, false);
        let ended = poll_fn(|context| {
            if !is_finishing && finishing.as_mut().poll(context).is_ready() {
                is_finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            calls.has_had_one.store(false, Ordering::Relaxed);
            // The thread is lent for all of it, so that what was predicted is observed after the answer was written.
            if let Poll::Ready(ended) = calls.pool.lend(|| connection.as_mut().poll(context)) {
                return Poll::Ready(ended.map_err(|error| error.to_string()));
            }
            is_known = is_known || has_begun.load(Ordering::Relaxed);
            if !is_known && first_call.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err("no call came in time".to_owned()));
            }
            Poll::Pending
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, %peer, "a connection ended early");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::oneshot;

    use super::*;
    use crate::batch::PoolOptions;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn the_first_call_of_a_look_is_begun_on_the_spot_and_goes_on_where_it_has_to_wait() {
        let pool = Arc::new(Pool::start(PoolOptions { threads: 1 }, &Metrics::new().unwrap()).unwrap());
        let calls = Calls { pool: Arc::clone(&pool), has_had_one: Arc::default() };
        let n_ended = Arc::new(AtomicU32::new(0));
        let ended = || n_ended.load(Ordering::Relaxed);
        let call = |waits: Option<oneshot::Receiver<()>>| {
            let n_ended = Arc::clone(&n_ended);
            async move {
                if let Some(waits) = waits {
                    waits.await.unwrap();
                }
                n_ended.fetch_add(1, Ordering::Relaxed);
            }
        };
        calls.execute(call(None));
        assert_eq!(ended(), 1, "at once");
        calls.execute(call(None));
        assert_eq!(ended(), 1, "beside it");
        calls.has_had_one.store(false, Ordering::Relaxed);
        let (go_on, waits) = oneshot::channel();
        calls.execute(call(Some(waits)));
        tokio::task::yield_now().await;
        assert_eq!(ended(), 2, "the one that was begun beside it");
        calls.has_had_one.store(false, Ordering::Relaxed);
        calls.execute(async { panic!("a call's own fault") });
        go_on.send(()).unwrap();
        while ended() < 3 {
            tokio::task::yield_now().await;
        }
        pool.stop();
    }
}
