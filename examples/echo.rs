//! What HTTP, JSON and gRPC cost without a model: bare axum and tonic servers that send a request back, for `scripts/bench`.
//!
//! usage: `echo PORT [GRPC_PORT]`. `POST /bytes` sends the bytes back, `/value` reads them into a `serde_json::Value` and writes
//! that, `/typed` reads and writes `{"instances": [[number, ...], ...]}` as numbers. Over gRPC, every call is a `ModelInfer`
//! whose tensors are its outputs. No checks, no limits, no metrics.

use std::convert::Infallible;
use std::future::{Ready, ready};

use axum::body::Bytes;
use axum::routing::post;
use axum::{Json, Router};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use inference::model_infer_response::InferOutputTensor;
use inference::{ModelInferRequest, ModelInferResponse};

#[allow(warnings, clippy::all, clippy::pedantic, reason = "this file is made from inference.proto, and little of it is used")]
#[rustfmt::skip]
#[path = "../src/grpc/inference.rs"]
mod inference;

#[derive(Deserialize, Serialize)]
struct Typed {
    instances: Vec<Vec<f32>>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut ports = std::env::args().skip(1);
    let port = ports.next().unwrap_or_default().parse()?;
    if let Some(port) = ports.next() {
        tokio::spawn(serve_grpc(TcpListener::bind(("127.0.0.1", port.parse()?)).await?));
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let router = Router::new()
        .route("/bytes", post(async |body: Bytes| body))
        .route("/value", post(async |Json(body): Json<Value>| Json(body)))
        .route("/typed", post(async |Json(body): Json<Typed>| Json(body)));
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), router).await?;
    Ok(())
}

async fn serve_grpc(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = service_fn(async |request| {
            let mut grpc = Grpc::new(ProstCodec::default()).apply_max_message_size_config(Some(1 << 30), None);
            Ok::<_, Infallible>(grpc.unary(Infer, request).await)
        });
        tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer));
    }
}

struct Infer;

impl UnaryService<ModelInferRequest> for Infer {
    type Response = ModelInferResponse;
    type Future = Ready<Result<Response<ModelInferResponse>, Status>>;

    fn call(&mut self, request: Request<ModelInferRequest>) -> Self::Future {
        let ModelInferRequest { model_name, model_version, id, inputs, raw_input_contents, .. } = request.into_inner();
        let outputs = inputs.into_iter().map(|input| InferOutputTensor {
            name: input.name,
            datatype: input.datatype,
            shape: input.shape,
            contents: input.contents,
            ..InferOutputTensor::default()
        });
        ready(Ok(Response::new(ModelInferResponse {
            model_name,
            model_version,
            id,
            outputs: outputs.collect(),
            raw_output_contents: raw_input_contents,
            ..ModelInferResponse::default()
        })))
    }
}
