//! TLS: certificates and keys out of PEM files, and what both ends of a connection are configured with.
//!
//! TLS 1.2 and 1.3, with rustls and the cryptography of `ring`. No error here holds a byte of a file: it may be of a key.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Where systems keep the authorities that they trust, as one file.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A certificate, with what it is signed by behind it, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The file of the certificates.
    pub certificate: PathBuf,
    /// The file of the key.
    pub key: PathBuf,
}

/// The files say nothing that a connection can be secured with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{path}: expected {expected}, got {got}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is.
        got: &'static str,
    },
    /// The key is another certificate's.
    #[error("{key}: the key is not the one of the certificate in {certificate}")]
    Mismatch {
        /// The file of the certificates.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// rustls takes none of it.
    #[error("{path}: {source}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// There is nobody to trust.
    #[error("no authorities to trust: name a file with --ca-file or GUDGEON_CA_FILE")]
    NoRoots,
}

const CERTIFICATES: &str = "certificates in PEM (BEGIN CERTIFICATE)";
const KEY: &str = "a private key in PEM (BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY), not encrypted";

/// What a server secures its connections with. It speaks the protocols of `alpn`, and takes clients without a certificate unless
/// the authorities of theirs are in the file `client_ca`.
///
/// # Errors
/// [`TlsError`] names the file and what is wrong with it.
pub fn server(identity: &Identity, alpn: &[&[u8]], client_ca: Option<&Path>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider());
    let refused = |path: &Path| {
        let path = path.to_owned();
        |source| TlsError::Refused { path, source }
    };
    let builder = builder.with_safe_default_protocol_versions().map_err(refused(&identity.certificate))?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(roots(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let other = |error: rustls::server::VerifierBuilderError| rustls::Error::General(error.to_string());
            builder.with_client_cert_verifier(verifier.map_err(other).map_err(refused(path))?)
        }
    };
    let (chain, key) = parts(identity)?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| unusable(identity, error))?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// What a client secures its connections with. It trusts the authorities in the file `ca`, else those of
/// the system, and shows `identity` where a server asks for one.
///
/// # Errors
/// As [`server`].
pub fn client(ca: Option<&Path>, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, TlsError> {
    let system = || SYSTEM_ROOTS.iter().map(Path::new).find(|path| path.is_file());
    let path = ca.or_else(system).ok_or(TlsError::NoRoots)?;
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|source| TlsError::Refused { path: path.to_owned(), source })?;
    let builder = builder.with_root_certificates(roots(path)?);
    Ok(Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = parts(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable(identity, error))?
        }
    }))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn unusable(identity: &Identity, error: rustls::Error) -> TlsError {
    let Identity { certificate, key } = identity.clone();
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch { certificate, key },
        source => TlsError::Refused { path: certificate, source },
    }
}

fn parts(identity: &Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let Identity { certificate, key: path } = identity;
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| content(path, KEY, &error))?;
    Ok((chain, key))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| content(path, CERTIFICATES, &error))?;
    if found.is_empty() { Err(content(path, CERTIFICATES, &pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (n_added, _) = roots.add_parsable_certificates(certificates(path)?);
    let nobody = TlsError::Content { path: path.to_owned(), expected: CERTIFICATES, got: "none that can be read" };
    if n_added == 0 { Err(nobody) } else { Ok(roots) }
}

fn content(path: &Path, expected: &'static str, error: &pem::Error) -> TlsError {
    let got = match error {
        pem::Error::NoItemsFound => "none",
        pem::Error::MissingSectionEnd { .. } => "one without its END line",
        _ => "another form",
    };
    TlsError::Content { path: path.to_owned(), expected, got }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    if FILE_BYTES_MAX < std::fs::metadata(path).map_err(failed)?.len() {
        let (expected, got) = ("at most 1 MiB", "more");
        return Err(TlsError::Content { path: path.to_owned(), expected, got });
    }
    std::fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    /// A folder with a pair, `a` and `a.key`, and the key of another one, `b.key`.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(folder.path().join(name), cert.pem()).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), signing_key.serialize_pem()).unwrap();
        }
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("empty", "");
        write("cut", "-----BEGIN CERTIFICATE-----\nAAAA\n");
        write("encrypted.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
        write("other", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        folder
    }

    #[track_caller]
    fn check(certificate: &str, key: &str, expected: &str) {
        let folder = folder();
        let identity = Identity { certificate: folder.path().join(certificate), key: folder.path().join(key) };
        let error = server(&identity, &[], None).unwrap_err().to_string();
        assert!(error.contains(expected), "{certificate}, {key}: {error}");
        assert!(error.starts_with(folder.path().to_str().unwrap()), "it names the file: {error}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file() {
        check("nothing", "a.key", "No such file");
        check("a", "nothing", "No such file");
        check("empty", "a.key", "expected certificates in PEM (BEGIN CERTIFICATE), got none");
        check("a.key", "a.key", "expected certificates in PEM (BEGIN CERTIFICATE), got none");
        check("cut", "a.key", "got one without its END line");
        check("a", "a", "expected a private key in PEM");
        check("a", "encrypted.key", "not encrypted, got none");
        check("a", "b.key", "the key is not the one of the certificate in");
        check("other", "a.key", "invalid peer certificate");
    }

    #[test]
    fn a_pair_and_authorities_that_fit_are_taken() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let identity = Identity { certificate: path("a"), key: path("a.key") };
        let config = server(&identity, &[b"h2", b"http/1.1"], Some(&path("b"))).unwrap();
        assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
        assert!(client(Some(&path("a")), Some(&identity)).is_ok());
        assert!(matches!(client(Some(&path("empty")), None), Err(TlsError::Content { .. })));
        assert!(matches!(client(Some(&path("other")), None), Err(TlsError::Content { .. })));
    }
}
