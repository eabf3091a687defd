//! One request, and what came.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;

use crate::cli::web::Web;

/// The longest that an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// As much of an answer's text as is shown.
const SHOWN_CHARS_MAX: usize = 100;

/// What came; a status of 0 means that nothing did, and the body says why.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A header field of a request.
pub(super) type Field<'a> = (&'a str, &'a str);

/// Declares JSON.
pub(super) const JSON: Field<'_> = ("content-type", "application/json");

/// Asks, and reads the answer to its end.
pub(super) async fn ask(web: &Web, (method, path): (Method, &str), fields: &[Field<'_>], body: Vec<u8>) -> Answer {
    let exchange = async {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let response = web.send(request.body(Full::new(Bytes::from(body)))?).await?;
        let (parts, body) = response.into_parts();
        anyhow::Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.collect().await?.to_bytes(),
        })
    };
    let failed = |why: String| Answer { status: 0, headers: HeaderMap::new(), body: why.into() };
    match tokio::time::timeout(TIMEOUT, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => failed(format!("no answer: {error}")),
        Err(_) => failed("no answer in time".to_owned()),
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Status and text, as far as a line has room.
    pub(super) fn shown(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.body).split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = text.chars().filter(|char| !char.is_control()).take(SHOWN_CHARS_MAX).collect();
        let more = if short.len() < text.len() { "..." } else { "" };
        match self.status {
            0 => short,
            status => format!("{status} {short}{more}").trim_end().to_owned(),
        }
    }

    /// A status of `wanted`.
    pub(super) fn with_status(&self, wanted: &[u16]) -> Result<String, String> {
        if wanted.contains(&self.status) { Ok(self.status.to_string()) } else { Err(self.shown()) }
    }

    /// An error's status, whichever, and the text that the protocol wants in the body.
    pub(super) fn refused(&self) -> Result<String, String> {
        if !(400..600).contains(&self.status) {
            return Err(self.shown());
        }
        match self.json()["error"].as_str() {
            Some(text) if !text.is_empty() => Ok(self.status.to_string()),
            _ => Err(format!("no error text: {}", self.shown())),
        }
    }
}
