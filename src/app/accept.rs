//! The accept loop: hyper's connections under limits of our own, and a drain that loses no accepted request.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::idle::{Idle, Turns};
use super::stall::Stalling;
use super::wire::{Security, Wire};
use crate::batch::Pool;
use crate::grpc::Grpc;
use crate::http::Front;
use crate::metrics::{Held, Listener, Metrics};

/// How far a drain has come; connections watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Serving.
    Serve,
    /// Serving, but every answer asks its caller to close the connection.
    Drain,
    /// No new connections; those that wait for their first or next request may still send it.
    Linger,
    /// Connections end after the request in flight.
    Finish,
}

/// How long a connection that was accepted before the end may still bring its request.
const LINGER: Duration = Duration::from_secs(1);

/// Limits of a listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct AcceptOptions {
    pub(super) connections_max: usize,
    /// The longest that a handshake may take, and then a request's head.
    pub(super) header_timeout: Duration,
    /// The longest that a caller may leave an answer unread.
    pub(super) write_timeout: Duration,
    pub(super) drain_timeout: Duration,
}

/// What is spoken on a listener, and who answers.
#[derive(Debug, Clone)]
pub(super) enum Protocol {
    Http(Front),
    Grpc(Grpc),
}

impl Protocol {
    fn listener(&self) -> Listener {
        match self {
            Self::Http(front) => front.listener(),
            Self::Grpc(_) => Listener::Grpc,
        }
    }
}

/// What connections are served with.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) protocol: Protocol,
    /// Connections lend it their thread.
    pub(super) pool: Arc<Pool>,
    pub(super) metrics: Arc<Metrics>,
    /// `None` where connections are plain.
    pub(super) security: Option<Security>,
}

/// Serves `service` on `socket` until the phase says otherwise; ends when the last connection has.
pub(super) async fn serve(
    socket: TcpListener,
    service: Service,
    phase: watch::Receiver<Phase>,
    options: AcceptOptions,
) {
    let permits = Arc::new(Semaphore::new(options.connections_max));
    let mut connections = JoinSet::new();
    let mut accepting = phase.clone();
    loop {
        let permit = tokio::select! {
            biased;
            () = reached(&mut accepting, Phase::Linger) => break,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        let Ok(permit) = permit else { break };
        tokio::select! {
            biased;
            () = reached(&mut accepting, Phase::Linger) => {
                drop(permit);
                break;
            }
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection { stream: Wire::Plain(stream), peer, permit, phase: phase.clone() };
                    connections.spawn(connection.serve(service.clone(), options));
                }
                // Out of file descriptors, most likely: connections that end make room.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
        while connections.try_join_next().is_some() {}
    }
    // Connections that the kernel has taken already are served, not reset.
    for (stream, peer) in rest(socket) {
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { break };
        let connection = Connection { stream: Wire::Plain(stream), peer, permit, phase: phase.clone() };
        connections.spawn(connection.serve(service.clone(), options));
    }
    finish(connections, options.drain_timeout).await;
}

/// Closes `socket`; gives back the connections that wait on it. The system is asked itself: the runtime may not have heard
/// of them yet.
fn rest(socket: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(socket) = socket.into_std() else { return Vec::new() };
    let mut waiting = Vec::new();
    while let Ok((stream, peer)) = socket.accept() {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            waiting.push((stream, peer));
        }
    }
    waiting
}

async fn finish(mut connections: JoinSet<()>, limit: Duration) {
    let ended = tokio::time::timeout(limit, async { while connections.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(connections = connections.len(), "connections aborted: the drain timeout has passed");
        connections.shutdown().await;
    }
}

/// Waits until the phase is `wanted` or later.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // A closed channel means that the server is gone.
    drop(phase.wait_for(|now| wanted <= *now).await);
}

pub(super) struct Connection {
    pub(super) stream: Wire,
    pub(super) peer: SocketAddr,
    permit: OwnedSemaphorePermit,
    pub(super) phase: watch::Receiver<Phase>,
}

impl Connection {
    async fn serve(self, service: Service, options: AcceptOptions) {
        let Service { protocol, pool, metrics, security } = service;
        let _open = Held::new(&metrics.connections(protocol.listener()));
        if let Wire::Plain(stream) = &self.stream {
            // A small answer must not wait for the next one.
            drop(stream.set_nodelay(true));
        }
        let connection = match security {
            None => self,
            // Boxed: a plain connection has no room to keep for it.
            Some(security) => match Box::pin(self.secured(security, options)).await {
                Some(connection) => connection,
                None => return,
            },
        };
        match protocol {
            Protocol::Http(front) => connection.serve_http1(front, pool, options).await,
            Protocol::Grpc(grpc) => connection.serve_http2(grpc, pool, options).await,
        }
    }

    /// Shakes hands; `None` where that failed, or the server ends.
    async fn secured(self, security: Security, options: AcceptOptions) -> Option<Self> {
        let Self { stream, peer, permit, mut phase } = self;
        let Wire::Plain(stream) = stream else { return None };
        let secured = tokio::select! {
            secured = security.secured(stream, options.header_timeout) => secured,
            () = reached(&mut phase, Phase::Finish) => return None,
        };
        match secured {
            Ok(stream) => Some(Self { stream, peer, permit, phase }),
            Err(error) => {
                tracing::debug!(%error, %peer, "a TLS handshake failed");
                None
            }
        }
    }

    async fn serve_http1(self, front: Front, pool: Arc<Pool>, options: AcceptOptions) {
        let Self { stream, peer, permit, mut phase } = self;
        let turns = Turns::default();
        let (seen, begun) = (phase.clone(), turns.clone());
        let (front, begun) = (&front, &begun);
        let service = service_fn(move |request: Request<Incoming>| {
            let (turn, phase) = (begun.begin(), *seen.borrow());
            async move {
                let mut response = front.answer(request, peer).await;
                if Phase::Drain <= phase {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| turn.until_sent(body)))
            }
        });
        let mut builder = http1::Builder::new();
        // A caller that closes its side has left: what it asked for is cancelled, not computed for nobody. The time for a
        // request's head is watched here: hyper would make a timer for each.
        builder.half_close(false);
        let stream = TokioIo::new(Stalling::new(stream, options.write_timeout));
        let mut connection = pin!(builder.serve_connection(stream, service));
        let mut idle = Idle::new(turns, options.header_timeout);
        let mut finishing = pin!(reached(&mut phase, Phase::Finish));
        let mut is_finishing = false;
        let ended = poll_fn(|context| {
            if !is_finishing && finishing.as_mut().poll(context).is_ready() {
                is_finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            match pool.lend(|| connection.as_mut().poll(context)) {
                Poll::Ready(ended) => Poll::Ready(ended.map_err(|error| error.to_string())),
                Poll::Pending => idle.poll(context).map(|()| Err("no request came in time".to_owned())),
            }
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, %peer, "a connection ended early");
        }
        drop(permit);
    }
}

/// Moves through the phases of a drain: serve on for `delay`, linger, finish.
pub(super) async fn drain(phase: &watch::Sender<Phase>, delay: Duration) {
    phase.send_replace(Phase::Drain);
    tokio::time::sleep(delay).await;
    phase.send_replace(Phase::Linger);
    tokio::time::sleep(LINGER.min(delay)).await;
    phase.send_replace(Phase::Finish);
}
