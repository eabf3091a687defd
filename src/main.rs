//! argv -> cli -> exit code.

use std::process::ExitCode;

use clap::Parser as _;
use gudgeon::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
