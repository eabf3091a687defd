//! Writes a fitted model as one ONNX graph with its pre-processing inside.
//!
//! The graph takes one input `[n_rows, 1]` a feature: FLOAT for numbers (NaN is missing), STRING for categories (the empty
//! string is missing). A classifier gives `label` (int64 `[n_rows]`, the place of the likeliest class) and `probabilities`
//! (float `[n_rows, n_classes]`); a regression gives `value` (float `[n_rows, 1]`). IR 9, ai.onnx 17, ai.onnx.ml 3; nothing
//! in it depends on when or where it was written.

mod graph;
mod linear;
mod trees;

use std::collections::BTreeMap;

use prost::Message as _;

use crate::engine::onnx::{DataType, ModelProto, OperatorSetIdProto, StringStringEntryProto};
use crate::model::{FeatureKind, Signature, TensorSpec};
use crate::tensor::Dtype;

use super::fit::{Fitted, Objective};
use super::pipeline::FeatureSpec;
use graph::{Attribute, GraphBuilder};

/// The operator set of the graphs' main domain.
pub const OPSET: i64 = 17;
const ML_OPSET: i64 = 3;
const IR_VERSION: i64 = 9;
/// Where the graph's own names begin.
const PREFIX: &str = "gudgeon/";

const LABEL: &str = "label";
const PROBABILITIES: &str = "probabilities";
const VALUE: &str = "value";

/// Why a model cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// A feature has a name that the graph needs.
    #[error(
        "feature {name:?}: expected a name other than label, probabilities, value and gudgeon/...; rename the column"
    )]
    Name {
        /// The feature.
        name: String,
    },
    /// The features are not those that the model was fitted to.
    #[error("expected {expected} features as in the fit, got {got}")]
    Features {
        /// Features of the fit.
        expected: usize,
        /// Features given.
        got: usize,
    },
}

/// What a graph is called and what it tells about itself.
#[derive(Debug, Clone, Copy)]
pub struct GraphFacts<'a> {
    /// The model's name.
    pub name: &'a str,
    /// The features, in the order of the fit.
    pub features: &'a [FeatureSpec],
    /// Small facts, written as metadata.
    pub metadata: &'a BTreeMap<String, String>,
}

/// The bytes of the ONNX graph of `fitted`.
///
/// # Errors
/// [`ExportError`] where the features do not fit.
pub fn write(fitted: &Fitted, facts: GraphFacts<'_>) -> Result<Vec<u8>, ExportError> {
    let expected = match fitted {
        Fitted::Gbdt(model) => model.inputs.iter().map(|input| input.feature + 1).max().unwrap_or(0),
        Fitted::Linear(model) => model.encodings.len(),
    };
    if expected != facts.features.len() {
        return Err(ExportError::Features { expected, got: facts.features.len() });
    }
    let mut graph = GraphBuilder::default();
    for FeatureSpec { name, kind, .. } in facts.features {
        if [LABEL, PROBABILITIES, VALUE].contains(&name.as_str()) || name.starts_with(PREFIX) {
            return Err(ExportError::Name { name: name.clone() });
        }
        graph.input(name, if *kind == FeatureKind::Numeric { DataType::Float } else { DataType::String });
    }
    let scores = match fitted {
        Fitted::Gbdt(model) => trees::scores(&mut graph, model, facts.features),
        Fitted::Linear(model) => linear::scores(&mut graph, model, facts.features),
    };
    head(&mut graph, fitted.objective(), &scores);
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
    let prop = |(key, value): (&String, &String)| StringStringEntryProto { key: key.clone(), value: value.clone() };
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "gudgeon".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph.finish(facts.name)),
        opset_import: vec![opset("", OPSET), opset("ai.onnx.ml", ML_OPSET)],
        metadata_props: facts.metadata.iter().map(prop).collect(),
        ..ModelProto::default()
    };
    Ok(model.encode_to_vec())
}

/// From scores `[n_rows, n_scores]` to the outputs.
fn head(graph: &mut GraphBuilder, objective: Objective, scores: &str) {
    match objective {
        Objective::Squared => {
            graph.node_to("Identity", &[scores], VALUE, Vec::new());
            graph.output(VALUE, DataType::Float, Some(1));
            return;
        }
        Objective::Binary => {
            let positive = graph.node("Sigmoid", &[scores], Vec::new());
            let one = graph.floats(&[], &[1.0]);
            let negative = graph.node("Sub", &[&one, &positive], Vec::new());
            let axis = vec![Attribute::int("axis", 1)];
            graph.node_to("Concat", &[&negative, &positive], PROBABILITIES, axis);
        }
        Objective::Multiclass { .. } => {
            graph.node_to("Softmax", &[scores], PROBABILITIES, vec![Attribute::int("axis", 1)]);
        }
    }
    let attributes = vec![Attribute::int("axis", 1), Attribute::int("keepdims", 0)];
    graph.node_to("ArgMax", &[PROBABILITIES], LABEL, attributes);
    graph.output(LABEL, DataType::Int64, None);
    graph.output(PROBABILITIES, DataType::Float, Some(objective.n_outputs()));
}

/// The inputs and outputs of the graph that [`write`] makes; features are left to the caller.
pub fn tensors(features: &[FeatureSpec], objective: Objective) -> Signature {
    let spec = |name: &str, datatype, shape: &[Option<usize>]| TensorSpec {
        name: name.to_owned(),
        datatype,
        shape: shape.to_vec(),
    };
    let input = |feature: &FeatureSpec| {
        let datatype = if feature.kind == FeatureKind::Numeric { Dtype::Fp32 } else { Dtype::String };
        spec(&feature.name, datatype, &[None, Some(1)])
    };
    let outputs = match objective {
        Objective::Squared => vec![spec(VALUE, Dtype::Fp32, &[None, Some(1)])],
        _ => vec![
            spec(LABEL, Dtype::Int64, &[None]),
            spec(PROBABILITIES, Dtype::Fp32, &[None, Some(objective.n_outputs())]),
        ],
    };
    let inputs = features.iter().map(input).collect();
    Signature { inputs, outputs, features: Vec::new(), classes: Vec::new(), maps: Vec::new() }
}
