//! What a model takes and gives, read from the file.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message;

use super::maps::{self, Tables};
use super::onnx::{DataType, DimensionValue, GraphProto, ModelProto, NodeProto, TypeValue, ValueInfoProto};
use super::{EngineError, Limits, functions, validate};
use crate::model::{Feature, FeatureKind, Head, Signature, Task, TensorSpec};
use crate::tensor::Dtype;

/// More columns than this of one input are not named as features.
const FEATURES_MAX: usize = 4_096;

/// What the file says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Inputs, outputs, features and classes. Shapes of outputs are as declared; [`Plan::signature`](super::Plan::signature)
    /// knows better.
    pub signature: Signature,
    /// The version of ai.onnx; 0 where the graph uses none of its operators.
    pub opset: i64,
    /// `metadata_props`.
    pub metadata: BTreeMap<String, String>,
    /// What the prediction is, as far as the outputs tell.
    pub task: Task,
    /// The program that wrote the file.
    pub producer: String,
    /// How many nodes the graph has.
    pub n_nodes: usize,
    /// Whether the weights are quantised (QuantizeLinear, DequantizeLinear); such graphs run unoptimised.
    pub is_quantized: bool,
    /// Whether operators of ai.onnx.ml are among the nodes.
    pub uses_ml: bool,
}

/// Checks `model` strictly and reads its signature, without an inference library.
///
/// Outputs that are a sequence of maps (ZipMap) are given as the tensor of scores behind them, under the same name. Axis 0
/// of every tensor is the row axis, but for outputs that say otherwise ([`TensorSpec::row_axis`]). Features are the columns of the inputs: an input of one value a row is a feature of its
/// name, column `i` of an input of numbers is `{input}_{i}`, or as `feature_names` (a JSON list) in the metadata says. An input that
/// is a map is given as the table of its keys, each an optional feature of its name.
///
/// # Errors
/// [`EngineError`] where the bytes are no ONNX model, break a rule of the format, are over a limit, or need what this engine
/// does not have.
pub fn inspect(model: &[u8], limits: &Limits) -> Result<Graph, EngineError> {
    Ok(decode(model, limits)?.described)
}

/// A model, decoded and checked.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) proto: ModelProto,
    /// Whether the model is another than the file's: tables are in the place of maps.
    pub(super) is_rewritten: bool,
    pub(super) described: Graph,
}

/// Decodes, rewrites, checks and describes the model.
pub(super) fn decode(model: &[u8], limits: &Limits) -> Result<Decoded, EngineError> {
    let got = model.len() as u64;
    if got > limits.model_bytes_max {
        return Err(EngineError::TooLarge {
            what: "bytes of the model".to_owned(),
            limit: limits.model_bytes_max,
            got,
        });
    }
    if model.is_empty() {
        return Err(EngineError::NotOnnx("the file is empty".to_owned()));
    }
    let mut proto = ModelProto::decode(model).map_err(|error| EngineError::NotOnnx(error.to_string()))?;
    let has_functions = functions::inline(&mut proto, limits)?;
    let tables = maps::lower(&mut proto, limits)?;
    let (graph, opset) = validate::model(&proto, limits)?;
    let metadata = proto.metadata_props.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
    let signature = signature(graph, &metadata, &tables)?;
    let task = match signature.head() {
        Head::Classes { .. } if signature.classes.len() == 2 => Task::Binary,
        Head::Classes { .. } => Task::Multiclass,
        Head::Value { .. } => Task::Regression,
        Head::Raw => Task::Other,
    };
    let is_quantized = graph.node.iter().any(|node| super::tract::QUANTIZED.contains(&node.op_type.as_str()));
    let uses_ml = graph.node.iter().any(|node| node.domain == "ai.onnx.ml");
    let producer = format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned();
    let n_nodes = graph.node.len();
    let described = Graph { signature, opset, metadata, task, producer, n_nodes, is_quantized, uses_ml };
    Ok(Decoded { proto, is_rewritten: has_functions || !tables.is_empty(), described })
}

fn signature(
    graph: &GraphProto,
    metadata: &BTreeMap<String, String>,
    tables: &Tables,
) -> Result<Signature, EngineError> {
    let initialized: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|input| !initialized.contains(input.name.as_str()));
    let inputs = inputs.map(input).collect::<Result<Vec<_>, _>>()?;
    if inputs.is_empty() {
        return Err(EngineError::Unsupported("a graph without inputs".to_owned()));
    }
    let writers: HashMap<&str, &NodeProto> =
        graph.node.iter().flat_map(|node| node.output.iter().map(move |output| (output.as_str(), node))).collect();
    let computed = computed(graph, &initialized);
    let mut outputs = Vec::with_capacity(graph.output.len());
    for value in &graph.output {
        let mut spec = output(value, writers.get(value.name.as_str()).copied())?;
        // Exporters declare a size for the rows now and then, mostly 1, that does not hold.
        let is_free = spec.shape.iter().skip(1).any(Option::is_none);
        let is_elsewhere = is_free && has_free_rows(graph, &initialized);
        let says_the_same = !is_free && !computed.contains(value.name.as_str());
        if spec.follows_rows() || !(is_elsewhere || says_the_same) {
            spec.shape[0] = None;
        }
        outputs.push(spec);
    }
    let maps = tables.iter().filter(|(_, keys)| keys.is_some()).map(|(name, _)| name.clone()).collect();
    let mut signature = Signature { inputs, outputs, features: Vec::new(), classes: classes(graph), maps };
    if signature.validate().is_err() {
        signature.classes.clear();
    }
    for naming in [Naming::Plain, Naming::WithInput] {
        let features = features(&signature.inputs, metadata, tables, naming);
        let named = Signature { features, ..signature.clone() };
        if named.validate().is_ok() {
            return Ok(named);
        }
    }
    Ok(signature)
}

/// The values that are computed from the graph's inputs.
fn computed<'a>(graph: &'a GraphProto, initialized: &HashSet<&str>) -> HashSet<&'a str> {
    let inputs = graph.input.iter().map(|input| input.name.as_str()).filter(|name| !initialized.contains(name));
    let mut computed: HashSet<&str> = inputs.collect();
    for node in &graph.node {
        // What a graph inside reads is not looked into.
        let has_graph = node.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty());
        if has_graph || node.input.iter().any(|name| computed.contains(name.as_str())) {
            computed.extend(node.output.iter().map(String::as_str));
        }
    }
    computed
}

/// Whether the inputs take any number of rows by their declared shapes.
fn has_free_rows(graph: &GraphProto, initialized: &HashSet<&str>) -> bool {
    let inputs = graph.input.iter().filter(|input| !initialized.contains(input.name.as_str()));
    let declared = inputs.map(|input| tensor_spec(input).ok().flatten());
    declared.flatten().all(|spec| spec.shape.first().is_none_or(Option::is_none))
}

fn input(value: &ValueInfoProto) -> Result<TensorSpec, EngineError> {
    let lacks = |what: &str| EngineError::Unsupported(format!("{what} ({})", validate::shown(&value.name)));
    let Some(mut spec) = tensor_spec(value)? else { return Err(lacks("an input that is neither a tensor nor a map")) };
    let Some(rows) = spec.shape.first_mut() else { return Err(lacks("an input without a row axis")) };
    *rows = None;
    Ok(spec)
}

fn output(value: &ValueInfoProto, writer: Option<&NodeProto>) -> Result<TensorSpec, EngineError> {
    if let Some(zip_map) = writer.filter(|node| node.op_type == "ZipMap") {
        let n_classes = labels(zip_map).map(|labels| labels.len());
        return Ok(TensorSpec { name: value.name.clone(), datatype: Dtype::Fp32, shape: vec![None, n_classes] });
    }
    let Some(mut spec) = tensor_spec(value)? else {
        let what = format!("an output that is neither a tensor nor ZipMap's ({})", validate::shown(&value.name));
        return Err(EngineError::Unsupported(what));
    };
    if spec.shape.is_empty() {
        spec.shape = vec![None];
    }
    Ok(spec)
}

/// `None` for a type that is no tensor. The shape is empty where none is declared.
fn tensor_spec(value: &ValueInfoProto) -> Result<Option<TensorSpec>, EngineError> {
    let Some(TypeValue::Tensor(tensor)) = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return Ok(None);
    };
    let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    let mut shape = Vec::with_capacity(dims.len());
    for dim in dims {
        shape.push(match &dim.value {
            // Older exporters write 0 for what may vary.
            Some(DimensionValue::Value(size)) => {
                usize::try_from(*size).ok().filter(|&size| size > 0 || !shape.is_empty())
            }
            _ => None,
        });
    }
    Ok(Some(TensorSpec { name: value.name.clone(), datatype: dtype(tensor.elem_type)?, shape }))
}

fn dtype(elem_type: i32) -> Result<Dtype, EngineError> {
    Ok(match DataType::try_from(elem_type) {
        Ok(DataType::Float) => Dtype::Fp32,
        Ok(DataType::Double) => Dtype::Fp64,
        Ok(DataType::String) => Dtype::String,
        Ok(DataType::Bool) => Dtype::Bool,
        Ok(DataType::Uint8) => Dtype::Uint8,
        Ok(DataType::Uint16) => Dtype::Uint16,
        Ok(DataType::Uint32) => Dtype::Uint32,
        Ok(DataType::Uint64) => Dtype::Uint64,
        Ok(DataType::Int8) => Dtype::Int8,
        Ok(DataType::Int16) => Dtype::Int16,
        Ok(DataType::Int32) => Dtype::Int32,
        Ok(DataType::Int64) => Dtype::Int64,
        _ => return Err(EngineError::Unsupported(format!("inputs or outputs of ONNX type {elem_type}"))),
    })
}

/// The class names: of the ZipMap, else of the classifier.
fn classes(graph: &GraphProto) -> Vec<String> {
    let of = |is: fn(&str) -> bool| graph.node.iter().filter(move |node| is(&node.op_type)).find_map(labels);
    let classes = of(|name| name == "ZipMap").or_else(|| of(|name| name.ends_with("Classifier")));
    classes.or_else(|| extracted(graph)).unwrap_or_default()
}

fn labels(node: &NodeProto) -> Option<Vec<String>> {
    node.attribute.iter().find_map(|attribute| match attribute.name.as_str() {
        "classlabels_strings" if !attribute.strings.is_empty() => {
            Some(attribute.strings.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
        }
        "classlabels_int64s" | "classlabels_ints" if !attribute.ints.is_empty() => {
            Some(attribute.ints.iter().map(ToString::to_string).collect())
        }
        _ => None,
    })
}

/// Class names that a neural network picks from an initializer, by ArrayFeatureExtractor.
fn extracted(graph: &GraphProto) -> Option<Vec<String>> {
    let node = graph.node.iter().find(|node| node.op_type == "ArrayFeatureExtractor")?;
    let tensor = graph.initializer.iter().find(|tensor| Some(&tensor.name) == node.input.first())?;
    let classes: Vec<String> = if tensor.string_data.is_empty() {
        let ints = tensor.int32_data.iter().map(|&value| i64::from(value)).chain(tensor.int64_data.iter().copied());
        ints.map(|value| value.to_string()).collect()
    } else {
        tensor.string_data.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    };
    let width = |output: &ValueInfoProto| tensor_spec(output).ok().flatten().and_then(|spec| spec.row_len());
    let fits = graph.output.iter().any(|output| width(output) == Some(classes.len()));
    (fits && classes.len() > 1).then_some(classes)
}

/// How the keys of maps are named as features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Plain,
    /// `{input}_{key}`, where a key is the name of another feature.
    WithInput,
}

fn features(
    inputs: &[TensorSpec],
    metadata: &BTreeMap<String, String>,
    tables: &Tables,
    naming: Naming,
) -> Vec<Feature> {
    let given: Option<Vec<String>> = metadata.get("feature_names").and_then(|names| serde_json::from_str(names).ok());
    let mut features = Vec::new();
    for spec in inputs {
        let keys = tables.get(&spec.name).and_then(Option::as_ref);
        let len = match (spec.shape.len(), spec.row_len()) {
            (1 | 2, Some(len)) if len <= FEATURES_MAX || keys.is_some() => len,
            _ => continue,
        };
        let kind = if spec.datatype == Dtype::String { FeatureKind::Categorical } else { FeatureKind::Numeric };
        let given = given.as_ref().filter(|given| inputs.len() == 1 && given.len() == len);
        for column in 0..len {
            let name = match (keys, given) {
                (Some(keys), _) if naming == Naming::Plain => keys[column].clone(),
                (Some(keys), _) => format!("{}_{}", spec.name, keys[column]),
                (None, Some(given)) => given[column].clone(),
                (None, None) if len == 1 => spec.name.clone(),
                (None, None) => format!("{}_{column}", spec.name),
            };
            features.push(Feature {
                name,
                kind,
                input: spec.name.clone(),
                column,
                optional: keys.is_some(),
                levels: Vec::new(),
                min: None,
                max: None,
            });
        }
    }
    features
}
