//! The document as it is sent: kept until another version serves.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::document::{Model, Rules, described};
use crate::http::coding::Coding;
use crate::http::exchange::heavy;
use crate::http::{ApiError, AppState};
use crate::metrics::Listener;
use crate::model::{Digest, ModelName, Version};

/// The documents of the listeners.
#[derive(Debug, Default)]
pub struct Documents {
    http: Mutex<Option<Arc<Document>>>,
    ops: Mutex<Option<Arc<Document>>>,
}

/// One document.
#[derive(Debug)]
struct Document {
    /// What it was made of.
    served: Vec<(ModelName, Version, Digest)>,
    etag: HeaderValue,
    body: Bytes,
    gzip: Bytes,
}

impl Documents {
    /// The document of `listener` for what is served now.
    fn now(&self, state: &AppState, listener: Listener) -> Option<Arc<Document>> {
        let servables: Vec<_> = state.slots.all().iter().filter_map(|slot| slot.acquire()).collect();
        let key: Vec<_> = servables.iter().map(|one| (one.model().clone(), one.version(), one.digest())).collect();
        let place = if listener == Listener::Http { &self.http } else { &self.ops };
        let mut kept = place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = kept.as_ref().filter(|document| document.served == key) {
            return Some(Arc::clone(document));
        }
        let models: Vec<_> = servables.iter().map(Model::from).collect();
        let rules = Rules {
            limits: state.options.decode_limits(),
            has_keys: state.api_keys.are_wanted(),
            has_feedback: state.feedback.is_some(),
        };
        let body = serde_json::to_vec(&described(listener, &models, &rules)).ok()?;
        // Weak: the same in every coding.
        let digest = Digest::of(&body).to_string();
        let etag = HeaderValue::from_str(&format!("W/\"{}\"", digest.get(..32)?)).ok()?;
        let gzip = Coding::Gzip.encoded(&body).into();
        let made = Arc::new(Document { served: key, etag, body: body.into(), gzip });
        *kept = Some(Arc::clone(&made));
        Some(made)
    }
}

/// `/openapi.json` of `listener`.
pub(in crate::http) fn document(
    listener: Listener,
    state: &AppState,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let document = heavy(usize::MAX, || state.documents.now(state, listener)).ok_or(ApiError::Internal)?;
    let Document { etag, body, gzip, .. } = &*document;
    let mut response = Response::default();
    if is_known(headers, etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if Coding::accepted(headers) == Some(Coding::Gzip) {
        *response.body_mut() = Body::from(gzip.clone());
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(Coding::Gzip.as_str()));
    } else {
        *response.body_mut() = Body::from(body.clone());
    }
    let has_body = response.status() == StatusCode::OK;
    let fields = response.headers_mut();
    if has_body {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    fields.insert(header::ETAG, etag.clone());
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

/// Whether the caller has what `etag` stands for, as RFC 9110 compares weakly (section 13.1.2).
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let etag = plain(etag.to_str().unwrap_or_default());
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|tag| tag.trim() == "*" || plain(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let etag = HeaderValue::from_static("W/\"a1\"");
        let check = |given: &'static str| {
            is_known(&HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(given))]), &etag)
        };
        for known in ["W/\"a1\"", "\"a1\"", "\"b\", W/\"a1\"", "*"] {
            assert!(check(known), "{known}");
        }
        for other in ["\"b\"", "a1", "", "W/\"a12\""] {
            assert!(!check(other), "{other}");
        }
    }
}
