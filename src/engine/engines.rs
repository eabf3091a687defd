//! What an engine is, which there are, and which of them takes a graph.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::describe::Graph;
use super::kernel::{Fact, OpError};
use super::onnx::{DimensionValue, GraphProto, ModelProto, NodeProto, TypeValue};
use super::onnxruntime::{Onnxruntime, OnnxruntimeEngine};
use super::validate::shown;
use super::{EngineError, Limits, native, ops, tract};
use crate::model::Signature;
use crate::tensor::Tensor;

/// The engine that a model's owner asks for: `engine` in model.toml.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum EngineChoice {
    /// The fastest that answers rightly, as a verification measured it; without one the first that takes the graph.
    #[default]
    Auto,
    /// gudgeon's own.
    Native,
    /// tract.
    Tract,
    /// onnxruntime, where the configuration says where its library is.
    Onnxruntime,
}

crate::schema::described_words!(EngineChoice as "EngineChoice" { Auto, Native, Tract, Onnxruntime });

impl TryFrom<String> for EngineChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "native" => Ok(Self::Native),
            "tract" => Ok(Self::Tract),
            "onnxruntime" => Ok(Self::Onnxruntime),
            other => Err(format!("engine: expected auto, native, tract or onnxruntime, got {}", shown(other))),
        }
    }
}

/// An engine, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// gudgeon's own.
    Native,
    /// tract.
    Tract,
    /// onnxruntime.
    Onnxruntime,
}

crate::schema::described_words!(EngineName as "EngineName" { Native, Tract, Onnxruntime });

impl From<EngineName> for EngineChoice {
    fn from(engine: EngineName) -> Self {
        match engine {
            EngineName::Native => Self::Native,
            EngineName::Tract => Self::Tract,
            EngineName::Onnxruntime => Self::Onnxruntime,
        }
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Native => "native",
            Self::Tract => "tract",
            Self::Onnxruntime => "onnxruntime",
        })
    }
}

/// Which engine took a graph, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engaged {
    /// What the model's owner asked for.
    pub asked: EngineChoice,
    /// The engine that serves.
    pub engine: EngineName,
    /// Why, for a person to read.
    pub why: String,
    /// The onnxruntime that was there to choose from: its file's name, size and time. Nothing where there was none, or where
    /// another engine was asked for.
    #[serde(default)]
    pub onnxruntime: Option<String>,
}

crate::schema::described!(Engaged as "Engaged" { asked, engine, why, onnxruntime });

impl fmt::Display for Engaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.engine, self.why)
    }
}

/// A model to load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) proto: &'a ModelProto,
    pub(super) graph: &'a GraphProto,
    pub(super) described: &'a Graph,
    pub(super) limits: &'a Limits,
    pub(super) onnxruntime: Option<&'a Onnxruntime>,
}

/// Why an engine does not take a graph.
#[derive(Debug)]
pub(super) enum Declined {
    /// It lacks what the text names; another engine may have it.
    Lacks(String),
    /// The graph is wrong, or the engine failed on it.
    Error(EngineError),
}

/// A graph in an engine, ready to run from any number of threads at once.
pub(super) trait Runnable: fmt::Debug + Send + Sync {
    /// The outputs, of their declared types. The inputs have been held against the signature.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError>;
}

/// A [`Runnable`] and what the engine found out on the way.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) runnable: Box<dyn Runnable>,
    /// Whether it takes one row a run.
    pub(super) row_by_row: bool,
    /// The shapes of the outputs as far as they are known.
    pub(super) shapes: Vec<Option<Vec<Option<usize>>>>,
}

/// An inference engine.
pub(super) trait Engine {
    fn name(&self) -> EngineName;

    fn load(&self, source: &Source<'_>) -> Result<Loaded, Declined>;
}

/// Loads a graph in the engine that `asked` stands for. [`EngineChoice::Auto`] is the first that takes it, of native, tract and
/// onnxruntime: a verification measures before it decides (`verify`).
pub(super) fn load(source: &Source<'_>, asked: EngineChoice) -> Result<(Loaded, Engaged), EngineError> {
    match asked {
        EngineChoice::Native => only(&native::Native, source, asked),
        EngineChoice::Tract => only(&tract::Tract, source, asked),
        EngineChoice::Onnxruntime => only(&OnnxruntimeEngine, source, asked),
        EngineChoice::Auto => first(source),
    }
}

fn engaged(asked: EngineChoice, engine: &dyn Engine, why: String) -> Engaged {
    Engaged { asked, engine: engine.name(), why, onnxruntime: None }
}

fn only(engine: &dyn Engine, source: &Source<'_>, asked: EngineChoice) -> Result<(Loaded, Engaged), EngineError> {
    match engine.load(source) {
        Ok(loaded) => Ok((loaded, engaged(asked, engine, "asked for".to_owned()))),
        Err(Declined::Lacks(what)) => Err(EngineError::Lacks { engine: engine.name(), what }),
        Err(Declined::Error(error)) => Err(error),
    }
}

fn first(source: &Source<'_>) -> Result<(Loaded, Engaged), EngineError> {
    let auto = |engine: &dyn Engine, why: String| engaged(EngineChoice::Auto, engine, why);
    let native_lacks = match native::Native.load(source) {
        Ok(loaded) => {
            let n_operators = n_operators(source.graph);
            let plural = if n_operators == 1 { "the operator is" } else { "all operators are" };
            return Ok((loaded, auto(&native::Native, format!("{plural} known ({n_operators} of them)"))));
        }
        Err(Declined::Error(error)) => return Err(error),
        Err(Declined::Lacks(what)) => what,
    };
    let tract_fails = match tract::Tract.load(source) {
        Ok(loaded) => return Ok((loaded, auto(&tract::Tract, format!("native lacks {native_lacks}")))),
        Err(declined) => declined,
    };
    if source.onnxruntime.is_none() {
        return Err(match tract_fails {
            Declined::Lacks(what) if Onnxruntime::IS_IN_BUILD && may_be_onnxruntimes(source.graph) => {
                EngineError::NeedsOnnxruntime(what)
            }
            Declined::Lacks(what) => EngineError::Unsupported(what),
            Declined::Error(error) => error,
        });
    }
    match OnnxruntimeEngine.load(source) {
        Ok(loaded) => {
            let why = match tract_fails {
                Declined::Lacks(what) => format!("native lacks {native_lacks}; tract lacks {what}"),
                Declined::Error(error) => format!("native lacks {native_lacks}; tract: {error}"),
            };
            Ok((loaded, auto(&OnnxruntimeEngine, why)))
        }
        Err(Declined::Lacks(what)) => Err(EngineError::Unsupported(what)),
        Err(Declined::Error(error)) => Err(error),
    }
}

/// Whether all operators are of domains in which onnxruntime has some.
fn may_be_onnxruntimes(graph: &GraphProto) -> bool {
    graph.node.iter().all(|node| {
        let mut inner = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        matches!(node.domain.as_str(), "" | "ai.onnx" | "ai.onnx.ml" | "com.microsoft")
            && inner.all(may_be_onnxruntimes)
    })
}

/// How many operators the graph uses, each counted once.
fn n_operators(graph: &GraphProto) -> usize {
    let mut names: Vec<(&str, &str)> =
        graph.node.iter().map(|node| (node.domain.as_str(), node.op_type.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    names.len()
}

/// Checks an operator of ai.onnx.ml that is ours. What no engine has is found out by whoever is to run it.
pub(super) fn check(node: &NodeProto) -> Result<(), OpError> {
    if node.domain != "ai.onnx.ml" || node.op_type == "ZipMap" {
        return Ok(());
    }
    let Some(kernel) = ops::kernel(node, ops::NEWEST)? else { return Ok(()) };
    if !kernel.n_inputs().contains(&node.input.len()) || node.output.len() > kernel.n_outputs() {
        let (inputs, outputs) = (kernel.n_inputs(), kernel.n_outputs());
        let problem = format!("{} takes {} inputs and has {outputs} outputs at most", node.op_type, inputs.end());
        return OpError::bad(problem);
    }
    Ok(())
}

pub(super) fn unknown(node: &NodeProto) -> OpError {
    let domain = if node.domain.is_empty() { "ai.onnx" } else { &node.domain };
    OpError::Unknown(format!("operator {} of {}", shown(&node.op_type), shown(domain)))
}

/// Whether every input is declared to have one row.
pub(super) fn declares_one_row(graph: &GraphProto, signature: &Signature) -> bool {
    signature.inputs.iter().all(|spec| {
        let dims = declared(graph, &spec.name);
        matches!(dims.first(), Some(Some(DimensionValue::Value(1))))
    })
}

/// The sizes of an input as declared.
pub(super) fn declared<'a>(graph: &'a GraphProto, name: &str) -> Vec<Option<&'a DimensionValue>> {
    let value = graph.input.iter().find(|input| input.name == name).and_then(|input| input.r#type.as_ref());
    match value.and_then(|kind| kind.value.as_ref()) {
        Some(TypeValue::Tensor(tensor)) => {
            tensor.shape.iter().flat_map(|shape| &shape.dim).map(|dim| dim.value.as_ref()).collect()
        }
        _ => Vec::new(),
    }
}

/// The shape that a fact tells.
pub(super) fn shape(fact: &Fact) -> Option<Vec<Option<usize>>> {
    fact.shape.as_ref().map(|dims| dims.iter().map(|dim| dim.fixed()).collect())
}
