//! A node as the builders of operators see it, and what they make of it.

use super::compile::Named;
use super::program::Program;
use crate::engine::kernel::{Args, Dim, Fact, OpError, Outputs};
use crate::engine::onnx::{GraphProto, NodeProto};
use crate::engine::ops::attributes::Attributes;
use crate::tensor::{Dtype, Tensor};

/// One operator of the program: its arguments to its outputs.
pub(super) type Run = Box<dyn Fn(&mut Args<'_, '_>) -> Result<Outputs, String> + Send + Sync>;

/// Compiles a graph inside a node, whose inputs have these facts.
pub(super) type Inner<'a> = dyn Fn(&GraphProto, Named) -> Result<Program, OpError> + 'a;

/// What a builder makes of a node.
pub(super) struct Built {
    pub(super) run: Run,
    pub(super) facts: Vec<Fact>,
    /// Inputs that are not read in a run: what is needed of them was taken at load.
    pub(super) unread: Vec<usize>,
}

impl Built {
    /// The same, and input `index` is not read in a run.
    pub(super) fn without(mut self, index: Option<usize>) -> Self {
        self.unread.extend(index);
        self
    }

    /// An operator of one output.
    pub(super) fn one(
        fact: Fact,
        run: impl Fn(&mut Args<'_, '_>) -> Result<Tensor, String> + Send + Sync + 'static,
    ) -> Result<Self, OpError> {
        Ok(Self { run: Box::new(move |args| run(args).map(Outputs::One)), facts: vec![fact], unread: Vec::new() })
    }
}

/// A node, the version of its operators, and what is known of its inputs.
pub(super) struct Node<'a> {
    pub(super) proto: &'a NodeProto,
    pub(super) opset: i64,
    pub(super) inputs: Vec<Option<Fact>>,
    pub(super) inner: &'a Inner<'a>,
}

impl<'a> Node<'a> {
    pub(super) fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.proto)
    }

    pub(super) fn operator(&self) -> &'a str {
        &self.proto.op_type
    }

    pub(super) fn bad<T>(&self, problem: impl std::fmt::Display) -> Result<T, OpError> {
        OpError::bad(format!("{}: {problem}", self.operator()))
    }

    pub(super) fn n_outputs(&self) -> usize {
        self.proto.output.len()
    }

    /// Input `index`; an error where the node leaves it out.
    pub(super) fn fact(&self, index: usize) -> Result<&Fact, OpError> {
        self.optional(index).ok_or_else(|| OpError::Bad(format!("{}: input {index} is missing", self.operator())))
    }

    pub(super) fn optional(&self, index: usize) -> Option<&Fact> {
        self.inputs.get(index)?.as_ref()
    }

    /// The value of input `index`, where it is the same in every run.
    pub(super) fn constant(&self, index: usize) -> Option<&Tensor> {
        self.optional(index)?.constant.as_deref()
    }

    /// The whole numbers of input `index`, where they are the same in every run.
    pub(super) fn constant_ints(&self, index: usize) -> Option<Vec<i64>> {
        crate::engine::kernel::as_i64(self.constant(index)?).ok().map(std::borrow::Cow::into_owned)
    }

    /// That the node has `least` to `most` inputs.
    pub(super) fn arity(&self, least: usize, most: usize) -> Result<(), OpError> {
        let got = self.inputs.len();
        if (least..=most).contains(&got) && (0..least).all(|index| self.inputs[index].is_some()) {
            return Ok(());
        }
        self.bad(format!("expected {least} to {most} inputs, got {got}"))
    }

    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, OpError> {
        Ok(self.attributes().int(name)?.unwrap_or(default))
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, OpError> {
        Ok(self.int(name, default.into())? != 0)
    }

    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, OpError> {
        Ok(self.attributes().float(name)?.unwrap_or(default))
    }

    /// The attribute `axis`, held against the axes of input 0 where their number is known.
    pub(super) fn axis(&self, default: i64) -> Result<i64, OpError> {
        let axis = self.int("axis", default)?;
        self.check_axis(axis, self.fact(0)?.rank())?;
        Ok(axis)
    }

    pub(super) fn check_axis(&self, axis: i64, rank: Option<usize>) -> Result<(), OpError> {
        match rank.map(|rank| place(axis, rank)) {
            Some(Err(problem)) => self.bad(problem),
            _ => Ok(()),
        }
    }

    /// That input `index` is of a type in `types`.
    pub(super) fn takes(&self, index: usize, types: &[Dtype]) -> Result<Dtype, OpError> {
        let dtype = self.fact(index)?.dtype;
        if types.contains(&dtype) {
            return Ok(dtype);
        }
        OpError::unknown(format!("{} of {dtype}", self.operator()))
    }
}

/// The axis that `axis` names in a tensor of `rank` axes, counted from the end where it is negative.
pub(super) fn place(axis: i64, rank: usize) -> Result<usize, String> {
    let signed = i64::try_from(rank).unwrap_or(i64::MAX);
    let counted = if axis < 0 { axis.checked_add(signed) } else { Some(axis) };
    let inside = counted.filter(|&axis| axis < signed).and_then(|axis| usize::try_from(axis).ok());
    inside.ok_or_else(|| format!("axis {axis} of a tensor with {rank} axes"))
}

/// The axes that `axes` name, each once, in order.
pub(super) fn places(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut found = axes.iter().map(|&axis| place(axis, rank)).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    match found.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("axis {} is given twice", pair[0])),
        None => Ok(found),
    }
}

/// The sizes in front of axis `axis`, its own and those behind it, multiplied.
pub(super) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    let product = |sizes: &[usize]| sizes.iter().fold(1, |product: usize, &size| product.saturating_mul(size));
    (product(&shape[..axis]), shape[axis], product(&shape[axis + 1..]))
}

/// Values row by row: how far apart neighbours on each axis are.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// The shape that two shapes make together.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let size = |shape: &[usize], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    let joined = (0..rank).map(|axis| match (size(a, axis), size(b, axis)) {
        (a, b) if a == b => Some(a),
        (1, size) | (size, 1) => Some(size),
        _ => None,
    });
    joined.collect::<Option<_>>().ok_or_else(|| format!("shapes {a:?} and {b:?} do not fit together"))
}

/// As [`broadcast`], of what is known before the run.
pub(super) fn broadcast_dims(a: Option<&[Dim]>, b: Option<&[Dim]>) -> Result<Option<Vec<Dim>>, OpError> {
    let (Some(a), Some(b)) = (a, b) else { return Ok(None) };
    let rank = a.len().max(b.len());
    let dim = |shape: &[Dim], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => Dim::Fixed(1),
    };
    let joined = (0..rank).map(|axis| match (dim(a, axis), dim(b, axis)) {
        (Dim::Unknown, Dim::Unknown) => Ok(Dim::Unknown),
        (a, b) if a == b => Ok(a),
        (Dim::Fixed(1), dim) | (dim, Dim::Fixed(1)) => Ok(dim),
        (Dim::Fixed(a), Dim::Fixed(b)) => OpError::bad(format!("sizes {a} and {b} do not fit together")),
        // Whichever of the two is not 1.
        (Dim::Fixed(size), _) | (_, Dim::Fixed(size)) => Ok(Dim::Fixed(size)),
        _ => Ok(Dim::Unknown),
    });
    joined.collect::<Result<_, _>>().map(Some)
}

/// Visits the values of a tensor of `shape` in order: for each, its place in a tensor whose strides are `strides`
/// (0 on an axis along which that tensor is repeated).
pub(super) struct Walk<'a> {
    shape: &'a [usize],
    strides: &'a [usize],
    counters: Vec<usize>,
    place: usize,
    left: usize,
}

impl<'a> Walk<'a> {
    /// `len` is the product of `shape`.
    pub(super) fn new(shape: &'a [usize], strides: &'a [usize], len: usize) -> Self {
        Self { shape, strides, counters: vec![0; shape.len()], place: 0, left: len }
    }
}

impl Iterator for Walk<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place;
        for axis in (0..self.shape.len()).rev() {
            self.counters[axis] += 1;
            self.place += self.strides[axis];
            if self.counters[axis] < self.shape[axis] {
                break;
            }
            self.place -= self.strides[axis] * self.shape[axis];
            self.counters[axis] = 0;
        }
        Some(place)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// The strides with which a tensor of shape `from` is read as one of shape `to`.
pub(super) fn repeated(from: &[usize], to: &[usize]) -> Vec<usize> {
    let own = strides(from);
    let skipped = to.len() - from.len();
    let stride = |axis: usize| match axis.checked_sub(skipped) {
        Some(axis) if from[axis] != 1 => own[axis],
        _ => 0,
    };
    (0..to.len()).map(stride).collect()
}
