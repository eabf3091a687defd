//! Registered versions held against each other.

use std::collections::BTreeMap;

use crate::engine::Engines;
use crate::evaluation::{Decision, EvaluationError, Gate, Report};
use crate::model::{ContractPolicy, Digest, Feature, Head, ModelName, Signature, Version};
use crate::registry::{Artifact, PolicyFile, Registry, now};
use crate::trainer::TrainError;
use crate::trainer::fit::{GbdtParams, LinearParams};
use crate::trainer::pipeline::{
    DataSection, FeatureSection, FitSection, Names, Pipeline, PipelineFile, SplitSection, TaskKind,
};

use super::scores::{self, Challenger};
use super::session::{Opponent, Session, read_gate, source_digest};

/// What is to be held against what.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// The version that wants to be champion.
    pub challenger: Version,
    /// The version to hold it against; the model's champion where none is given.
    pub champion: Option<Version>,
    /// Whether a report that is there already will do, where everything that it was made from is as it was.
    pub reuse: bool,
}

/// Where the rows of the holdout and the way to read them are written down.
#[derive(Debug, Clone, Copy)]
pub enum Evaluated<'a> {
    /// In a pipeline.
    Pipeline(&'a PipelineFile),
    /// In `gate.toml` and the version's own signature: for models that were made elsewhere.
    Registered(&'a ModelName),
}

/// Holds registered versions against each other on the gate's holdout.
///
/// # Errors
/// [`TrainError`]; among others where there is no `gate.toml`, or no holdout.
pub fn evaluate(of: Evaluated<'_>, registry: &Registry, ask: Ask, engines: &Engines) -> Result<Decision, TrainError> {
    let made;
    let (file, is_foreign) = match of {
        Evaluated::Pipeline(file) => (file, false),
        Evaluated::Registered(name) => {
            made = foreign_pipeline(registry, name, ask.challenger, engines)?;
            (&made, true)
        }
    };
    let name = file.model_name()?;
    let champion = match ask.champion {
        Some(version) => Some(version),
        None => registry.aliases(&name)?.champion,
    };
    if ask.reuse
        && let Some(report) = reusable(file, registry, &name, (ask.challenger, champion))?
    {
        return Ok(Decision { computed: false, report });
    }
    let session = if is_foreign { Session::of_gate(file, registry)? } else { Session::read(file, registry)? };
    let opponent = champion.map(|version| Opponent::open(&session, registry, version, engines)).transpose()?;
    let tested = Opponent::open(&session, registry, ask.challenger, engines)?;
    let challenger = Challenger {
        sha256: tested.sha256,
        bytes: tested.bytes,
        plan: &tested.plan,
        signature: &tested.signature,
        predictions: &tested.predictions,
        parity_mismatches: tested.parity_mismatches,
        rows_in_training: tested.training.as_ref().and_then(|training| session.holdout_rows_trained_by(training)),
    };
    let promised = promised(registry, &name)?;
    let report = scores::judge(&session, challenger, (opponent.as_ref(), promised.as_ref()), &now())?;
    Ok(Decision { computed: true, report: report.ok_or_else(no_gate)? })
}

fn no_gate() -> TrainError {
    EvaluationError::Gate("expected the file in the model's folder, got none; write one (docs/FORMATS.md)".to_owned())
        .into()
}

/// The part of `model.toml` that matters here; the server reads the whole.
#[derive(Debug, Default, serde::Deserialize)]
struct ModelFile {
    #[serde(default)]
    contract: ContractPolicy,
}

/// What callers rely on, as it was recorded or as the owner says; `None` where neither is there.
pub(super) fn promised(
    registry: &Registry,
    name: &ModelName,
) -> Result<Option<(Signature, ContractPolicy)>, TrainError> {
    let Some(text) = super::session::if_there(registry.policy_text(name, PolicyFile::Model))? else { return Ok(None) };
    let file = text.map_or_else(|| Ok(ModelFile::default()), |text| toml::from_str::<ModelFile>(&text));
    let policy = file.map_err(|error| TrainError::ModelFile(error.to_string()))?.contract;
    Ok(registry.contract(name, &policy)?.map(|signature| (signature, policy)))
}

/// A report that was made from exactly what is there now, by this build: the trainer's own, or one that was kept. Where the
/// gate limits the holdout's age there is none: what held yesterday may not hold today.
fn reusable(
    file: &PipelineFile,
    registry: &Registry,
    name: &ModelName,
    (challenger, champion): (Version, Option<Version>),
) -> Result<Option<Report>, TrainError> {
    let Some(gate) = read_gate(file, registry, name)? else { return Err(no_gate()) };
    if gate.gate.holdout.max_age_days.is_some() {
        return Ok(None);
    }
    let challenger_artifact = registry.read(name, challenger)?;
    let champion_digest = champion.map(|version| registry.read(name, version)).transpose()?;
    let champion_digest = champion_digest.map(|artifact| artifact.model_digest);
    let source = source_digest(file, &gate.gate)?;
    let holds = |report: &Report| {
        let digests = &report.digests;
        report.made_by == Report::MADE_BY
            && digests.challenger == Some(challenger_artifact.model_digest)
            && digests.champion == champion_digest
            && digests.gate == Some(gate.sha256)
            && digests.source == Some(source)
    };
    let kept = registry.report(name, challenger, champion)?;
    let kept = kept.and_then(|text| serde_json::from_slice::<Report>(&text).ok());
    let own = of_training(&challenger_artifact);
    Ok([own, kept].into_iter().flatten().find(holds))
}

#[derive(serde::Deserialize)]
struct WithGate {
    gate: Option<Report>,
}

fn of_training(artifact: &Artifact) -> Option<Report> {
    serde_json::from_slice::<WithGate>(artifact.evaluation.as_deref()?).ok()?.gate
}

/// A pipeline for a model that has none: the gate's holdout, read by the version's signature.
fn foreign_pipeline(
    registry: &Registry,
    name: &ModelName,
    version: Version,
    engines: &Engines,
) -> Result<PipelineFile, TrainError> {
    let text = registry.policy_text(name, PolicyFile::Gate)?.ok_or_else(no_gate)?;
    let gate = Gate::parse(&text)?;
    let needed = |key: &str| {
        let message = format!("holdout.{key}: expected a value, because the model has no pipeline.toml, got none");
        TrainError::from(EvaluationError::Gate(message))
    };
    let uri = gate.holdout.uri.ok_or_else(|| needed("uri"))?;
    let label = gate.holdout.label.ok_or_else(|| needed("label"))?;
    let signature = signature_of(registry, name, version, engines)?;
    let (task, classes) = match signature.head() {
        Head::Value { .. } => (TaskKind::Regression, BTreeMap::new()),
        Head::Classes { .. } => {
            let classes: BTreeMap<_, _> =
                signature.classes.iter().map(|class| (class.clone(), class.clone())).collect();
            (if classes.len() == 2 { TaskKind::Binary } else { TaskKind::Multiclass }, classes)
        }
        Head::Raw => {
            let expected = "a classifier's probabilities with class names, or one number a row".to_owned();
            return Err(TrainError::Outputs { what: format!("version {version} of {name}"), expected });
        }
    };
    let data =
        DataSection { files: vec![uri], label, id: gate.holdout.id, time: None, weight: None, ignore: Vec::new() };
    let pipeline = Pipeline {
        model: Some(name.clone()),
        task,
        data,
        classes,
        feature: signature.features.iter().map(feature_section).collect(),
        split: SplitSection::Hash { holdout: 0.5, seed: 0, validation: 0.0 },
        fit: FitSection::default(),
        gbdt: GbdtParams::default(),
        linear: LinearParams::default(),
    };
    Ok(PipelineFile { pipeline, folder: registry.root().join(name.as_str()), sha256: Digest::of(text.as_bytes()) })
}

fn feature_section(feature: &Feature) -> FeatureSection {
    FeatureSection {
        name: Names::One(feature.name.clone()),
        kind: feature.kind,
        monotone: 0,
        optional: feature.optional,
    }
}

fn signature_of(
    registry: &Registry,
    name: &ModelName,
    version: Version,
    engines: &Engines,
) -> Result<Signature, TrainError> {
    if let Some(manifest) = registry.manifest(name, version)? {
        return Ok(manifest.signature);
    }
    let artifact = registry.read(name, version)?;
    let refused = |source| TrainError::Engine { what: format!("version {version} of {name}"), source };
    Ok(crate::engine::inspect(&artifact.model, &engines.limits).map_err(refused)?.signature)
}
