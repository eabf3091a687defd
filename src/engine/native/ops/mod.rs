//! The operators of ai.onnx that exporters put around those of ai.onnx.ml, by the standard's text.

pub(super) mod binary;
pub(super) mod cast;
mod expression;
pub(super) mod matmul;
pub(super) mod misc;
pub(super) mod ngrams;
pub(super) mod order;
pub(super) mod quantize;
pub(super) mod reduce;
pub(super) mod scan;
pub(super) mod select;
pub(super) mod shape;
pub(super) mod softmax;
pub(super) mod text;
pub(super) mod unary;

/// Runs `$body` for two tensors' data of one type, giving data of that type.
macro_rules! same_type {
    ($x:expr, $y:expr, ($a:ident, $b:ident) => $body:expr) => {
        match ($x, $y) {
            (Data::Bool($a), Data::Bool($b)) => Ok(Data::Bool($body)),
            (Data::Uint8($a), Data::Uint8($b)) => Ok(Data::Uint8($body)),
            (Data::Uint16($a), Data::Uint16($b)) => Ok(Data::Uint16($body)),
            (Data::Uint32($a), Data::Uint32($b)) => Ok(Data::Uint32($body)),
            (Data::Uint64($a), Data::Uint64($b)) => Ok(Data::Uint64($body)),
            (Data::Int8($a), Data::Int8($b)) => Ok(Data::Int8($body)),
            (Data::Int16($a), Data::Int16($b)) => Ok(Data::Int16($body)),
            (Data::Int32($a), Data::Int32($b)) => Ok(Data::Int32($body)),
            (Data::Int64($a), Data::Int64($b)) => Ok(Data::Int64($body)),
            (Data::Fp32($a), Data::Fp32($b)) => Ok(Data::Fp32($body)),
            (Data::Fp64($a), Data::Fp64($b)) => Ok(Data::Fp64($body)),
            (Data::String($a), Data::String($b)) => Ok(Data::String($body)),
            (a, b) => Err(format!("{} and {} do not go together", a.dtype(), b.dtype())),
        }
    };
}

pub(super) use same_type;
