//! As much of `gudgeon::engine::ml` as the tree kernels need.

#[path = "../../../../src/engine/ml/attributes.rs"]
pub mod attributes;
#[path = "../../../../src/engine/ml/post.rs"]
pub mod post;
#[path = "../../../../src/engine/ml/trees/mod.rs"]
pub mod trees;

use std::hint::black_box;

use super::onnx::{AttributeProto, NodeProto};
use crate::Failure;
use attributes::Attributes;
use trees::{Classifier, Regressor, Rows};

/// A tree ensemble in gudgeon's kernels.
pub struct Trees(Kind);

enum Kind {
    Classifier(Classifier, Vec<i64>),
    Regressor(Regressor),
}

impl Trees {
    pub fn new(node: &NodeProto) -> Result<Self, Failure> {
        let attributes = Attributes::new(node);
        let read = |error| format!("{error:?}");
        let ints = |attribute: &&AttributeProto| attribute.name == "classlabels_int64s";
        Ok(Self(match node.op_type.as_str() {
            "TreeEnsembleClassifier" => {
                let labels = node.attribute.iter().find(ints).ok_or("expected whole numbers as labels")?.ints.clone();
                Kind::Classifier(Classifier::read(attributes, labels.len()).map_err(read)?, labels)
            }
            "TreeEnsembleRegressor" => Kind::Regressor(Regressor::read(attributes).map_err(read)?),
            "TreeEnsemble" => Kind::Regressor(Regressor::read_v5(attributes).map_err(read)?),
            other => return Err(format!("{other} is no tree ensemble").into()),
        }))
    }

    pub fn run(&self, rows: &[f32], n_features: usize) -> Vec<f32> {
        match &self.0 {
            Kind::Classifier(classifier, labels) => {
                let (classes, scores) = classifier.run(Rows::Single(rows), n_features);
                black_box(classes.iter().map(|&class| labels[class]).collect::<Vec<_>>());
                scores
            }
            Kind::Regressor(regressor) => regressor.run::<f32>(Rows::Single(rows), n_features),
        }
    }
}
