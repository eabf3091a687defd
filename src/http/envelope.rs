//! What surrounds every request: its id, the checks of its head, its line in the log.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Version, header};
use uuid::{Builder, Uuid};

use super::error::ApiError;
use super::keys::API_KEY;
use super::v2;

const REQUEST_ID_BYTES_MAX: usize = 64;
/// As much of a path as is logged.
const LOGGED_PATH_CHARS_MAX: usize = 256;
/// The most bytes of all header fields together.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Fields that say how a request is read, or whose it is: of two, a proxy in front may have gone by the other one.
static ONCE: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::AUTHORIZATION,
    HeaderName::from_static(v2::JSON_LENGTH),
    HeaderName::from_static("x-request-timeout-ms"),
    API_KEY,
];

/// A request's id: the caller's where it is a sane one, else made here.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl From<RequestId> for HeaderValue {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl RequestId {
    /// The id of a request that came with `given`.
    pub(crate) fn of(given: Option<&HeaderValue>) -> Self {
        let is_sane = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(is_known)
        };
        if let Some(value) = given.filter(is_sane) {
            return Self(value.clone());
        }
        let mut buffer = Uuid::encode_buffer();
        let text = made_id().hyphenated().encode_lower(&mut buffer);
        Self(HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none")))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// A version 7 UUID. Its random part is a keyed hash of a count, with a key of this thread's from the system: asking the
/// system for each would be a system call a request.
fn made_id() -> Uuid {
    thread_local! {
        static KEY: RandomState = RandomState::new();
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }
    let count = COUNT.replace(COUNT.get().wrapping_add(2));
    let hash = |number: u64| KEY.with(|key| key.hash_one(number)).to_le_bytes();
    let ([a, b, c, d, e, f, g, h], [i, j, ..]) = (hash(count), hash(count.wrapping_add(1)));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Builder::from_unix_timestamp_millis(millis, &[a, b, c, d, e, f, g, h, i, j]).into_uuid()
}

/// One line a request, for those who ask for it with the log filter `gudgeon::access=debug`: never a body or a query.
pub(super) struct Access {
    method: Method,
    path: String,
    started: Instant,
    /// The name of the key that it came with.
    pub(super) key: Option<Arc<str>>,
}

impl Access {
    pub(super) fn of(head: &Parts) -> Option<Self> {
        tracing::enabled!(target: "gudgeon::access", tracing::Level::DEBUG).then(|| Self {
            method: head.method.clone(),
            path: head.uri.path().chars().take(LOGGED_PATH_CHARS_MAX).collect(),
            started: Instant::now(),
            key: None,
        })
    }

    pub(super) fn log(self, id: &RequestId, response: &Response) {
        let Self { method, path, started, key } = self;
        let version = response.headers().get("x-model-version").and_then(|version| version.to_str().ok());
        let (status, micros) = (response.status().as_u16(), started.elapsed().as_micros());
        // The path is a caller's: quoting it keeps one event on one line.
        tracing::debug!(
            target: "gudgeon::access", request_id = id.as_str(), %method, ?path, status, version, key = key.as_deref(), micros, "answered"
        );
    }
}

/// Refuses a head that cannot be right.
///
/// # Errors
/// [`ApiError::BrokenHead`], [`ApiError::HeadersTooLarge`].
pub(super) fn check_head(head: &Parts) -> Result<(), ApiError> {
    let headers = &head.headers;
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_missing = hosts.next().is_none() && head.uri.authority().is_none();
    if (is_missing && head.version == Version::HTTP_11) || hosts.next().is_some() {
        return Err(ApiError::BrokenHead("expected one host field"));
    }
    // Another coding would be taken for JSON, or read otherwise than by the proxy in front.
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !headers.get_all(header::TRANSFER_ENCODING).iter().all(is_chunked) {
        return Err(ApiError::BrokenHead("expected no transfer coding but chunked"));
    }
    let comes_twice = |name: &HeaderName| headers.get_all(name).iter().nth(1).is_some();
    if headers.keys_len() < headers.len() && ONCE.iter().any(comes_twice) {
        return Err(ApiError::BrokenHead(
            "expected content-type, content-encoding, authorization, x-api-key, x-request-timeout-ms and \
             inference-header-content-length at most once each",
        ));
    }
    let n_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if HEADER_BYTES_MAX < n_bytes {
        return Err(ApiError::HeadersTooLarge { limit: HEADER_BYTES_MAX });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use http::Request;

    #[test]
    fn ids_are_version_7_and_differ_on_every_thread() {
        let ids = || (0..1_000).map(|_| made_id()).collect::<Vec<_>>();
        let other = std::thread::spawn(ids).join().unwrap();
        let all: BTreeSet<Uuid> = ids().into_iter().chain(other).collect();
        assert_eq!(all.len(), 2_000);
        assert!(all.iter().all(|id| id.get_version_num() == 7));
    }

    #[test]
    fn a_head_over_the_limit_or_with_two_hosts_is_refused() {
        let check = |fields: &[(&str, &str)]| {
            let request = fields.iter().fold(Request::get("/"), |request, &(name, value)| request.header(name, value));
            check_head(&request.body(()).unwrap().into_parts().0)
        };
        let long = "x".repeat(HEADER_BYTES_MAX);
        assert_eq!(check(&[("host", "h")]), Ok(()));
        assert_eq!(check(&[("host", "h"), ("x", &long)]), Err(ApiError::HeadersTooLarge { limit: HEADER_BYTES_MAX }));
        assert!(matches!(check(&[]), Err(ApiError::BrokenHead(_))));
        let twice = |name| check(&[("host", "h"), (name, "1"), (name, "2")]);
        assert!(ONCE.iter().all(|name| matches!(twice(name.as_str()), Err(ApiError::BrokenHead(_)))));
        assert_eq!(twice("accept"), Ok(()));
        assert!(matches!(check(&[("host", "h"), ("host", "h")]), Err(ApiError::BrokenHead(_))));
    }
}
