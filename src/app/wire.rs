//! The bytes of a connection: as they are, or inside TLS.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

/// A connection whose handshake failed is read for so long, and no more than so many bytes, before it is closed: a close with bytes
/// unread is a reset, which may cost the peer what it was told.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSE_BYTES_MAX: u64 = 64 << 10;

/// A connection.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(TcpStream),
    // Boxed: most connections are plain, and a session is large.
    Tls(Box<TlsStream<TcpStream>>),
}

/// What the connections of a listener are secured with; new ones take what was set last.
#[derive(Debug, Clone)]
pub(super) struct Security(Arc<RwLock<Arc<ServerConfig>>>);

impl Security {
    pub(super) fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    pub(super) fn set(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Shakes hands within `limit`.
    ///
    /// # Errors
    /// Where the peer speaks something else, is not who it should be, or takes longer. Its connection has been closed then.
    pub(super) async fn secured(&self, stream: TcpStream, limit: Duration) -> io::Result<Wire> {
        let config = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let accepted = TlsAcceptor::from(config).accept(stream).into_fallible();
        match tokio::time::timeout(limit, accepted).await {
            Ok(Ok(stream)) => Ok(Wire::Tls(Box::new(stream))),
            Ok(Err((error, stream))) => {
                drop(tokio::time::timeout(CLOSE_TIMEOUT, close(stream)).await);
                Err(error)
            }
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")),
        }
    }
}

/// Says that nothing more will come, and waits until the peer has said so too.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(CLOSE_BYTES_MAX), &mut tokio::io::sink()).await.map(drop)
}

/// Runs `$body` with `$stream` bound to the stream inside.
macro_rules! each {
    ($wire:expr, $stream:ident => $body:expr) => {
        match $wire.get_mut() {
            Wire::Plain($stream) => {
                let $stream = Pin::new($stream);
                $body
            }
            Wire::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $body
            }
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(context))
    }
}
