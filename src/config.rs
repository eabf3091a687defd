//! What runs: flags, environment and a file become one complete, checked [`Config`].
//!
//! A flag wins over its environment variable, that over the file, that over the default. This is the only module that
//! reads the environment. The table that [`settings!`] makes is what docs/CONFIGURATION.md is held against.

mod origins;
mod platform;
mod units;

pub use origins::Origins;
pub use units::{ByteSize, InvalidUnit, Period};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::engine::{Engines, Limits, Onnxruntime, Providers};
use crate::telemetry::LogFormat;

/// Less does not open the smallest model: opening takes a deep stack.
const VERIFY_MEMORY_MIN: u64 = 128 << 20;

/// One setting, for the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key in the file; the flag is `--` and this with hyphens.
    pub key: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// The default, as one would write it.
    pub default: String,
    /// What it does.
    pub help: &'static str,
}

/// Declares the settings: key, type, environment variable, default, help.
macro_rules! settings {
    ($($key:ident: $type:ty = $env:literal, $default:expr, $help:literal;)+) => {
        /// What was written: by flags and environment, or in the file.
        #[derive(Debug, Clone, Default, PartialEq, clap::Args, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct RawConfig {
            /// A TOML file with settings by the same names, with underscores.
            #[arg(long, env = "GUDGEON_CONFIG", value_name = "FILE")]
            #[serde(skip)]
            pub config: Option<PathBuf>,
            /// File with the admin token; without it the token is taken from GUDGEON_ADMIN_TOKEN, else made at start.
            #[arg(long, env = "GUDGEON_ADMIN_TOKEN_FILE", value_name = "FILE")]
            pub admin_token_file: Option<PathBuf>,
            $(
                #[doc = $help]
                #[arg(long, env = $env)]
                pub $key: Option<$type>,
            )+
        }

        /// What runs: every setting, checked.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Config {
            /// Where the admin token comes from.
            pub admin_token: TokenSource,
            $(#[doc = $help] pub $key: $type,)+
        }

        impl RawConfig {
            /// What is written here, else what `file` says.
            fn or(self, file: Self) -> Self {
                Self {
                    config: self.config,
                    admin_token_file: self.admin_token_file.or(file.admin_token_file),
                    $($key: self.$key.or(file.$key),)+
                }
            }

            fn complete(self, admin_token: TokenSource) -> Config {
                let Self { config: _, admin_token_file: _, $($key),+ } = self;
                Config { admin_token, $($key: $key.unwrap_or_else(|| $default)),+ }
            }
        }

        /// Every setting but the token's, with its default.
        pub fn settings() -> Vec<Setting> {
            vec![$(Setting {
                key: stringify!($key),
                env: $env,
                default: { let default: $type = $default; shown(&default) },
                help: $help,
            }),+]
        }
    };
}

settings! {
    models: PathBuf = "GUDGEON_MODELS", PathBuf::from("models"), "The registry: the folder with a folder a model.";
    default_model: String = "GUDGEON_DEFAULT_MODEL", String::new(),
        "The model that /invocations asks; by default the only one that is served.";
    predict_route: String = "GUDGEON_PREDICT_ROUTE", String::new(),
        "One more path for what /invocations answers; by default what AIP_PREDICT_ROUTE says.";
    health_route: String = "GUDGEON_HEALTH_ROUTE", String::new(),
        "One more path for what /ping answers; by default what AIP_HEALTH_ROUTE says.";
    registry_poll_interval: Period = "GUDGEON_REGISTRY_POLL_INTERVAL", Period::from_secs(2),
        "How often the registry is looked at for changes; where the system tells of them, they are seen at once.";
    http_addr: SocketAddr = "GUDGEON_HTTP_ADDR", loopback(8080),
        "Address for predictions and probes; port 0 takes a free one and the log says which.";
    grpc_addr: SocketAddr = "GUDGEON_GRPC_ADDR", loopback(8081), "Address for predictions over gRPC.";
    ops_addr: SocketAddr = "GUDGEON_OPS_ADDR", loopback(8082), "Address for metrics, probes and the admin route.";
    tls_cert_file: PathBuf = "GUDGEON_TLS_CERT_FILE", PathBuf::new(),
        "PEM file with the server's certificate and those that it is signed by: every port then speaks TLS and nothing else.";
    tls_key_file: PathBuf = "GUDGEON_TLS_KEY_FILE", PathBuf::new(), "PEM file with the key of that certificate.";
    tls_ops_client_ca_file: PathBuf = "GUDGEON_TLS_OPS_CLIENT_CA_FILE", PathBuf::new(),
        "PEM file with authorities: the operations port then takes no connection without a certificate that they have signed.";
    api_keys_file: PathBuf = "GUDGEON_API_KEYS_FILE", PathBuf::new(),
        "File with the names and SHA-256 digests of API keys: the ports for predictions then want one of the keys.";
    cors_origins: Origins = "GUDGEON_CORS_ORIGINS", Origins::default(),
        "Origins whose pages may ask for predictions, for example https://shop.example; * is every one; a list in the file.";
    request_timeout: Period = "GUDGEON_REQUEST_TIMEOUT", Period::from_secs(10),
        "Deadline of a prediction; a request may ask for less with x-request-timeout-ms.";
    header_timeout: Period = "GUDGEON_HEADER_TIMEOUT", Period::from_secs(30),
        "A connection that has not sent a request's head by then, or is not done with its TLS handshake, is closed.";
    body_timeout: Period = "GUDGEON_BODY_TIMEOUT", Period::from_secs(30),
        "A prediction's body that takes so long, or another body or a caller's reading of an answer that stalls for so long, ends the request.";
    connections_max: usize = "GUDGEON_CONNECTIONS_MAX", 4096, "Open connections a listener; more wait to be accepted.";
    body_bytes_max: ByteSize = "GUDGEON_BODY_BYTES_MAX", ByteSize::mib(64), "Largest body of a prediction request.";
    body_bytes_in_flight_max: ByteSize = "GUDGEON_BODY_BYTES_IN_FLIGHT_MAX", ByteSize::mib(256),
        "All bodies over 64 KiB of predictions under way together; one more gets 429.";
    upload_bytes_max: ByteSize = "GUDGEON_UPLOAD_BYTES_MAX", ByteSize::mib(1024), "Largest graph that can be uploaded.";
    rows_max: usize = "GUDGEON_ROWS_MAX", 100_000, "Most rows in one prediction request.";
    nesting_max: usize = "GUDGEON_NESTING_MAX", 32, "Deepest nesting of JSON in a request.";
    queue_len_max: usize = "GUDGEON_QUEUE_LEN_MAX", 1024, "Requests that may wait for one version; one more gets 429.";
    batch_rows_max: usize = "GUDGEON_BATCH_ROWS_MAX", 1024, "Rows up to which waiting requests run as one batch.";
    compute_threads: usize = "GUDGEON_COMPUTE_THREADS", 0, "Threads that run models; 0 is one a core.";
    onnxruntime_library: PathBuf = "GUDGEON_ONNXRUNTIME_LIBRARY", PathBuf::new(),
        "The library of onnxruntime 1.24 or newer; else ORT_DYLIB_PATH, else libonnxruntime.so or libonnxruntime.so.1.* beside the binary.";
    onnxruntime_providers: Providers = "GUDGEON_ONNXRUNTIME_PROVIDERS", Providers::default(),
        "What runs onnxruntime's operators, the first that is there: cpu, cuda or cuda,cpu; a list in the file.";
    verify_memory_max: ByteSize = "GUDGEON_VERIFY_MEMORY_MAX", ByteSize::mib(1024),
        "Memory that opening and trying out a version may take, in a child process; up to two at once.";
    verify_cpu_max: Period = "GUDGEON_VERIFY_CPU_MAX", Period::from_secs(60),
        "Time on a core that opening and trying out a version may take.";
    verify_timeout: Period = "GUDGEON_VERIFY_TIMEOUT", Period::from_secs(120),
        "Time by the clock that opening and trying out a version may take.";
    gate_memory_max: ByteSize = "GUDGEON_GATE_MEMORY_MAX", ByteSize::mib(4096),
        "Memory that holding a version against the gate may take, in a child process; up to two at once.";
    gate_cpu_max: Period = "GUDGEON_GATE_CPU_MAX", Period::from_secs(300),
        "Time on a core that holding a version against the gate may take.";
    gate_timeout: Period = "GUDGEON_GATE_TIMEOUT", Period::from_secs(540),
        "Time by the clock that holding a version against the gate may take.";
    monitoring: bool = "GUDGEON_MONITORING", true,
        "Whether predictions are counted, timed and watched for drift; false shows what that costs, and holds rollouts up.";
    multi_model: bool = "GUDGEON_MULTI_MODEL", false,
        "Whether this is a SageMaker multi-model endpoint: models are loaded and unloaded by callers without a token; by default what SAGEMAKER_MULTI_MODEL says.";
    models_max: usize = "GUDGEON_MODELS_MAX", 1000, "Models that a multi-model endpoint may have in memory; one more gets 507.";
    feedback_rows: usize = "GUDGEON_FEEDBACK_ROWS", 0,
        "Predicted rows a model that are remembered for feedback; 0 remembers none.";
    drain_delay: Period = "GUDGEON_DRAIN_DELAY", Period::from_secs(5),
        "After SIGTERM: how long to serve on while readiness is off, so that load balancers notice.";
    drain_timeout: Period = "GUDGEON_DRAIN_TIMEOUT", Period::from_secs(30),
        "After the delay: how long requests in flight may take to finish.";
    log_format: LogFormat = "GUDGEON_LOG_FORMAT", LogFormat::Text, "Form of log lines: text or json.";
    log: String = "GUDGEON_LOG", "info".to_owned(), "Log filter, for example info or gudgeon=debug,warn.";
}

/// Where the admin token comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// It was given.
    Given(String),
    /// It is made at start and kept in this file, mode 0600.
    Generated(PathBuf),
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(..)"),
            Self::Generated(path) => f.debug_tuple("Generated").field(path).finish(),
        }
    }
}

/// The configuration does not make sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {path}: {source}: check the path given with --config or GUDGEON_CONFIG")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or value that is not known.
    #[error("configuration file {path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        message: String,
    },
    /// A value is out of its range.
    #[error("{key}: expected {expected}, got {got}")]
    Range {
        /// The setting.
        key: &'static str,
        /// What is accepted.
        expected: &'static str,
        /// What was written.
        got: String,
    },
    /// There is no admin token to be found.
    #[error(
        "no admin token: set GUDGEON_ADMIN_TOKEN or --admin-token-file (a server on this machine would keep its own in {path})"
    )]
    NoToken {
        /// Where a generated one would be.
        path: PathBuf,
    },
    /// The admin token is empty, too short, or nothing that a header field can carry.
    #[error(
        "admin token from {origin}: expected 16 to 1024 ASCII characters without spaces, got {len}: make one with `openssl rand -hex 32`"
    )]
    WeakToken {
        /// Where it was written.
        origin: String,
        /// How long it is.
        len: usize,
    },
}

impl RawConfig {
    /// Reads the file, if one is named, and completes and checks every setting.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting, what is accepted and what was written.
    pub fn check(self) -> Result<Config, ConfigError> {
        let raw = match &self.config {
            Some(path) => {
                let file = Self::read(path)?;
                self.or(file)
            }
            None => self,
        };
        let raw = platform::with_platform(raw, variable)?;
        let admin_token = token_source(raw.admin_token_file.as_deref())?;
        let mut config = raw.complete(admin_token);
        config.check_ranges()?;
        config.onnxruntime_library = onnxruntime_library(&config.onnxruntime_library)?.unwrap_or_default();
        Ok(config)
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })
    }
}

impl Config {
    fn check_ranges(&self) -> Result<(), ConfigError> {
        let at_least_one = [
            ("connections_max", self.connections_max),
            ("rows_max", self.rows_max),
            ("nesting_max", self.nesting_max),
            ("queue_len_max", self.queue_len_max),
            ("batch_rows_max", self.batch_rows_max),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                return Err(ConfigError::Range { key, expected: "at least 1", got: value.to_string() });
            }
        }
        for (key, route) in [("predict_route", &self.predict_route), ("health_route", &self.health_route)] {
            if !is_route(route) {
                let expected = "a path: / first, then letters, digits, '/', '.', '_', '~', ':' and '-'";
                return Err(ConfigError::Range { key, expected, got: route.clone() });
            }
        }
        if self.nesting_max > 100 {
            let got = self.nesting_max.to_string();
            return Err(ConfigError::Range { key: "nesting_max", expected: "at most 100", got });
        }
        if self.body_bytes_in_flight_max.bytes() < self.body_bytes_max.bytes() {
            let got = self.body_bytes_in_flight_max.to_string();
            return Err(ConfigError::Range {
                key: "body_bytes_in_flight_max",
                expected: "at least body_bytes_max",
                got,
            });
        }
        if self.verify_memory_max.bytes() < VERIFY_MEMORY_MIN {
            let got = self.verify_memory_max.to_string();
            return Err(ConfigError::Range { key: "verify_memory_max", expected: "at least 128MiB", got });
        }
        self.check_tls()?;
        let periods = [
            ("request_timeout", self.request_timeout),
            ("header_timeout", self.header_timeout),
            ("registry_poll_interval", self.registry_poll_interval),
            ("verify_cpu_max", self.verify_cpu_max),
            ("verify_timeout", self.verify_timeout),
            ("gate_cpu_max", self.gate_cpu_max),
            ("gate_timeout", self.gate_timeout),
        ];
        for (key, period) in periods {
            if period.duration().is_zero() {
                return Err(ConfigError::Range { key, expected: "more than 0s", got: period.to_string() });
            }
        }
        Ok(())
    }

    /// A certificate is nothing without its key, and authorities are nothing without both.
    fn check_tls(&self) -> Result<(), ConfigError> {
        let is_named = |path: &Path| !path.as_os_str().is_empty();
        let (has_certificate, has_key) = (is_named(&self.tls_cert_file), is_named(&self.tls_key_file));
        let missing = |key, expected| Err(ConfigError::Range { key, expected, got: "no file".to_owned() });
        match (has_certificate, has_key) {
            (true, false) => missing("tls_key_file", "the key of the certificate in tls_cert_file"),
            (false, true) => missing("tls_cert_file", "the certificate of the key in tls_key_file"),
            (false, false) if is_named(&self.tls_ops_client_ca_file) => missing(
                "tls_cert_file",
                "a certificate of the server, since tls_ops_client_ca_file asks for those of clients",
            ),
            _ => Ok(()),
        }
    }

    /// What models are opened with.
    pub fn engines(&self) -> Engines {
        let limits = Limits { model_bytes_max: self.upload_bytes_max.bytes(), ..Limits::default() };
        let library = Some(&self.onnxruntime_library).filter(|path| !path.as_os_str().is_empty());
        let onnxruntime = library.map(|library| Onnxruntime {
            library: library.clone(),
            providers: self.onnxruntime_providers.clone(),
            runs_at_once_max: self.compute_threads_resolved(),
        });
        Engines { limits, onnxruntime }
    }

    /// Compute threads as they run: one a core that this process may use, where the setting is 0.
    pub fn compute_threads_resolved(&self) -> usize {
        match self.compute_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
}

/// Whether `text` is a path that requests may have as it is written, or nothing.
fn is_route(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._~:-".contains(&byte);
    text.is_empty() || (text.starts_with('/') && text.bytes().all(is_plain))
}

#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
fn token_source(file: Option<&Path>) -> Result<TokenSource, ConfigError> {
    if let Some(path) = file
        && path.exists()
    {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        return checked_token(text.trim(), path.display().to_string());
    }
    if let Ok(token) = std::env::var("GUDGEON_ADMIN_TOKEN") {
        return checked_token(&token, "GUDGEON_ADMIN_TOKEN".to_owned());
    }
    let path = file.map_or_else(generated_token_path, Path::to_owned);
    if path.exists() {
        let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        return checked_token(text.trim(), path.display().to_string());
    }
    Ok(TokenSource::Generated(path))
}

/// Where onnxruntime's library is: `named`, unless that is empty, else what `ORT_DYLIB_PATH` names, else beside the binary;
/// nothing where there is none.
///
/// # Errors
/// [`ConfigError::Range`] where what is named is no file, or this build has no use for it.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
pub fn onnxruntime_library(named: &Path) -> Result<Option<PathBuf>, ConfigError> {
    let of_environment = || std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from);
    let given = Some(named.to_owned()).filter(|path| !path.as_os_str().is_empty());
    let (key, given) = match given {
        Some(path) => ("onnxruntime_library", Some(path)),
        None => ("ORT_DYLIB_PATH", of_environment().filter(|path| !path.as_os_str().is_empty())),
    };
    let Some(path) = given else {
        let binary = std::env::current_exe().ok();
        let folder = binary.as_deref().and_then(Path::parent).filter(|_| Onnxruntime::IS_IN_BUILD);
        return Ok(folder.and_then(Onnxruntime::library_in));
    };
    let got = || path.display().to_string();
    if !Onnxruntime::IS_IN_BUILD {
        return Err(ConfigError::Range {
            key,
            expected: "nothing, since this build has no use for it (a static one, or one without the feature)",
            got: got(),
        });
    }
    // Relative to where this process was started; its children are told the whole path.
    match path.canonicalize() {
        Ok(path) if path.is_file() => Ok(Some(path)),
        _ => Err(ConfigError::Range { key, expected: "the file of onnxruntime's library", got: got() }),
    }
}

/// Forbids onnxruntime to report on its use to its makers, to keep a file for that and a thread that sends it: from 1.29 on it would
/// as soon as its library is opened, and this is the switch that comes before.
///
/// # Safety
/// The process must have one thread: others may read the environment at the same time.
#[expect(unsafe_code, reason = "a library of this process can be told in no other way")]
#[expect(clippy::disallowed_methods, reason = "the one change, before anything reads the environment")]
pub unsafe fn forbid_telemetry() {
    // SAFETY: the caller's.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}

fn checked_token(token: &str, origin: String) -> Result<TokenSource, ConfigError> {
    if !(16..=1024).contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ConfigError::WeakToken { origin, len: token.chars().count() });
    }
    Ok(TokenSource::Given(token.to_owned()))
}

/// The admin token as a client finds it: in `file`, else in `GUDGEON_ADMIN_TOKEN`, else where `serve` keeps the one that
/// it made.
///
/// # Errors
/// [`ConfigError`] where there is none, or it is too weak to be one.
pub fn admin_token(file: Option<&Path>) -> Result<String, ConfigError> {
    match token_source(file)? {
        TokenSource::Given(token) => Ok(token),
        TokenSource::Generated(path) => Err(ConfigError::NoToken { path }),
    }
}

/// Where a generated token is kept, so that the command line on the same machine finds it:
/// `$XDG_STATE_HOME/gudgeon/admin-token`, by default under `~/.local/state`.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
pub fn generated_token_path() -> PathBuf {
    let state = std::env::var("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|_| std::env::var("HOME").map(|home| Path::new(&home).join(".local").join("state")));
    state.unwrap_or_else(|_| std::env::temp_dir()).join("gudgeon").join("admin-token")
}

/// Who runs a command, for the history: `$GUDGEON_ACTOR`, else `$USER`, else `unknown`.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the environment")]
pub fn actor() -> String {
    std::env::var("GUDGEON_ACTOR").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "unknown".to_owned())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// A default as one would write it.
fn shown<T: std::fmt::Debug>(value: &T) -> String {
    let text = format!("{value:?}");
    text.trim_matches('"').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_file(text: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gudgeon.toml");
        std::fs::write(&path, text).unwrap();
        let error = RawConfig { config: Some(path), ..RawConfig::default() }.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn an_unknown_key_or_a_wrong_value_is_named() {
        check_file("qeue_len_max = 3", "unknown field `qeue_len_max`");
        check_file("queue_len_max = 0", "queue_len_max: expected at least 1, got 0");
        check_file("request_timeout = \"soon\"", "expected a number and a unit");
        check_file("body_bytes_max = 12", "expected a number and a unit");
        check_file("http_addr = \"localhost\"", "invalid socket address");
        check_file("body_bytes_in_flight_max = \"1MiB\"", "body_bytes_in_flight_max: expected at least body_bytes_max");
        check_file("verify_memory_max = \"64MiB\"", "verify_memory_max: expected at least 128MiB, got 64MiB");
        check_file("verify_timeout = \"0s\"", "verify_timeout: expected more than 0s, got 0s");
        check_file("predict_route = \"predict\"", "predict_route: expected a path: / first");
        check_file("health_route = \"/{x}\"", "health_route: expected a path");
        check_file("nesting_max = 101", "nesting_max: expected at most 100, got 101");
        check_file(
            "onnxruntime_library = \"/nowhere/libonnxruntime.so\"",
            "onnxruntime_library: expected the file of onnxruntime's library, got /nowhere/libonnxruntime.so",
        );
        check_file(
            "tls_cert_file = \"a.pem\"",
            "tls_key_file: expected the key of the certificate in tls_cert_file, got no file",
        );
        check_file("tls_key_file = \"a.key\"", "tls_cert_file: expected the certificate of the key in tls_key_file");
        check_file("tls_ops_client_ca_file = \"ca.pem\"", "tls_cert_file: expected a certificate of the server");
        check_file("cors_origins = [\"shop.example\"]", "expected an origin like https://shop.example");
        check_file("onnxruntime_providers = [\"tensorrt\"]", "expected some of cuda, cpu, got \"tensorrt\"");
    }

    #[test]
    fn a_flag_wins_over_the_file_and_that_over_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gudgeon.toml");
        std::fs::write(&path, "rows_max = 5\nqueue_len_max = 6\ndrain_delay = \"250ms\"").unwrap();
        let config = RawConfig { config: Some(path), rows_max: Some(7), ..RawConfig::default() }.check().unwrap();
        assert_eq!((config.rows_max, config.queue_len_max, config.batch_rows_max), (7, 6, 1024));
        assert_eq!(config.drain_delay.duration().as_millis(), 250);
    }

    #[test]
    fn a_token_that_no_header_field_can_carry_is_refused() {
        for token in ["\u{fc}n\u{ef}c\u{f6}d\u{e9}-token-0123456789".to_owned(), "x".repeat(1025), "x".repeat(15)] {
            assert!(
                matches!(checked_token(&token, "a test".to_owned()), Err(ConfigError::WeakToken { .. })),
                "{token}"
            );
        }
        assert!(checked_token(&"x".repeat(1024), "a test".to_owned()).is_ok());
    }

    #[test]
    fn an_empty_or_short_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "\n").unwrap();
        let error = RawConfig { admin_token_file: Some(path), ..RawConfig::default() }.check().unwrap_err();
        assert!(matches!(error, ConfigError::WeakToken { len: 0, .. }));
    }
}
