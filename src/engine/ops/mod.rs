//! The operators of ai.onnx.ml that gudgeon computes itself, as [`Kernel`]s that serve in every engine.
//!
//! The inference library lacks most of ai.onnx.ml, and computes some of what it has wrongly (binary forests, `BRANCH_GTE`),
//! so these replace its own. Each is read from a node's attributes, every one of them checked.

pub(in crate::engine) mod attributes;
mod encoders;
mod features;
pub(in crate::engine) mod labels;
pub(in crate::engine) mod linear;
mod numeric;
pub(in crate::engine) mod post;
mod svm;
mod tensor_attributes;
mod tree_kernels;
mod trees;

use std::sync::Arc;

use super::kernel::Kernel;
pub(in crate::engine) use super::kernel::OpError;
use super::onnx::NodeProto;
use attributes::Attributes;

/// Their names.
pub(super) const NAMES: [&str; 16] = [
    "ArrayFeatureExtractor",
    "Binarizer",
    "CategoryMapper",
    "FeatureVectorizer",
    "Imputer",
    "LabelEncoder",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "OneHotEncoder",
    "SVMClassifier",
    "SVMRegressor",
    "Scaler",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
];

/// From this version of ai.onnx.ml on, LabelEncoder finds NaN where it is a key.
pub(super) const NAN_IS_KEY: i64 = 4;

/// The newest version of ai.onnx.ml.
pub(super) const NEWEST: i64 = 5;

/// The kernel of a node of ai.onnx.ml in version `opset`; `None` where the node is not one of ours.
pub(super) fn kernel(node: &NodeProto, opset: i64) -> Result<Option<Arc<dyn Kernel>>, OpError> {
    let attributes = Attributes::new(node);
    let kernel: Arc<dyn Kernel> = match node.op_type.as_str() {
        "ArrayFeatureExtractor" => Arc::new(features::ArrayFeatureExtractor),
        "Binarizer" => Arc::new(numeric::Binarizer::read(attributes)?),
        "CategoryMapper" => Arc::new(encoders::LabelEncoder::read_category_mapper(attributes)?),
        "FeatureVectorizer" => Arc::new(features::FeatureVectorizer::read(attributes)?),
        "Imputer" => Arc::new(numeric::Imputer::read(attributes)?),
        "LabelEncoder" => Arc::new(encoders::LabelEncoder::read(attributes, opset)?),
        "LinearClassifier" => Arc::new(linear::Classifier::read(attributes)?),
        "LinearRegressor" => Arc::new(linear::Regressor::read(attributes)?),
        "Normalizer" => Arc::new(numeric::Normalizer::read(attributes)?),
        "OneHotEncoder" => Arc::new(encoders::OneHotEncoder::read(attributes)?),
        "SVMClassifier" => Arc::new(svm::Classifier::read(attributes)?),
        "SVMRegressor" => Arc::new(svm::Regressor::read(attributes)?),
        "Scaler" => Arc::new(numeric::Scaler::read(attributes)?),
        "TreeEnsemble" => Arc::new(tree_kernels::Regressor::read_v5(attributes)?),
        "TreeEnsembleClassifier" => Arc::new(tree_kernels::Classifier::read(attributes)?),
        "TreeEnsembleRegressor" => Arc::new(tree_kernels::Regressor::read(attributes)?),
        _ => return Ok(None),
    };
    Ok(Some(kernel))
}
