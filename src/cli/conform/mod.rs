//! `gudgeon conform`: whether a server speaks the Open Inference Protocol, by asking it.
//!
//! Every check sends a request and looks at what comes; none knows what the server is. Each names who says that it has to be so:
//! the protocol (required), or an extension, a convention or a widespread client.

mod asked;
mod outputs;
mod record;
mod remote;
mod rest;
mod subject;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use http::Method;

use self::asked::{JSON, ask};
use self::record::Report;
use self::remote::Remote;
use self::rest::Rest;
use self::subject::{Input, Subject};
use super::web::{TrustArgs, Web};
use super::{block_on, say};

/// Something that the protocol requires is otherwise.
const EXIT_OTHERWISE: u8 = 1;

/// Check whether a server, this one or another, speaks the Open Inference Protocol. Exit code: 0 all that is required, 1 not all,
/// 2 error.
#[derive(Debug, Args)]
pub(super) struct ConformArgs {
    /// The server's address for predictions, for example http://127.0.0.1:8080.
    url: String,
    /// Its address for gRPC, for example http://127.0.0.1:8081; without it only HTTP is checked.
    #[arg(long, value_name = "URL")]
    grpc: Option<String>,
    /// The model to ask; else the first one that the server's repository index names.
    #[arg(long)]
    model: Option<String>,
    /// An input of the model as NAME:DATATYPE:SIZES, for one whose metadata do not tell; repeat it for each.
    #[arg(long, value_name = "INPUT")]
    input: Vec<Input>,
    /// The key to send, where the server wants one.
    #[arg(long, env = "GUDGEON_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

pub(super) fn run(args: &ConformArgs) -> anyhow::Result<ExitCode> {
    let report = block_on(check(args))?;
    say(&if args.json { report.json()? } else { report.table() });
    Ok(if report.conforms() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_OTHERWISE) })
}

async fn check(args: &ConformArgs) -> anyhow::Result<Report> {
    let server = |url: &str| Web::new(url, &args.trust)?.with_key(args.api_key.as_deref());
    let web = server(&args.url)?;
    let model = match &args.model {
        Some(model) => model.clone(),
        None => first_model(&web).await?,
    };
    let answer = ask(&web, (Method::GET, &format!("/v2/models/{model}")), &[], Vec::new()).await;
    if answer.status != 200 {
        bail!("{}: no metadata of model {model:?}: {}", args.url, answer.shown());
    }
    let subject = Subject::of(&model, &answer.json(), &args.input)?;
    let mut report = Report::default();
    Rest::new(&web, &subject, &mut report).run().await;
    if let Some(address) = &args.grpc {
        let address = if address.contains("://") { address.clone() } else { format!("http://{address}") };
        let web = server(&address)?;
        Remote { web: &web, subject: &subject, report: &mut report }.run().await;
    }
    Ok(report)
}

async fn first_model(web: &Web) -> anyhow::Result<String> {
    let answer = ask(web, (Method::POST, "/v2/repository/index"), &[JSON], b"{}".to_vec()).await;
    let name = answer.json()[0]["name"].as_str().map(ToOwned::to_owned);
    name.with_context(|| format!("the server names no model ({}): name one with --model", answer.shown()))
}
