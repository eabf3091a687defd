//! As much of `gudgeon::engine` as the tree kernels need.

#[path = "../../../src/engine/kernel.rs"]
pub mod kernel;
pub mod ml;
#[path = "../../../src/engine/onnx.rs"]
pub mod onnx;
#[path = "../../../src/engine/tensors.rs"]
pub mod tensors;
