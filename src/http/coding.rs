//! Compressed bodies, both ways: gzip, and deflate in zlib's wrapping, as RFC 9110 has it.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderMap, HeaderValue, header};

use super::AppState;
use super::body::{BodyLimits, ReadBody};
use super::error::ApiError;
use super::exchange::heavy;

/// An answer that is smaller is sent as it is.
pub(super) const BYTES_MIN: usize = 4 << 10;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// The name in header fields.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn named(name: &str) -> Option<Self> {
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Some(Self::Gzip),
            name if name.eq_ignore_ascii_case("deflate") => Some(Self::Deflate),
            _ => None,
        }
    }

    /// The coding of a request's body; `None` where it comes as it is.
    ///
    /// # Errors
    /// [`ApiError::Coding`] where that is another one, or several.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        match headers.get(header::CONTENT_ENCODING).map(HeaderValue::to_str) {
            None => Ok(None),
            Some(Ok(name)) if name.trim().is_empty() || name.trim().eq_ignore_ascii_case("identity") => Ok(None),
            Some(Ok(name)) => Self::named(name).map(Some).ok_or(ApiError::Coding),
            Some(Err(_)) => Err(ApiError::Coding),
        }
    }

    /// The coding that the caller takes, gzip before deflate; `None` where it names neither.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let fields = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
        let mut accepted = None;
        for entry in fields.flat_map(|field| field.split(',')) {
            let (name, quality) = entry.split_once(';').unwrap_or((entry, ""));
            let quality = quality.trim().strip_prefix("q=").and_then(|quality| quality.trim().parse::<f32>().ok());
            if quality.is_some_and(|quality| quality <= 0.0) {
                continue;
            }
            match Self::named(name) {
                Some(Self::Gzip) => return Some(Self::Gzip),
                Some(Self::Deflate) => accepted = Some(Self::Deflate),
                None => {}
            }
        }
        accepted
    }

    /// `body`, compressed: fast rather than small.
    pub(super) fn encoded(self, body: &[u8]) -> Vec<u8> {
        let out = Vec::with_capacity(body.len() / 2);
        let written = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                encoder.write_all(body).and_then(|()| encoder.finish())
            }
        };
        // Writing to memory does not fail.
        written.unwrap_or_default()
    }

    /// What `body` is, up to `bytes_max` and one byte more.
    fn decoded(self, body: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        let mut out = Vec::new();
        match self {
            Self::Gzip => MultiGzDecoder::new(body).take(limit).read_to_end(&mut out)?,
            Self::Deflate => ZlibDecoder::new(body).take(limit).read_to_end(&mut out)?,
        };
        Ok(out)
    }
}

/// The body that `body` is the compressed form of. It is held against the same limits as one that comes as it is, and takes
/// its turn among the large ones: how large it is shows only here.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::BrokenBody`], [`ApiError::Overloaded`], [`ApiError::RequestTimeout`].
pub(super) async fn decoded(
    state: &AppState,
    body: ReadBody,
    (coding, limits): (Coding, BodyLimits<'_>),
) -> Result<ReadBody, ApiError> {
    let turn = tokio::time::timeout(limits.stall, state.heavy_turns.acquire()).await;
    let _turn = turn.map_err(|_| ApiError::RequestTimeout)?;
    let bytes = heavy(usize::MAX, || coding.decoded(&body.bytes, limits.bytes_max));
    let bytes = bytes.map_err(|_| ApiError::BrokenBody("it is not compressed as its content-encoding says"))?;
    if limits.bytes_max < bytes.len() {
        return Err(ApiError::TooLarge { limit: limits.bytes_max });
    }
    body.replaced(bytes.into(), limits.budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back_and_never_more_than_the_limit() {
        let body = b"[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]".repeat(100);
        for coding in [Coding::Gzip, Coding::Deflate] {
            let small = coding.encoded(&body);
            assert!(small.len() < body.len() / 2);
            assert_eq!(coding.decoded(&small, body.len()).unwrap(), body);
            assert_eq!(coding.decoded(&small, 10).unwrap().len(), 11, "one more shows that it is too large");
            assert!(coding.decoded(&body, body.len()).is_err());
            assert!(coding.decoded(&small[..small.len() / 2], body.len()).is_err());
        }
    }

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_header_fields_are_read_as_rfc_9110_has_them() {
        let accepted = |value| Coding::accepted(&headers(header::ACCEPT_ENCODING, value));
        assert_eq!(accepted("gzip, deflate, br"), Some(Coding::Gzip));
        assert_eq!(accepted("deflate, GZIP;q=0.5"), Some(Coding::Gzip));
        assert_eq!(accepted("deflate"), Some(Coding::Deflate));
        assert_eq!(accepted("gzip;q=0, identity"), None);
        assert_eq!(accepted("br"), None);
        let of = |value| Coding::of(&headers(header::CONTENT_ENCODING, value));
        assert_eq!(of("gzip"), Ok(Some(Coding::Gzip)));
        assert_eq!(of("Deflate"), Ok(Some(Coding::Deflate)));
        assert_eq!(of("identity"), Ok(None));
        assert_eq!(of("br"), Err(ApiError::Coding));
        assert_eq!(of("gzip, gzip"), Err(ApiError::Coding));
        assert_eq!(Coding::of(&HeaderMap::new()), Ok(None));
    }
}
