//! Operators on rows of numbers: Scaler, Imputer, Normalizer, Binarizer.

use super::attributes::Attributes;
use crate::engine::kernel::{Args, Fact, Kernel, OpError, Outputs, into_f32, rows_of, tensor};
use crate::tensor::{Data, Dtype, Tensor};

/// That attributes of `len` values fit the rows, one of them standing for all.
fn check_len(what: &str, len: usize, input: &Fact) -> Result<(), OpError> {
    match input.row_len() {
        Some(n_features) if len != 1 && len != n_features => {
            OpError::bad(format!("{what}: {len} values for rows of {n_features}"))
        }
        _ => Ok(()),
    }
}

fn check_run(len: usize, input: &Tensor) -> Result<(), String> {
    match rows_of(input.shape()) {
        (_, n_features) if len != 1 && len != n_features => Err(format!("{len} values for rows of {n_features}")),
        _ => Ok(()),
    }
}

/// `(x - offset) * scale`.
#[derive(Debug)]
pub(in crate::engine) struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Scaler {
    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let (offset, scale) = (attributes.floats("offset")?.to_vec(), attributes.floats("scale")?.to_vec());
        if offset.is_empty() || scale.len() != offset.len() {
            return OpError::bad(format!("offset has {} values, scale {}", offset.len(), scale.len()));
        }
        Ok(Self { offset, scale })
    }
}

impl Kernel for Scaler {
    fn name(&self) -> &'static str {
        "Scaler"
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        inputs[0].number("Scaler")?;
        check_len("Scaler", self.scale.len(), &inputs[0])?;
        Ok(vec![inputs[0].like(Dtype::Fp32)])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.take(0)?;
        check_run(self.scale.len(), &input)?;
        let shape = input.shape().to_vec();
        let mut values = into_f32(input)?;
        if let ([offset], [scale]) = (self.offset.as_slice(), self.scale.as_slice()) {
            values.iter_mut().for_each(|value| *value = (*value - offset) * scale);
        } else {
            for row in values.chunks_exact_mut(self.scale.len()) {
                for ((value, offset), scale) in row.iter_mut().zip(&self.offset).zip(&self.scale) {
                    *value = (*value - offset) * scale;
                }
            }
        }
        Ok(Outputs::One(tensor(shape, Data::Fp32(values))?))
    }
}

/// Puts a value in the place of each that is missing.
#[derive(Debug)]
pub(in crate::engine) enum Imputer {
    Floats { imputed: Vec<f32>, replaced: f32 },
    Ints { imputed: Vec<i64>, replaced: i64 },
}

impl Imputer {
    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        let floats = attributes.floats("imputed_value_floats")?.to_vec();
        let ints = attributes.ints("imputed_value_int64s")?.to_vec();
        match (floats.is_empty(), ints.is_empty()) {
            (false, true) => {
                Ok(Self::Floats { imputed: floats, replaced: attributes.float("replaced_value_float")?.unwrap_or(0.0) })
            }
            (true, false) => {
                Ok(Self::Ints { imputed: ints, replaced: attributes.int("replaced_value_int64")?.unwrap_or(0) })
            }
            _ => OpError::bad("expected imputed values, either floats or whole numbers"),
        }
    }
}

impl Kernel for Imputer {
    fn name(&self) -> &'static str {
        "Imputer"
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        let (taken, len) = match self {
            Self::Floats { imputed, .. } => (Dtype::Fp32, imputed.len()),
            Self::Ints { imputed, .. } => (Dtype::Int64, imputed.len()),
        };
        inputs[0].of_type("Imputer", taken)?;
        check_len("Imputer", len, &inputs[0])?;
        Ok(vec![inputs[0].like(taken)])
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.take(0)?;
        let shape = input.shape().to_vec();
        let data = match self {
            Self::Floats { imputed, replaced } => {
                check_run(imputed.len(), &input)?;
                let missing = |value: f32| is_same(value, *replaced);
                Data::Fp32(impute(into_f32(input)?, imputed, missing))
            }
            Self::Ints { imputed, replaced } => {
                check_run(imputed.len(), &input)?;
                let Data::Int64(values) = input.into_data() else { return Err("expected INT64".to_owned()) };
                Data::Int64(impute(values, imputed, |value| value == *replaced))
            }
        };
        Ok(Outputs::One(tensor(shape, data)?))
    }
}

/// Whether `value` is the one to be replaced, NaN whatever its bits.
#[expect(clippy::float_cmp, reason = "the operator replaces exactly one value")]
fn is_same(value: f32, replaced: f32) -> bool {
    value == replaced || (value.is_nan() && replaced.is_nan())
}

fn impute<T: Copy>(mut values: Vec<T>, imputed: &[T], missing: impl Fn(T) -> bool) -> Vec<T> {
    for row in values.chunks_mut(imputed.len()) {
        for (value, imputed) in row.iter_mut().zip(imputed) {
            if missing(*value) {
                *value = *imputed;
            }
        }
    }
    values
}

/// Divides each row by its norm.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) enum Normalizer {
    Max,
    L1,
    L2,
}

impl Normalizer {
    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        match attributes.text("norm")?.unwrap_or("MAX") {
            "MAX" => Ok(Self::Max),
            "L1" => Ok(Self::L1),
            "L2" => Ok(Self::L2),
            other => OpError::bad(format!("unknown norm {other:?}")),
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

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        inputs[0].number("Normalizer")?;
        match inputs[0].rank() {
            None | Some(1 | 2) => Ok(vec![inputs[0].like(Dtype::Fp32)]),
            Some(rank) => OpError::bad(format!("Normalizer takes one or two axes, got {rank}")),
        }
    }

    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.take(0)?;
        let shape = input.shape().to_vec();
        let (_, n_features) = rows_of(&shape);
        let mut values = into_f32(input)?;
        for row in values.chunks_exact_mut(n_features.max(1)) {
            let norm = self.norm(row);
            // A row of zeros stays as it is.
            if norm.abs() > 0.0 || norm.is_nan() {
                row.iter_mut().for_each(|value| *value /= norm);
            }
        }
        Ok(Outputs::One(tensor(shape, Data::Fp32(values))?))
    }
}

/// 1 above the threshold, 0 elsewhere.
#[derive(Debug)]
pub(in crate::engine) struct Binarizer(f32);

impl Binarizer {
    pub(in crate::engine) fn read(attributes: Attributes<'_>) -> Result<Self, OpError> {
        Ok(Self(attributes.float("threshold")?.unwrap_or(0.0)))
    }
}

impl Kernel for Binarizer {
    fn name(&self) -> &'static str {
        "Binarizer"
    }

    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError> {
        match inputs[0].dtype {
            Dtype::Fp32 | Dtype::Fp64 | Dtype::Int64 | Dtype::Int32 => Ok(vec![inputs[0].like(inputs[0].dtype)]),
            other => OpError::bad(format!("Binarizer takes FP32, FP64, INT64 or INT32, got {other}")),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a threshold is compared, and 53 bits are what an f64 has")]
    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String> {
        let input = args.take(0)?;
        let (shape, threshold) = (input.shape().to_vec(), f64::from(self.0));
        let mut data = input.into_data();
        match &mut data {
            Data::Fp32(values) => values.iter_mut().for_each(|v| *v = f32::from(u8::from(*v > self.0))),
            Data::Fp64(values) => values.iter_mut().for_each(|v| *v = f64::from(u8::from(*v > threshold))),
            Data::Int64(values) => values.iter_mut().for_each(|v| *v = i64::from(*v as f64 > threshold)),
            Data::Int32(values) => values.iter_mut().for_each(|v| *v = i32::from(f64::from(*v) > threshold)),
            other => return Err(format!("unexpected {}", other.dtype())),
        }
        Ok(Outputs::One(tensor(shape, data)?))
    }
}
