//! Logs: one line an event, readable or JSON, on standard error.
//!
//! Inputs and outputs of a prediction are never logged. Control characters of what a caller sent are escaped by the
//! formatter, so that one event stays one line. This is the only module that knows tracing-subscriber.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one that tracing understands.
    #[error("log filter {filter:?}: expected directives such as \"info\" or \"gudgeon=debug,warn\": {source}")]
    Filter {
        /// What was configured.
        filter: String,
        /// Why it is not a filter.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging is set up already")]
    Twice,
}

/// Sends the process's log events to standard error.
///
/// # Errors
/// [`TelemetryError`] where `filter` does not parse or logging was set up before.
pub fn start(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let parsed =
        EnvFilter::try_new(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(parsed).with_span_events(FmtSpan::NONE).with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_target(false).with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    started.map_err(|_| TelemetryError::Twice)
}
