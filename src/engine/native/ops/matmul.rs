//! MatMul and Gemm.

use crate::engine::gemm::Packed;
use crate::engine::kernel::{Dim, Fact, OpError, as_f64, as_i64, tensor};
use crate::engine::native::node::{Built, Node, Walk, broadcast, broadcast_dims, repeated};
use crate::tensor::{Data, Dtype, Tensor};

/// The two last axes.
fn split(shape: &[usize]) -> Result<(&[usize], usize, usize), String> {
    match shape {
        [outer @ .., m, k] => Ok((outer, *m, *k)),
        _ => Err(format!("a matrix of shape {shape:?}")),
    }
}

pub(in crate::engine::native) fn matmul(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 2)?;
    let dtype = node.takes(0, &[Dtype::Fp32, Dtype::Fp64, Dtype::Int32, Dtype::Int64])?;
    if node.fact(1)?.dtype != dtype {
        return node.bad(format!("inputs of {dtype} and {}", node.fact(1)?.dtype));
    }
    let dims = product_dims(node)?;
    let packed = match node.constant(1).map(|weights| (weights.shape(), weights.data())) {
        Some((&[k, n], Data::Fp32(weights))) => Some(Packed::new(weights, (k, n), false)),
        _ => None,
    };
    let unread = packed.is_some().then_some(1);
    let built = Built::one(Fact::new(dtype, dims), move |args| {
        let a = args.get(0)?;
        if let (Some(packed), Data::Fp32(rows)) = (&packed, a.data()) {
            let Some((&k, outer)) = a.shape().split_last() else { return Err("a scalar".to_owned()) };
            if k != packed.k() {
                return Err(format!("{k} columns times {} rows", packed.k()));
            }
            let shape = [outer, &[packed.n()]].concat();
            let mut out = vec![0.0; args.room_for(&shape)?];
            packed.multiply(rows, &mut out);
            return tensor(shape, Data::Fp32(out));
        }
        product(args, a, args.get(1)?)
    })?;
    Ok(built.without(unread))
}

fn product_dims(node: &Node<'_>) -> Result<Option<Vec<Dim>>, OpError> {
    let (Some(a), Some(b)) = (&node.fact(0)?.shape, &node.fact(1)?.shape) else { return Ok(None) };
    let inner = |shape: &[Dim], back: usize| shape.len().checked_sub(back).map(|axis| shape[axis]);
    let (k_a, k_b) = (inner(a, 1), if b.len() == 1 { inner(b, 1) } else { inner(b, 2) });
    let (Some(k_a), Some(k_b)) = (k_a, k_b) else { return node.bad("a scalar") };
    if let (Some(a), Some(b)) = (k_a.fixed(), k_b.fixed())
        && a != b
    {
        return node.bad(format!("{a} columns times {b} rows"));
    }
    let outer = |shape: &[Dim]| shape[..shape.len().saturating_sub(2)].to_vec();
    let mut dims = broadcast_dims(Some(&outer(a)), Some(&outer(b)))?.unwrap_or_default();
    if a.len() > 1 {
        dims.push(a[a.len() - 2]);
    }
    if b.len() > 1 {
        dims.push(b[b.len() - 1]);
    }
    Ok(Some(dims))
}

/// Both sides of one run, matrices of the two last axes.
fn product(args: &crate::engine::kernel::Args<'_, '_>, a: &Tensor, b: &Tensor) -> Result<Tensor, String> {
    // A vector is a matrix of one row on the left, of one column on the right.
    let a_shape = if let [k] = *a.shape() { vec![1, k] } else { a.shape().to_vec() };
    let b_shape = if let [k] = *b.shape() { vec![k, 1] } else { b.shape().to_vec() };
    let ((a_outer, m, k), (b_outer, k_b, n)) = (split(&a_shape)?, split(&b_shape)?);
    if k != k_b {
        return Err(format!("{k} columns times {k_b} rows"));
    }
    let outer = broadcast(a_outer, b_outer)?;
    let mut shape = outer.clone();
    if a.shape().len() > 1 {
        shape.push(m);
    }
    if b.shape().len() > 1 {
        shape.push(n);
    }
    let len = args.room_for(&shape)?;
    let count = outer.iter().product();
    let (a_steps, b_steps) = (repeated(a_outer, &outer), repeated(b_outer, &outer));
    let pairs = Walk::new(&outer, &a_steps, count).zip(Walk::new(&outer, &b_steps, count));
    let data = match (a.data(), b.data()) {
        (Data::Fp32(a), Data::Fp32(b)) => {
            let mut out = vec![0.0; len];
            for ((left, right), out) in pairs.zip(out.chunks_exact_mut((m * n).max(1))) {
                Packed::new(&b[right * k * n..][..k * n], (k, n), false).multiply(&a[left * m * k..][..m * k], out);
            }
            Data::Fp32(out)
        }
        (Data::Fp64(a), Data::Fp64(b)) => Data::Fp64(plain(a, b, pairs, (m, k, n), |sum, x, y| sum + x * y)),
        (Data::Int32(_) | Data::Int64(_), _) => {
            let sum = |sum: i64, x: i64, y: i64| sum.wrapping_add(x.wrapping_mul(y));
            let values = plain(&as_i64(a)?, &as_i64(b)?, pairs, (m, k, n), sum);
            super::cast::cast(&tensor(vec![len], Data::Int64(values))?, a.dtype())?
        }
        (a, b) => return Err(format!("{} times {}", a.dtype(), b.dtype())),
    };
    tensor(shape, data)
}

fn plain<T: Copy + Default>(
    a: &[T],
    b: &[T],
    pairs: impl Iterator<Item = (usize, usize)>,
    (m, k, n): (usize, usize, usize),
    add: impl Fn(T, T, T) -> T,
) -> Vec<T> {
    let mut out = Vec::new();
    for (left, right) in pairs {
        let (a, b) = (&a[left * m * k..][..m * k], &b[right * k * n..][..k * n]);
        for row in 0..m {
            let start = out.len();
            out.resize(start + n, T::default());
            for depth in 0..k {
                let value = a[row * k + depth];
                for (sum, weight) in out[start..].iter_mut().zip(&b[depth * n..]) {
                    *sum = add(*sum, value, *weight);
                }
            }
        }
    }
    out
}

pub(in crate::engine::native) fn gemm(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(2, 3)?;
    let dtype = node.takes(0, &[Dtype::Fp32, Dtype::Fp64])?;
    for index in 1..node.inputs.len() {
        if node.optional(index).is_some_and(|fact| fact.dtype != dtype) {
            return node.bad(format!("inputs of several types beside {dtype}"));
        }
    }
    let gemm = Gemm {
        alpha: node.float("alpha", 1.0)?,
        beta: node.float("beta", 1.0)?,
        turns: (node.flag("transA", false)?, node.flag("transB", false)?),
        packed: match (node.constant(1).map(|weights| (weights.shape(), weights.data())), node.flag("transB", false)?) {
            (Some((&[k, n], Data::Fp32(weights))), false) => Some(Packed::new(weights, (k, n), false)),
            (Some((&[n, k], Data::Fp32(weights))), true) => Some(Packed::new(weights, (k, n), true)),
            _ => None,
        },
    };
    let dims = gemm_dims(node, gemm.turns)?;
    let unread = gemm.packed.is_some().then_some(1);
    Ok(Built::one(Fact::new(dtype, Some(dims)), move |args| gemm.run(args))?.without(unread))
}

fn gemm_dims(node: &Node<'_>, turns: (bool, bool)) -> Result<Vec<Dim>, OpError> {
    let sides = |index: usize, turned: bool| match node.fact(index)?.shape.as_deref() {
        None => Ok((Dim::Unknown, Dim::Unknown)),
        Some(&[a, b]) => Ok(if turned { (b, a) } else { (a, b) }),
        Some(other) => node.bad(format!("a matrix of {} axes", other.len())),
    };
    let ((m, k), (k_b, n)) = (sides(0, turns.0)?, sides(1, turns.1)?);
    if let (Some(a), Some(b)) = (k.fixed(), k_b.fixed())
        && a != b
    {
        return node.bad(format!("{a} columns times {b} rows"));
    }
    if let Some(c) = node.optional(2) {
        broadcast_dims(Some(&[m, n]), c.shape.as_deref())?;
    }
    Ok(vec![m, n])
}

struct Gemm {
    alpha: f32,
    beta: f32,
    turns: (bool, bool),
    packed: Option<Packed>,
}

fn turned(input: &Tensor, turn: bool) -> Result<std::borrow::Cow<'_, Tensor>, String> {
    if input.shape().len() != 2 {
        return Err(format!("a matrix of shape {:?}", input.shape()));
    }
    if turn {
        super::shape::permuted(input, &[1, 0]).map(std::borrow::Cow::Owned)
    } else {
        Ok(std::borrow::Cow::Borrowed(input))
    }
}

impl Gemm {
    fn run(&self, args: &mut crate::engine::kernel::Args<'_, '_>) -> Result<Tensor, String> {
        let a = turned(args.get(0)?, self.turns.0)?;
        let mut out = match (&self.packed, a.data()) {
            (Some(packed), Data::Fp32(rows)) => {
                let (_, m, k) = split(a.shape())?;
                if k != packed.k() {
                    return Err(format!("{k} columns times {} rows", packed.k()));
                }
                let shape = vec![m, packed.n()];
                let mut out = vec![0.0; args.room_for(&shape)?];
                packed.multiply(rows, &mut out);
                tensor(shape, Data::Fp32(out))?
            }
            _ => product(args, &a, turned(args.get(1)?, self.turns.1)?.as_ref())?,
        };
        if self.alpha.to_bits() != 1.0_f32.to_bits() {
            out = scaled(out, self.alpha)?;
        }
        match args.optional(2) {
            Some(bias) => self.with_bias(out, bias),
            None => Ok(out),
        }
    }

    fn with_bias(&self, out: Tensor, bias: &Tensor) -> Result<Tensor, String> {
        let shape = out.shape().to_vec();
        if broadcast(&shape, bias.shape())? != shape {
            return Err(format!("C of shape {:?} for {shape:?}", bias.shape()));
        }
        let n = shape[1].max(1);
        match (out.into_data(), bias.data()) {
            (Data::Fp32(mut values), Data::Fp32(bias)) if bias.len() == shape[1] && shape[0] != bias.len() => {
                for row in values.chunks_exact_mut(n) {
                    row.iter_mut().zip(bias).for_each(|(value, bias)| *value += self.beta * bias);
                }
                tensor(shape, Data::Fp32(values))
            }
            (Data::Fp32(mut values), Data::Fp32(given)) => {
                let steps = repeated(bias.shape(), &shape);
                let places = Walk::new(&shape, &steps, values.len());
                values.iter_mut().zip(places).for_each(|(value, place)| *value += self.beta * given[place]);
                tensor(shape, Data::Fp32(values))
            }
            (Data::Fp64(mut values), _) => {
                let (given, beta) = (as_f64(bias)?, f64::from(self.beta));
                let steps = repeated(bias.shape(), &shape);
                let places = Walk::new(&shape, &steps, values.len());
                values.iter_mut().zip(places).for_each(|(value, place)| *value += beta * given[place]);
                tensor(shape, Data::Fp64(values))
            }
            (data, bias) => Err(format!("{} plus {}", data.dtype(), bias.dtype())),
        }
    }
}

fn scaled(input: Tensor, alpha: f32) -> Result<Tensor, String> {
    let shape = input.shape().to_vec();
    let mut data = input.into_data();
    match &mut data {
        Data::Fp32(values) => values.iter_mut().for_each(|value| *value *= alpha),
        Data::Fp64(values) => values.iter_mut().for_each(|value| *value *= f64::from(alpha)),
        other => return Err(format!("unexpected {}", other.dtype())),
    }
    tensor(shape, data)
}
