//! What a body is declared to be, as MLflow's scoring server takes it.

use http::{HeaderMap, header};

use crate::http::body;
use crate::http::error::ApiError;

#[cfg(feature = "parquet")]
const EXPECTED: &str = "application/json, text/csv or application/vnd.apache.parquet, in UTF-8";
#[cfg(not(feature = "parquet"))]
const EXPECTED: &str =
    "application/json or text/csv, in UTF-8 (Parquet where gudgeon was built with `--features parquet`)";

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Content {
    /// An object with rows in one of MLflow's forms.
    Json,
    /// A row a line, the names of the columns in the first.
    Csv,
    /// A Parquet file.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Content {
    /// The form that a request's head declares. JSON where it declares none.
    ///
    /// # Errors
    /// [`ApiError::MediaType`].
    pub(in crate::http) fn declared(headers: &HeaderMap) -> Result<Self, ApiError> {
        let declared = headers.get(header::CONTENT_TYPE).map_or(Ok(""), |declared| declared.to_str());
        let declared = declared.map_err(|_| ApiError::MediaType { expected: EXPECTED })?.to_ascii_lowercase();
        let (essence, parameters) = declared.split_once(';').unwrap_or((&declared, ""));
        let content = match essence.trim() {
            "text/csv" => Self::Csv,
            #[cfg(feature = "parquet")]
            "application/vnd.apache.parquet" => Self::Parquet,
            _ => {
                let is_json = body::expect(headers, body::Declared::Json);
                return is_json.map(|()| Self::Json).map_err(|_| ApiError::MediaType { expected: EXPECTED });
            }
        };
        let mut parameters = parameters.split(';').map(str::trim).filter(|parameter| !parameter.is_empty());
        // RFC 4180 has a parameter `header`; without one there is a first line of names.
        let is_known =
            |parameter: &str| matches!(parameter.replace('"', "").as_str(), "charset=utf-8" | "header=present");
        if parameters.all(is_known) { Ok(content) } else { Err(ApiError::MediaType { expected: EXPECTED }) }
    }
}
