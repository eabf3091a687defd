//! argv -> cli -> exit code.

use std::process::ExitCode;

use clap::Parser as _;
use gudgeon::cli::Cli;
use gudgeon::config;

#[expect(unsafe_code, reason = "the environment is changed, once, before there is anybody else to read it")]
fn main() -> ExitCode {
    // SAFETY: this process has one thread yet.
    unsafe { config::forbid_telemetry() };
    Cli::parse().run()
}
