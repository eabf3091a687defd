//! TLS on every port: what is spoken, to whom, and what becomes of those who speak otherwise.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gudgeon::config::{Config, Period};
use gudgeon::tls::{Identity, client};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, ProtocolVersion};

use super::harness::{TOKEN, TestRegistry, TestServer, gudgeon, isolation, oip_python, repository};

/// An authority, and what it has signed, in a folder.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        // Another name than those that it signs: who has the name of its authority is taken for one that signed itself.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Writes a pair for this machine under `name`.
    fn sign(&self, name: &str) -> Identity {
        let params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |end: &str| self.folder.path().join(format!("{name}.{end}"));
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        std::fs::write(path("pem"), certificate.pem()).unwrap();
        Identity { certificate: path("pem"), key: path("key") }
    }

    async fn serve(&self, change: impl FnOnce(&mut Config)) -> TestServer {
        let Identity { certificate, key } = self.sign("server");
        let registry = TestRegistry::empty().with_case("iris", 1, "iris_logreg");
        let server = TestServer::begin(
            Arc::new(registry),
            |config| {
                config.tls_cert_file = certificate;
                config.tls_key_file = key;
                change(config);
            },
            isolation(),
        )
        .await;
        let config = client(Some(&self.ca()), None).unwrap();
        until("readiness", async || get(&server.http, "/readyz", &config).await.is_some_and(|text| is_ok(&text))).await;
        server
    }
}

fn is_ok(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ")
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn host(address: &str) -> &str {
    address.trim_start_matches("http://")
}

async fn connect(address: &str, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(host(address)).await?;
    TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// The whole answer; `None` where there is none.
async fn get(address: &str, path: &str, config: &Arc<ClientConfig>) -> Option<String> {
    let mut stream = connect(address, config).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

fn speaking(config: &Arc<ClientConfig>, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// What comes back of `sent` as it is, to the end of the connection, which has to be a clean one.
async fn plain(address: &str, sent: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(host(address)).await.unwrap();
    stream.write_all(sent).await.unwrap();
    let mut got = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut got)).await.unwrap().unwrap();
    got
}

#[tokio::test(flavor = "multi_thread")]
async fn every_port_speaks_tls_and_nothing_else() {
    let authority = Authority::new();
    let server = authority.serve(|config| config.header_timeout = Period::from_millis(500)).await;
    let config = client(Some(&authority.ca()), None).unwrap();
    for (address, alpn, spoken) in [
        (&server.http, &["h2", "http/1.1"][..], Some(&b"http/1.1"[..])),
        (&server.ops, &["http/1.1"], Some(b"http/1.1")),
        (&server.grpc, &["h2", "http/1.1"], Some(b"h2")),
        (&server.http, &[], None),
    ] {
        let stream = connect(address, &speaking(&config, alpn)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), spoken);
    }
    assert!(connect(&server.http, &speaking(&config, &["h2"])).await.is_err(), "HTTP/2 is for the port of gRPC");
    for (versions, spoken) in [
        (&[&rustls::version::TLS12][..], ProtocolVersion::TLSv1_2),
        (&[&rustls::version::TLS13], ProtocolVersion::TLSv1_3),
    ] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(default_provider().into());
        let config = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        let stream = connect(&server.http, &Arc::new(config.with_no_client_auth())).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken));
    }
    let mut stream = connect(&server.ops, &config).await.unwrap();
    let head = format!("GET /admin/models HTTP/1.1\r\nhost: models.example\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(status, *b"HTTP/1.1 200", "by a name that the certificate vouches for");
    let asked = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    for address in [&server.http, &server.grpc, &server.ops] {
        let got = plain(address, asked.as_bytes()).await;
        assert!(!String::from_utf8_lossy(&got).contains("HTTP"), "plain text was answered: {got:?}");
        // Nothing, and the beginning of a handshake that does not go on: both are let go after the limit.
        assert_eq!(plain(address, b"").await, b"");
        assert_eq!(plain(address, &[0x16, 3, 1, 2, 0, 1]).await, b"");
    }
    assert!(
        get(&server.ops, "/metrics", &config)
            .await
            .is_some_and(|text| is_ok(&text) && text.contains("gudgeon_ready 1"))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_speak_tls_and_want_to_know_whom_to_trust() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let url = format!("https://{}", host(&server.ops));
    let token = server.registry.file(".token").to_str().unwrap().to_owned();
    let list = |more: &[&str]| gudgeon(&[&["list", "--url", &url, "--admin-token-file", &token], more].concat());
    let ca = authority.ca();
    let (code, out, error) = list(&["--ca-file", ca.to_str().unwrap()]);
    assert!(code == 0 && out.contains("iris"), "{code}: {out}{error}");
    let other = Authority::new();
    let (code, _, error) = list(&["--ca-file", other.ca().to_str().unwrap()]);
    assert!(code == 2 && error.contains("certificate"), "{code}: {error}");
    let (code, _, error) = list(&["--ca-file", "/nothing.pem"]);
    assert!(code == 2 && error.contains("/nothing.pem: No such file"), "{code}: {error}");
    server.stop().await;
}

async fn shown(server: &TestServer, config: &Arc<ClientConfig>) -> Vec<u8> {
    let stream = connect(&server.http, config).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let config = client(Some(&authority.ca()), None).unwrap();
    let open = connect(&server.http, &config).await.unwrap();
    let first = shown(&server, &config).await;
    authority.sign("server");
    until("the new certificate", async || shown(&server, &config).await != first).await;
    let second = shown(&server, &config).await;
    let identity = authority.folder.path().join("server.pem");
    std::fs::write(&identity, "nothing").unwrap();
    // Another key alone does not fit; what is whole again is taken, after what was broken.
    std::fs::write(authority.folder.path().join("server.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert_eq!(shown(&server, &config).await, second);
    authority.sign("server");
    until("the third certificate", async || shown(&server, &config).await != second).await;
    drop(open);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operations_port_may_want_a_certificate_of_its_callers() {
    let authority = Authority::new();
    let ca = authority.ca();
    let server = authority.serve(|config| config.tls_ops_client_ca_file = ca).await;
    let nobody = client(Some(&authority.ca()), None).unwrap();
    let operator = client(Some(&authority.ca()), Some(&authority.sign("operator"))).unwrap();
    let stranger = client(Some(&authority.ca()), Some(&Authority::new().sign("stranger"))).unwrap();
    assert!(get(&server.ops, "/readyz", &operator).await.is_some_and(|text| is_ok(&text)));
    assert_eq!(get(&server.ops, "/readyz", &nobody).await, None);
    assert_eq!(get(&server.ops, "/readyz", &stranger).await, None);
    assert!(get(&server.http, "/readyz", &nobody).await.is_some_and(|text| is_ok(&text)));
    server.stop().await;
}

#[test]
fn a_server_does_not_start_with_what_it_cannot_use_and_says_why() {
    let authority = Authority::new();
    let (own, other) = (authority.sign("own"), authority.sign("other"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let models = TestRegistry::empty();
    let start = |certificate: &Path, key: &Path| {
        let (models, certificate, key) = (text(models.path()), text(certificate), text(key));
        let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key];
        let ports = ["--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0", "--ops-addr", "127.0.0.1:0"];
        gudgeon(&[&["serve", "--models", &models][..], &files, &ports].concat())
    };
    for (certificate, key, expected) in [
        (own.certificate.as_path(), other.key.as_path(), "the key is not the one of the certificate"),
        (own.certificate.as_path(), own.certificate.as_path(), "expected a private key in PEM"),
        (own.certificate.as_path(), Path::new("/nothing.key"), "/nothing.key: No such file"),
    ] {
        let (code, _, error) = start(certificate, key);
        assert!(code == 2 && error.contains("TLS: ") && error.contains(expected), "{code}: {error}");
        assert!(!error.contains("BEGIN PRIVATE KEY-----\n"), "a key was told: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_goes_over_tls_and_wants_a_key() {
    let authority = Authority::new();
    let keys = authority.folder.path().join("keys");
    std::fs::write(&keys, format!("tests {}\n", super::callers::digest(TOKEN))).unwrap();
    let server = authority.serve(|config| config.api_keys_file = keys).await;
    let port = server.grpc.rsplit(':').next().unwrap();
    let output = std::process::Command::new(oip_python())
        .arg(repository("tests/python/oip_secured.py"))
        .args([&format!("localhost:{port}"), authority.ca().to_str().unwrap(), TOKEN, "iris"])
        .output()
        .unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.trim(), "ok", "{error}");
    server.stop().await;
}
