//! A kernel over the library's tensors, and what such kernels share.

use std::fmt::Debug;

use tract_onnx::tract_hir::internal::*;

/// Element type and shape of one output.
pub(in crate::engine) type OutputFact = (DatumType, TVec<TDim>);

/// An operator on one input.
pub(in crate::engine) trait Kernel: Debug + Send + Sync + 'static {
    /// The operator's name in ONNX.
    fn name(&self) -> &'static str;

    /// How many outputs it has.
    fn n_outputs(&self) -> usize {
        1
    }

    /// Types and shapes of the outputs for an input of type `dtype` and shape `shape`.
    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>>;

    /// The outputs.
    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>>;
}

/// A row-major `[n_rows, n_features]` view of an input of rank 1 (one row) or 2 and more.
pub(super) fn rows_of(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [n] => (1, *n),
        [n, rest @ ..] => (*n, rest.iter().product()),
    }
}

/// The row axis of an output of one value a row.
pub(super) fn row_dim(shape: &[TDim]) -> TDim {
    if shape.len() < 2 { 1.to_dim() } else { shape[0].clone() }
}

/// The size of a row, where it is fixed.
pub(super) fn row_len(shape: &[TDim]) -> Option<usize> {
    let skip = usize::from(shape.len() > 1);
    shape.iter().skip(skip).try_fold(1_usize, |product, dim| product.checked_mul(dim.to_usize().ok()?))
}

/// A tensor of `shape` over `values`.
pub(super) fn tensor<T: Datum>(shape: &[usize], values: Vec<T>) -> TractResult<TValue> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into_tensor().into_tvalue())
}
