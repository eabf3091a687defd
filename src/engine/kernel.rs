//! What an operator is to the engines: rules for types and shapes, and a run over our own tensors.
//!
//! The operators of ai.onnx.ml are [`Kernel`]s and serve in every engine; those of ai.onnx belong to `native` alone.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use crate::tensor::{Data, Dtype, Tensor};

/// Why a node cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OpError {
    /// There is no such operator here; the text names it.
    Unknown(String),
    /// Its attributes or inputs make no sense.
    Bad(String),
}

impl OpError {
    pub(super) fn bad<T>(problem: impl Into<String>) -> Result<T, Self> {
        Err(Self::Bad(problem.into()))
    }

    pub(super) fn unknown<T>(what: impl Into<String>) -> Result<T, Self> {
        Err(Self::Unknown(what.into()))
    }
}

/// The limit that messages name where a run or a load asks for too many values at once.
pub(super) const VALUES_LIMIT: &str = "run_values_max";

/// The size of one axis, as far as it is known before the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dim {
    Fixed(usize),
    /// Sizes of one number are equal.
    Symbol(u32),
    Unknown,
}

impl Dim {
    pub(super) fn fixed(self) -> Option<usize> {
        match self {
            Self::Fixed(size) => Some(size),
            Self::Symbol(_) | Self::Unknown => None,
        }
    }
}

/// What is known of a value before the run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fact {
    pub(super) dtype: Dtype,
    /// `None` where not even the number of axes is known.
    pub(super) shape: Option<Vec<Dim>>,
    /// The value itself, where it is the same in every run.
    pub(super) constant: Option<Arc<Tensor>>,
}

impl Fact {
    pub(super) fn new(dtype: Dtype, shape: Option<Vec<Dim>>) -> Self {
        Self { dtype, shape, constant: None }
    }

    pub(super) fn constant(tensor: Tensor) -> Self {
        let shape = tensor.shape().iter().map(|&size| Dim::Fixed(size)).collect();
        Self { dtype: tensor.dtype(), shape: Some(shape), constant: Some(Arc::new(tensor)) }
    }

    /// The same shape in another type.
    pub(super) fn like(&self, dtype: Dtype) -> Self {
        Self::new(dtype, self.shape.clone())
    }

    pub(super) fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }

    /// The row axis of an output of one value a row: an input of one axis is one row.
    pub(super) fn rows(&self) -> Dim {
        match self.shape.as_deref() {
            None => Dim::Unknown,
            Some([] | [_]) => Dim::Fixed(1),
            Some([rows, ..]) => *rows,
        }
    }

    /// The size of a row, where it is known.
    pub(super) fn row_len(&self) -> Option<usize> {
        let shape = self.shape.as_ref()?;
        let skip = usize::from(shape.len() > 1);
        shape.iter().skip(skip).try_fold(1_usize, |product, dim| product.checked_mul(dim.fixed()?))
    }

    /// That the values are numbers or flags.
    pub(super) fn number(&self, what: &str) -> Result<(), OpError> {
        if self.dtype == Dtype::String { OpError::bad(format!("{what} takes numbers, got strings")) } else { Ok(()) }
    }

    pub(super) fn of_type(&self, what: &str, dtype: Dtype) -> Result<(), OpError> {
        if self.dtype == dtype {
            return Ok(());
        }
        OpError::bad(format!("{what} takes {dtype} here, got {}", self.dtype))
    }
}

/// `[n_rows, n_features]` of an input of one axis (one row) or more.
pub(super) fn rows_of(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [n] => (1, *n),
        // A tensor's sizes multiply to the number of its values, so that the product of some wraps only where there are none.
        [n, rest @ ..] => (*n, rest.iter().fold(1, |product: usize, &size| product.saturating_mul(size))),
    }
}

/// Where an argument of a node lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The node leaves this input out.
    Absent,
    Input(usize),
    Constant(usize),
    Slot(usize),
    /// The slot, for the last time: what is in it may be taken.
    Last(usize),
}

/// The values of a run.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) inputs: &'a [Tensor],
    pub(super) constants: &'a [Arc<Tensor>],
    pub(super) slots: Vec<Option<Tensor>>,
    /// How many values may come into being yet.
    pub(super) room: usize,
}

impl Frame<'_> {
    pub(super) fn get(&self, source: Source) -> Option<&Tensor> {
        match source {
            Source::Absent => None,
            Source::Input(index) => self.inputs.get(index),
            Source::Constant(index) => self.constants.get(index).map(AsRef::as_ref),
            Source::Slot(index) | Source::Last(index) => self.slots.get(index)?.as_ref(),
        }
    }
}

/// The arguments of one operator in one run.
#[derive(Debug)]
pub(super) struct Args<'a, 'f> {
    pub(super) sources: &'a [Source],
    pub(super) frame: &'a mut Frame<'f>,
}

impl Args<'_, '_> {
    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// Argument `index`; an error where the node leaves it out.
    pub(super) fn get(&self, index: usize) -> Result<&Tensor, String> {
        self.optional(index).ok_or_else(|| format!("input {index} is missing"))
    }

    pub(super) fn optional(&self, index: usize) -> Option<&Tensor> {
        self.frame.get(*self.sources.get(index)?)
    }

    /// Argument `index` as one's own: moved where nothing reads it any more, else copied.
    pub(super) fn take(&mut self, index: usize) -> Result<Tensor, String> {
        if let Some(Source::Last(slot)) = self.sources.get(index)
            && let Some(tensor) = self.frame.slots.get_mut(*slot).and_then(Option::take)
        {
            return Ok(tensor);
        }
        self.get(index).cloned()
    }

    /// How many values a tensor of `shape` holds; an error where that is more than the run may still make.
    pub(super) fn room_for(&self, shape: &[usize]) -> Result<usize, String> {
        let room = self.frame.room;
        if extent(shape) <= room {
            return Ok(shape.iter().product());
        }
        Err(format!("a tensor of shape {shape:?} is over what a run may still hold ({room} values, {VALUES_LIMIT})"))
    }
}

/// How many places the axes of `shape` span, where an empty axis counts as one place. A tensor without values may have axes of
/// any size beside the empty one, and an operator may walk them.
pub(super) fn extent(shape: &[usize]) -> usize {
    shape.iter().fold(1, |product: usize, &size| product.saturating_mul(size.max(1)))
}

/// That the axes of `shape` span no more than `values_max` places.
pub(super) fn check_extent(shape: &[usize], values_max: usize) -> Result<(), String> {
    if extent(shape) <= values_max {
        return Ok(());
    }
    Err(format!("a tensor of shape {shape:?} spans more than {values_max} places ({VALUES_LIMIT})"))
}

/// What an operator gives.
#[derive(Debug)]
pub(super) enum Outputs {
    One(Tensor),
    Two(Tensor, Tensor),
    Many(Vec<Tensor>),
}

/// An operator that serves in every engine.
pub(super) trait Kernel: Debug + Send + Sync + 'static {
    /// The operator's name in ONNX.
    fn name(&self) -> &'static str;

    /// How many inputs it takes.
    fn n_inputs(&self) -> std::ops::RangeInclusive<usize> {
        1..=1
    }

    /// How many outputs it has.
    fn n_outputs(&self) -> usize {
        1
    }

    /// Types and shapes of the outputs, for inputs of these.
    fn facts(&self, inputs: &[Fact]) -> Result<Vec<Fact>, OpError>;

    /// The outputs. The message names what does not fit.
    fn run(&self, args: &mut Args<'_, '_>) -> Result<Outputs, String>;
}

/// A tensor of `shape` over `data`.
pub(super) fn tensor(shape: Vec<usize>, data: Data) -> Result<Tensor, String> {
    Tensor::new(shape, data).map_err(|error| error.to_string())
}

/// The values of a tensor of numbers as `f32`.
pub(super) fn as_f32(tensor: &Tensor) -> Result<Cow<'_, [f32]>, String> {
    match tensor.data() {
        Data::Fp32(values) => Ok(Cow::Borrowed(values)),
        other => Ok(Cow::Owned(floats(other)?)),
    }
}

/// The values as `f32`, in a vector of one's own.
pub(super) fn into_f32(tensor: Tensor) -> Result<Vec<f32>, String> {
    match tensor.into_data() {
        Data::Fp32(values) => Ok(values),
        other => floats(&other),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the operators compute in f32")]
fn floats(data: &Data) -> Result<Vec<f32>, String> {
    Ok(match data {
        Data::Bool(values) => values.iter().map(|&value| f32::from(u8::from(value))).collect(),
        Data::Uint8(values) => values.iter().map(|&value| f32::from(value)).collect(),
        Data::Uint16(values) => values.iter().map(|&value| f32::from(value)).collect(),
        Data::Uint32(values) => values.iter().map(|&value| value as f32).collect(),
        Data::Uint64(values) => values.iter().map(|&value| value as f32).collect(),
        Data::Int8(values) => values.iter().map(|&value| f32::from(value)).collect(),
        Data::Int16(values) => values.iter().map(|&value| f32::from(value)).collect(),
        Data::Int32(values) => values.iter().map(|&value| value as f32).collect(),
        Data::Int64(values) => values.iter().map(|&value| value as f32).collect(),
        Data::Fp32(values) => values.clone(),
        Data::Fp64(values) => values.iter().map(|&value| value as f32).collect(),
        Data::String(_) => return Err("expected numbers, got strings".to_owned()),
    })
}

/// The values of a tensor of numbers as `f64`.
#[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 has")]
pub(super) fn as_f64(tensor: &Tensor) -> Result<Cow<'_, [f64]>, String> {
    Ok(Cow::Owned(match tensor.data() {
        Data::Fp64(values) => return Ok(Cow::Borrowed(values)),
        Data::Bool(values) => values.iter().map(|&value| f64::from(u8::from(value))).collect(),
        Data::Uint8(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Data::Uint16(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Data::Uint32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Data::Uint64(values) => values.iter().map(|&value| value as f64).collect(),
        Data::Int8(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Data::Int16(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Data::Int32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Data::Int64(values) => values.iter().map(|&value| value as f64).collect(),
        Data::Fp32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        Data::String(_) => return Err("expected numbers, got strings".to_owned()),
    }))
}

/// The values of a tensor of whole numbers as `i64`.
pub(super) fn as_i64(tensor: &Tensor) -> Result<Cow<'_, [i64]>, String> {
    Ok(Cow::Owned(match tensor.data() {
        Data::Int64(values) => return Ok(Cow::Borrowed(values)),
        Data::Bool(values) => values.iter().map(|&value| i64::from(value)).collect(),
        Data::Uint8(values) => values.iter().map(|&value| i64::from(value)).collect(),
        Data::Uint16(values) => values.iter().map(|&value| i64::from(value)).collect(),
        Data::Uint32(values) => values.iter().map(|&value| i64::from(value)).collect(),
        Data::Uint64(values) => {
            let whole = values.iter().map(|&value| i64::try_from(value)).collect::<Result<_, _>>();
            whole.map_err(|_| "expected whole numbers below 2^63".to_owned())?
        }
        Data::Int8(values) => values.iter().map(|&value| i64::from(value)).collect(),
        Data::Int16(values) => values.iter().map(|&value| i64::from(value)).collect(),
        Data::Int32(values) => values.iter().map(|&value| i64::from(value)).collect(),
        other => return Err(format!("expected whole numbers, got {}", other.dtype())),
    }))
}

/// The texts of a tensor of strings.
pub(super) fn as_strings(tensor: &Tensor) -> Result<&[String], String> {
    tensor.as_strings().ok_or_else(|| format!("expected strings, got {}", tensor.dtype()))
}
