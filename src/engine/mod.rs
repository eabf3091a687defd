//! ONNX in, outputs out: the only module that knows an inference library.
//!
//! [`inspect`] checks a model and reads its signature from the file alone. [`Plan::load`] does that and loads the graph in one of
//! one of three engines: `native`, gudgeon's own, `tract`, with our operators of ai.onnx.ml (`ops`) in the place of the
//! library's, and `onnxruntime`, where the configuration says where its library is. A [`Plan`] runs from any number of threads
//! at once. What no engine knows is refused by name; it is never guessed.
//!
//! A file within [`Limits`] can still ask for much memory or time: an unknown one is opened in a child process first (`verify`).

mod describe;
mod engines;
mod error;
mod functions;
mod gemm;
mod kernel;
mod limits;
mod logistic;
mod maps;
mod native;
pub mod onnx;
mod onnxruntime;
mod ops;
mod plan;
mod tensors;
mod tract;
mod validate;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod text_tests;

pub use describe::{Graph, inspect};
pub use engines::{Engaged, EngineChoice, EngineName};
pub use error::EngineError;
pub use limits::Limits;
#[cfg(all(test, feature = "onnxruntime"))]
pub(crate) use onnxruntime::with_onnxruntime;
pub use onnxruntime::{Engines, Onnxruntime, Provider, Providers};
pub use plan::Plan;
