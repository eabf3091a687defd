//! ONNX in, outputs out: the only module that knows an inference library.

pub mod onnx;
