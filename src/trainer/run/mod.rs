//! The whole run: read, split, fit, choose, export, check, register.

mod artifact;
mod code;
mod evaluate;
mod foreign;
mod latency;
mod rows;
mod scores;
mod session;

pub use evaluate::{Ask, Evaluated, evaluate};
pub use foreign::{ForeignOptions, register_foreign};
pub use scores::{ChampionScores, EvaluationFile, Scored, SliceScore};

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::engine::{Engines, Plan};
use crate::evaluation::Metric;
use crate::model::{
    Checked, ContractPolicy, Digest, Feature, Golden, ModelName, Producer, Signature, Split, Task, Training, Version,
};
use crate::registry::{Actor, Draft, Registered, Registry, now};
use crate::tensor::{Data, Tensor};

use super::TrainError;
use super::data::format_time;
use super::export::{self, GraphFacts};
use super::fit::{Algorithm, Fitted, Objective, Problem, gbdt, linear};
use super::pipeline::PipelineFile;
use super::progress::{Progress, Stage};
use rows::{Answering, labels};
use scores::Challenger;
use session::{Opponent, Session};

/// Who trains, and what the history should say.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// Who registers the version.
    pub actor: Actor,
    /// The reason given.
    pub why: Option<String>,
    /// A free label of the version.
    pub label: Option<String>,
    /// What graphs are opened with.
    pub engines: Engines,
}

/// One fitted candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct CandidateReport {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Its scores on the holdout, the primary metric first, without intervals.
    pub scores: Vec<Scored>,
    /// How long the fit took.
    pub fit_time: Duration,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct TrainReport {
    /// The model.
    pub model: ModelName,
    /// The new version and its digests.
    pub registered: Registered,
    /// Every algorithm, in the order of the pipeline.
    pub candidates: Vec<CandidateReport>,
    /// The algorithm that the holdout chose.
    pub chosen: Algorithm,
    /// What decided.
    pub primary: Metric,
    /// What `evaluation.json` says, the gate's report included.
    pub evaluation: EvaluationFile,
    /// How many rows went where.
    pub split: Split,
    /// Time of the whole run.
    pub time: Duration,
}

struct Candidate {
    fitted: Fitted,
    /// On the holdout.
    predictions: Vec<f32>,
    report: CandidateReport,
}

/// The winner, exported and opened again.
struct Exported {
    bytes: Vec<u8>,
    plan: Plan,
    signature: Signature,
    parity_max_abs: f64,
}

/// Trains a version as the pipeline says and registers it. It is not activated.
///
/// # Errors
/// [`TrainError`]; nothing was registered then.
pub fn train(
    file: &PipelineFile,
    registry: &Registry,
    options: &TrainOptions,
    progress: &mut dyn Progress,
) -> Result<TrainReport, TrainError> {
    let start = Instant::now();
    let at = now();
    progress.begin(Stage::Read);
    let session = Session::read(file, registry)?;
    let mut candidates = fit_all(&session, progress)?;
    let best = choose(&candidates, session.metric());
    let winner = candidates.swap_remove(best);
    let chosen = winner.report.algorithm;
    let exported = export(&session, &winner, options, progress)?;
    let model = Answering { what: "the new version".to_owned(), plan: &exported.plan, signature: &exported.signature };
    progress.begin(Stage::Profile);
    let mut on_rows = |done, total| progress.step(done, total);
    let profile = artifact::profile(&model, session.source(), &session.fitted_rows(), &mut on_rows)?;
    progress.begin(Stage::Gate);
    let champion = Opponent::champion(&session, registry, &options.engines)?;
    let mut reports: Vec<CandidateReport> = candidates.into_iter().map(|candidate| candidate.report).collect();
    reports.push(winner.report.clone());
    reports
        .sort_by_key(|report| session.file.pipeline.fit.algorithms.iter().position(|known| *known == report.algorithm));
    let promised = evaluate::promised(registry, &session.name)?;
    let against = (champion.as_ref(), promised.as_ref());
    let evaluation = evaluation(&session, &winner, &exported, against, (&reports, &at))?;
    progress.begin(Stage::Register);
    let training = training(&session, &winner.fitted, champion.as_ref().map(|champion| champion.version));
    let split = training.split.clone();
    let draft = Draft {
        at,
        actor: options.actor.clone(),
        why: options.why.clone(),
        label: options.label.clone(),
        producer: producer("gudgeon train"),
        task: Task::from(file.pipeline.task),
        golden: Some(golden(&session, &winner.fitted, &exported.signature)?),
        signature: exported.signature,
        opset: export::OPSET,
        training: Some(training),
        model: exported.bytes,
        profile: Some(json(&profile)),
        evaluation: Some(json(&evaluation)),
        extra: BTreeMap::new(),
    };
    let registered = registry.register(&session.name, draft)?;
    let (primary, model) = (session.metric(), session.name);
    let time = start.elapsed();
    Ok(TrainReport { model, registered, candidates: reports, chosen, primary, evaluation, split, time })
}

pub(super) fn producer(name: &str) -> Producer {
    Producer { name: name.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

/// JSON of a value that always has one.
fn json(value: &impl serde::Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}

fn fit_all(session: &Session<'_>, progress: &mut dyn Progress) -> Result<Vec<Candidate>, TrainError> {
    let pipeline = &session.file.pipeline;
    let monotone: Vec<i8> = session.specs.iter().map(|spec| spec.monotone).collect();
    let problem = Problem {
        table: &session.table,
        objective: session.objective,
        monotone: &monotone,
        train: &session.rows.train,
        validation: &session.rows.validation,
        threads: pipeline.fit.threads,
    };
    let held = session.holdout_source();
    let labels = labels(held.table, &session.holdout.rows, session.objective);
    let metrics = scores::metrics(session.objective, session.metric());
    let mut candidates = Vec::new();
    for &algorithm in &pipeline.fit.algorithms {
        progress.begin(Stage::Fit(algorithm));
        let start = Instant::now();
        let on_step = |done, total| progress.step(done, total);
        let fitted = match algorithm {
            Algorithm::Gbdt => Fitted::Gbdt(gbdt::fit(&problem, &pipeline.gbdt, on_step)?),
            Algorithm::Linear => Fitted::Linear(linear::fit(&problem, &pipeline.linear, on_step)?),
        };
        let fit_time = start.elapsed();
        progress.begin(Stage::Score);
        let predictions = fitted.predict(held.table, &session.holdout.rows);
        let scores = scores::all(&metrics, &labels, &predictions, session.objective, None)?;
        candidates.push(Candidate { fitted, predictions, report: CandidateReport { algorithm, scores, fit_time } });
    }
    Ok(candidates)
}

/// The candidate with the best primary score; the first of equals.
fn choose(candidates: &[Candidate], metric: Metric) -> usize {
    let value = |candidate: &Candidate| candidate.report.scores.first().map_or(f64::NAN, |scored| scored.value);
    let mut best = 0;
    for (place, candidate) in candidates.iter().enumerate() {
        if metric.improvement(value(&candidates[best]), value(candidate)) > 0.0 {
            best = place;
        }
    }
    best
}

/// Writes the graph, opens it again, and holds it against the trainer on every holdout row.
fn export(
    session: &Session<'_>,
    winner: &Candidate,
    options: &TrainOptions,
    progress: &mut dyn Progress,
) -> Result<Exported, TrainError> {
    progress.begin(Stage::Parity);
    let metadata = metadata(session, &winner.fitted);
    let facts = GraphFacts { name: session.name.as_str(), features: &session.specs, metadata: &metadata };
    let bytes = export::write(&winner.fitted, facts)?;
    let mut signature = export::tensors(&session.specs, session.objective);
    signature.classes.clone_from(&session.classes);
    signature.features = session
        .specs
        .iter()
        .map(|spec| Feature {
            name: spec.name.clone(),
            kind: spec.kind,
            input: spec.name.clone(),
            column: 0,
            optional: spec.optional,
            levels: Vec::new(),
            min: None,
            max: None,
        })
        .collect();
    artifact::observe(&mut signature.features, session.source(), &session.fitted_rows());
    let what = "the exported graph".to_owned();
    let plan = Plan::load(&bytes, Some(&signature), &options.engines.limits);
    let plan = plan.map_err(|source| TrainError::Engine { what: what.clone(), source })?;
    let model = Answering { what, plan: &plan, signature: &signature };
    let served = model.predict(session.holdout_source(), &session.holdout.rows, &session.classes)?;
    progress.step(session.holdout.rows.len(), session.holdout.rows.len());
    let parity_max_abs = parity(session, &winner.predictions, &served)?;
    Ok(Exported { bytes, plan, signature, parity_max_abs })
}

/// The largest difference of the server's predictions from the trainer's.
fn parity(session: &Session<'_>, trained: &[f32], served: &[f32]) -> Result<f64, TrainError> {
    let limits = session.gate.as_ref().map(|gate| &gate.gate.serving);
    let (abs, rel) = limits.map_or((1e-5, 1e-5), |serving| (serving.parity_abs, serving.parity_rel));
    let width = session.objective.n_outputs();
    let (mut rows, mut max_abs) = (0, 0.0_f64);
    for (trained, served) in trained.chunks(width).zip(served.chunks(width)) {
        let mut is_close = true;
        for (&want, &got) in trained.iter().zip(served) {
            let difference = f64::from(got - want).abs();
            max_abs = max_abs.max(difference);
            is_close &= difference <= abs + rel * f64::from(want).abs();
        }
        rows += usize::from(!is_close);
    }
    if rows == 0 { Ok(max_abs) } else { Err(TrainError::Parity { rows, n_rows: trained.len() / width, max_abs }) }
}

fn metadata(session: &Session<'_>, fitted: &Fitted) -> BTreeMap<String, String> {
    let size = match fitted {
        Fitted::Gbdt(model) => format!("{} rounds", model.n_rounds()),
        Fitted::Linear(model) => format!("{} coefficients", model.coefficients.first().map_or(0, Vec::len)),
    };
    let facts = [
        ("algorithm", fitted.algorithm().as_str().to_owned()),
        ("classes", session.classes.join(",")),
        ("label", session.file.pipeline.data.label.clone()),
        ("size", size),
    ];
    facts.into_iter().map(|(key, value)| (format!("gudgeon.{key}"), value)).collect()
}

/// Golden cases of the trainer's own predictions: what any engine must give.
fn golden(session: &Session<'_>, fitted: &Fitted, signature: &Signature) -> Result<Golden, TrainError> {
    let table = artifact::golden_rows(session.holdout_source(), &session.holdout.rows);
    let rows: Vec<u32> = (0..u32::try_from(table.n_rows()).unwrap_or(u32::MAX)).collect();
    let source = rows::Source { names: &session.feature_names, table: &table };
    let inputs = source.inputs(signature, &rows).map(Checked::into_tensors);
    let inputs = inputs.map_err(|source| TrainError::Inputs { what: "the new version".to_owned(), source })?;
    let width = session.objective.n_outputs();
    let values = fitted.predict(&table, &rows);
    let outputs = match session.objective {
        Objective::Squared => vec![Tensor::column(Data::Fp32(values))],
        _ => {
            let likeliest = |shares: &[f32]| {
                // The first of equals, as the graph has it.
                let mut best = 0;
                for class in 1..shares.len() {
                    if shares[best] < shares[class] {
                        best = class;
                    }
                }
                i64::try_from(best).unwrap_or(0)
            };
            let label = Tensor::vector(Data::Int64(values.chunks(width).map(likeliest).collect()));
            let shape = vec![rows.len(), width];
            let shares = Tensor::new(shape, Data::Fp32(values));
            vec![
                label,
                shares.map_err(|error| TrainError::Outputs {
                    what: "the new version".to_owned(),
                    expected: error.to_string(),
                })?,
            ]
        }
    };
    Ok(artifact::golden(signature, inputs, outputs))
}

fn evaluation(
    session: &Session<'_>,
    winner: &Candidate,
    exported: &Exported,
    (champion, promised): (Option<&Opponent>, Option<&(Signature, ContractPolicy)>),
    (reports, at): (&[CandidateReport], &str),
) -> Result<EvaluationFile, TrainError> {
    let objective = session.objective;
    let metrics = scores::metrics(objective, session.metric());
    let labels = labels(session.holdout_source().table, &session.holdout.rows, objective);
    let bootstrap = scores::bootstrap(session.holdout.rows.len(), session.file.pipeline.fit.seed);
    let scores_of = |champion: &Opponent| {
        let metrics = scores::all(&metrics, &labels, &champion.predictions, objective, None)?;
        Ok::<_, TrainError>(ChampionScores { version: champion.version, sha256: champion.sha256, metrics })
    };
    let challenger = Challenger {
        sha256: Digest::of(&exported.bytes),
        bytes: exported.bytes.len(),
        plan: &exported.plan,
        signature: &exported.signature,
        predictions: &winner.predictions,
        parity_mismatches: Some(0),
        rows_in_training: session.holdout_rows_in_training(),
    };
    Ok(EvaluationFile {
        format: "gudgeon-evaluation/1".to_owned(),
        holdout_sha256: session.holdout.sha256,
        holdout_rows: session.holdout.rows.len(),
        split: session.file.pipeline.split.rule(),
        primary: session.metric(),
        algorithm: winner.report.algorithm,
        bootstrap,
        metrics: scores::all(&metrics, &labels, &winner.predictions, objective, Some(bootstrap))?,
        candidates: reports.iter().map(|report| (report.algorithm.as_str(), report.scores.clone())).collect(),
        champion: champion.map(scores_of).transpose()?,
        slices: scores::slices(session, &winner.predictions, champion)?,
        parity_max_abs: exported.parity_max_abs,
        gate: scores::judge(session, challenger, (champion, promised), at)?,
    })
}

fn training(session: &Session<'_>, fitted: &Fitted, parent_version: Option<Version>) -> Training {
    let pipeline = &session.file.pipeline;
    let parameters = match fitted {
        Fitted::Gbdt(_) => serde_json::to_value(&pipeline.gbdt),
        Fitted::Linear(_) => serde_json::to_value(&pipeline.linear),
    };
    let mut parameters: BTreeMap<String, serde_json::Value> = match parameters {
        Ok(serde_json::Value::Object(object)) => object.into_iter().collect(),
        _ => BTreeMap::new(),
    };
    if let Fitted::Gbdt(model) = fitted {
        parameters.insert("n_trees".to_owned(), model.n_rounds().into());
    }
    let fitted_rows = session.fitted_rows();
    let times = || fitted_rows.iter().filter_map(|&row| session.table.times.get(row as usize).copied());
    let time_range = times().min().zip(times().max()).map(|(first, last)| [format_time(first), format_time(last)]);
    Training {
        algorithm: fitted.algorithm().as_str().to_owned(),
        label_column: pipeline.data.label.clone(),
        data: session.table.files.clone(),
        time_range,
        split: Split {
            rule: pipeline.split.rule(),
            train_rows: session.rows.train.len(),
            validation_rows: session.rows.validation.len(),
            holdout_rows: session.holdout.rows.len(),
        },
        pipeline_sha256: session.file.sha256,
        holdout_sha256: Some(session.holdout.sha256),
        parameters,
        seed: pipeline.fit.seed,
        code: code::revision(&session.file.folder),
        parent_version,
    }
}

#[cfg(test)]
mod tests;
