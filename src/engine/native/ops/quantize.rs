//! QuantizeLinear and DequantizeLinear, of a tensor or along an axis.

use crate::engine::kernel::{Fact, OpError, as_f32, as_i64, tensor};
use crate::engine::native::node::{Built, Node, around, place};
use crate::tensor::{Data, Dtype, Tensor};

/// The scale and the zero point of each value: they repeat every `size` places of `inner` values.
struct Scales {
    scale: Vec<f32>,
    zero: Vec<i64>,
    size: usize,
    inner: usize,
}

impl Scales {
    fn read(input: &Tensor, scale: &Tensor, zero: Option<&Tensor>, axis: i64) -> Result<Self, String> {
        let size = scale.data().len();
        let zero = zero.map_or_else(|| Ok(vec![0; size]), |zero| as_i64(zero).map(std::borrow::Cow::into_owned))?;
        if zero.len() != size {
            return Err(format!("{size} scales, {} zero points", zero.len()));
        }
        let scale = as_f32(scale)?.into_owned();
        if size == 1 {
            return Ok(Self { scale, zero, size, inner: input.data().len().max(1) });
        }
        let (_, axis_size, inner) = around(input.shape(), place(axis, input.shape().len())?);
        if axis_size != size {
            return Err(format!("{size} scales for {axis_size} places"));
        }
        Ok(Self { scale, zero, size, inner: inner.max(1) })
    }

    fn each<T: Copy, R>(&self, values: &[T], f: impl Fn(T, f32, i64) -> R) -> Vec<R> {
        let mut found = Vec::with_capacity(values.len());
        for (index, block) in values.chunks(self.inner).enumerate() {
            let (scale, zero) = (self.scale[index % self.size], self.zero[index % self.size]);
            found.extend(block.iter().map(|&value| f(value, scale, zero)));
        }
        found
    }
}

fn check(node: &Node<'_>) -> Result<i64, OpError> {
    node.arity(2, 3)?;
    if node.int("block_size", 0)? != 0 {
        return OpError::unknown(format!("{} in blocks", node.operator()));
    }
    match node.fact(1)?.dtype {
        Dtype::Fp32 => node.int("axis", 1),
        other => OpError::unknown(format!("{} with scales of {other}", node.operator())),
    }
}

pub(in crate::engine::native) fn dequantize(node: &Node<'_>) -> Result<Built, OpError> {
    let axis = check(node)?;
    node.takes(0, &[Dtype::Int8, Dtype::Uint8, Dtype::Int16, Dtype::Uint16, Dtype::Int32])?;
    Built::one(node.fact(0)?.like(Dtype::Fp32), move |args| {
        let input = args.get(0)?;
        let scales = Scales::read(input, args.get(1)?, args.optional(2), axis)?;
        #[expect(clippy::cast_precision_loss, reason = "the values are narrow")]
        let values = scales.each(&as_i64(input)?, |value, scale, zero| (value - zero) as f32 * scale);
        tensor(input.shape().to_vec(), Data::Fp32(values))
    })
}

pub(in crate::engine::native) fn quantize(node: &Node<'_>) -> Result<Built, OpError> {
    let axis = check(node)?;
    node.takes(0, &[Dtype::Fp32, Dtype::Int32])?;
    let to = match (node.optional(2), node.int("output_dtype", 0)?) {
        (Some(zero), _) => zero.dtype,
        (None, 0) => Dtype::Uint8,
        (None, dtype) => crate::engine::tensors::dtype(dtype)?,
    };
    let (least, most) = match to {
        Dtype::Int8 => (-128.0, 127.0),
        Dtype::Uint8 => (0.0, 255.0),
        Dtype::Int16 => (-32_768.0, 32_767.0),
        Dtype::Uint16 => (0.0, 65_535.0),
        other => return OpError::unknown(format!("QuantizeLinear to {other}")),
    };
    Built::one(Fact::new(to, node.fact(0)?.shape.clone()), move |args| {
        let input = args.get(0)?;
        let scales = Scales::read(input, args.get(1)?, args.optional(2), axis)?;
        #[expect(clippy::cast_precision_loss, reason = "the zero point is narrow")]
        let steps =
            |value: f32, scale: f32, zero: i64| ((value / scale).round_ties_even() + zero as f32).clamp(least, most);
        let values = scales.each(&as_f32(input)?, steps);
        let len = values.len();
        let data = super::cast::cast(&tensor(vec![len], Data::Fp32(values))?, to)?;
        tensor(input.shape().to_vec(), data)
    })
}
