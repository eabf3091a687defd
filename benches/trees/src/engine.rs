//! As much of `gudgeon::engine` as the tree kernels need.

#[path = "../../../src/engine/onnx.rs"]
pub mod onnx;
pub mod ops;
