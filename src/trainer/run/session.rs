//! The data of a run: table, split, controlled holdout, gate, champion.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use crate::engine::{EngineChoice, Engines, Plan};
use crate::evaluation::{EvaluationError, Gate, Metric};
use crate::model::{Alias, DataFile, Digest, DigestWriter, Golden, ModelName, Signature, Training, Version};
use crate::registry::{PolicyFile, Registry, RegistryError};
use crate::trainer::TrainError;
use crate::trainer::data::{DataError, Schema, Table, expand, parse_time, read_files};
use crate::trainer::fit::{FitError, Objective};
use crate::trainer::pipeline::{FeatureSpec, PipelineFile, SplitSection, TaskKind};
use crate::trainer::split::Rows;

use super::rows::{Answering, Source};

/// `gate.toml` and the digest of its bytes.
#[derive(Debug)]
pub(super) struct GateFile {
    pub(super) gate: Gate,
    pub(super) sha256: Digest,
}

/// The controlled holdout: rows of the table, or of a file that the gate names.
#[derive(Debug)]
pub(super) struct Holdout {
    /// The gate's own file.
    own: Option<Table>,
    pub(super) rows: Vec<u32>,
    pub(super) sha256: Digest,
}

/// The data of a run.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) file: &'a PipelineFile,
    pub(super) name: ModelName,
    pub(super) specs: Vec<FeatureSpec>,
    pub(super) feature_names: Vec<String>,
    pub(super) objective: Objective,
    pub(super) classes: Vec<String>,
    pub(super) table: Table,
    pub(super) rows: Rows,
    pub(super) gate: Option<GateFile>,
    pub(super) holdout: Holdout,
}

impl<'a> Session<'a> {
    /// Reads everything that the pipeline and the gate name.
    pub(super) fn read(file: &'a PipelineFile, registry: &Registry) -> Result<Self, TrainError> {
        file.pipeline.validate()?;
        let name = file.model_name()?;
        let gate = read_gate(file, registry, &name)?;
        let table = read_table(file, &file.pipeline.data.files)?;
        let objective = objective(file.pipeline.task, &table.classes)?;
        let rows = file.pipeline.split.rows(&table, file.pipeline.fit.seed);
        let holdout = match own_holdout(file, gate.as_ref().map(|gate| &gate.gate))? {
            Some(holdout) => holdout,
            None => Holdout { own: None, sha256: table.digest_of(&rows.holdout), rows: rows.holdout.clone() },
        };
        let empty = |part| TrainError::EmptySplit { part, n_rows: table.n_rows(), rule: file.pipeline.split.rule() };
        if rows.train.is_empty() {
            return Err(empty("training"));
        }
        if holdout.rows.is_empty() {
            return Err(empty("holdout"));
        }
        let specs = file.pipeline.features();
        let feature_names = specs.iter().map(|spec| spec.name.clone()).collect();
        let classes = file.pipeline.class_names(&table.classes);
        Ok(Self { file, name, specs, feature_names, objective, classes, table, rows, gate, holdout })
    }

    /// Reads the gate's own holdout alone: for models without a pipeline, whose training nobody knows. `file` was made up for
    /// that.
    pub(super) fn of_gate(file: &'a PipelineFile, registry: &Registry) -> Result<Self, TrainError> {
        let name = file.model_name()?;
        let gate = read_gate(file, registry, &name)?;
        let named = gate.as_ref().map(|gate| &gate.gate);
        let holdout = own_holdout(file, named)?.ok_or_else(|| {
            EvaluationError::Gate(
                "holdout.uri: expected a file, because the model has no pipeline, got none".to_owned(),
            )
        })?;
        let table = holdout.own.as_ref().map_or(&[][..], |table| table.classes.as_slice());
        let classes = file.pipeline.class_names(table);
        let specs = file.pipeline.features();
        Ok(Self {
            file,
            name,
            feature_names: specs.iter().map(|spec| spec.name.clone()).collect(),
            specs,
            objective: objective(file.pipeline.task, &classes)?,
            classes,
            table: Table::default(),
            rows: Rows::default(),
            gate,
            holdout,
        })
    }

    /// The rows that were read.
    pub(super) fn source(&self) -> Source<'_> {
        Source { names: &self.feature_names, table: &self.table }
    }

    /// The table that the holdout's rows are of.
    pub(super) fn holdout_source(&self) -> Source<'_> {
        Source { names: &self.feature_names, table: self.holdout.own.as_ref().unwrap_or(&self.table) }
    }

    /// What decides between models.
    pub(super) fn metric(&self) -> Metric {
        match (&self.gate, self.objective) {
            (Some(gate), _) => gate.gate.primary.metric,
            (None, Objective::Binary) => Metric::RocAuc,
            (None, Objective::Multiclass { .. }) => Metric::LogLoss,
            (None, Objective::Squared) => Metric::Rmse,
        }
    }

    /// Training and validation rows, in order.
    pub(super) fn fitted_rows(&self) -> Vec<u32> {
        let mut rows: Vec<u32> = self.rows.train.iter().chain(&self.rows.validation).copied().collect();
        rows.sort_unstable();
        rows
    }

    /// Holdout rows whose id is that of a fitted row; `None` where rows have no ids.
    pub(super) fn holdout_rows_in_training(&self) -> Option<u64> {
        let held = &self.holdout_source().table.ids;
        if self.table.ids.is_empty() || held.is_empty() {
            return None;
        }
        let fitted: HashSet<u64> = self.fitted_rows().iter().map(|&row| self.table.ids[row as usize]).collect();
        let hits = self.holdout.rows.iter().filter(|&&row| fitted.contains(&held[row as usize]));
        u64::try_from(hits.count()).ok()
    }

    /// Holdout rows that a registered version was fitted to, as far as its manifest tells: where it was fitted to the same
    /// files split the same way, or where both splits are by time. `None` where that cannot be told.
    pub(super) fn holdout_rows_trained_by(&self, training: &Training) -> Option<u64> {
        let split = &self.file.pipeline.split;
        let digests = |files: &[DataFile]| files.iter().map(|file| file.sha256).collect::<Vec<_>>();
        if training.split.rule == split.rule() && digests(&training.data) == digests(&self.table.files) {
            return self.holdout_rows_in_training();
        }
        let is_by_time =
            matches!(split, SplitSection::Time { .. }) && SplitSection::is_rule_by_time(&training.split.rule);
        if is_by_time { self.holdout_rows_between(training) } else { None }
    }

    /// Holdout rows in the time range of `training`; `None` where one of them is of a file that `training` did not read.
    fn holdout_rows_between(&self, training: &Training) -> Option<u64> {
        let [first, last] = training.time_range.as_ref()?;
        let range = parse_time(first).ok()?..=parse_time(last).ok()?;
        let table = self.holdout_source().table;
        let ends: Vec<usize> = table
            .files
            .iter()
            .scan(0, |end, file| {
                *end += file.rows;
                Some(*end)
            })
            .collect();
        let mut n_rows = 0;
        for row in self.holdout.rows.iter().map(|&row| row as usize) {
            if range.contains(table.times.get(row)?) {
                let file = table.files.get(ends.partition_point(|&end| end <= row))?;
                training.data.iter().find(|known| known.sha256 == file.sha256)?;
                n_rows += 1;
            }
        }
        Some(n_rows)
    }

    /// The age of the newest holdout row at `now`, in days; `None` where rows have no times.
    #[expect(clippy::cast_precision_loss, reason = "an age in seconds")]
    pub(super) fn holdout_age_days(&self, now: &str) -> Option<f64> {
        let times = &self.holdout_source().table.times;
        let newest = self.holdout.rows.iter().filter_map(|&row| times.get(row as usize)).max()?;
        let now = parse_time(now).ok()?;
        Some((now - newest) as f64 / 86_400.0)
    }
}

fn read_table(file: &PipelineFile, patterns: &[String]) -> Result<Table, TrainError> {
    let files = expand(&file.folder, patterns)?;
    Ok(read_files(&files, &file.folder, &file.pipeline.schema())?)
}

/// The file that the gate names; `None` where it names none.
fn own_holdout(file: &PipelineFile, gate: Option<&Gate>) -> Result<Option<Holdout>, TrainError> {
    let Some(policy) = gate.map(|gate| &gate.holdout) else { return Ok(None) };
    let Some(uri) = &policy.uri else { return Ok(None) };
    let files = holdout_files(file, uri)?;
    let table = read_files(&files, &file.folder, &holdout_schema(file, policy))?;
    let got = digest_of_files(&table.files.iter().map(|file| file.sha256).collect::<Vec<_>>());
    if let Some(expected) = policy.sha256
        && expected != got
    {
        return Err(TrainError::HoldoutChanged { uri: uri.clone(), expected, got });
    }
    let rows: Vec<u32> = (0..u32::try_from(table.n_rows()).unwrap_or(u32::MAX)).collect();
    Ok(Some(Holdout { sha256: got, rows, own: Some(table) }))
}

fn holdout_files(file: &PipelineFile, uri: &str) -> Result<Vec<PathBuf>, TrainError> {
    let missing = || TrainError::HoldoutMissing { uri: uri.to_owned(), folder: file.folder.clone() };
    expand(&file.folder, &[uri.to_owned()]).map_err(|error| match error {
        DataError::NoFiles { .. } => missing(),
        error => error.into(),
    })
}

/// How the rows of the gate's own file are read: as the pipeline says, but for the columns that the gate names.
fn holdout_schema(file: &PipelineFile, policy: &crate::evaluation::Holdout) -> Schema {
    let mut schema = file.pipeline.schema();
    if let (Some(label), Some((name, _))) = (&policy.label, &mut schema.label) {
        name.clone_from(label);
    }
    schema.id = policy.id.clone().or(schema.id);
    schema
}

/// The digest of one file's bytes; of several, of their digests.
fn digest_of_files(digests: &[Digest]) -> Digest {
    match digests {
        [only] => *only,
        several => Digest::of(several.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n").as_bytes()),
    }
}

/// What the holdout is made from: its files, which columns are read how, and the split where there is one. Files are hashed,
/// not parsed.
pub(super) fn source_digest(file: &PipelineFile, gate: &Gate) -> Result<Digest, TrainError> {
    let pipeline = &file.pipeline;
    let (files, schema, split) = match &gate.holdout.uri {
        Some(uri) => (holdout_files(file, uri)?, holdout_schema(file, &gate.holdout), None),
        None => (expand(&file.folder, &pipeline.data.files)?, pipeline.schema(), Some(pipeline.split.rule())),
    };
    let mut lines = vec![format!("{schema:?}"), format!("{:?}", pipeline.classes), format!("{split:?}")];
    for path in files {
        let mut digest = DigestWriter::default();
        let copied = fs::File::open(&path).and_then(|mut file| std::io::copy(&mut file, &mut digest));
        copied.map_err(|source| TrainError::Io { path: path.clone(), source })?;
        lines.push(digest.finish().to_string());
    }
    Ok(Digest::of(lines.join("\n").as_bytes()))
}

fn objective(task: TaskKind, classes: &[String]) -> Result<Objective, TrainError> {
    let n_classes = classes.len();
    let classes = |expected: &str| FitError::Classes { expected: expected.to_owned(), got: n_classes };
    match task {
        TaskKind::Regression => Ok(Objective::Squared),
        TaskKind::Binary if n_classes == 2 => Ok(Objective::Binary),
        TaskKind::Binary => Err(classes("2").into()),
        TaskKind::Multiclass if n_classes < 2 => Err(classes("2 or more").into()),
        TaskKind::Multiclass => Ok(Objective::Multiclass { n_classes }),
    }
}

/// What a registry says about a model; `None` where the model is not there yet.
pub(super) fn if_there<T>(answer: Result<T, RegistryError>) -> Result<Option<T>, RegistryError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(RegistryError::NoSuchModel { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The gate beside the pipeline, or else the one in the registry.
pub(super) fn read_gate(
    file: &PipelineFile,
    registry: &Registry,
    name: &ModelName,
) -> Result<Option<GateFile>, TrainError> {
    let path: PathBuf = file.folder.join(PolicyFile::Gate.name());
    let text = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if_there(registry.policy_text(name, PolicyFile::Gate))?.flatten()
        }
        Err(source) => return Err(TrainError::Io { path, source }),
    };
    let parse = |text: String| -> Result<GateFile, EvaluationError> {
        Ok(GateFile { gate: Gate::parse(&text)?, sha256: Digest::of(text.as_bytes()) })
    };
    Ok(text.map(parse).transpose()?)
}

/// A registered version, opened, with what it says about the holdout.
#[derive(Debug)]
pub(super) struct Opponent {
    pub(super) version: Version,
    pub(super) sha256: Digest,
    pub(super) bytes: usize,
    pub(super) signature: Signature,
    pub(super) training: Option<Training>,
    pub(super) predictions: Vec<f32>,
    pub(super) plan: Plan,
    /// Golden rows on which the engine is farther from what was recorded than the gate allows; `None` without any.
    pub(super) parity_mismatches: Option<u64>,
}

impl Opponent {
    /// Opens `version` and asks it about the holdout.
    pub(super) fn open(
        session: &Session<'_>,
        registry: &Registry,
        version: Version,
        engines: &Engines,
    ) -> Result<Self, TrainError> {
        let artifact = registry.read(&session.name, version)?;
        let what = format!("version {version} of {}", session.name);
        let known = artifact.manifest.as_ref().map(|manifest| &manifest.signature);
        let plan = Plan::load_in(EngineChoice::Auto, &artifact.model, known, engines);
        let plan = plan.map_err(|source| TrainError::Engine { what: what.clone(), source })?;
        let signature = plan.signature().clone();
        let model = Answering { what, plan: &plan, signature: &signature };
        let predictions = model.predict(session.holdout_source(), &session.holdout.rows, &session.classes)?;
        let serving = session.gate.as_ref().map(|gate| gate.gate.serving.clone()).unwrap_or_default();
        let golden = artifact.golden.as_deref().and_then(|text| serde_json::from_slice::<Golden>(text).ok());
        let parity = |golden: &Golden| parity_mismatches(&plan, golden, (serving.parity_abs, serving.parity_rel));
        let parity_mismatches = golden.as_ref().and_then(parity);
        let training = artifact.manifest.and_then(|manifest| manifest.training);
        let (sha256, bytes) = (artifact.model_digest, artifact.model.len());
        Ok(Self { version, sha256, bytes, signature, training, predictions, plan, parity_mismatches })
    }

    /// The champion; `None` where there is none.
    pub(super) fn champion(
        session: &Session<'_>,
        registry: &Registry,
        engines: &Engines,
    ) -> Result<Option<Self>, TrainError> {
        let champion = if_there(registry.aliases(&session.name))?.and_then(|aliases| aliases.get(Alias::Champion));
        champion.map(|version| Self::open(session, registry, version, engines)).transpose()
    }
}

/// Golden rows whose recorded numbers the engine misses by more than `abs + rel * |expected|`. Golden cases carry what the trainer
/// itself answered. `None` where they cannot be run.
fn parity_mismatches(plan: &Plan, golden: &Golden, (abs, rel): (f64, f64)) -> Option<u64> {
    let inputs = plan.signature().check(golden.inputs.clone()).ok()?;
    let outputs = plan.run(inputs.tensors()).ok()?;
    let mut is_off = vec![false; inputs.n_rows()];
    for (spec, got) in plan.signature().outputs.iter().zip(&outputs) {
        let Some(want) = golden.outputs.iter().find(|output| output.name == spec.name) else { continue };
        let width = want.tensor.row_len().max(1);
        for place in 0..want.tensor.data().len() {
            let (Some(want), Some(got)) = (want.tensor.data().as_f64(place), got.data().as_f64(place)) else {
                continue;
            };
            let is_close = (got - want).abs() <= abs + rel * want.abs() || (want.is_nan() && got.is_nan());
            if let Some(is_off) = is_off.get_mut(place / width) {
                *is_off |= !is_close;
            }
        }
    }
    u64::try_from(is_off.into_iter().filter(|is_off| *is_off).count()).ok()
}
