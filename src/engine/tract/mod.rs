//! The engine on tract: networks, and every graph that the native engine does not have all operators of.

mod axes;
mod shared;
pub(super) mod values;

use std::sync::Arc;

use prost::Message;
use tract_onnx::pb;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{DimLike, InferenceModelExt, IntoRunnable, IntoTValue, ToDim};

use super::EngineError;
use super::describe::Graph;
use super::engines::{Declined, Engine, EngineName, Loaded, Runnable, Source, declared, declares_one_row};
use super::kernel::OpError;
use super::onnx::{DimensionValue, GraphProto, ModelProto, NodeProto};
use super::validate::shown;
use crate::model::TensorSpec;
use crate::tensor::{Dtype, Tensor as Ours};

/// Operators that the library computes wrongly, in silence, after optimising; the plan is left unoptimised.
pub(super) const QUANTIZED: [&str; 2] = ["QuantizeLinear", "DequantizeLinear"];

/// tract, with our operators of ai.onnx.ml in the place of its own.
#[derive(Debug)]
pub(super) struct Tract;

impl Engine for Tract {
    fn name(&self) -> EngineName {
        EngineName::Tract
    }

    fn load(&self, source: &Source<'_>) -> Result<Loaded, Declined> {
        let Source { bytes, graph, described, .. } = *source;
        if let Some(what) = lacking(graph).or_else(|| older_nan_keys(source.proto)) {
            return Err(Declined::Lacks(what));
        }
        let decoded = pb::ModelProto::decode(bytes).map_err(|error| EngineError::NotOnnx(error.to_string()));
        let mut proto = decoded.map_err(Declined::Error)?;
        cut_zip_maps(&mut proto);
        let (plan, row_by_row) = match build(&proto, graph, described, Rows::Any) {
            Ok(plan) => (plan, false),
            Err(error @ EngineError::Load(_)) if declares_one_row(graph, &described.signature) => {
                (build(&proto, graph, described, Rows::One).map_err(|_| Declined::Error(error))?, true)
            }
            Err(error) => return Err(Declined::Error(error)),
        };
        let shape = |index: usize| {
            let fact = plan.model().output_fact(index).map_err(refused)?;
            Ok(Some(fact.shape.iter().map(|dim| dim.to_usize().ok()).collect()))
        };
        let outputs = &described.signature.outputs;
        let shapes = (0..outputs.len()).map(shape).collect::<Result<_, _>>().map_err(Declined::Error)?;
        let types = outputs.iter().map(|spec| spec.datatype).collect();
        Ok(Loaded { runnable: Box::new(Planned { plan, types }), row_by_row, shapes })
    }
}

/// The first operator of the graph that this engine does not have.
fn lacking(graph: &GraphProto) -> Option<String> {
    graph.node.iter().find_map(|node| {
        let inner = || node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()).find_map(lacking);
        let lacking = match node.domain.as_str() {
            "ai.onnx.ml" => (!is_of_ml(node)).then(|| super::engines::unknown(node)),
            _ => lacks(node),
        };
        match lacking {
            Some(OpError::Unknown(what) | OpError::Bad(what)) => Some(what),
            None => inner(),
        }
    })
}

/// The library does not tell our operators of which version of ai.onnx.ml they are; LabelEncoder is the one that asks.
fn older_nan_keys(proto: &ModelProto) -> Option<String> {
    let version = proto.opset_import.iter().find(|import| import.domain == "ai.onnx.ml")?.version;
    let mut attributes = proto.graph.iter().flat_map(|graph| &graph.node).flat_map(|node| &node.attribute);
    let has_nan = attributes.any(|each| each.name == "keys_floats" && each.floats.iter().any(|key| key.is_nan()));
    (has_nan && version < super::ops::NAN_IS_KEY)
        .then(|| format!("keys that are NaN, in version {version} of ai.onnx.ml"))
}

fn is_of_ml(node: &NodeProto) -> bool {
    super::ops::NAMES.contains(&node.op_type.as_str()) || node.op_type == "ZipMap"
}

/// Why this engine does not take the node of another domain than ai.onnx.ml; `None` where it does.
fn lacks(node: &NodeProto) -> Option<OpError> {
    if let Some(what) = computed_wrongly(node) {
        return Some(OpError::Unknown(what));
    }
    let domain = matches!(node.domain.as_str(), "" | "ai.onnx" | "com.microsoft");
    let known = domain && !is_of_ml(node) && shared::library_has(&node.op_type);
    (!known).then(|| super::engines::unknown(node))
}

/// What the library is known to answer wrongly, without an error.
fn computed_wrongly(node: &NodeProto) -> Option<String> {
    let attribute = match node.op_type.as_str() {
        "LSTM" | "GRU" | "RNN" => "direction",
        "DepthToSpace" | "SpaceToDepth" => "mode",
        // Its powers overflow where a logarithm would be below 100.
        "ReduceLogSumExp" => return Some("operator ReduceLogSumExp".to_owned()),
        _ => return None,
    };
    let text = &node.attribute.iter().find(|other| other.name == attribute)?.s;
    let is_right = matches!(text.as_slice(), b"" | b"forward" | b"DCR");
    (!is_right).then(|| {
        let value = shown(&String::from_utf8_lossy(text));
        format!("{} with {attribute} {value}", node.op_type)
    })
}

#[derive(Debug)]
struct Planned {
    plan: Arc<TypedSimplePlan>,
    /// The declared types of the outputs.
    types: Vec<Dtype>,
}

impl Runnable for Planned {
    fn run(&self, inputs: &[Ours]) -> Result<Vec<Ours>, EngineError> {
        let failed = |error: TractError| EngineError::Run(format!("{error:#}"));
        let mut given = TVec::with_capacity(inputs.len());
        for input in inputs {
            given.push(values::to_library(input).map_err(failed)?.into_tvalue());
        }
        let outputs = self.plan.run(given).map_err(failed)?;
        let ours = |(output, dtype): (&TValue, &Dtype)| {
            let data = values::from_library(output, *dtype).map_err(failed)?;
            Ours::new(output.shape().to_vec(), data).map_err(|error| EngineError::Run(error.to_string()))
        };
        outputs.iter().zip(&self.types).map(ours).collect()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn refused(error: TractError) -> EngineError {
    EngineError::Load(format!("{error:#}"))
}

/// ZipMap makes maps out of rows; the tensor that it reads is what is served, under ZipMap's name.
fn cut_zip_maps(proto: &mut pb::ModelProto) {
    let nodes = proto.graph.iter_mut().flat_map(|graph| graph.node.iter_mut());
    for node in nodes.filter(|node| node.op_type == "ZipMap" && node.domain == "ai.onnx.ml") {
        "Identity".clone_into(&mut node.op_type);
        node.domain.clear();
        node.attribute.clear();
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Any,
    One,
}

fn build(
    proto: &pb::ModelProto,
    graph: &GraphProto,
    described: &Graph,
    rows: Rows,
) -> Result<Arc<TypedSimplePlan>, EngineError> {
    let mut onnx = onnx().with_ignore_value_info(true);
    shared::register(&mut onnx);
    let parsed = onnx.parse(proto, None).map_err(refused)?;
    let mut model = parsed.model;
    for (index, spec) in described.signature.inputs.iter().enumerate() {
        let dims = input_dims(&model, graph, spec, (index, rows));
        let fact = InferenceFact::dt_shape(values::datum_type(spec.datatype), dims);
        model.set_input_fact(index, fact).map_err(refused)?;
    }
    axes::check(graph, &mut model, &parsed.outlets_by_name)?;
    let typed = if described.is_quantized {
        // The optimised form of a quantised graph answers wrongly; as written it is right.
        model.into_typed().map_err(refused)?
    } else {
        model.into_optimized().map_err(refused)?
    };
    typed.into_runnable().map_err(refused)
}

/// The sizes of an input's axes: a symbol for the rows, and one for each size that may vary. Sizes of one name are one
/// symbol.
fn input_dims(
    model: &InferenceModel,
    graph: &GraphProto,
    spec: &TensorSpec,
    (index, rows): (usize, Rows),
) -> TVec<TDim> {
    let declared = declared(graph, &spec.name);
    let row_name = match declared.first() {
        Some(Some(DimensionValue::Param(name))) if !name.is_empty() => Some(name),
        _ => None,
    };
    let rows = match rows {
        Rows::Any => model.symbols.sym("gudgeon_rows").to_dim(),
        Rows::One => 1.to_dim(),
    };
    let size = |(axis, (size, declared)): (usize, (&Option<usize>, &Option<&DimensionValue>))| match (size, declared) {
        _ if axis == 0 => rows.clone(),
        (Some(size), _) => size.to_dim(),
        (None, Some(DimensionValue::Param(name))) if Some(name) == row_name => rows.clone(),
        (None, Some(DimensionValue::Param(name))) if is_word(name) => model.symbols.sym(name).to_dim(),
        _ => model.symbols.sym(&format!("gudgeon_size_{index}_{axis}")).to_dim(),
    };
    spec.shape.iter().zip(&declared).enumerate().map(size).collect()
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
