//! Operators on each value for itself.

use crate::engine::kernel::{Args, Fact, OpError, Outputs, tensor};
use crate::engine::native::node::{Built, Node};
use crate::tensor::{Data, Dtype, Tensor};

/// An operator on floats, one function a type.
fn floats(
    node: &Node<'_>,
    single: impl Fn(f32) -> f32 + Send + Sync + 'static,
    double: impl Fn(f64) -> f64 + Send + Sync + 'static,
) -> Result<Built, OpError> {
    all_floats(
        node,
        move |values| values.iter_mut().for_each(|value| *value = single(*value)),
        move |values| values.iter_mut().for_each(|value| *value = double(*value)),
    )
}

fn all_floats(
    node: &Node<'_>,
    single: impl Fn(&mut [f32]) + Send + Sync + 'static,
    double: impl Fn(&mut [f64]) + Send + Sync + 'static,
) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    let dtype = node.takes(0, &[Dtype::Fp32, Dtype::Fp64])?;
    Built::one(node.fact(0)?.like(dtype), move |args| {
        in_place(args, |data| {
            match data {
                Data::Fp32(values) => single(values),
                Data::Fp64(values) => double(values),
                other => return Err(format!("unexpected {}", other.dtype())),
            }
            Ok(())
        })
    })
}

/// Changes the values of input 0.
fn in_place(args: &mut Args<'_, '_>, change: impl Fn(&mut Data) -> Result<(), String>) -> Result<Tensor, String> {
    let input = args.take(0)?;
    let shape = input.shape().to_vec();
    let mut data = input.into_data();
    change(&mut data)?;
    tensor(shape, data)
}

/// As [`floats`], of whole numbers too.
fn numbers(
    node: &Node<'_>,
    single: impl Fn(f32) -> f32 + Send + Sync + 'static,
    double: impl Fn(f64) -> f64 + Send + Sync + 'static,
    whole: impl Fn(i128) -> i128 + Send + Sync + 'static,
) -> Result<Built, OpError> {
    if node.fact(0)?.dtype.is_float() {
        return floats(node, single, double);
    }
    node.arity(1, 1)?;
    if matches!(node.fact(0)?.dtype, Dtype::String | Dtype::Bool) {
        return OpError::unknown(format!("{} of {}", node.operator(), node.fact(0)?.dtype));
    }
    Built::one(node.fact(0)?.like(node.fact(0)?.dtype), move |args| in_place(args, |data| each_whole(data, &whole)))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "results wrap to their type's bits, as in every other engine"
)]
fn each_whole(data: &mut Data, whole: impl Fn(i128) -> i128) -> Result<(), String> {
    macro_rules! each {
        ($($kind:ident: $type:ty),*) => {
            match data {
                $(Data::$kind(values) => values.iter_mut().for_each(|v| *v = whole(i128::from(*v)) as $type),)*
                other => return Err(format!("unexpected {}", other.dtype())),
            }
        };
    }
    each!(Uint8: u8, Uint16: u16, Uint32: u32, Uint64: u64, Int8: i8, Int16: i16, Int32: i32, Int64: i64);
    Ok(())
}

pub(in crate::engine::native) fn neg(node: &Node<'_>) -> Result<Built, OpError> {
    numbers(node, |x| -x, |x| -x, |x| -x)
}

pub(in crate::engine::native) fn abs(node: &Node<'_>) -> Result<Built, OpError> {
    numbers(node, f32::abs, f64::abs, i128::abs)
}

pub(in crate::engine::native) fn sign(node: &Node<'_>) -> Result<Built, OpError> {
    let single = |x: f32| {
        if x > 0.0 {
            1.0
        } else if x < 0.0 {
            -1.0
        } else {
            x
        }
    };
    let double = |x: f64| {
        if x > 0.0 {
            1.0
        } else if x < 0.0 {
            -1.0
        } else {
            x
        }
    };
    numbers(node, single, double, i128::signum)
}

pub(in crate::engine::native) fn relu(node: &Node<'_>) -> Result<Built, OpError> {
    // A NaN stays one.
    numbers(node, |x| if x < 0.0 { 0.0 } else { x }, |x| if x < 0.0 { 0.0 } else { x }, |x| x.max(0))
}

pub(in crate::engine::native) fn sigmoid(node: &Node<'_>) -> Result<Built, OpError> {
    all_floats(node, crate::engine::logistic::logistic, |values| {
        values.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
    })
}

/// The functions that have neither attributes nor a case to tell apart.
pub(in crate::engine::native) fn function(node: &Node<'_>) -> Result<Built, OpError> {
    macro_rules! both {
        ($($name:literal: $single:expr, $double:expr;)*) => {
            match node.operator() {
                $($name => floats(node, $single, $double),)*
                other => OpError::unknown(format!("operator {other}")),
            }
        };
    }
    both! {
        "Acos": f32::acos, f64::acos;
        "Acosh": f32::acosh, f64::acosh;
        "Asin": f32::asin, f64::asin;
        "Asinh": f32::asinh, f64::asinh;
        "Atan": f32::atan, f64::atan;
        "Atanh": f32::atanh, f64::atanh;
        "Ceil": f32::ceil, f64::ceil;
        "Cos": f32::cos, f64::cos;
        "Cosh": f32::cosh, f64::cosh;
        "Erf": |x| narrow(erf(f64::from(x))), erf;
        "Exp": f32::exp, f64::exp;
        "Floor": f32::floor, f64::floor;
        "Log": f32::ln, f64::ln;
        "Reciprocal": f32::recip, f64::recip;
        "Round": f32::round_ties_even, f64::round_ties_even;
        "Sin": f32::sin, f64::sin;
        "Sinh": f32::sinh, f64::sinh;
        "Softplus": |x| x.max(0.0) + (-x.abs()).exp().ln_1p(), |x| x.max(0.0) + (-x.abs()).exp().ln_1p();
        "Softsign": |x| x / (1.0 + x.abs()), |x| x / (1.0 + x.abs());
        "Sqrt": f32::sqrt, f64::sqrt;
        "Tan": f32::tan, f64::tan;
        "Tanh": f32::tanh, f64::tanh;
    }
}

/// The functions of one or two attributes.
pub(in crate::engine::native) fn shaped(node: &Node<'_>) -> Result<Built, OpError> {
    let (default_a, default_b) = match node.operator() {
        "Elu" | "Celu" | "ThresholdedRelu" => (1.0, 0.0),
        "HardSigmoid" => (0.2, 0.5),
        "Selu" => (1.673_263_2, 1.050_701),
        _ => (0.01, 0.0),
    };
    let name = if node.operator() == "HardSigmoid" { "beta" } else { "gamma" };
    let (a, b) = (node.float("alpha", default_a)?, node.float(name, default_b)?);
    let (wide_a, wide_b) = (f64::from(a), f64::from(b));
    macro_rules! of {
        ($x:ident, $a:ident, $b:ident => $body:expr) => {
            floats(
                node,
                move |$x: f32| {
                    let ($a, $b) = (a, b);
                    let _ = $b;
                    $body
                },
                move |$x: f64| {
                    let ($a, $b) = (wide_a, wide_b);
                    let _ = $b;
                    $body
                },
            )
        };
    }
    match node.operator() {
        "LeakyRelu" => of!(x, a, b => if x < 0.0 { a * x } else { x }),
        "Elu" => of!(x, a, b => if x < 0.0 { a * (x.exp() - 1.0) } else { x }),
        "Celu" => of!(x, a, b => x.max(0.0) + (a * ((x / a).exp() - 1.0)).min(0.0)),
        "Selu" => of!(x, a, b => if x <= 0.0 { b * (a * x.exp() - a) } else { b * x }),
        "HardSigmoid" => of!(x, a, b => (a * x + b).clamp(0.0, 1.0)),
        _ => of!(x, a, b => if x > a { x } else { 0.0 }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the result is asked for in f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// The error function: its series near 0, a continued fraction (modified Lentz) for its complement elsewhere
/// (Abramowitz and Stegun 7.1.6 and 7.1.14). Absolute error below 1e-15.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if x.is_nan() {
        return x;
    }
    if a < 2.5 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * a * a / (2.0 * n + 1.0);
            sum += term;
        }
        return (sum * (-a * a).exp() * std::f64::consts::FRAC_2_SQRT_PI).copysign(x);
    }
    if 6.0 < a {
        return 1.0_f64.copysign(x);
    }
    let mut fraction = a;
    for n in (1..60_i32).rev() {
        fraction = a + f64::from(n) / 2.0 / fraction;
    }
    (1.0 - (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt())).copysign(x)
}

pub(in crate::engine::native) fn not(node: &Node<'_>) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    node.takes(0, &[Dtype::Bool])?;
    Built::one(node.fact(0)?.like(Dtype::Bool), |args| {
        in_place(args, |data| match data {
            Data::Bool(values) => {
                values.iter_mut().for_each(|value| *value = !*value);
                Ok(())
            }
            other => Err(format!("unexpected {}", other.dtype())),
        })
    })
}

/// A test of each float.
fn test(
    node: &Node<'_>,
    single: impl Fn(f32) -> bool + Send + Sync + 'static,
    double: impl Fn(f64) -> bool + Send + Sync + 'static,
) -> Result<Built, OpError> {
    node.arity(1, 1)?;
    node.takes(0, &[Dtype::Fp32, Dtype::Fp64])?;
    Built::one(node.fact(0)?.like(Dtype::Bool), move |args| {
        let input = args.get(0)?;
        let found = match input.data() {
            Data::Fp32(values) => values.iter().map(|&value| single(value)).collect(),
            Data::Fp64(values) => values.iter().map(|&value| double(value)).collect(),
            other => return Err(format!("unexpected {}", other.dtype())),
        };
        tensor(input.shape().to_vec(), Data::Bool(found))
    })
}

pub(in crate::engine::native) fn is_nan(node: &Node<'_>) -> Result<Built, OpError> {
    test(node, f32::is_nan, f64::is_nan)
}

pub(in crate::engine::native) fn is_inf(node: &Node<'_>) -> Result<Built, OpError> {
    let (positive, negative) = (node.flag("detect_positive", true)?, node.flag("detect_negative", true)?);
    test(
        node,
        move |x| x.is_infinite() && if x > 0.0 { positive } else { negative },
        move |x| x.is_infinite() && if x > 0.0 { positive } else { negative },
    )
}

/// An operator of ai.onnx.ml, which the engines share.
pub(in crate::engine::native) fn of_ml(node: &Node<'_>) -> Result<Built, OpError> {
    let Some(kernel) = crate::engine::ops::kernel(node.proto, node.opset)? else {
        return OpError::unknown(format!("operator {} of ai.onnx.ml", node.operator()));
    };
    node.arity(*kernel.n_inputs().start(), *kernel.n_inputs().end())?;
    let inputs: Vec<Fact> = node.inputs.iter().flatten().cloned().collect();
    let facts = kernel.facts(&inputs)?;
    Ok(Built { run: Box::new(move |args| -> Result<Outputs, String> { kernel.run(args) }), facts, unread: Vec::new() })
}
