//! Registers a model that was trained elsewhere, with a profile and golden cases made from a sample of its inputs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::engine::{EngineChoice, Engines, Plan, inspect};
use crate::model::{ModelName, Signature};
use crate::registry::{Actor, Draft, Registered, Registry, now};
use crate::trainer::TrainError;
use crate::trainer::data::{FeatureColumn, Schema, Table, header, read_files};

use super::artifact::{self, golden, golden_rows, observe};
use super::rows::{Answering, Source};
use super::{json, producer};

/// What to register, and what the history should say.
#[derive(Debug, Clone)]
pub struct ForeignOptions {
    /// CSV rows of the model's inputs, by feature name, or by position where no name fits.
    pub sample: Option<PathBuf>,
    /// Who registers it.
    pub actor: Actor,
    /// The reason given.
    pub why: Option<String>,
    /// A free label of the version.
    pub label: Option<String>,
    /// The class names, where the graph does not carry them.
    pub classes: Vec<String>,
    /// What graphs are opened with.
    pub engines: Engines,
}

/// Registers the graph `model`. With a sample the version gets a reference profile, golden cases, and the levels and ranges
/// of its features; without one it can be served, and its profile is gathered from live rows.
///
/// # Errors
/// [`TrainError`] where the engine refuses the graph, or the sample does not fit it; nothing was registered then.
pub fn register_foreign(
    registry: &Registry,
    name: &ModelName,
    model: Vec<u8>,
    options: &ForeignOptions,
) -> Result<Registered, TrainError> {
    let refused = |source| TrainError::Engine { what: "the graph".to_owned(), source };
    let graph = inspect(&model, &options.engines.limits).map_err(refused)?;
    let mut known = graph.signature;
    if !options.classes.is_empty() {
        known.classes.clone_from(&options.classes);
    }
    let sample = options.sample.as_deref().map(|path| read_sample(path, &mut known)).transpose()?;
    let plan = Plan::load_in(EngineChoice::Auto, &model, Some(&known), &options.engines).map_err(refused)?;
    let mut signature = plan.signature().clone();
    let (mut profile, mut golden) = (None, None);
    if let Some(table) = &sample {
        let names: Vec<String> = known.features.iter().map(|feature| feature.name.clone()).collect();
        let source = Source { names: &names, table };
        let rows: Vec<u32> = (0..u32::try_from(table.n_rows()).unwrap_or(u32::MAX)).collect();
        observe(&mut signature.features, source, &rows);
        let answering = Answering { what: "the graph".to_owned(), plan: &plan, signature: &signature };
        profile = Some(json(&artifact::profile(&answering, source, &rows, &mut |_, _| {})?));
        golden = Some(recorded(&answering, source, &rows)?);
    }
    let draft = Draft {
        at: now(),
        actor: options.actor.clone(),
        why: options.why.clone(),
        label: options.label.clone(),
        producer: producer(if graph.producer.is_empty() { "unknown" } else { &graph.producer }),
        task: graph.task,
        signature,
        opset: graph.opset,
        training: None,
        model,
        golden,
        profile,
        evaluation: None,
        extra: BTreeMap::new(),
    };
    Ok(registry.register(name, draft)?)
}

/// Reads the sample's features. Where no column has a feature's name but there are as many columns as features, the
/// columns are taken in order and the features take their names.
fn read_sample(path: &Path, signature: &mut Signature) -> Result<Table, TrainError> {
    let columns = header(path)?;
    let is_known = |name: &String| signature.features.iter().any(|feature| feature.name == *name);
    if columns.len() == signature.features.len() && !columns.iter().any(is_known) {
        for (feature, column) in signature.features.iter_mut().zip(&columns) {
            feature.name.clone_from(column);
        }
    }
    let features = signature.features.iter();
    let features = features.map(|feature| FeatureColumn { name: feature.name.clone(), kind: feature.kind }).collect();
    let schema = Schema { features, label: None, time: None, id: None, weight: None };
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(read_files(&[path.to_owned()], folder, &schema)?)
}

/// Golden cases of what the graph gives here: a change of engine or build shows.
fn recorded(model: &Answering<'_>, source: Source<'_>, rows: &[u32]) -> Result<crate::model::Golden, TrainError> {
    let table = golden_rows(source, rows);
    let picked: Vec<u32> = (0..u32::try_from(table.n_rows()).unwrap_or(u32::MAX)).collect();
    let mut cases = None;
    model.run(Source { names: source.names, table: &table }, &picked, |_, inputs, outputs| {
        cases = Some(golden(model.signature, inputs.tensors().to_vec(), outputs.to_vec()));
    })?;
    cases.ok_or_else(|| TrainError::Outputs { what: model.what.clone(), expected: "at least one row".to_owned() })
}
