//! onnxruntime as an engine: its library is a file that the configuration names, and is opened when a graph needs it.

// A statically linked binary opens no shared library.
#[cfg(all(feature = "onnxruntime", not(target_feature = "crt-static")))]
mod linked;
mod settings;

#[cfg(all(test, feature = "onnxruntime"))]
mod tests;

pub use settings::{Engines, Onnxruntime, Provider, Providers};

#[cfg(all(test, feature = "onnxruntime"))]
pub(crate) use tests::engines as with_onnxruntime;

use super::EngineError;
use super::engines::{Declined, Engine, EngineName, Loaded, Source};

/// onnxruntime, where the configuration names its library.
#[derive(Debug)]
pub(super) struct OnnxruntimeEngine;

impl Engine for OnnxruntimeEngine {
    fn name(&self) -> EngineName {
        EngineName::Onnxruntime
    }

    fn load(&self, source: &Source<'_>) -> Result<Loaded, Declined> {
        match source.onnxruntime {
            Some(settings) => linked::load(source, settings),
            None if Onnxruntime::IS_IN_BUILD => {
                Err(Declined::Error(EngineError::NeedsOnnxruntime("model.toml asks for it".to_owned())))
            }
            None => Err(Declined::Error(absent())),
        }
    }
}

fn absent() -> EngineError {
    EngineError::Library("this build has none".to_owned())
}

impl Onnxruntime {
    /// Opens the library before this process takes the right to open files away from itself.
    ///
    /// # Errors
    /// [`EngineError::Library`] where the file is no onnxruntime, or too old.
    pub fn open(&self) -> Result<(), EngineError> {
        linked::open(&self.library)
    }
}

/// In the place of the library, where this build has no use for it.
#[cfg(not(all(feature = "onnxruntime", not(target_feature = "crt-static"))))]
mod linked {
    use std::path::Path;

    use super::{Declined, EngineError, Loaded, Onnxruntime, Source, absent};

    pub(super) fn load(_source: &Source<'_>, _settings: &Onnxruntime) -> Result<Loaded, Declined> {
        Err(Declined::Error(absent()))
    }

    pub(super) fn open(_library: &Path) -> Result<(), EngineError> {
        Err(absent())
    }
}
