//! The operators of ai.onnx.ml that gudgeon computes itself, and which operators there are at all.
//!
//! The inference library lacks most of ai.onnx.ml, and computes some of what it has wrongly (binary forests, `BRANCH_GTE`),
//! so these replace its own. Each is a [`Kernel`]: read from a node's attributes, every one of them checked, then run on
//! one input.

mod attributes;
mod encoders;
mod glue;
mod labels;
mod linear;
mod numeric;
mod post;
mod tree_kernels;
mod trees;

use std::sync::Arc;

use super::onnx::NodeProto;
use attributes::Attributes;
use glue::Kernel;

pub(super) use glue::register;

/// Why a node cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OpError {
    /// There is no such operator here; the text names it.
    Unknown(String),
    /// Its attributes make no sense.
    Bad(String),
}

/// Operators of ai.onnx.ml that are the inference library's or are cut out before it.
const ML_OTHER: [&str; 2] = ["ArrayFeatureExtractor", "ZipMap"];

/// Operators that the inference library computes wrongly, in silence, after optimising; the plan is left unoptimised.
pub(super) const QUANTIZED: [&str; 2] = ["QuantizeLinear", "DequantizeLinear"];

/// The kernel of a node of ai.onnx.ml; `None` where the node is not one of ours.
pub(super) fn kernel(node: &NodeProto) -> Result<Option<Arc<dyn Kernel>>, OpError> {
    let attributes = Attributes::new(node);
    let kernel: Arc<dyn Kernel> = match node.op_type.as_str() {
        "TreeEnsembleClassifier" => Arc::new(tree_kernels::Classifier::read(attributes)?),
        "TreeEnsembleRegressor" => Arc::new(tree_kernels::Regressor::read(attributes)?),
        "TreeEnsemble" => Arc::new(tree_kernels::Regressor::read_v5(attributes)?),
        "LinearClassifier" => Arc::new(linear::Classifier::read(attributes)?),
        "LinearRegressor" => Arc::new(linear::Regressor::read(attributes)?),
        "LabelEncoder" => Arc::new(encoders::LabelEncoder::read(attributes)?),
        "CategoryMapper" => Arc::new(encoders::LabelEncoder::read_category_mapper(attributes)?),
        "OneHotEncoder" => Arc::new(encoders::OneHotEncoder::read(attributes)?),
        "Scaler" => Arc::new(numeric::Scaler::read(attributes)?),
        "Imputer" => Arc::new(numeric::Imputer::read(attributes)?),
        "Normalizer" => Arc::new(numeric::Normalizer::read(attributes)?),
        _ => return Ok(None),
    };
    Ok(Some(kernel))
}

/// Checks that the node's operator is known in its domain, and its attributes where the operator is ours.
pub(super) fn check(node: &NodeProto) -> Result<(), OpError> {
    let name = &node.op_type;
    let of_ml = node.domain == "ai.onnx.ml";
    if of_ml && ML_OTHER.contains(&name.as_str()) {
        return Ok(());
    }
    if let Some(kernel) = kernel(node)? {
        if !of_ml {
            return Err(unknown(node));
        }
        if node.input.len() != 1 || node.output.len() > kernel.n_outputs() {
            let n = kernel.n_outputs();
            return Err(OpError::Bad(format!("{name} takes one input and has {n} outputs at most")));
        }
        return Ok(());
    }
    if let Some(what) = computed_wrongly(node) {
        return Err(OpError::Unknown(what));
    }
    let known = glue::library_has(name) && !ML_OTHER.contains(&name.as_str());
    let domain = matches!(node.domain.as_str(), "" | "ai.onnx" | "com.microsoft");
    if known && domain { Ok(()) } else { Err(unknown(node)) }
}

/// What the library is known to answer wrongly, without an error.
fn computed_wrongly(node: &NodeProto) -> Option<String> {
    let attribute = match node.op_type.as_str() {
        "LSTM" | "GRU" | "RNN" => "direction",
        "DepthToSpace" | "SpaceToDepth" => "mode",
        _ => return None,
    };
    let text = &node.attribute.iter().find(|other| other.name == attribute)?.s;
    let is_right = matches!(text.as_slice(), b"" | b"forward" | b"DCR");
    let shown = super::validate::shown(&String::from_utf8_lossy(text));
    (!is_right).then(|| format!("{} with {attribute} {shown}", node.op_type))
}

fn unknown(node: &NodeProto) -> OpError {
    let domain = if node.domain.is_empty() { "ai.onnx" } else { &node.domain };
    OpError::Unknown(format!(
        "operator {} of {}",
        super::validate::shown(&node.op_type),
        super::validate::shown(domain)
    ))
}
