//! Predictions over HTTP: from a request's head and body to an answer's.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};

use super::body::{self, BodyLimits, Declared, ReadBody};
use super::coding::{self, Coding};
use super::envelope::RequestId;
use super::error::{ApiError, Face};
use super::exchange::{Asked, Attempt, Exchange, HEAVY_BYTES, Pick, Size, heavy, serve};
use super::json::DecodeLimits;
use super::scoring::{self, Content};
use super::{AppState, json_response, v1, v2};
use crate::oip::Columns;
use crate::slot::{Servable, Slot};
use crate::tensor::Tensor;

const MODEL_VERSION: HeaderName = HeaderName::from_static("x-model-version");
const MODEL_NAME: HeaderName = HeaderName::from_static("x-model-name");
const TIMEOUT_MS: HeaderName = HeaderName::from_static("x-request-timeout-ms");
const JSON_LENGTH: HeaderName = HeaderName::from_static(v2::JSON_LENGTH);

/// Answers a prediction request that came by the router.
pub(super) async fn answer_routed(
    state: &AppState,
    target: Result<(Arc<Slot>, Pick), ApiError>,
    request: Request<Body>,
    face: Face,
) -> Response {
    let (parts, mut body) = request.into_parts();
    let id = parts.extensions.get::<RequestId>();
    answer(state, target, (&parts.headers, &mut body), (face, id)).await
}

/// Answers a prediction request on a face, with its id.
pub(super) async fn answer<B: HttpBody<Data = Bytes> + Unpin>(
    state: &AppState,
    target: Result<(Arc<Slot>, Pick), ApiError>,
    request: (&HeaderMap, &mut B),
    (face, id): (Face, Option<&RequestId>),
) -> Response {
    let (slot, pick) = match target {
        Ok(target) => target,
        Err(error) => {
            state.metrics.count_unrouted();
            return error.into_response_on(face);
        }
    };
    let headers = request.0;
    let served = serve(state, (&slot, pick), headers, Received::read(state, request, (face, id))).await;
    let (servable, result) = match served {
        Ok(served) => served,
        Err(error) => return error.into_response_on(face),
    };
    let mut response = match result {
        Ok(written) => written.into_response(Coding::accepted(headers)),
        Err(error) => error.into_response_on(face),
    };
    let headers = response.headers_mut();
    for (name, text) in [(MODEL_VERSION, servable.version_text()), (MODEL_NAME, servable.model().as_str())] {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    }
    response
}

/// A request that has arrived in full.
struct Received<'a> {
    body: ReadBody,
    /// The tensors that were read as they came; they are no longer in the body.
    columns: Columns,
    timeout: Duration,
    face: Face,
    /// What the body is; of v1 and v2, JSON always.
    content: Content,
    id: Option<&'a RequestId>,
    /// The field that says how long the JSON is.
    json_length: Option<&'a HeaderValue>,
}

impl<'a> Received<'a> {
    async fn read<B: HttpBody<Data = Bytes> + Unpin>(
        state: &AppState,
        (headers, body): (&'a HeaderMap, &mut B),
        (face, id): (Face, Option<&'a RequestId>),
    ) -> Result<Self, ApiError> {
        let json_length = headers.get(JSON_LENGTH).filter(|_| face == Face::V2);
        let content = match face {
            Face::Scoring => Content::declared(headers)?,
            Face::V1 | Face::V2 => {
                let declared = if json_length.is_some() { Declared::Tensors } else { Declared::Json };
                body::expect(headers, declared)?;
                Content::Json
            }
        };
        let coding = Coding::of(headers)?;
        let timeout = timeout(headers, state.options.request_timeout, face)?;
        let limits = state.body_limits();
        let arriving = json_length.filter(|_| coding.is_none());
        let arriving = arriving.and_then(|length| v2::Arriving::new(body::declared_len(headers), length));
        if let Some(arriving) = arriving {
            // Boxed, as what follows: most bodies are small, and come as they are.
            let (body, columns) = Box::pin(arrived(headers, body, limits, arriving)).await?;
            return Ok(Self { body, columns, timeout, face, content, id, json_length });
        }
        let mut body = body::read(headers, body, limits).await?;
        if let Some(coding) = coding {
            body = Box::pin(coding::decoded(state, body, (coding, limits))).await?;
        }
        Ok(Self { body, columns: Columns::default(), timeout, face, content, id, json_length })
    }
}

/// Reads a large body whose tensors go into their columns at once.
async fn arrived<B: HttpBody<Data = Bytes> + Unpin>(
    headers: &HeaderMap,
    body: &mut B,
    limits: BodyLimits<'_>,
    mut arriving: v2::Arriving,
) -> Result<(ReadBody, Columns), ApiError> {
    let held = body::gather(headers, body, limits, &mut arriving).await?;
    let (bytes, columns) = arriving.into_parts();
    Ok((ReadBody::new(bytes, held), columns))
}

impl Exchange for Received<'_> {
    type Form = AnswerForm;
    type Answer = Written;

    fn size(&self) -> Size {
        let (bytes, columns) = (&self.body.bytes, self.columns.n_bytes());
        let json_len = self.json_length.filter(|_| HEAVY_BYTES <= bytes.len());
        let json_len = json_len.and_then(|length| length.to_str().ok()?.parse().ok());
        let Some(json) = json_len.and_then(|length: usize| bytes.get(..length)) else {
            return Size { text: bytes.len(), raw: columns };
        };
        // Strings and flags are read one by one, whatever carries them.
        let is_one_by_one = |word: &[u8]| word == b"BYTES" || word.starts_with(b"BOOL");
        let text = if json.windows(5).any(is_one_by_one) { bytes.len() } else { json.len() };
        Size { text, raw: bytes.len() - text + columns }
    }

    fn answer_size(&self, outputs: &[Tensor], form: &AnswerForm) -> Size {
        /// What a number takes as text, roughly.
        const VALUE_CHARS: usize = 8;
        let n_bytes = VALUE_CHARS * outputs.iter().map(|output| output.data().len()).sum::<usize>();
        match form {
            AnswerForm::V2 { binary: true, .. } => Size { text: 0, raw: n_bytes },
            _ => Size { text: n_bytes, raw: 0 },
        }
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn request_id(&self) -> Option<&str> {
        self.id.map(RequestId::as_str)
    }

    fn read(
        &self,
        servable: &Servable,
        limits: &DecodeLimits,
        attempt: Attempt,
    ) -> Result<Asked<AnswerForm>, ApiError> {
        let signature = servable.signature();
        let decode_error = |error| ApiError::decode(self.face, error);
        let (inputs, form, timeout) = match self.face {
            Face::V1 => {
                let v1::Decoded { inputs, form } =
                    v1::decode(&self.body.bytes, (signature, servable.plain_row_len()), limits)
                        .map_err(decode_error)?;
                (inputs, AnswerForm::V1(form), None)
            }
            Face::V2 => {
                let framed = v2::Framed::of(&self.body.bytes, self.json_length.map(HeaderValue::as_bytes));
                let again = attempt == Attempt::First;
                let request = framed
                    .and_then(|framed| v2::decode_arrived((framed, &self.columns, again), signature, limits))
                    .map_err(decode_error)?;
                let v2::InferRequest { id, inputs, outputs, binary, timeout } = request;
                (inputs, AnswerForm::V2 { id, wanted: outputs, binary }, timeout)
            }
            Face::Scoring => {
                let inputs = scoring::decode((self.content, &self.body.bytes), signature, limits);
                (inputs.map_err(decode_error)?, AnswerForm::V1(v1::Form::Rows), None)
            }
        };
        let inputs = signature.check(inputs).map_err(|mismatch| ApiError::BadInput { face: self.face, mismatch })?;
        Ok(Asked { inputs, form, timeout })
    }

    fn write(
        &self,
        servable: &Servable,
        (outputs, n_rows): (&[Tensor], usize),
        form: &AnswerForm,
    ) -> Result<Written, ApiError> {
        let (model, version, signature) = (servable.model(), servable.version(), servable.signature());
        let written = match form {
            AnswerForm::V1(form) => v1::encode(&v1::Answer { model, version, signature, outputs, n_rows, form: *form })
                .map(|body| v2::Encoded { body, json_len: None }),
            AnswerForm::V2 { id, wanted, binary } => {
                let (id, binary) = (id.as_deref(), *binary);
                v2::encode(&v2::InferAnswer { model, version, id, signature, outputs, wanted, binary })
            }
        };
        written.map(Written).map_err(|_| ApiError::Internal)
    }
}

/// An answer's body.
struct Written(v2::Encoded);

impl Written {
    fn into_response(self, accepted: Option<Coding>) -> Response {
        let v2::Encoded { body, json_len } = self.0;
        let n_bytes = body.len();
        let coding = accepted.filter(|_| coding::BYTES_MIN <= n_bytes);
        let body = match coding {
            Some(coding) => heavy(n_bytes, || coding.encoded(&body)),
            None => body,
        };
        let mut response = json_response(body);
        let headers = response.headers_mut();
        if let Some(json_len) = json_len {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(JSON_LENGTH, HeaderValue::from(json_len));
        }
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        response
    }
}

/// How a request wants its answer written.
enum AnswerForm {
    V1(v1::Form),
    V2 { id: Option<String>, wanted: Vec<v2::Wanted>, binary: bool },
}

/// The time that a request has: the server's, or less where the caller says so.
fn timeout(headers: &HeaderMap, timeout_max: Duration, face: Face) -> Result<Duration, ApiError> {
    let Some(asked) = headers.get(TIMEOUT_MS) else { return Ok(timeout_max) };
    let millis = asked.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|millis| 0 < *millis);
    let millis = millis.ok_or_else(|| {
        let expected = "a whole number of milliseconds from 1";
        let mismatch = crate::model::Mismatch::new(TIMEOUT_MS.as_str(), expected, "another value");
        ApiError::BadInput { face, mismatch }
    })?;
    Ok(Duration::from_millis(millis).min(timeout_max))
}
