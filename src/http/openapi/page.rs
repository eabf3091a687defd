//! The page that shows the document: all of it in the binary, nothing from anywhere else.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};

use crate::http::json::base64;
use crate::model::Digest;

const STYLE: &str = include_str!("page/docs.css");
const SCRIPT: &str = include_str!("page/docs.js");
const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>gudgeon</title>\n<style>",
    include_str!("page/docs.css"),
    "</style>\n</head>\n<body>\n",
    include_str!("page/docs.html"),
    "<script>",
    include_str!("page/docs.js"),
    "</script>\n</body>\n</html>\n"
);

/// What the page may do: run its own script, look as it says, and ask this server. A script that found its way into the document
/// or an answer would not run.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| base64(Digest::of(text.as_bytes()).bytes());
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    HeaderValue::from_str(&policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// `/docs`.
pub(in crate::http) async fn page() -> Response {
    let mut response = Response::new(Body::from(PAGE));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_breaks_no_rule_of_its_own() {
        for wrong in ["http://", "https://", "//cdn", "src=", "@import", "url(", " style=", " onclick=", "eval("] {
            assert!(!PAGE.contains(wrong), "{wrong}");
        }
        // What is hashed is what stands there, and the script cannot end early.
        assert!(
            PAGE.contains(&format!("<style>{STYLE}</style>")) && PAGE.contains(&format!("<script>{SCRIPT}</script>"))
        );
        assert_eq!((PAGE.matches("</script").count(), PAGE.matches("</style").count()), (1, 1));
        assert!(!SCRIPT.contains("innerHTML"), "what servers and models are called is text, not HTML");
        assert!(PAGE.len() < 64 << 10, "{} bytes", PAGE.len());
        let policy = POLICY.to_str().unwrap();
        assert!(policy.contains("script-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    }
}
