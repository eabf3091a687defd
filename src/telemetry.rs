//! Logs: one line an event, readable or JSON, on standard error.
//!
//! Inputs and outputs of a prediction are never logged. Control characters and line separators are escaped as the line is
//! written, so that one event stays one line whatever a caller or a model put into it; so is a panic. This is the only module that knows tracing-subscriber.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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
    let parsed: Targets =
        filter.parse().map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let builder = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_span_events(FmtSpan::NONE)
        .with_writer(|| OneLine(io::stderr()));
    let started = match format {
        LogFormat::Text => builder.with_target(false).with_ansi(false).finish().with(parsed).try_init(),
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(true).with_span_list(false);
            builder.finish().with(parsed).try_init()
        }
    };
    started.map_err(|_| TelemetryError::Twice)?;
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        // Whoever contains the panic says what became of it.
        tracing::warn!(thread, place, "a thread panicked: {message}");
    }));
    Ok(())
}

/// Writes each event as one line: events come in one piece, with the line's end.
#[derive(Debug)]
struct OneLine<W>(W);

impl<W: io::Write> io::Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((text.as_ref(), ""), |line| (line, "\n"));
        self.0.write_all(format!("{}{end}", escaped(line)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `line` with what would end it or steer a terminal written as JSON writes it.
fn escaped(line: &str) -> Cow<'_, str> {
    let must_go = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if !line.contains(must_go) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            c if must_go(c) => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn an_event_stays_one_line_whatever_it_holds() {
        let mut lines = OneLine(Vec::new());
        lines.write_all(b"a plain line\n").unwrap();
        lines.write_all("model.toml:\n 1 | x\r\u{1b}[31m\u{2028}\u{85}\u{e4}\n".as_bytes()).unwrap();
        let expected = "a plain line\nmodel.toml:\\n 1 | x\\u000d\\u001b[31m\\u2028\\u0085\u{e4}\n";
        assert_eq!(String::from_utf8(lines.0).unwrap(), expected);
    }
}
