//! Operators on rows of numbers: Scaler, Imputer, Normalizer.

use std::borrow::Cow;

use tract_onnx::tract_hir::internal::*;

use super::OpError;
use super::attributes::Attributes;
use super::glue::{Kernel, OutputFact, row_len, rows_of, tensor};

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

/// That `n_features` values a row fit attributes of `len` values, one of them standing for all.
fn check_len(what: &str, len: usize, shape: &[TDim]) -> TractResult<()> {
    match row_len(shape) {
        Some(n_features) if len == 1 || len == n_features => Ok(()),
        n_features => bail!("{what}: {len} values for rows of {n_features:?}"),
    }
}

/// `(x - offset) * scale`.
#[derive(Debug)]
pub(super) struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Scaler {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let (offset, scale) = (attributes.floats("offset")?.to_vec(), attributes.floats("scale")?.to_vec());
        if offset.is_empty() || scale.len() != offset.len() {
            return Err(OpError::Bad(format!("offset has {} values, scale {}", offset.len(), scale.len())));
        }
        Ok(Self { offset, scale })
    }
}

impl Kernel for Scaler {
    fn name(&self) -> &'static str {
        "Scaler"
    }

    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>> {
        ensure!(is_number(dtype), "Scaler takes numbers, got {dtype:?}");
        check_len("Scaler", self.scale.len(), shape)?;
        Ok(tvec!((f32::datum_type(), shape.into())))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let mut values = as_f32(input)?.into_owned();
        if let ([offset], [scale]) = (self.offset.as_slice(), self.scale.as_slice()) {
            values.iter_mut().for_each(|value| *value = (*value - offset) * scale);
        } else {
            for row in values.chunks_exact_mut(self.scale.len()) {
                for ((value, offset), scale) in row.iter_mut().zip(&self.offset).zip(&self.scale) {
                    *value = (*value - offset) * scale;
                }
            }
        }
        Ok(tvec!(tensor(input.shape(), values)?))
    }
}

/// Puts a value in the place of each that is missing.
#[derive(Debug)]
pub(super) enum Imputer {
    Floats { imputed: Vec<f32>, replaced: f32 },
    Ints { imputed: Vec<i64>, replaced: i64 },
}

impl Imputer {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let floats = attributes.floats("imputed_value_floats")?.to_vec();
        let ints = attributes.ints("imputed_value_int64s")?.to_vec();
        match (floats.is_empty(), ints.is_empty()) {
            (false, true) => {
                Ok(Self::Floats { imputed: floats, replaced: attributes.float("replaced_value_float")?.unwrap_or(0.0) })
            }
            (true, false) => {
                Ok(Self::Ints { imputed: ints, replaced: attributes.int("replaced_value_int64")?.unwrap_or(0) })
            }
            _ => Err(OpError::Bad("expected imputed values, either floats or whole numbers".to_owned())),
        }
    }
}

impl Kernel for Imputer {
    fn name(&self) -> &'static str {
        "Imputer"
    }

    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>> {
        let (taken, len) = match self {
            Self::Floats { imputed, .. } => (f32::datum_type(), imputed.len()),
            Self::Ints { imputed, .. } => (i64::datum_type(), imputed.len()),
        };
        ensure!(dtype == taken, "Imputer takes {taken:?}, got {dtype:?}");
        check_len("Imputer", len, shape)?;
        Ok(tvec!((dtype, shape.into())))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let output = match self {
            Self::Floats { imputed, replaced } => {
                let missing =
                    |value: f32| value.to_bits() == replaced.to_bits() || bits_differ_but_equal(value, *replaced);
                let values = input.try_as_plain_ram()?.as_slice::<f32>()?;
                tensor(input.shape(), impute(values, imputed, missing))?
            }
            Self::Ints { imputed, replaced } => {
                let values = input.try_as_plain_ram()?.as_slice::<i64>()?;
                tensor(input.shape(), impute(values, imputed, |value| value == *replaced))?
            }
        };
        Ok(tvec!(output))
    }
}

/// NaNs of other bits, and the two zeros.
#[expect(clippy::float_cmp, reason = "the operator replaces exactly one value")]
fn bits_differ_but_equal(value: f32, replaced: f32) -> bool {
    value == replaced || (value.is_nan() && replaced.is_nan())
}

fn impute<T: Copy>(values: &[T], imputed: &[T], missing: impl Fn(T) -> bool) -> Vec<T> {
    let places = imputed.iter().cycle();
    values.iter().zip(places).map(|(&value, &imputed)| if missing(value) { imputed } else { value }).collect()
}

/// Divides each row by its norm.
#[derive(Debug, Clone, Copy)]
pub(super) enum Normalizer {
    Max,
    L1,
    L2,
}

impl Normalizer {
    pub(super) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        match attributes.text("norm")?.unwrap_or("MAX") {
            "MAX" => Ok(Self::Max),
            "L1" => Ok(Self::L1),
            "L2" => Ok(Self::L2),
            other => Err(OpError::Bad(format!("unknown norm {other:?}"))),
        }
    }

    fn norm(self, row: &[f32]) -> f32 {
        match self {
            Self::Max => row.iter().copied().fold(f32::MIN, f32::max),
            Self::L1 => row.iter().map(|value| value.abs()).sum(),
            Self::L2 => row.iter().map(|value| value * value).sum::<f32>().sqrt(),
        }
    }
}

impl Kernel for Normalizer {
    fn name(&self) -> &'static str {
        "Normalizer"
    }

    fn facts(&self, dtype: DatumType, shape: &[TDim]) -> TractResult<TVec<OutputFact>> {
        ensure!(is_number(dtype), "Normalizer takes numbers, got {dtype:?}");
        ensure!(matches!(shape.len(), 1 | 2), "Normalizer takes one or two axes, got {}", shape.len());
        Ok(tvec!((f32::datum_type(), shape.into())))
    }

    fn eval(&self, input: &Tensor) -> TractResult<TVec<TValue>> {
        let (_, n_features) = rows_of(input.shape());
        let mut values = as_f32(input)?.into_owned();
        for row in values.chunks_exact_mut(n_features.max(1)) {
            let norm = self.norm(row);
            // A row of zeros stays as it is.
            if norm.abs() > 0.0 || norm.is_nan() {
                row.iter_mut().for_each(|value| *value /= norm);
            }
        }
        Ok(tvec!(tensor(input.shape(), values)?))
    }
}
