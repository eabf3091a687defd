//! The library, opened once a process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::engine::EngineError;

/// The library of this process; a process has one for good.
static OPENED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// What sessions are made in.
///
/// # Errors
/// [`EngineError::Library`] where the file cannot be opened, is no onnxruntime or is too old, and where this process has opened
/// another one before.
pub(super) fn environment(library: &Path) -> Result<Environment, EngineError> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((path, environment)) = opened.as_ref() {
        if path == library {
            return Ok(environment.clone());
        }
        return Err(problem(library, &format!("this process has opened {} already", path.display())));
    }
    // A relative name would be looked for in the folders of the system's libraries.
    let path = library.canonicalize().map_err(|error| problem(library, &error))?;
    let builder = ort::init_from(path).map_err(|error| problem(library, &error))?;
    let builder = builder.with_name("gudgeon").with_telemetry(false).with_logger(Arc::new(log));
    let environment = builder.build().map_err(|error| problem(library, &error))?;
    environment.set_log_level(LogLevel::Warning);
    *opened = Some((library.to_owned(), environment.clone()));
    Ok(environment)
}

fn problem(library: &Path, problem: &dyn std::fmt::Display) -> EngineError {
    EngineError::Library(format!("{}: {problem}", library.display()))
}

/// The library's own messages are for whoever looks into a model.
fn log(level: LogLevel, _category: &str, _id: &str, place: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => tracing::trace!(place, "onnxruntime: {message}"),
        LogLevel::Warning | LogLevel::Error | LogLevel::Fatal => tracing::debug!(place, "onnxruntime: {message}"),
    }
}
