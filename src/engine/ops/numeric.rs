//! Numbers out of the library's tensors.

use std::borrow::Cow;

use tract_onnx::tract_hir::internal::*;

/// The values of a numeric tensor as `f32`.
pub(super) fn as_f32(input: &Tensor) -> TractResult<Cow<'_, [f32]>> {
    if input.datum_type() == f32::datum_type() {
        return Ok(Cow::Borrowed(input.try_as_plain_ram()?.as_slice::<f32>()?));
    }
    let cast = input.cast_to::<f32>()?;
    Ok(Cow::Owned(cast.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()))
}

pub(super) fn is_number(dtype: DatumType) -> bool {
    dtype.is_float() || dtype.is_integer() || dtype == bool::datum_type() || dtype.is_tdim()
}
