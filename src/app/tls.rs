//! What the listeners are secured with: one certificate for all of them.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;

use super::watched::Watched;
use super::wire::Security;
use crate::config::Config;
use crate::tls::{Identity, TlsError, server};

/// What is spoken inside: HTTP/1.1 and, over gRPC's port, HTTP/2.
const HTTP: &[&[u8]] = &[b"http/1.1"];
const GRPC: &[&[u8]] = &[b"h2"];

/// The listeners' security.
#[derive(Debug, Clone)]
pub(super) struct Listeners {
    http: Security,
    grpc: Security,
    ops: Security,
}

impl Listeners {
    /// Those of predictions, of predictions over gRPC and of operations; none where connections are plain.
    pub(super) fn each(listeners: Option<Self>) -> [Option<Security>; 3] {
        match listeners {
            Some(Self { http, grpc, ops }) => [Some(http), Some(grpc), Some(ops)],
            None => [None, None, None],
        }
    }
}

/// Which files there are.
#[derive(Debug, Clone)]
struct Files {
    identity: Identity,
    ops_client_ca: Option<PathBuf>,
}

impl Files {
    /// `None` where connections are plain.
    fn of(config: &Config) -> Option<Self> {
        let named = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
        let identity = Identity { certificate: named(&config.tls_cert_file)?, key: named(&config.tls_key_file)? };
        Some(Self { identity, ops_client_ca: named(&config.tls_ops_client_ca_file) })
    }

    fn load(&self) -> Result<[Arc<ServerConfig>; 3], TlsError> {
        let Self { identity, ops_client_ca } = self;
        Ok([
            server(identity, HTTP, None)?,
            server(identity, GRPC, None)?,
            server(identity, HTTP, ops_client_ca.as_deref())?,
        ])
    }
}

/// Whether connections are inside TLS.
pub(super) fn is_on(config: &Config) -> bool {
    Files::of(config).is_some()
}

/// Reads what the configuration names, if it names anything; the files are followed from then on.
///
/// # Errors
/// [`TlsError`] names the file and what is wrong with it.
pub(super) fn load(config: &Config) -> Result<Option<(Listeners, Watched)>, TlsError> {
    let Some(files) = Files::of(config) else { return Ok(None) };
    let Files { identity: Identity { certificate, key }, ops_client_ca } = files.clone();
    let paths = [certificate, key].into_iter().chain(ops_client_ca).collect();
    let watched = Watched::new("the certificate's files", paths);
    let [http, grpc, ops] = files.load()?.map(Security::new);
    let listeners = Listeners { http, grpc, ops };
    let followed = listeners.clone();
    let watched = watched.then(move || {
        let [http, grpc, ops] = files.load().map_err(|error| error.to_string())?;
        followed.http.set(http);
        followed.grpc.set(grpc);
        followed.ops.set(ops);
        Ok(())
    });
    Ok(Some((listeners, watched)))
}
