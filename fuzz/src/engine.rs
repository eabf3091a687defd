//! `gudgeon::engine` with nothing in the place of the inference library.

#[path = "../../src/engine/describe.rs"]
mod describe;
#[path = "../../src/engine/engines.rs"]
mod engines;
#[path = "../../src/engine/error.rs"]
mod error;
#[path = "../../src/engine/functions.rs"]
mod functions;
#[path = "../../src/engine/gemm.rs"]
mod gemm;
#[path = "../../src/engine/kernel.rs"]
mod kernel;
#[path = "../../src/engine/limits.rs"]
mod limits;
#[path = "../../src/engine/logistic.rs"]
mod logistic;
#[path = "../../src/engine/maps.rs"]
mod maps;
#[path = "../../src/engine/native/mod.rs"]
mod native;
#[path = "../../src/engine/onnx.rs"]
pub mod onnx;
#[path = "../../src/engine/onnxruntime/mod.rs"]
mod onnxruntime;
#[path = "../../src/engine/ops/mod.rs"]
mod ops;
#[path = "../../src/engine/plan.rs"]
mod plan;
#[path = "../../src/engine/tensors.rs"]
mod tensors;
#[path = "../../src/engine/validate.rs"]
mod validate;

pub use describe::Graph;
pub use engines::{EngineChoice, EngineName};
pub use error::EngineError;
pub use limits::Limits;
pub use onnxruntime::Engines;
pub use plan::Plan;

/// An engine that takes nothing.
mod tract {
    use super::engines::{Declined, Engine, EngineName, Loaded, Source, unknown};
    use super::kernel::OpError;
    use super::onnx::NodeProto;

    pub(super) const QUANTIZED: [&str; 2] = ["QuantizeLinear", "DequantizeLinear"];

    pub(super) struct Tract;

    impl Engine for Tract {
        fn name(&self) -> EngineName {
            EngineName::Tract
        }

        fn load(&self, _: &Source<'_>) -> Result<Loaded, Declined> {
            Err(Declined::Lacks("everything".to_owned()))
        }
    }

    pub(super) fn lacks(node: &NodeProto) -> Option<OpError> {
        Some(unknown(node))
    }
}
