//! Which operators this engine has, and who builds them.

use super::node::{Built, Node};
use super::ops::{
    binary, cast, matmul, misc, ngrams, order, quantize, reduce, scan, select, shape, softmax, text, unary,
};
use crate::engine::kernel::OpError;
use crate::engine::onnx::NodeProto;
use crate::engine::ops;

type Builder = fn(&Node<'_>) -> Result<Built, OpError>;

/// Whether the node's input is its output.
pub(super) fn is_alias(node: &NodeProto) -> bool {
    match node.domain.as_str() {
        "" | "ai.onnx" => node.op_type == "Identity",
        // ZipMap makes maps out of rows; the tensor that it reads is what is served, under ZipMap's name.
        "ai.onnx.ml" => node.op_type == "ZipMap",
        _ => false,
    }
}

/// Whether this engine has the node's operator, of whatever types.
pub(in crate::engine) fn knows(node: &NodeProto) -> bool {
    is_alias(node) || builder(node).is_some()
}

pub(super) fn build(node: &Node<'_>) -> Result<Built, OpError> {
    match builder(node.proto) {
        Some(build) => build(node),
        None => OpError::unknown(format!("operator {} of {:?}", node.operator(), node.proto.domain)),
    }
}

fn builder(node: &NodeProto) -> Option<Builder> {
    match node.domain.as_str() {
        "" | "ai.onnx" => of_onnx(&node.op_type),
        "ai.onnx.ml" => ops::NAMES.contains(&node.op_type.as_str()).then_some(unary::of_ml as Builder),
        "com.microsoft" => of_microsoft(&node.op_type),
        _ => None,
    }
}

fn of_microsoft(name: &str) -> Option<Builder> {
    Some(match name {
        "CDist" => misc::cdist,
        "Tokenizer" => text::tokenizer,
        _ => return None,
    })
}

fn of_onnx(name: &str) -> Option<Builder> {
    Some(match name {
        "Abs" => unary::abs,
        "Acos" | "Acosh" | "Asin" | "Asinh" | "Atan" | "Atanh" | "Ceil" | "Cos" | "Cosh" | "Erf" | "Exp" | "Floor"
        | "Log" | "Reciprocal" | "Round" | "Sin" | "Sinh" | "Softplus" | "Softsign" | "Sqrt" | "Tan" | "Tanh" => {
            unary::function
        }
        "Add" => binary::add,
        "And" | "Or" | "Xor" => binary::logic,
        "ArgMax" | "ArgMin" => order::arg,
        "Cast" | "CastLike" => cast::build,
        "Celu" | "Elu" | "HardSigmoid" | "LeakyRelu" | "Selu" | "ThresholdedRelu" => unary::shaped,
        "Clip" => binary::clip,
        "Compress" => misc::compress,
        "Concat" => select::concat,
        "Constant" => shape::constant,
        "ConstantOfShape" => shape::constant_of_shape,
        "CumSum" => order::cum_sum,
        "DequantizeLinear" => quantize::dequantize,
        "Div" => binary::div,
        "Equal" => binary::equal,
        "Expand" => shape::expand,
        "Flatten" => shape::flatten,
        "Gather" => select::gather,
        "GatherElements" => select::gather_elements,
        "Gemm" => matmul::gemm,
        "Greater" => binary::greater,
        "GreaterOrEqual" => binary::greater_or_equal,
        "Hardmax" | "LogSoftmax" | "Softmax" => softmax::build,
        "IsInf" => unary::is_inf,
        "IsNaN" => unary::is_nan,
        "Less" => binary::less,
        "LessOrEqual" => binary::less_or_equal,
        "LpNormalization" => reduce::lp_normalization,
        "MatMul" => matmul::matmul,
        "Max" | "Mean" | "Min" | "Sum" => binary::variadic,
        "Mod" => binary::modulo,
        "Mul" => binary::mul,
        "Neg" => unary::neg,
        "NonZero" => misc::non_zero,
        "Not" => unary::not,
        "OneHot" => misc::one_hot,
        "Pow" => binary::pow,
        "QuantizeLinear" => quantize::quantize,
        "Range" => misc::range,
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax" | "ReduceMean" | "ReduceMin"
        | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => reduce::build,
        "Relu" => unary::relu,
        "Reshape" => shape::reshape,
        "Scan" => scan::build,
        "Shape" => shape::shape,
        "Sigmoid" => unary::sigmoid,
        "Sign" => unary::sign,
        "Size" => shape::size,
        "Slice" => select::slice,
        "Split" => select::split,
        "Squeeze" => shape::squeeze,
        "StringNormalizer" => text::string_normalizer,
        "Sub" => binary::sub,
        "TfIdfVectorizer" => ngrams::tf_idf_vectorizer,
        "Tile" => shape::tile,
        "TopK" => order::top_k,
        "Transpose" => shape::transpose,
        "Unsqueeze" => shape::unsqueeze,
        "Where" => binary::choose,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_that_the_page_lists_are_known() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ENGINES.md")).unwrap();
        let list = page.split_once("<!-- native operators -->").unwrap().1.split_once("<!-- end -->").unwrap().0;
        let names: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        let of = |name: &&str| NodeProto { op_type: (*name).to_owned(), ..NodeProto::default() };
        let unknown: Vec<_> = names.iter().filter(|name| !knows(&of(name))).collect();
        assert!(unknown.is_empty() && names.len() > 100, "{} names, unknown: {unknown:?}", names.len());
    }
}
