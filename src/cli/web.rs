//! HTTP requests of the commands, over TLS where the address says so. Every request has a connection of its own: commands ask
//! seldom.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls::{self, Identity};

/// How long a server may take to be reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom to trust, and who to be, where the address begins with https.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TrustArgs {
    /// PEM file with the authorities to trust where the server speaks TLS; else the system's.
    #[arg(long, env = "GUDGEON_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM file with the certificate to show where the server asks for one.
    #[arg(long, env = "GUDGEON_CLIENT_CERT_FILE", value_name = "FILE", requires = "client_key_file")]
    pub(crate) client_cert_file: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    #[arg(long, env = "GUDGEON_CLIENT_KEY_FILE", value_name = "FILE", requires = "client_cert_file")]
    pub(crate) client_key_file: Option<PathBuf>,
}

/// A server.
#[derive(Debug)]
pub(super) struct Web {
    host: String,
    port: u16,
    authority: HeaderValue,
    /// What the address has behind the port.
    prefix: String,
    tls: Option<ClientConfig>,
    /// The API key of every request.
    key: Option<HeaderValue>,
}

/// What bytes go over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
}

impl Web {
    /// The server at `url`: `http://host:port` or `https://host:port`.
    ///
    /// # Errors
    /// Where that is no such address, or the files of `trust` cannot be used.
    pub(super) fn new(url: &str, trust: &TrustArgs) -> anyhow::Result<Self> {
        let expected =
            || format!("{url:?}: expected an address like http://127.0.0.1:8082 or https://models.example:8082");
        let uri: Uri = url.trim_end_matches('/').parse().with_context(expected)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { bail!(expected()) };
        let (tls, port) = match scheme {
            "http" => (None, 80),
            "https" => (Some(config(trust)?), 443),
            _ => bail!(expected()),
        };
        Ok(Self {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(port),
            authority: HeaderValue::from_str(authority.as_str())?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            tls,
            key: None,
        })
    }

    /// Sends `key` with every request.
    ///
    /// # Errors
    /// Where it is nothing that a header field can carry.
    pub(super) fn with_key(mut self, key: Option<&str>) -> anyhow::Result<Self> {
        self.key =
            key.map(HeaderValue::from_str).transpose().context("an API key has characters that no header can carry")?;
        Ok(self)
    }

    fn add_key(&self, headers: &mut HeaderMap) {
        if let Some(key) = &self.key {
            headers.insert("x-api-key", key.clone());
        }
    }

    /// Sends `request`, whose address is a path, and waits for the head of its answer.
    ///
    /// # Errors
    /// Where the server cannot be reached, or does not answer.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        let stream = self.connected(Spoken::Http1).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("{}{}", self.prefix, parts.uri).parse()?;
        parts.headers.insert(header::HOST, self.authority.clone());
        self.add_key(&mut parts.headers);
        Ok(sender.send_request(Request::from_parts(parts, body)).await?)
    }

    /// As [`Self::send`], over HTTP/2.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) async fn send_http2(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        let stream = self.connected(Spoken::Http2).await?;
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (mut parts, body) = request.into_parts();
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.add_key(&mut parts.headers);
        parts.uri = format!("{scheme}://{}{}", self.authority.to_str()?, parts.uri).parse()?;
        Ok(sender.send_request(Request::from_parts(parts, body)).await?)
    }

    async fn connected(&self, spoken: Spoken) -> anyhow::Result<Box<dyn Stream>> {
        let reached = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            let Some(config) = &self.tls else { return anyhow::Ok(Box::new(stream) as Box<dyn Stream>) };
            let mut config = config.clone();
            config.alpn_protocols = match spoken {
                Spoken::Http1 => vec![b"http/1.1".to_vec()],
                Spoken::Http2 => vec![b"h2".to_vec()],
            };
            let name = ServerName::try_from(self.host.clone())?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            Ok(Box::new(stream.context("no TLS connection")?) as Box<dyn Stream>)
        };
        tokio::time::timeout(CONNECT_TIMEOUT, reached).await.context("the server could not be reached in time")?
    }
}

fn config(trust: &TrustArgs) -> anyhow::Result<ClientConfig> {
    let identity = match (&trust.client_cert_file, &trust.client_key_file) {
        (Some(certificate), Some(key)) => Some(Identity { certificate: certificate.clone(), key: key.clone() }),
        _ => None,
    };
    Ok(Arc::unwrap_or_clone(tls::client(trust.ca_file.as_deref(), identity.as_ref())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let web = |url| Web::new(url, &TrustArgs::default());
        let parts = |web: Web| (web.host, web.port, web.prefix);
        assert_eq!(parts(web("http://localhost:8082/").unwrap()), ("localhost".to_owned(), 8082, String::new()));
        assert_eq!(parts(web("http://[::1]/models").unwrap()), ("::1".to_owned(), 80, "/models".to_owned()));
        for wrong in ["localhost:8082", "ftp://localhost", "http://", "", "http://a b"] {
            assert!(web(wrong).unwrap_err().to_string().contains("expected an address like"), "{wrong}");
        }
    }
}
