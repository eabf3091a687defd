//! Operators on two or more tensors value by value, each repeated along the axes where it has one place.

use super::same_type;
use crate::engine::kernel::{Args, Fact, OpError, as_f32, as_f64, tensor};
use crate::engine::native::node::{Built, Node, Walk, broadcast, broadcast_dims, repeated};
use crate::tensor::{Data, Dtype, Tensor};

/// How the values of one tensor are read to fill the joint shape.
enum Reading {
    /// One by one.
    Same,
    /// Its one value over and over.
    Scalar,
    /// From the beginning again and again.
    Cycle,
    /// Each value so many times.
    Held(usize),
    Strides(Vec<usize>),
}

impl Reading {
    fn of(from: &[usize], to: &[usize]) -> Self {
        let len: usize = from.iter().product();
        if from == to {
            return Self::Same;
        }
        if len == 1 {
            return Self::Scalar;
        }
        let inner = from.iter().position(|&size| size != 1).map_or(&[][..], |start| &from[start..]);
        if to.ends_with(inner) {
            return Self::Cycle;
        }
        let ones = from.iter().rev().take_while(|&&size| size == 1).count();
        if from.len() == to.len() && from[..from.len() - ones] == to[..to.len() - ones] {
            return Self::Held(to[to.len() - ones..].iter().product());
        }
        Self::Strides(repeated(from, to))
    }
}

/// Two tensors side by side.
pub(super) struct Pairing {
    pub(super) shape: Vec<usize>,
    len: usize,
    a: Reading,
    b: Reading,
}

impl Pairing {
    pub(super) fn new(args: &Args<'_, '_>, a: &[usize], b: &[usize]) -> Result<Self, String> {
        let shape = broadcast(a, b)?;
        let len = args.room_for(&shape)?;
        let (a, b) = (Reading::of(a, &shape), Reading::of(b, &shape));
        Ok(Self { shape, len, a, b })
    }

    #[inline]
    pub(super) fn zip<A: Clone, B: Clone, R>(&self, a: &[A], b: &[B], f: impl Fn(&A, &B) -> R) -> Vec<R> {
        if self.len == 0 {
            return Vec::new();
        }
        match (&self.a, &self.b) {
            (Reading::Same, Reading::Same) => a.iter().zip(b).map(|(a, b)| f(a, b)).collect(),
            (Reading::Same, Reading::Scalar) => a.iter().map(|a| f(a, &b[0])).collect(),
            (Reading::Scalar, Reading::Same) => b.iter().map(|b| f(&a[0], b)).collect(),
            (Reading::Same, Reading::Cycle) => {
                let mut found = Vec::with_capacity(self.len);
                a.chunks_exact(b.len()).for_each(|a| found.extend(a.iter().zip(b).map(|(a, b)| f(a, b))));
                found
            }
            (Reading::Cycle, Reading::Same) => {
                let mut found = Vec::with_capacity(self.len);
                b.chunks_exact(a.len()).for_each(|b| found.extend(a.iter().zip(b).map(|(a, b)| f(a, b))));
                found
            }
            (Reading::Same, Reading::Held(n)) => {
                let mut found = Vec::with_capacity(self.len);
                a.chunks_exact(*n).zip(b).for_each(|(a, b)| found.extend(a.iter().map(|a| f(a, b))));
                found
            }
            (x, y) => {
                let (x, y) = (self.places(x, a.len()), self.places(y, b.len()));
                x.zip(y).map(|(x, y)| f(&a[x], &b[y])).collect()
            }
        }
    }

    fn places<'a>(&'a self, reading: &'a Reading, own_len: usize) -> Box<dyn Iterator<Item = usize> + 'a> {
        match reading {
            Reading::Same => Box::new(0..self.len),
            Reading::Scalar => Box::new(std::iter::repeat_n(0, self.len)),
            Reading::Cycle => Box::new((0..own_len).cycle().take(self.len)),
            Reading::Held(n) => Box::new((0..self.len).map(move |place| place / n)),
            Reading::Strides(strides) => Box::new(Walk::new(&self.shape, strides, self.len)),
        }
    }

    /// Whole numbers of one type; results wrap to that type.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "results wrap to their type's bits")]
    fn whole(&self, a: &Data, b: &Data, f: impl Fn(i128, i128) -> i128) -> Result<Data, String> {
        macro_rules! each {
            ($($kind:ident: $type:ty),*) => {
                match (a, b) {
                    $((Data::$kind(a), Data::$kind(b)) => {
                        Data::$kind(self.zip(a, b, |&a, &b| f(i128::from(a), i128::from(b)) as $type))
                    })*
                    (a, b) => return Err(format!("{} and {} do not go together", a.dtype(), b.dtype())),
                }
            };
        }
        Ok(each!(Uint8: u8, Uint16: u16, Uint32: u32, Uint64: u64, Int8: i8, Int16: i16, Int32: i32, Int64: i64))
    }
}

/// The fact of the outcome for inputs of one type; of `dtype` where that is given.
fn joined(node: &Node<'_>, dtype: Option<Dtype>) -> Result<Fact, OpError> {
    let first = node.fact(0)?;
    let mut shape = first.shape.clone();
    for index in 1..node.inputs.len() {
        let other = node.fact(index)?;
        if other.dtype != first.dtype {
            return node.bad(format!("inputs of {} and {}", first.dtype, other.dtype));
        }
        shape = broadcast_dims(shape.as_deref(), other.shape.as_deref())?;
    }
    Ok(Fact::new(dtype.unwrap_or(first.dtype), shape))
}

fn is_number(node: &Node<'_>) -> Result<(), OpError> {
    match node.fact(0)?.dtype {
        other @ (Dtype::String | Dtype::Bool) => OpError::unknown(format!("{} of {other}", node.operator())),
        _ => Ok(()),
    }
}

/// An operator on two tensors of numbers of one type.
fn arithmetic(
    node: &Node<'_>,
    single: impl Fn(f32, f32) -> f32 + Send + Sync + Copy + 'static,
    double: impl Fn(f64, f64) -> f64 + Send + Sync + Copy + 'static,
    whole: impl Fn(i128, i128) -> i128 + Send + Sync + Copy + 'static,
) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    is_number(node)?;
    Built::one(joined(node, None)?, move |args| {
        let (a, b) = (args.get(0)?, args.get(1)?);
        let pairing = Pairing::new(args, a.shape(), b.shape())?;
        let data = match (a.data(), b.data()) {
            (Data::Fp32(a), Data::Fp32(b)) => Data::Fp32(pairing.zip(a, b, |&a, &b| single(a, b))),
            (Data::Fp64(a), Data::Fp64(b)) => Data::Fp64(pairing.zip(a, b, |&a, &b| double(a, b))),
            (a, b) => pairing.whole(a, b, whole)?,
        };
        tensor(pairing.shape, data)
    })
}

pub(in crate::engine::native) fn add(node: &Node<'_>) -> Result<Built, OpError> {
    arithmetic(node, |a, b| a + b, |a, b| a + b, |a, b| a + b)
}

pub(in crate::engine::native) fn sub(node: &Node<'_>) -> Result<Built, OpError> {
    arithmetic(node, |a, b| a - b, |a, b| a - b, |a, b| a - b)
}

pub(in crate::engine::native) fn mul(node: &Node<'_>) -> Result<Built, OpError> {
    arithmetic(node, |a, b| a * b, |a, b| a * b, i128::wrapping_mul)
}

/// That no value of a tensor of whole numbers is 0.
fn no_zero(divisor: &Tensor) -> Result<(), String> {
    if divisor.dtype().is_float() || as_f64(divisor)?.iter().all(|&value| value.abs() > 0.0) {
        return Ok(());
    }
    Err("division of a whole number by 0".to_owned())
}

pub(in crate::engine::native) fn div(node: &Node<'_>) -> Result<Built, OpError> {
    let Built { run, facts, .. } =
        arithmetic(node, |a, b| a / b, |a, b| a / b, |a, b| a.checked_div(b).unwrap_or_default())?;
    let checked = move |args: &mut Args<'_, '_>| {
        no_zero(args.get(1)?)?;
        run(args)
    };
    Ok(Built { run: Box::new(checked), facts, unread: Vec::new() })
}

pub(in crate::engine::native) fn modulo(node: &Node<'_>) -> Result<Built, OpError> {
    let Built { run, facts, .. } = if node.flag("fmod", false)? {
        arithmetic(node, |a, b| a % b, |a, b| a % b, |a, b| a.checked_rem(b).unwrap_or_default())?
    } else {
        arithmetic(
            node,
            |a, b| {
                let rest = a % b;
                if rest == 0.0 {
                    rest.abs().copysign(b)
                } else if (rest < 0.0) == (b < 0.0) {
                    rest
                } else {
                    rest + b
                }
            },
            |a, b| {
                let rest = a % b;
                if rest == 0.0 {
                    rest.abs().copysign(b)
                } else if (rest < 0.0) == (b < 0.0) {
                    rest
                } else {
                    rest + b
                }
            },
            // The sign is that of the divisor.
            |a, b| a.checked_rem(b).map_or(0, |rest| if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }),
        )?
    };
    let checked = move |args: &mut Args<'_, '_>| {
        no_zero(args.get(1)?)?;
        run(args)
    };
    Ok(Built { run: Box::new(checked), facts, unread: Vec::new() })
}

/// The exponent may be of another type; the outcome is of the base's.
#[expect(clippy::float_cmp, reason = "squares are multiplied, as elsewhere")]
pub(in crate::engine::native) fn pow(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    let dtype = node.takes(0, &[Dtype::Fp32, Dtype::Fp64, Dtype::Int64, Dtype::Int32])?;
    node.fact(1)?.number("Pow")?;
    let shape = broadcast_dims(node.fact(0)?.shape.as_deref(), node.fact(1)?.shape.as_deref())?;
    Built::one(Fact::new(dtype, shape), move |args| {
        let (base, exponent) = (args.get(0)?, args.get(1)?);
        let pairing = Pairing::new(args, base.shape(), exponent.shape())?;
        let data = match base.data() {
            Data::Fp32(base) => {
                let power = |&x: &f32, &n: &f32| if n == 2.0 { x * x } else { x.powf(n) };
                Data::Fp32(pairing.zip(base, &as_f32(exponent)?, power))
            }
            Data::Fp64(base) => {
                let power = |&x: &f64, &n: &f64| if n == 2.0 { x * x } else { x.powf(n) };
                Data::Fp64(pairing.zip(base, &as_f64(exponent)?, power))
            }
            _ => {
                let powers = pairing.zip(&as_f64(base)?, &as_f64(exponent)?, |x, n| x.powf(*n));
                let len = powers.len();
                super::cast::cast(&tensor(vec![len], Data::Fp64(powers))?, dtype)?
            }
        };
        tensor(pairing.shape, data)
    })
}

/// Whether two values of one type are in a relation. Strings and flags can only be equal.
fn relation(
    node: &Node<'_>,
    single: impl Fn(&f32, &f32) -> bool + Send + Sync + Copy + 'static,
    double: impl Fn(&f64, &f64) -> bool + Send + Sync + Copy + 'static,
    whole: impl Fn(&i128, &i128) -> bool + Send + Sync + Copy + 'static,
) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    is_number(node)?;
    Built::one(joined(node, Some(Dtype::Bool))?, move |args| {
        let (a, b) = (args.get(0)?, args.get(1)?);
        let pairing = Pairing::new(args, a.shape(), b.shape())?;
        macro_rules! each {
            ($($kind:ident),*) => {
                match (a.data(), b.data()) {
                    (Data::Fp32(a), Data::Fp32(b)) => pairing.zip(a, b, single),
                    (Data::Fp64(a), Data::Fp64(b)) => pairing.zip(a, b, double),
                    $((Data::$kind(a), Data::$kind(b)) => {
                        pairing.zip(a, b, |&a, &b| whole(&i128::from(a), &i128::from(b)))
                    })*
                    (a, b) => return Err(format!("{} and {} do not go together", a.dtype(), b.dtype())),
                }
            };
        }
        let found = each!(Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64);
        tensor(pairing.shape, Data::Bool(found))
    })
}

#[expect(clippy::float_cmp, reason = "the operator compares exactly")]
pub(in crate::engine::native) fn equal(node: &Node<'_>) -> Result<Built, OpError> {
    if !matches!(node.fact(0)?.dtype, Dtype::String | Dtype::Bool) {
        return relation(node, |a, b| a == b, |a, b| a == b, |a, b| a == b);
    }
    node.arity(2, 2)?;
    Built::one(joined(node, Some(Dtype::Bool))?, |args| {
        let (a, b) = (args.get(0)?, args.get(1)?);
        let pairing = Pairing::new(args, a.shape(), b.shape())?;
        let found = match (a.data(), b.data()) {
            (Data::String(a), Data::String(b)) => pairing.zip(a, b, |a, b| a == b),
            (Data::Bool(a), Data::Bool(b)) => pairing.zip(a, b, |a, b| a == b),
            (a, b) => return Err(format!("{} and {} do not go together", a.dtype(), b.dtype())),
        };
        tensor(pairing.shape, Data::Bool(found))
    })
}

pub(in crate::engine::native) fn less(node: &Node<'_>) -> Result<Built, OpError> {
    relation(node, |a, b| a < b, |a, b| a < b, |a, b| a < b)
}

pub(in crate::engine::native) fn less_or_equal(node: &Node<'_>) -> Result<Built, OpError> {
    relation(node, |a, b| a <= b, |a, b| a <= b, |a, b| a <= b)
}

pub(in crate::engine::native) fn greater(node: &Node<'_>) -> Result<Built, OpError> {
    relation(node, |a, b| a > b, |a, b| a > b, |a, b| a > b)
}

pub(in crate::engine::native) fn greater_or_equal(node: &Node<'_>) -> Result<Built, OpError> {
    relation(node, |a, b| a >= b, |a, b| a >= b, |a, b| a >= b)
}

/// And, Or, Xor.
pub(in crate::engine::native) fn logic(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    node.takes(0, &[Dtype::Bool])?;
    let table = match node.operator() {
        "And" => |a: &bool, b: &bool| *a && *b,
        "Or" => |a: &bool, b: &bool| *a || *b,
        _ => |a: &bool, b: &bool| *a != *b,
    };
    Built::one(joined(node, Some(Dtype::Bool))?, move |args| {
        let (a, b) = (args.get(0)?, args.get(1)?);
        let pairing = Pairing::new(args, a.shape(), b.shape())?;
        let (Data::Bool(a), Data::Bool(b)) = (a.data(), b.data()) else { return Err("expected flags".to_owned()) };
        let found = pairing.zip(a, b, table);
        tensor(pairing.shape, Data::Bool(found))
    })
}

/// Sum, Mean, Min, Max of any number of tensors.
pub(in crate::engine::native) fn variadic(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, usize::MAX)?;
    is_number(node)?;
    let which = match node.operator() {
        "Min" => Fold::Min,
        "Max" => Fold::Max,
        "Mean" => Fold::Mean,
        _ => Fold::Sum,
    };
    if matches!(which, Fold::Mean | Fold::Sum) {
        node.takes(0, &[Dtype::Fp32, Dtype::Fp64])?;
    }
    Built::one(joined(node, None)?, move |args| {
        let mut folded = args.get(0)?.clone();
        for index in 1..args.len() {
            let next = args.get(index)?;
            let pairing = Pairing::new(args, folded.shape(), next.shape())?;
            let data = which.both(&pairing, folded.data(), next.data())?;
            folded = tensor(pairing.shape, data)?;
        }
        if let Fold::Mean = which {
            return mean(folded, args.len());
        }
        Ok(folded)
    })
}

#[derive(Clone, Copy)]
enum Fold {
    Sum,
    Mean,
    Min,
    Max,
}

impl Fold {
    /// A NaN on either side makes the outcome one.
    fn both(self, pairing: &Pairing, a: &Data, b: &Data) -> Result<Data, String> {
        Ok(match (self, a, b) {
            (Self::Sum | Self::Mean, Data::Fp32(a), Data::Fp32(b)) => Data::Fp32(pairing.zip(a, b, |a, b| a + b)),
            (Self::Sum | Self::Mean, Data::Fp64(a), Data::Fp64(b)) => Data::Fp64(pairing.zip(a, b, |a, b| a + b)),
            (Self::Min, Data::Fp32(a), Data::Fp32(b)) => {
                Data::Fp32(pairing.zip(a, b, |&a, &b| if a < b || a.is_nan() { a } else { b }))
            }
            (Self::Min, Data::Fp64(a), Data::Fp64(b)) => {
                Data::Fp64(pairing.zip(a, b, |&a, &b| if a < b || a.is_nan() { a } else { b }))
            }
            (Self::Max, Data::Fp32(a), Data::Fp32(b)) => {
                Data::Fp32(pairing.zip(a, b, |&a, &b| if a > b || a.is_nan() { a } else { b }))
            }
            (Self::Max, Data::Fp64(a), Data::Fp64(b)) => {
                Data::Fp64(pairing.zip(a, b, |&a, &b| if a > b || a.is_nan() { a } else { b }))
            }
            (Self::Min, a, b) => pairing.whole(a, b, |a, b| a.min(b))?,
            (_, a, b) => pairing.whole(a, b, |a, b| a.max(b))?,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are at most some thousand inputs")]
fn mean(sum: Tensor, n: usize) -> Result<Tensor, String> {
    let shape = sum.shape().to_vec();
    let data = match sum.into_data() {
        Data::Fp32(values) => Data::Fp32(values.into_iter().map(|value| value / n as f32).collect()),
        Data::Fp64(values) => Data::Fp64(values.into_iter().map(|value| value / n as f64).collect()),
        other => return Err(format!("unexpected {}", other.dtype())),
    };
    tensor(shape, data)
}

/// Clip: bounds as attributes up to opset 10, then as inputs that may be left out.
pub(in crate::engine::native) fn clip(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 3)?;
    is_number(node)?;
    let attributes = node.attributes();
    let (least, most) = (attributes.float("min")?, attributes.float("max")?);
    let bound = |value: Option<f32>| value.map(|value| tensor(vec![], Data::Fp32(vec![value]))).transpose();
    let (least, most) = (bound(least).map_err(OpError::Bad)?, bound(most).map_err(OpError::Bad)?);
    if (least.is_some() || most.is_some()) && node.fact(0)?.dtype != Dtype::Fp32 {
        return OpError::unknown(format!("Clip of {} with bounds as attributes", node.fact(0)?.dtype));
    }
    Built::one(node.fact(0)?.like(node.fact(0)?.dtype), move |args| {
        let mut clipped = args.take(0)?;
        let bounds =
            [(args.optional(1).or(least.as_ref()), Fold::Max), (args.optional(2).or(most.as_ref()), Fold::Min)];
        for (bound, fold) in bounds {
            let Some(bound) = bound else { continue };
            let pairing = Pairing::new(args, clipped.shape(), bound.shape())?;
            let data = fold.both(&pairing, clipped.data(), bound.data())?;
            clipped = tensor(pairing.shape, data)?;
        }
        Ok(clipped)
    })
}

/// Where: the values of the second or third tensor, as the first says.
pub(in crate::engine::native) fn choose(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(3, 3)?;
    node.takes(0, &[Dtype::Bool])?;
    let (yes, no) = (node.fact(1)?, node.fact(2)?);
    if yes.dtype != no.dtype {
        return node.bad(format!("inputs of {} and {}", yes.dtype, no.dtype));
    }
    let shape = broadcast_dims(yes.shape.as_deref(), no.shape.as_deref())?;
    let shape = broadcast_dims(node.fact(0)?.shape.as_deref(), shape.as_deref())?;
    Built::one(Fact::new(yes.dtype, shape), |args| {
        let (which, yes, no) = (args.get(0)?, args.get(1)?, args.get(2)?);
        let shape = broadcast(&broadcast(which.shape(), yes.shape())?, no.shape())?;
        let len = args.room_for(&shape)?;
        let Data::Bool(flags) = which.data() else { return Err("expected flags".to_owned()) };
        let strides = [which, yes, no].map(|tensor| repeated(tensor.shape(), &shape));
        let [a, b, c] = strides.each_ref().map(|strides| Walk::new(&shape, strides, len));
        let data = same_type!(yes.data(), no.data(), (yes, no) => {
            let chosen = a.zip(b.zip(c)).map(|(a, (b, c))| if flags[a] { &yes[b] } else { &no[c] });
            chosen.cloned().collect()
        })?;
        tensor(shape, data)
    })
}
