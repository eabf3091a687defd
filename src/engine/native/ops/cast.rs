//! Cast and CastLike.

use crate::engine::kernel::{OpError, tensor};
use crate::engine::native::node::{Built, Node};
use crate::engine::tensors;
use crate::tensor::{Data, Dtype, Tensor};

pub(in crate::engine::native) fn build(node: &Node<'_>) -> Result<Built, OpError> {
    let to = if node.operator() == "CastLike" {
        node.arity(2, 2)?;
        node.fact(1)?.dtype
    } else {
        node.arity(1, 1)?;
        match node.attributes().int("to")? {
            Some(to) => tensors::dtype(to)?,
            None => return node.bad("the attribute to is missing"),
        }
    };
    let from = node.fact(0)?.dtype;
    if from == Dtype::String && to == Dtype::Bool {
        return OpError::unknown("Cast of strings to flags");
    }
    Built::one(node.fact(0)?.like(to), move |args| {
        if from == to {
            return args.take(0);
        }
        let input = args.get(0)?;
        tensor(input.shape().to_vec(), cast(input, to)?)
    })
}

/// The values in another type: floats are cut towards zero, and to what the type holds.
pub(in crate::engine::native) fn cast(input: &Tensor, to: Dtype) -> Result<Data, String> {
    if input.dtype() == to {
        return Ok(input.data().clone());
    }
    match (input.data(), to) {
        (Data::String(texts), to) => parse(texts, to),
        (data, Dtype::String) => Ok(Data::String((0..data.len()).map(|index| text(data, index)).collect())),
        (Data::Bool(values), to) => convert(&Data::Uint8(values.iter().map(|&value| value.into()).collect()), to),
        (data, to) => convert(data, to),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    clippy::allow_attributes,
    reason = "this is what the operator does"
)]
#[allow(clippy::cast_lossless, clippy::unnecessary_cast, reason = "each type is cast to each")]
fn convert(data: &Data, to: Dtype) -> Result<Data, String> {
    macro_rules! from {
        ($values:expr) => {
            match to {
                Dtype::Bool => Data::Bool($values.iter().map(|&v| v as f64 != 0.0).collect()),
                Dtype::Uint8 => Data::Uint8($values.iter().map(|&v| v as u8).collect()),
                Dtype::Uint16 => Data::Uint16($values.iter().map(|&v| v as u16).collect()),
                Dtype::Uint32 => Data::Uint32($values.iter().map(|&v| v as u32).collect()),
                Dtype::Uint64 => Data::Uint64($values.iter().map(|&v| v as u64).collect()),
                Dtype::Int8 => Data::Int8($values.iter().map(|&v| v as i8).collect()),
                Dtype::Int16 => Data::Int16($values.iter().map(|&v| v as i16).collect()),
                Dtype::Int32 => Data::Int32($values.iter().map(|&v| v as i32).collect()),
                Dtype::Int64 => Data::Int64($values.iter().map(|&v| v as i64).collect()),
                Dtype::Fp32 => Data::Fp32($values.iter().map(|&v| v as f32).collect()),
                Dtype::Fp64 => Data::Fp64($values.iter().map(|&v| v as f64).collect()),
                Dtype::String => return Err("unexpected strings".to_owned()),
            }
        };
    }
    Ok(match data {
        Data::Uint8(values) => from!(values),
        Data::Uint16(values) => from!(values),
        Data::Uint32(values) => from!(values),
        Data::Uint64(values) => from!(values),
        Data::Int8(values) => from!(values),
        Data::Int16(values) => from!(values),
        Data::Int32(values) => from!(values),
        Data::Int64(values) => from!(values),
        Data::Fp32(values) => from!(values),
        Data::Fp64(values) => from!(values),
        other => return Err(format!("unexpected {}", other.dtype())),
    })
}

fn parse(texts: &[String], to: Dtype) -> Result<Data, String> {
    let float = |text: &String| {
        let word = text.trim();
        word.parse::<f64>().map_err(|_| format!("a text that is no number where {to} is expected"))
    };
    let doubles = || texts.iter().map(float).collect::<Result<Vec<_>, _>>();
    if to.is_float() {
        let len = texts.len();
        return cast(&tensor(vec![len], Data::Fp64(doubles()?))?, to);
    }
    // Whole numbers beyond 2^53 must survive, so they are not read as floats if they need not be.
    let whole = texts.iter().map(|text| text.trim().parse::<i64>()).collect::<Result<Vec<_>, _>>();
    match whole {
        Ok(values) => cast(&Tensor::vector(Data::Int64(values)), to),
        Err(_) => convert(&Data::Fp64(doubles()?), to),
    }
}

/// As onnxruntime writes numbers: eight digits of a float, seventeen of a double.
fn text(data: &Data, index: usize) -> String {
    match data {
        Data::Bool(values) => u8::from(values[index]).to_string(),
        Data::Uint8(values) => values[index].to_string(),
        Data::Uint16(values) => values[index].to_string(),
        Data::Uint32(values) => values[index].to_string(),
        Data::Uint64(values) => values[index].to_string(),
        Data::Int8(values) => values[index].to_string(),
        Data::Int16(values) => values[index].to_string(),
        Data::Int32(values) => values[index].to_string(),
        Data::Int64(values) => values[index].to_string(),
        Data::Fp32(values) => general(f64::from(values[index]), 8),
        Data::Fp64(values) => general(values[index], 17),
        Data::String(values) => values[index].clone(),
    }
}

/// C's `%.{digits}g`.
fn general(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "INF" } else { "-INF" }.to_owned();
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let short = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    let digits = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || digits <= exponent {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", short(mantissa), exponent.abs());
    }
    let decimals = usize::try_from(digits - 1 - exponent).unwrap_or(0);
    short(&format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_c_writes_them() {
        let check = |value: f64, expected: &str| assert_eq!(general(value, 8), expected);
        check(0.0, "0");
        check(1.0, "1");
        check(-2.5, "-2.5");
        check(0.1_f32.into(), "0.1");
        check(123_456_789.0, "1.2345679e+08");
        check(12_345_678.0, "12345678");
        check(1e-5, "1e-05");
        check(0.000_123_4, "0.0001234");
        check(f64::NAN, "NaN");
        check(f64::NEG_INFINITY, "-INF");
    }
}
