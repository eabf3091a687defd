//! Who may reach the admin routes: the bearer of the token, from a page of this server or from no page at all.
//!
//! The guard stands before the router of the operations port and looks at the path alone, so that it covers every method and
//! every path under `/admin` or the protocol's `repository`, those that do not exist included.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Uri, header};

use crate::http::AppState;
use crate::http::error::ApiError;

/// Lets a request through that is not for the admin routes, or may be.
pub(in crate::http) async fn guard(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    if is_guarded(request.uri().path())
        && let Err(error) = admit(&state, &request)
    {
        return error.into_response();
    }
    next.run(request).await
}

fn admit(state: &AppState, request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let host = host(headers, request.uri()).ok_or(ApiError::Forbidden("the admin route wants a host field"))?;
    // Inside TLS a page cannot point a name of its own here: the certificate would be another's.
    if !state.options.is_secured && !is_own_name(host) {
        return Err(ApiError::Forbidden(
            "the admin route is reached by an IP address or localhost, not by this host name",
        ));
    }
    check_origin(headers, host)?;
    let offered = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    // An absent token takes the same way as a wrong one.
    if state.admin_token.is(offered.unwrap_or_default()) { Ok(()) } else { Err(ApiError::Unauthorized) }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let field = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    field.or_else(|| uri.authority().map(http::uri::Authority::as_str))
}

/// A name that no foreign DNS server can point here.
fn is_own_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

/// A browser names the page that a request comes from.
fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), ApiError> {
    const FOREIGN: ApiError = ApiError::Forbidden("the admin route takes no requests from pages of another origin");
    if let Some(origin) = headers.get(header::ORIGIN) {
        let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, rest)| rest);
        if authority != Some(host) {
            return Err(FOREIGN);
        }
    }
    let site = headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes);
    if matches!(site, None | Some(b"same-origin" | b"none")) { Ok(()) } else { Err(FOREIGN) }
}

/// Whether any reading of `path` lies under `/admin` or `/v2/repository`: percent-encoded, with more slashes, dots or in other
/// case.
pub(in crate::http) fn is_guarded(path: &str) -> bool {
    let decoded = decoded(path.as_bytes());
    let is_part = |part: &&[u8]| !matches!(part, [] | [b'.']);
    let mut parts = decoded.split(|byte| matches!(byte, b'/' | b'\\')).filter(is_part);
    parts.any(|part| part.eq_ignore_ascii_case(b"admin") || part.eq_ignore_ascii_case(b"repository"))
}

/// `path` with every `%XX` replaced, twice over.
fn decoded(path: &[u8]) -> Vec<u8> {
    let once = |bytes: &[u8]| {
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let code = bytes.get(at + 1..at + 3).and_then(|code| std::str::from_utf8(code).ok());
            match code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(|_| byte == b'%') {
                Some(code) => {
                    out.push(code);
                    at += 3;
                }
                None => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        out
    };
    once(&once(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_admin_path_is_guarded() {
        for path in [
            "/admin",
            "/admin/",
            "/admin/models",
            "//admin//models/",
            "/ADMIN/models",
            "/%61dmin/models",
            "/%2561dmin",
            "/%2fadmin",
            "/x/../admin",
            "/./admin",
            "\\admin",
            "/admin%2fmodels",
            "/v2/repository/models/flights/load",
            "/v2/Repository/index",
        ] {
            assert!(is_guarded(path), "{path}");
        }
        for path in ["/", "/metrics", "/livez", "/administrator", "/v1/models/admins", "/%", "/%zz"] {
            assert!(!is_guarded(path), "{path}");
        }
    }

    #[test]
    fn only_addresses_and_localhost_are_own_names() {
        for host in ["127.0.0.1:8082", "localhost", "LOCALHOST:1", "[::1]:8082", "10.0.0.7", "gudgeon.localhost:8082"] {
            assert!(is_own_name(host), "{host}");
        }
        for host in ["", "evil.example:8082", "localhost.evil.example", "127.0.0.1.evil.example", "a@b:c"] {
            assert!(!is_own_name(host), "{host}");
        }
    }
}
