//! Bodies: what they may be declared as, how large they may be, how long they may take.

use std::borrow::Borrow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::HttpBody;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;
use super::gather::Gather;

/// Room that is made ahead for a declared length; more grows as bytes come.
const AHEAD_BYTES_MAX: usize = 1 << 20;
/// A body up to this size is not held against the budget: whoever fills it with large bodies does not keep small ones out.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// The unit of the budget, bytes.
const UNIT_BYTES: usize = 1 << 10;
/// The type that most routes speak.
const JSON: &str = "application/json";

/// What all bodies that are being read or answered may take together.
///
/// It is held against what has come, not against what was declared: a head alone reserves nothing.
#[derive(Debug, Clone)]
pub struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    /// A budget of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes_max / UNIT_BYTES).min(Semaphore::MAX_PERMITS))))
    }
}

/// A body's part of the budget, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share<B = BodyBudget> {
    budget: Option<B>,
    held: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// A part of `budget`, nothing yet.
    pub(crate) fn of(budget: BodyBudget) -> Self {
        Self { budget: Some(budget), held: None }
    }
}

impl<B: Borrow<BodyBudget>> Share<B> {
    /// Makes it cover a body of `n_bytes`.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] where the others leave no room.
    pub(crate) fn grow(&mut self, n_bytes: usize) -> Result<(), ApiError> {
        let Some(budget) = self.budget.as_ref().filter(|_| SMALL_BYTES_MAX < n_bytes) else { return Ok(()) };
        let BodyBudget(units) = budget.borrow();
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = n_bytes.div_ceil(UNIT_BYTES).saturating_sub(held);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let taken = Arc::clone(units).try_acquire_many_owned(more);
        let taken = taken.map_err(|_| ApiError::Overloaded { retry_after_s: 1 })?;
        match &mut self.held {
            Some(held) => held.merge(taken),
            None => self.held = Some(taken),
        }
        Ok(())
    }
}

/// A body that has arrived in full, with its part of the budget.
#[derive(Debug)]
pub(super) struct ReadBody {
    pub(super) bytes: Bytes,
    held: Option<OwnedSemaphorePermit>,
}

impl ReadBody {
    /// `bytes`, with the part of the budget that was held for them as they came.
    pub(super) fn new(bytes: Bytes, held: Option<OwnedSemaphorePermit>) -> Self {
        Self { bytes, held }
    }

    /// The same request with `bytes`, which came out of these.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] where the other bodies leave no room for both.
    pub(super) fn replaced(self, bytes: Bytes, budget: Option<&BodyBudget>) -> Result<Self, ApiError> {
        let mut share = Share { budget, held: self.held };
        share.grow(self.bytes.len() + bytes.len())?;
        Ok(Self { bytes, held: share.held })
    }
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    /// JSON.
    Json,
    /// JSON with tensors behind it.
    Tensors,
}

/// Refuses a declared type that is not JSON, or compressed. None is fine, and so is what `curl -d` declares.
///
/// # Errors
/// [`ApiError::MediaType`].
pub(super) fn expect_json(headers: &HeaderMap) -> Result<(), ApiError> {
    expect_plain(headers, JSON)?;
    expect(headers, Declared::Json)
}

/// Refuses a declared type that is not the one of `what`. None is fine, and so is what `curl -d` declares.
///
/// # Errors
/// [`ApiError::MediaType`].
pub(super) fn expect(headers: &HeaderMap, what: Declared) -> Result<(), ApiError> {
    if headers.get(header::CONTENT_TYPE).is_none_or(|declared| declared == JSON) {
        return Ok(());
    }
    let Some(declared) = declared_type(headers, JSON)? else { return Ok(()) };
    let (essence, parameters) = declared.split_once(';').unwrap_or((&declared, ""));
    let essence = essence.trim();
    let is_json = matches!(essence, "application/json" | "text/json" | "application/x-www-form-urlencoded")
        || (essence.starts_with("application/") && essence.ends_with("+json"))
        || (what == Declared::Tensors && essence == "application/octet-stream");
    let charset = parameters.split(';').filter_map(|parameter| parameter.trim().strip_prefix("charset=")).next();
    let is_utf8 = charset.is_none_or(|charset| matches!(charset.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"));
    if is_json && is_utf8 { Ok(()) } else { Err(ApiError::MediaType { expected: JSON }) }
}

/// Refuses a declared type that is not plain bytes. None is fine, and so is what `curl --data-binary` declares.
///
/// # Errors
/// [`ApiError::MediaType`].
pub(super) fn expect_bytes(headers: &HeaderMap) -> Result<(), ApiError> {
    const EXPECTED: &str = "application/octet-stream";
    expect_plain(headers, EXPECTED)?;
    let Some(declared) = declared_type(headers, EXPECTED)? else { return Ok(()) };
    let known = ["application/octet-stream", "application/onnx", "application/x-www-form-urlencoded"];
    if known.contains(&declared.trim()) { Ok(()) } else { Err(ApiError::MediaType { expected: EXPECTED }) }
}

/// Compressed bodies are not read.
fn expect_plain(headers: &HeaderMap, expected: &'static str) -> Result<(), ApiError> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(ApiError::MediaType { expected }),
        _ => Ok(()),
    }
}

fn declared_type(headers: &HeaderMap, expected: &'static str) -> Result<Option<String>, ApiError> {
    let declared = headers.get(header::CONTENT_TYPE).map(|declared| declared.to_str());
    let declared = declared.transpose().map_err(|_| ApiError::MediaType { expected })?;
    Ok(declared.map(str::to_ascii_lowercase).filter(|declared| !declared.is_empty()))
}

/// Limits of one body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits<'a> {
    /// The most bytes.
    pub(crate) bytes_max: usize,
    /// The longest that the next part of it may take.
    pub(crate) stall: Duration,
    /// The longest that all of it may take; `None` only watches for stalls.
    pub(crate) total: Option<Duration>,
    /// What it shares with the others; `None` where it shares nothing.
    pub(crate) budget: Option<&'a BodyBudget>,
}

/// The length that the head declares; 0 where it declares none.
pub(super) fn declared_len(headers: &HeaderMap) -> usize {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    usize::try_from(declared.unwrap_or(0)).unwrap_or(usize::MAX)
}

/// Reads a body to its end, in one piece.
///
/// # Errors
/// As [`gather`].
pub(super) async fn read<B: HttpBody<Data = Bytes> + Unpin>(
    headers: &HeaderMap,
    body: &mut B,
    limits: BodyLimits<'_>,
) -> Result<ReadBody, ApiError> {
    let mut joined = Joined { declared: declared_len(headers), first: Bytes::new(), joined: BytesMut::new() };
    let held = gather(headers, body, limits, &mut joined).await?;
    let Joined { first, joined, .. } = joined;
    Ok(ReadBody::new(if joined.is_empty() { first } else { joined.freeze() }, held))
}

/// Reads a body to its end into `gatherer`; gives back its part of the budget. A declared length over the limit is refused before
/// anything is read.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::RequestTimeout`], [`ApiError::BrokenBody`], and [`ApiError::Overloaded`] where the
/// others leave no room.
pub(crate) async fn gather<B: HttpBody<Data = Bytes> + Unpin>(
    headers: &HeaderMap,
    body: &mut B,
    limits: BodyLimits<'_>,
    gatherer: &mut impl Gather,
) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
    let BodyLimits { bytes_max, total, stall, budget } = limits;
    if bytes_max < declared_len(headers) {
        return Err(ApiError::TooLarge { limit: bytes_max });
    }
    let mut reading = Reading { n_bytes: 0, bytes_max, share: Share { budget, held: None }, gatherer };
    // A small body is there with its head, or as soon as the connection has been looked at once more: no timer for that.
    if reading.read_at_hand(body).await? {
        return Ok(reading.share.held);
    }
    let rest = async {
        loop {
            let part = body.frame().map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().ok())));
            let part = tokio::time::timeout(stall, part).await.map_err(|_| ApiError::RequestTimeout)?;
            if !reading.take(part)? {
                return Ok(());
            }
        }
    };
    match total {
        Some(total) => tokio::time::timeout(total, rest).await.unwrap_or(Err(ApiError::RequestTimeout))?,
        None => rest.await?,
    }
    Ok(reading.share.held)
}

/// The parts of a body, joined.
struct Joined {
    declared: usize,
    first: Bytes,
    joined: BytesMut,
}

impl Gather for Joined {
    fn add(&mut self, part: Bytes) -> Result<(), ApiError> {
        if self.first.is_empty() && self.joined.is_empty() {
            // Most bodies come in one part: nothing is copied then.
            self.first = part;
            return Ok(());
        }
        if self.joined.is_empty() {
            self.joined.reserve(self.declared.min(AHEAD_BYTES_MAX).max(self.first.len() + part.len()));
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.joined.extend_from_slice(&part);
        Ok(())
    }
}

/// The part of a body that has come.
struct Reading<'a, G> {
    n_bytes: usize,
    bytes_max: usize,
    share: Share<&'a BodyBudget>,
    gatherer: &'a mut G,
}

impl<G: Gather> Reading<'_, G> {
    /// Takes what is there without waiting for the caller; true where that was all.
    async fn read_at_hand<B: HttpBody<Data = Bytes> + Unpin>(&mut self, body: &mut B) -> Result<bool, ApiError> {
        let mut has_yielded = false;
        poll_fn(|context| {
            loop {
                match Pin::new(&mut *body).poll_frame(context) {
                    Poll::Ready(frame) => match self.take(frame.map(|frame| frame.map(|frame| frame.into_data().ok())))
                    {
                        Ok(true) => {}
                        Ok(false) => return Poll::Ready(Ok(true)),
                        Err(error) => return Poll::Ready(Err(error)),
                    },
                    // Asking made the connection look.
                    Poll::Pending if !has_yielded => {
                        has_yielded = true;
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Pending => return Poll::Ready(Ok(false)),
                }
            }
        })
        .await
    }

    /// Takes the next part, of which trailers are none; false at the end.
    fn take<E>(&mut self, part: Option<Result<Option<Bytes>, E>>) -> Result<bool, ApiError> {
        let Some(part) = part else { return Ok(false) };
        let Ok(part) = part else { return Err(ApiError::BrokenBody("it broke off")) };
        let Some(data) = part else { return Ok(true) };
        self.n_bytes += data.len();
        if self.bytes_max < self.n_bytes {
            return Err(ApiError::TooLarge { limit: self.bytes_max });
        }
        self.share.grow(self.n_bytes)?;
        self.gatherer.add(data)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::HeaderValue;

    #[track_caller]
    fn check(field: Option<(header::HeaderName, &str)>, expected: bool) {
        let headers: HeaderMap =
            field.into_iter().map(|(name, value)| (name, HeaderValue::from_str(value).unwrap())).collect();
        assert_eq!(expect_json(&headers).is_ok(), expected, "{headers:?}");
    }

    #[test]
    fn json_is_taken_undeclared_and_as_curl_declares_it() {
        check(None, true);
        for taken in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/x-www-form-urlencoded",
            "application/vnd.api+json",
            "application/json;charset=\"utf-8\"",
        ] {
            check(Some((header::CONTENT_TYPE, taken)), true);
        }
        for refused in
            ["text/csv", "application/octet-stream", "application/json; charset=utf-16", "multipart/form-data"]
        {
            check(Some((header::CONTENT_TYPE, refused)), false);
        }
        check(Some((header::CONTENT_ENCODING, "gzip")), false);
        check(Some((header::CONTENT_ENCODING, "identity")), true);
    }

    #[tokio::test]
    async fn a_body_is_limited_in_size_and_time() {
        let limits = BodyLimits { bytes_max: 4, stall: Duration::from_millis(20), total: None, budget: None };
        let none = HeaderMap::new();
        let read = async |headers: &HeaderMap, mut body: Body, limits| {
            read(headers, &mut body, limits).await.map(|body| body.bytes)
        };
        assert_eq!(read(&none, Body::from("1234"), limits).await.unwrap(), "1234");
        assert_eq!(read(&none, Body::from("12345"), limits).await, Err(ApiError::TooLarge { limit: 4 }));
        let parts = futures_util::stream::iter(["12", "34"].map(Ok::<_, std::io::Error>));
        assert_eq!(read(&none, Body::from_stream(parts), limits).await.unwrap(), "1234");
        let silent = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(&none, silent(), limits).await, Err(ApiError::RequestTimeout));
        let declared = HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from_static("1099511627776"))]);
        assert_eq!(read(&declared, silent(), limits).await, Err(ApiError::TooLarge { limit: 4 }));
    }
    #[tokio::test]
    async fn large_bodies_share_a_budget_and_small_ones_do_not() {
        let budget = BodyBudget::new(200 << 10);
        let (stall, bytes_max) = (Duration::from_secs(1), 1 << 20);
        let limits = BodyLimits { bytes_max, stall, total: None, budget: Some(&budget) };
        let read = async |n_bytes: usize| read(&HeaderMap::new(), &mut Body::from(vec![b' '; n_bytes]), limits).await;
        let held = read(150 << 10).await.unwrap();
        assert_eq!(read(100 << 10).await.unwrap_err(), ApiError::Overloaded { retry_after_s: 1 });
        assert!(read(SMALL_BYTES_MAX).await.is_ok());
        drop(held);
        assert!(read(100 << 10).await.is_ok());
    }
}
