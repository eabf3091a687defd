//! What HTTP and JSON cost without a model: bare axum servers that send a body back, for `scripts/bench`.
//!
//! usage: `echo PORT`. `POST /bytes` sends the bytes back, `/value` reads them into a `serde_json::Value` and writes that,
//! `/typed` reads and writes `{"instances": [[number, ...], ...]}` as numbers. No checks, no limits, no metrics.

use axum::body::Bytes;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize, Serialize)]
struct Typed {
    instances: Vec<Vec<f32>>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_default().parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let router = Router::new()
        .route("/bytes", post(async |body: Bytes| body))
        .route("/value", post(async |Json(body): Json<Value>| Json(body)))
        .route("/typed", post(async |Json(body): Json<Typed>| Json(body)));
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), router).await?;
    Ok(())
}
