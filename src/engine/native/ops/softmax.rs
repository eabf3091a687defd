//! Softmax, LogSoftmax and Hardmax.

use super::shape::permuted;
use crate::engine::kernel::{OpError, tensor};
use crate::engine::native::node::{Built, Node, place};
use crate::tensor::{Data, Dtype, Tensor};

#[derive(Clone, Copy)]
enum Kind {
    Soft,
    Log,
    Hard,
}

/// Up to opset 12 the axes from `axis` on are one; then it is the one axis.
pub(in crate::engine::native) fn build(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    node.takes(0, &[Dtype::Fp32, Dtype::Fp64])?;
    let joins = node.opset < 13;
    let axis = node.axis(if joins { 1 } else { -1 })?;
    let kind = match node.operator() {
        "Softmax" => Kind::Soft,
        "LogSoftmax" => Kind::Log,
        _ => Kind::Hard,
    };
    Built::one(node.fact(0)?.like(node.fact(0)?.dtype), move |args| {
        let input = args.take(0)?;
        let shape = input.shape().to_vec();
        let axis = place(axis, shape.len())?;
        if joins || axis + 1 == shape.len() {
            let len: usize = shape[axis..].iter().product();
            return rows(input, len, kind);
        }
        let mut order: Vec<usize> = (0..shape.len()).collect();
        let last = shape.len() - 1;
        order.swap(axis, last);
        permuted(&rows(permuted(&input, &order)?, shape[axis], kind)?, &order)
    })
}

fn rows(input: Tensor, len: usize, kind: Kind) -> Result<Tensor, String> {
    let shape = input.shape().to_vec();
    macro_rules! each {
        ($values:expr, $type:ty) => {
            for row in $values.chunks_exact_mut(len.max(1)) {
                let max = row.iter().copied().fold(<$type>::NEG_INFINITY, <$type>::max);
                match kind {
                    Kind::Soft => {
                        row.iter_mut().for_each(|value| *value = (*value - max).exp());
                        let sum: $type = row.iter().sum();
                        row.iter_mut().for_each(|value| *value /= sum);
                    }
                    Kind::Log => {
                        let log = row.iter().map(|value| (value - max).exp()).sum::<$type>().ln();
                        row.iter_mut().for_each(|value| *value = *value - max - log);
                    }
                    Kind::Hard => {
                        let first = row.iter().position(|&value| value >= max);
                        row.fill(0.0);
                        first.and_then(|first| row.get_mut(first)).into_iter().for_each(|value| *value = 1.0);
                    }
                }
            }
        };
    }
    let mut data = input.into_data();
    match &mut data {
        Data::Fp32(values) => each!(values, f32),
        Data::Fp64(values) => each!(values, f64),
        other => return Err(format!("unexpected {}", other.dtype())),
    }
    tensor(shape, data)
}
