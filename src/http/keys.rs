//! API keys of the ports for predictions: who may ask, where a file says who.
//!
//! The file holds names and SHA-256 digests of keys, so that reading it gives nobody a key. A key is looked for among the digests
//! of all, in the same time wherever it is, so that nobody learns one by asking.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::error::ApiError;
use crate::metrics::{KeyRequests, Metrics};

/// The header field that carries a key, beside `authorization: Bearer`.
pub(in crate::http) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// What may be asked without a key: what probes ask. Another spelling of these paths wants one.
const OPEN: [&str; 7] = ["/", "/livez", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready"];
/// The calls that may be made without one: those of probes, and those that want the admin token.
const OPEN_CALLS: [&str; 6] = [
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
    "/inference.GRPCInferenceService/RepositoryModelLoad",
    "/inference.GRPCInferenceService/RepositoryModelUnload",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];
/// The most keys; each may have a series.
const KEYS_MAX: usize = 1_000;
/// The largest file.
const FILE_BYTES_MAX: usize = 1 << 20;
const NAME_CHARS_MAX: usize = 64;

/// The keys that are taken, if keys are asked for at all.
#[derive(Debug, Default)]
pub struct ApiKeys(Option<RwLock<Arc<KeySet>>>);

/// The keys of a file.
#[derive(Debug)]
pub struct KeySet(Vec<ApiKey>);

#[derive(Debug)]
struct ApiKey {
    name: Arc<str>,
    digest: [u8; 32],
    requests: KeyRequests,
}

/// The file of keys says nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeysError {
    /// It cannot be read.
    #[error("API keys: {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is wrong. No line is quoted: it may hold a key.
    #[error("API keys: {path}, line {line}: expected {expected}, got {got}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What should be there.
        expected: &'static str,
        /// What is.
        got: &'static str,
    },
}

/// Whether `path` may be asked without a key.
pub(in crate::http) fn is_open(path: &str) -> bool {
    OPEN.contains(&path)
}

impl ApiKeys {
    /// Whether keys are asked for.
    pub(in crate::http) fn are_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Takes those of `keys` alone.
    pub fn of(keys: KeySet) -> Self {
        Self(Some(RwLock::new(Arc::new(keys))))
    }

    /// Takes those of `keys` from now on. The series of names that are gone go.
    pub fn replace(&self, keys: KeySet, metrics: &Metrics) {
        let Some(current) = &self.0 else { return };
        let before = std::mem::replace(&mut *current.write().unwrap_or_else(PoisonError::into_inner), Arc::new(keys));
        let now: BTreeSet<_> = self.current().iter().flat_map(|keys| keys.names()).collect();
        before.names().into_iter().filter(|name| !now.contains(name)).for_each(|name| metrics.forget_key(&name));
    }

    fn current(&self) -> Option<Arc<KeySet>> {
        Some(Arc::clone(&self.0.as_ref()?.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Whose request for `path` this is; `None` where nobody is asked.
    ///
    /// # Errors
    /// [`ApiError::NoKey`].
    pub(super) fn admit(&self, headers: &HeaderMap, path: &str) -> Result<Option<Arc<str>>, ApiError> {
        match self.0 {
            Some(_) if !is_open(path) => self.admitted(headers).map(Some),
            _ => Ok(None),
        }
    }

    /// As [`Self::admit`], of a call over gRPC.
    ///
    /// # Errors
    /// [`ApiError::NoKey`].
    pub(crate) fn admit_call(&self, headers: &HeaderMap, path: &str) -> Result<Option<Arc<str>>, ApiError> {
        match self.0 {
            Some(_) if !OPEN_CALLS.contains(&path) => self.admitted(headers).map(Some),
            _ => Ok(None),
        }
    }

    fn admitted(&self, headers: &HeaderMap) -> Result<Arc<str>, ApiError> {
        let key = offered(headers).and_then(|offered| self.current()?.find(offered));
        key.ok_or(ApiError::NoKey)
    }
}

/// The key that a request comes with.
fn offered(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(key) = headers.get(API_KEY) {
        return Some(key.as_bytes().trim_ascii());
    }
    let value = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes)?;
    let (scheme, key) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| key.trim_ascii())
}

impl KeySet {
    /// Reads a file of lines `NAME SHA256`, with empty lines and comments (`#`). A name may have several keys.
    ///
    /// # Errors
    /// [`ApiKeysError`] names the line; a file without a key is refused, since it would keep everybody out.
    pub fn read(path: &Path, metrics: &Metrics) -> Result<Self, ApiKeysError> {
        let failed = |source| ApiKeysError::Read { path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(failed)?;
        let keys = parse(&bytes).map_err(|Fault { line, expected, got }| {
            let path = path.to_owned();
            ApiKeysError::Line { path, line, expected, got }
        })?;
        let key =
            |(name, digest): (&str, _)| ApiKey { name: name.into(), digest, requests: metrics.key_requests(name) };
        Ok(Self(keys.into_iter().map(key).collect()))
    }

    /// The name of the key `offered`, whose request is counted. Every key is compared.
    fn find(&self, offered: &[u8]) -> Option<Arc<str>> {
        let digest: [u8; 32] = Sha256::digest(offered).into();
        let mut place = u32::MAX;
        for (at, key) in (0_u32..).zip(&self.0) {
            place.conditional_assign(&at, key.digest.ct_eq(&digest));
        }
        let key = self.0.get(usize::try_from(place).ok()?)?;
        key.requests.count();
        Some(Arc::clone(&key.name))
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.iter().map(|key| Arc::clone(&key.name)).collect()
    }
}

/// What is wrong with a file, and where.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    line: usize,
    expected: &'static str,
    got: &'static str,
}

fn parse(bytes: &[u8]) -> Result<Vec<(&str, [u8; 32])>, Fault> {
    let fault = |line, expected, got| Fault { line, expected, got };
    if FILE_BYTES_MAX < bytes.len() {
        return Err(fault(1, "a file of at most 1 MiB", "a larger one"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| fault(1, "text in UTF-8", "other bytes"))?;
    let mut keys: Vec<(&str, [u8; 32])> = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let parts: Vec<&str> = content.split_ascii_whitespace().collect();
        let [name, hex] = parts[..] else { return Err(fault(line, "NAME SHA256", "another number of words")) };
        let is_known = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
        if NAME_CHARS_MAX < name.len() || !name.chars().all(is_known) {
            return Err(fault(line, "a name of up to 64 letters, digits, '.', '_' and '-'", "another one"));
        }
        let expected = "the SHA-256 of a key, 64 hexadecimal digits";
        let digest = digest(hex).ok_or_else(|| fault(line, expected, "something else"))?;
        if keys.iter().any(|(_, other)| *other == digest) {
            return Err(fault(line, "each key once", "one that was there already"));
        }
        keys.push((name, digest));
        if KEYS_MAX < keys.len() {
            return Err(fault(line, "at most 1,000 keys", "more"));
        }
    }
    if keys.is_empty() { Err(fault(1, "at least one key", "none")) } else { Ok(keys) }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = hex.chars().map(|char| u8::try_from(char.to_digit(16)?).ok()).collect();
    let bytes: Vec<u8> = digits?.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    bytes.try_into().ok().filter(|_| hex.len() == 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(key: &str) -> String {
        Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn keys(text: &str) -> Result<ApiKeys, ApiKeysError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, text).unwrap();
        KeySet::read(&path, &Metrics::new().unwrap()).map(ApiKeys::of)
    }

    fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_key_is_taken_from_either_field_and_has_its_name() {
        let keys = keys(&format!("# ours\n\nci {}\n shop  {}\nci {}\n", hex("one"), hex("two"), hex("three"))).unwrap();
        let admit = |fields: &[_]| keys.admit(&headers(fields), "/v2").ok().map(|name| name.unwrap().to_string());
        let digest = hex("one");
        for (field, value, expected) in [
            (API_KEY, "one", Some("ci")),
            (API_KEY, "two", Some("shop")),
            (header::AUTHORIZATION, "Bearer three", Some("ci")),
            (header::AUTHORIZATION, "bearer  two ", Some("shop")),
            (header::AUTHORIZATION, "Basic two", None),
            (header::AUTHORIZATION, "Bearer", None),
            (API_KEY, "", None),
            (API_KEY, "One", None),
            (API_KEY, &digest, None),
        ] {
            assert_eq!(admit(&[(field.clone(), value)]).as_deref(), expected, "{field}: {value}");
        }
        assert_eq!(admit(&[]), None);
        assert_eq!(admit(&[(API_KEY, "no"), (header::AUTHORIZATION, "Bearer one")]), None, "one is looked at");
    }

    #[test]
    fn probes_are_open_and_nothing_that_is_nearly_one() {
        let keys = keys(&format!("ci {}", hex("one"))).unwrap();
        let none = HeaderMap::new();
        assert!(OPEN.iter().all(|path| keys.admit(&none, path) == Ok(None)));
        assert!(OPEN_CALLS.iter().all(|path| keys.admit_call(&none, path) == Ok(None)));
        for path in ["//livez", "/livez/", "/%6civez", "/v1/models", "/v2", "/nothing"] {
            assert_eq!(keys.admit(&none, path), Err(ApiError::NoKey), "{path}");
        }
        assert_eq!(keys.admit_call(&none, "/inference.GRPCInferenceService/ModelInfer"), Err(ApiError::NoKey));
        assert_eq!(ApiKeys::default().admit(&none, "/v2"), Ok(None), "nobody is asked where there is no file");
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line_and_nothing_of_it() {
        let good = hex("one");
        for (text, line, expected) in [
            (String::new(), 1, "at least one key"),
            ("# none\n".to_owned(), 1, "at least one key"),
            (format!("ci {good}\nSECRET"), 2, "NAME SHA256"),
            ("ci SECRET".to_owned(), 1, "the SHA-256 of a key"),
            (format!("ci {good}00"), 1, "the SHA-256 of a key"),
            (format!("c/i {good}"), 1, "a name of up to 64"),
            (format!("{} {good}", "n".repeat(65)), 1, "a name of up to 64"),
            (format!("ci {good}\nshop {good}"), 2, "each key once"),
            ((0..1_001).map(|at| format!("k {}\n", hex(&at.to_string()))).collect(), 1_001, "at most 1,000 keys"),
        ] {
            let error = keys(&text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}: expected {expected}")), "{error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn keys_that_are_gone_take_their_series_along() {
        let metrics = Metrics::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let read = |name: &str, key: &str| {
            let path = folder.path().join("keys");
            std::fs::write(&path, format!("{name} {}", hex(key))).unwrap();
            KeySet::read(&path, &metrics).unwrap()
        };
        let keys = ApiKeys::of(read("ci", "one"));
        let admits = |key| keys.admit(&headers(&[(API_KEY, key)]), "/v2").is_ok();
        assert!(admits("one") && !admits("two"));
        assert!(metrics.encode().contains("gudgeon_api_key_requests_total{key=\"ci\"} 1"));
        keys.replace(read("shop", "two"), &metrics);
        assert!(!admits("one") && admits("two"));
        let text = metrics.encode();
        assert!(!text.contains("key=\"ci\"") && text.contains("key=\"shop\"} 1"), "{text}");
    }
}
