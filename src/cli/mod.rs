//! The command line: the only code that prints.

mod challenge;
mod client;
mod confined;
mod conform;
mod demo;
mod evaluate;
mod examine;
mod lifecycle;
mod operations;
mod prune;
mod register;
mod serve;
mod table;
mod train;
mod verify;
mod web;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::RawConfig;
use crate::model::{ModelName, Version};

/// An error that is the caller's to mend.
const EXIT_ERROR: u8 = 2;

/// Serves versioned ONNX models from a hot-swappable slot, trains them, and watches them drift.
#[derive(Debug, Parser)]
#[command(name = "gudgeon", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve every model of the registry.
    Serve(Box<RawConfig>),
    /// Train a version as a pipeline file says, evaluate it, and register it.
    Train(train::TrainArgs),
    /// Hold a challenger against the champion on the gate's holdout. Exit code: 0 PASS, 10 FAIL, 11 INCONCLUSIVE, 2 error.
    Evaluate(evaluate::EvaluateArgs),
    /// Register a model that was made elsewhere.
    Register(register::RegisterArgs),
    /// Check a version of the registry as the server would before it serves it.
    Verify(verify::VerifyArgs),
    /// Make a version the champion of a running server.
    Activate(lifecycle::ActivateArgs),
    /// Make the version that was active before the champion again.
    Rollback(lifecycle::RollbackArgs),
    /// Try a version on live requests of a running server: in shadow, as a canary, or by a rollout.
    Challenge(challenge::ChallengeArgs),
    /// Take the challenger back.
    Withdraw(challenge::WithdrawArgs),
    /// Show how the challenger compares with the champion.
    Challenger(challenge::ChallengerArgs),
    /// Show models and versions.
    List(lifecycle::ListArgs),
    /// Show what happened to a model's versions.
    History(lifecycle::HistoryArgs),
    /// Show what a running server was asked to do; with an id, follow that operation.
    Operations(operations::OperationsArgs),
    /// Remove the oldest versions; never one that is in use.
    Prune(prune::PruneArgs),
    /// Check whether a server speaks the Open Inference Protocol. Exit code: 0 all that is required, 1 not all, 2 error.
    Conform(conform::ConformArgs),
    /// The whole story on real data: train, serve, drift, retrain, swap under load, roll back.
    Demo(demo::DemoArgs),
    /// Run another command of this binary under limits that it cannot raise.
    #[command(hide = true)]
    Confined(confined::ConfinedArgs),
    /// Open and try out the version on standard input, for the process that asks.
    #[command(hide = true)]
    Examine,
}

/// Where the running server's admin route is.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArgs {
    /// The server's operations address; one that begins with https is spoken to over TLS.
    #[arg(long, env = "GUDGEON_URL", default_value = "http://127.0.0.1:8082")]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) trust: web::TrustArgs,
    /// File with the admin token; else GUDGEON_ADMIN_TOKEN, else the token that `serve` made on this machine.
    #[arg(long, env = "GUDGEON_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
}

/// Where the registry is.
#[derive(Debug, Clone, Args)]
pub(crate) struct RegistryArgs {
    /// The registry: the folder with a folder a model.
    #[arg(long, env = "GUDGEON_MODELS", default_value = "models")]
    pub(crate) models: PathBuf,
}

/// A version of a model.
#[derive(Debug, Clone, Args)]
pub(crate) struct VersionArgs {
    /// The model.
    pub(crate) model: ModelName,
    /// The version's number.
    pub(crate) version: Version,
}

impl Cli {
    /// Runs the command; the exit code says how it ended.
    pub fn run(self) -> ExitCode {
        let result = match self.command {
            Command::Serve(raw) => serve::run(*raw),
            Command::Train(args) => train::run(&args),
            Command::Evaluate(args) => evaluate::run(&args),
            Command::Register(args) => register::run(args),
            Command::Verify(args) => verify::run(&args),
            Command::Activate(args) => lifecycle::activate(&args),
            Command::Rollback(args) => lifecycle::roll_back(&args),
            Command::Challenge(args) => challenge::challenge(&args),
            Command::Withdraw(args) => challenge::withdraw(&args),
            Command::Challenger(args) => challenge::challenger(&args),
            Command::List(args) => lifecycle::list(&args),
            Command::History(args) => lifecycle::history(&args),
            Command::Operations(args) => operations::run(&args),
            Command::Prune(args) => prune::run(args),
            Command::Conform(args) => conform::run(&args),
            Command::Demo(args) => demo::run(args),
            Command::Examine => examine::run(),
            Command::Confined(args) => confined::run(args, Self::run_line),
        };
        result.unwrap_or_else(|error| {
            complain(&in_one_line(&error));
            ExitCode::from(EXIT_ERROR)
        })
    }

    fn run_line(args: Vec<OsString>) -> ExitCode {
        match Self::try_parse_from(std::iter::once(OsString::from("gudgeon")).chain(args)) {
            Ok(cli) => cli.run(),
            Err(error) => {
                complain(&error.to_string());
                ExitCode::from(EXIT_ERROR)
            }
        }
    }
}

/// A line for the person at the terminal.
pub(crate) fn say(line: &str) {
    match writeln!(io::stdout(), "{line}") {
        // A reader that has seen enough (`gudgeon history ... | head`) ends the output, not the command.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => complain(&format!("standard output: {error}")),
        _ => {}
    }
}

/// An error and its causes; a cause that its error tells already is not told twice.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

/// An error for the person at the terminal.
pub(crate) fn complain(line: &str) {
    complain_raw(&format!("gudgeon: {line}"));
}

/// A line on standard error as it is; where nobody hears it, nobody can be told.
pub(crate) fn complain_raw(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// A runtime for commands that speak to a server.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
