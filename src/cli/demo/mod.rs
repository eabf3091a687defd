//! `gudgeon demo`: the whole story on real data, with a real server, a real trainer and real HTTP traffic.
//!
//! It works on a copy of `models/flights` in a folder of its own. The server and the trainer are other processes of this
//! same binary, as they are in production.

mod load;
mod server;
mod story;
mod traffic;
mod workspace;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// The whole story on real data: train, serve, drift, retrain, swap under load, roll back.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The registry whose `flights` folder is copied: its pipeline, gate and data.
    #[arg(long, env = "GUDGEON_MODELS", default_value = "models")]
    models: PathBuf,
    /// Keep serving at the end, until Ctrl-C.
    #[arg(long)]
    stay: bool,
    /// Work in this folder and keep it, instead of in a temporary one that is removed.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Address for predictions; 127.0.0.1:8080 where it is free, else any free port.
    #[arg(long)]
    http_addr: Option<SocketAddr>,
    /// Address for metrics and the admin route; 127.0.0.1:8082 where it is free, else any free port.
    #[arg(long)]
    ops_addr: Option<SocketAddr>,
    /// Connections that replay traffic.
    #[arg(long, default_value_t = 8)]
    connections: usize,
}

pub(super) fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(story::tell(args))
}
