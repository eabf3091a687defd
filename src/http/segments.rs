//! Segments of a path. One that is not UTF-8 or has no place in a name finds nothing: 404, never a text of the router's.

use axum::RequestPartsExt as _;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// The variable segments of a path.
#[derive(Debug)]
pub(super) struct Segments<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send + 'static> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extract::<Path<T>>().await.map(|Path(segments)| Self(segments)).map_err(|_| ApiError::UnknownRoute)
    }
}

/// `name:verb` apart.
pub(super) fn verb(segment: &str) -> (&str, Option<&str>) {
    segment.rsplit_once(':').map_or((segment, None), |(name, verb)| (name, Some(verb)))
}

/// The name before `:expected`; a GET path without a verb is not there for POST.
///
/// # Errors
/// [`ApiError::UnknownRoute`] for another verb, [`ApiError::Method`] where there is none.
pub(super) fn before_verb<'a>(segment: &'a str, expected: &str) -> Result<&'a str, ApiError> {
    match verb(segment) {
        (name, Some(verb)) if verb == expected => Ok(name),
        (_, Some(_)) => Err(ApiError::UnknownRoute),
        (_, None) => Err(ApiError::Method { allow: Some("GET, HEAD") }),
    }
}

/// The name of a GET path; one with a verb is there for POST alone.
///
/// # Errors
/// [`ApiError::Method`] for one of `verbs`, [`ApiError::UnknownRoute`] for another.
pub(super) fn without_verb<'a>(segment: &'a str, verbs: &[&str]) -> Result<&'a str, ApiError> {
    match verb(segment) {
        (name, None) => Ok(name),
        (_, Some(verb)) if verbs.contains(&verb) => Err(ApiError::Method { allow: Some("POST") }),
        (_, Some(_)) => Err(ApiError::UnknownRoute),
    }
}
