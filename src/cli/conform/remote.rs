//! The checks over gRPC, with the protocol's own messages.

use std::time::Duration;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use prost::Message;

use super::record::{Report, Rule, Verdict, extension, required};
use super::subject::Subject;
use crate::cli::web::Web;
use crate::grpc::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use crate::grpc::inference::{
    InferTensorContents, ModelConfigRequest, ModelConfigResponse, ModelInferRequest, ModelInferResponse,
    ModelMetadataRequest, ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatisticsRequest,
    ModelStatisticsResponse, RepositoryIndexRequest, RepositoryIndexResponse, ServerLiveRequest, ServerLiveResponse,
    ServerMetadataRequest, ServerMetadataResponse, ServerReadyRequest, ServerReadyResponse,
};
use crate::tensor::Data;

const PROTO: &str = "open_inference_grpc.proto";
const TRITON: &str = "grpc_service.proto of Triton";
const TIMEOUT: Duration = Duration::from_secs(30);
const NOT_FOUND: u32 = 5;
const INVALID_ARGUMENT: u32 = 3;
const UNAVAILABLE: u32 = 14;

/// A call that did not end well: its status and message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Status {
    code: u32,
    message: String,
}

impl Status {
    fn shown(&self) -> String {
        let message: String = self.message.chars().filter(|char| !char.is_control()).take(100).collect();
        format!("status {}: {message}", self.code)
    }
}

/// Calls one server about one model.
pub(super) struct Remote<'a> {
    pub(super) web: &'a Web,
    pub(super) subject: &'a Subject,
    pub(super) report: &'a mut Report,
}

impl Remote<'_> {
    /// All checks.
    pub(super) async fn run(&mut self) {
        self.health().await;
        self.metadata().await;
        self.inference().await;
        self.refusals().await;
        self.extensions().await;
    }

    fn note(&mut self, rule: Rule, found: Result<String, String>) {
        self.report.note(rule, Verdict::of(found));
    }

    /// Calls `method` and reads what comes with `told`.
    async fn check<A: Message, B: Message + Default>(
        &mut self,
        rule: Rule,
        (method, request): (&str, A),
        told: impl Fn(B) -> Result<String, String>,
    ) {
        let found = self.call(method, request).await.map_err(|status| status.shown()).and_then(told);
        self.note(rule, found);
    }

    async fn call<A: Message, B: Message + Default>(&self, method: &str, request: A) -> Result<B, Status> {
        let called = tokio::time::timeout(TIMEOUT, call(self.web, method, &request)).await;
        match called {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(Status { code: UNAVAILABLE, message: format!("no answer: {error}") }),
            Err(_) => Err(Status { code: 4, message: "no answer in time".to_owned() }),
        }
    }

    async fn health(&mut self) {
        let yes = |is_so: bool| if is_so { Ok("true".to_owned()) } else { Err("false".to_owned()) };
        self.check(
            required("gRPC: ServerLive", PROTO),
            ("ServerLive", ServerLiveRequest {}),
            |answer: ServerLiveResponse| yes(answer.live),
        )
        .await;
        let call = ("ServerReady", ServerReadyRequest {});
        self.check(required("gRPC: ServerReady", PROTO), call, |answer: ServerReadyResponse| yes(answer.ready)).await;
        let call = ("ModelReady", ModelReadyRequest { name: self.subject.model.clone(), version: String::new() });
        self.check(required("gRPC: ModelReady", PROTO), call, |answer: ModelReadyResponse| yes(answer.ready)).await;
    }

    async fn metadata(&mut self) {
        let call = ("ServerMetadata", ServerMetadataRequest {});
        self.check(required("gRPC: ServerMetadata", PROTO), call, |answer: ServerMetadataResponse| {
            if answer.name.is_empty() {
                Err("no name".to_owned())
            } else {
                Ok(format!("{} {}", answer.name, answer.version))
            }
        })
        .await;
        let call = ("ModelMetadata", ModelMetadataRequest { name: self.subject.model.clone(), version: String::new() });
        let model = self.subject.model.clone();
        self.check(required("gRPC: ModelMetadata", PROTO), call, |answer: ModelMetadataResponse| {
            let (n_inputs, n_outputs) = (answer.inputs.len(), answer.outputs.len());
            if answer.name == model { Ok(format!("{n_inputs} inputs, {n_outputs} outputs")) } else { Err(answer.name) }
        })
        .await;
    }

    /// A request with its tensors as bytes, or as typed contents.
    fn request(&self, is_raw: bool) -> ModelInferRequest {
        let mut request =
            ModelInferRequest { model_name: self.subject.model.clone(), id: "an-id".to_owned(), ..Default::default() };
        for input in &self.subject.inputs {
            request.inputs.push(InferInputTensor {
                name: input.name.clone(),
                datatype: input.dtype().as_str().to_owned(),
                shape: input.shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect(),
                contents: (!is_raw).then(|| contents(&input.data)),
                ..Default::default()
            });
            if is_raw {
                request.raw_input_contents.push(input.bytes().into());
            }
        }
        request
    }

    async fn inference(&mut self) {
        let shown = |answer: ModelInferResponse| {
            let output = |output: &crate::grpc::inference::model_infer_response::InferOutputTensor| {
                format!("{} {:?}", output.name, output.shape)
            };
            let has_values =
                !answer.raw_output_contents.is_empty() || answer.outputs.iter().all(|one| one.contents.is_some());
            let names: Vec<_> = answer.outputs.iter().map(output).collect();
            if names.is_empty() || !has_values { Err("no outputs".to_owned()) } else { Ok(names.join(", ")) }
        };
        let call = ("ModelInfer", self.request(false));
        self.check(required("gRPC: ModelInfer, typed contents", PROTO), call, shown).await;
        let call = ("ModelInfer", self.request(true));
        self.check(required("gRPC: ModelInfer, raw contents", PROTO), call, shown).await;
        let call = ("ModelInfer", self.request(true));
        self.check(required("gRPC: the id of a request comes back", PROTO), call, |answer: ModelInferResponse| {
            if answer.id == "an-id" { Ok("the same".to_owned()) } else { Err(format!("{:?}", answer.id)) }
        })
        .await;
        let Some(name) = self.subject.outputs.last().cloned() else {
            let rule = required("gRPC: only the outputs that are asked for come", PROTO);
            return self.report.note(rule, Verdict::Skip("the model names no outputs".to_owned()));
        };
        let mut request = self.request(true);
        request.outputs.push(InferRequestedOutputTensor { name: name.clone(), ..Default::default() });
        let rule = required("gRPC: only the outputs that are asked for come", PROTO);
        self.check(rule, ("ModelInfer", request), |answer: ModelInferResponse| {
            let names: Vec<_> = answer.outputs.iter().map(|output| output.name.as_str()).collect();
            if names == [name.as_str()] { Ok(format!("{name} alone")) } else { Err(format!("{names:?}")) }
        })
        .await;
    }

    /// That these are refused is required; with which status is a convention.
    async fn refusals(&mut self) {
        let mut unknown = self.request(true);
        unknown.model_name = "nobody-has-this".to_owned();
        let mut wrong = self.request(true);
        wrong.inputs.iter_mut().take(1).for_each(|input| input.shape.push(7));
        let mut short = self.request(true);
        short.raw_input_contents.iter_mut().take(1).for_each(|bytes| *bytes = Bytes::from_static(b"\0"));
        for (check, exactly, request, code) in [
            ("gRPC: an unknown model is refused", "gRPC: with NOT_FOUND", unknown, NOT_FOUND),
            ("gRPC: another shape is refused", "gRPC: with INVALID_ARGUMENT", wrong, INVALID_ARGUMENT),
            ("gRPC: too few bytes are refused", "gRPC: these with INVALID_ARGUMENT", short, INVALID_ARGUMENT),
        ] {
            let status = self.call::<_, ModelInferResponse>("ModelInfer", request).await.err();
            let shown = status.as_ref().map_or_else(|| "it was answered".to_owned(), Status::shown);
            let found = |is_so: bool| if is_so { Ok(shown.clone()) } else { Err(shown.clone()) };
            let code_of = status.as_ref().map(|status| status.code);
            // No answer at all is no refusal.
            self.note(required(check, PROTO), found(code_of.is_some_and(|code| code != UNAVAILABLE)));
            self.note(extension(exactly, "Triton, KServe"), found(code_of == Some(code)));
        }
    }

    async fn extensions(&mut self) {
        let model = self.subject.model.clone();
        let call = ("RepositoryIndex", RepositoryIndexRequest::default());
        self.check(extension("gRPC: RepositoryIndex", TRITON), call, |answer: RepositoryIndexResponse| {
            let is_there = answer.models.iter().any(|entry| entry.name == model);
            if is_there { Ok(format!("{} models", answer.models.len())) } else { Err("without the model".to_owned()) }
        })
        .await;
        let call = ("ModelStatistics", ModelStatisticsRequest { name: model.clone(), version: String::new() });
        self.check(extension("gRPC: ModelStatistics", TRITON), call, |answer: ModelStatisticsResponse| {
            let count = answer.model_stats.first().map(|stats| stats.inference_count);
            count.map(|count| format!("{count} inferences")).ok_or_else(|| "none".to_owned())
        })
        .await;
        let call = ("ModelConfig", ModelConfigRequest { name: model, version: String::new() });
        self.check(extension("gRPC: ModelConfig", TRITON), call, |answer: ModelConfigResponse| {
            answer.config.map(|config| config.name).ok_or_else(|| "none".to_owned())
        })
        .await;
    }
}

/// Values in the list of their type.
fn contents(data: &Data) -> InferTensorContents {
    crate::grpc::typed(data)
}

/// One call, whose result is the server's; an error is the way there.
async fn call<A: Message, B: Message + Default>(
    web: &Web,
    method: &str,
    request: &A,
) -> anyhow::Result<Result<B, Status>> {
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(u32::try_from(request.encoded_len())?);
    request.encode(&mut body)?;
    let request = Request::post(format!("/inference.GRPCInferenceService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(body.freeze()))?;
    let response = web.send_http2(request).await?;
    let head = response.headers().clone();
    if !response.status().is_success() {
        return Ok(Err(Status { code: 2, message: format!("HTTP {}", response.status()) }));
    }
    let collected = response.into_body().collect().await?;
    let ended = status(collected.trailers()).or_else(|| status(Some(&head))).context("no grpc-status")?;
    if ended.code != 0 {
        return Ok(Err(ended));
    }
    let bytes = collected.to_bytes();
    let message = bytes.get(5..).context("no message")?;
    Ok(Ok(B::decode(message)?))
}

fn status(headers: Option<&HeaderMap>) -> Option<Status> {
    let text = |name: &str| headers?.get(name)?.to_str().ok();
    let code = text("grpc-status")?.parse().ok()?;
    Some(Status { code, message: unescaped(text("grpc-message").unwrap_or_default()) })
}

/// `text` with what is percent-encoded as it was.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = behind.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written() {
        assert_eq!(unescaped("no model %22x%22: K%C3%B6ln %zz %"), "no model \"x\": Köln %zz %");
    }
}
