//! ONNX in, outputs out: the only module that knows an inference library.
//!
//! [`inspect`] checks a model and reads its signature from the file alone. [`Plan::load`] does that, puts operators of our
//! own in the place of the library's (all of ai.onnx.ml that gudgeon takes), and optimises. A [`Plan`] runs from any number
//! of threads at once. What is not known here is refused by name; it is never guessed.
//!
//! A file within [`Limits`] can still ask for much memory or time: an unknown one is opened in a child process first (`verify`).

mod axes;
mod describe;
mod error;
mod limits;
pub mod onnx;
mod ops;
mod plan;
mod validate;
mod values;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod hostile;

pub use describe::{Graph, inspect};
pub use error::EngineError;
pub use limits::Limits;
pub use plan::Plan;
