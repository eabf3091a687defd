//! `pipeline.toml`: how the trainer makes a version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{Digest, FeatureKind, InvalidName, ModelName, Task};

use super::data::{FeatureColumn, LabelKind, Schema, parse_time};
use super::fit::{Algorithm, GbdtParams, LinearParams};
use super::validation::ValidationBy;

/// Why a pipeline file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// It cannot be read.
    #[error("cannot read the pipeline {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It is not TOML, or has an unknown key or a value of the wrong type.
    #[error("{}: {message}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What the TOML reader says, with line and column.
        message: String,
    },
    /// A value makes no sense.
    #[error("pipeline key {key}: expected {expected}, got {got}")]
    Value {
        /// The key, for example `split.holdout`.
        key: String,
        /// What is accepted.
        expected: String,
        /// What was written.
        got: String,
    },
    /// No model name is given, and the folder's name is none.
    #[error("the folder name {folder:?} is {source}; write model = \"...\" in the pipeline")]
    Model {
        /// The folder's name.
        folder: String,
        /// Why it is no model name.
        source: InvalidName,
    },
}

/// A training pipeline. Every field may be changed after it was read; [`Pipeline::validate`] checks the whole again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The model that it makes versions of; the name of the pipeline's folder where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelName>,
    /// What is predicted: `binary`, `multiclass` or `regression`.
    pub task: TaskKind,
    /// The data.
    pub data: DataSection,
    /// Label values and the names of their classes, in the order of the values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, String>,
    /// The features, in the order in which callers give them.
    #[serde(alias = "features")]
    pub feature: Vec<FeatureSection>,
    /// How rows become training, validation and holdout rows.
    pub split: SplitSection,
    /// What is fitted.
    #[serde(default)]
    pub fit: FitSection,
    /// Parameters of the boosted trees.
    #[serde(default)]
    pub gbdt: GbdtParams,
    /// Parameters of the linear model.
    #[serde(default)]
    pub linear: LinearParams,
}

/// What a pipeline may predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// One of two classes; the second is the positive one.
    Binary,
    /// One of more than two classes.
    Multiclass,
    /// A number.
    Regression,
}

impl From<TaskKind> for Task {
    fn from(kind: TaskKind) -> Self {
        match kind {
            TaskKind::Binary => Self::Binary,
            TaskKind::Multiclass => Self::Multiclass,
            TaskKind::Regression => Self::Regression,
        }
    }
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Names or `*` patterns, relative to the pipeline file, in order.
    pub files: Vec<String>,
    /// The column that is predicted.
    pub label: String,
    /// The column that identifies a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The column with each row's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The column with each row's weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Columns that are known and left out on purpose. Columns named nowhere are left out too; a name here may not be used
    /// as a feature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
}

/// One `[[feature]]`: one column, or several of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSection {
    /// The column's name, or a list of names.
    pub name: Names,
    /// `numeric` or `categorical`.
    pub kind: FeatureKind,
    /// 1: the prediction (the second class of a binary one) never falls as the feature rises; -1: it never rises.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub monotone: i8,
    /// Whether callers may leave it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(value: &i8) -> bool {
    *value == 0
}

/// One name, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// One name.
    One(String),
    /// Several names, in order.
    Many(Vec<String>),
}

/// `[split]`: every row is a training row, a holdout row, or neither.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "by")]
pub enum SplitSection {
    /// The past trains, the future is held out.
    Time {
        /// Training rows are at or after this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        train_from: Option<String>,
        /// Training rows are before this time.
        train_until: String,
        /// Holdout rows are at or after this time; `train_until` where it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holdout_from: Option<String>,
        /// Holdout rows are before this time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holdout_until: Option<String>,
        /// The share of the training rows that chooses the number of boosting rounds; 0 switches it off.
        #[serde(default = "default_validation")]
        validation: f64,
        /// Which of them.
        #[serde(default)]
        validation_by: ValidationBy,
    },
    /// Rows are held out by the hash of their id: a row stays on its side however the data grow.
    Hash {
        /// The share of rows held out.
        holdout: f64,
        /// Another seed gives another split.
        #[serde(default)]
        seed: u64,
        /// The share of the training rows that chooses the number of boosting rounds; 0 switches it off.
        #[serde(default = "default_validation")]
        validation: f64,
    },
}

fn default_validation() -> f64 {
    0.1
}

/// `[fit]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitSection {
    /// The algorithms to fit; the controlled holdout chooses among them.
    pub algorithms: Vec<Algorithm>,
    /// The seed of everything random (validation rows of a split by time, bootstrap).
    pub seed: u64,
    /// Threads of the fit. The model is the same for any number.
    pub threads: usize,
}

impl Default for FitSection {
    fn default() -> Self {
        Self { algorithms: vec![Algorithm::Gbdt, Algorithm::Linear], seed: 1, threads: 2 }
    }
}

/// One feature, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureSpec {
    /// The column's name.
    pub name: String,
    /// How its values are to be read.
    pub kind: FeatureKind,
    /// -1, 0 or 1.
    pub monotone: i8,
    /// Whether callers may leave it out.
    pub optional: bool,
}

/// A pipeline with the place it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineFile {
    /// What it says.
    pub pipeline: Pipeline,
    /// The folder that data files are relative to.
    pub folder: PathBuf,
    /// The digest of the file's bytes.
    pub sha256: Digest,
}

impl PipelineFile {
    /// Reads and validates the pipeline at `path`.
    ///
    /// # Errors
    /// [`PipelineError`] names the key and what is accepted.
    pub fn read(path: &Path) -> Result<Self, PipelineError> {
        let bytes = fs::read(path).map_err(|source| PipelineError::Io { path: path.to_owned(), source })?;
        let form = |message: String| PipelineError::Form { path: path.to_owned(), message };
        let text = std::str::from_utf8(&bytes).map_err(|error| form(error.to_string()))?;
        let pipeline: Pipeline = toml::from_str(text).map_err(|error| form(error.to_string()))?;
        pipeline.validate()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self { pipeline, folder: folder.to_owned(), sha256: Digest::of(&bytes) })
    }

    /// The model's name: the pipeline's `model`, or the name of its folder.
    ///
    /// # Errors
    /// [`PipelineError::Model`] where the folder's name is no model name.
    pub fn model_name(&self) -> Result<ModelName, PipelineError> {
        if let Some(name) = &self.pipeline.model {
            return Ok(name.clone());
        }
        let folder = fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let folder = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        folder.parse().map_err(|source| PipelineError::Model { folder, source })
    }
}

fn bad(key: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> PipelineError {
    PipelineError::Value { key: key.into(), expected: expected.into(), got: got.into() }
}

impl Pipeline {
    /// Checks everything that the types do not.
    ///
    /// # Errors
    /// [`PipelineError::Value`] names the key and what is accepted.
    pub fn validate(&self) -> Result<(), PipelineError> {
        self.validate_features()?;
        self.validate_classes()?;
        self.validate_split()?;
        if self.data.files.is_empty() {
            return Err(bad("data.files", "at least one file or pattern", "none"));
        }
        if self.fit.algorithms.is_empty() {
            return Err(bad("fit.algorithms", "at least one of \"gbdt\", \"linear\"", "none"));
        }
        if !(1..=64).contains(&self.fit.threads) {
            return Err(bad("fit.threads", "1 to 64", self.fit.threads.to_string()));
        }
        let wrong = self.gbdt.problem().or_else(|| self.linear.problem());
        wrong.map_or(Ok(()), |(key, expected, got)| Err(bad(key, expected, got)))
    }

    fn validate_features(&self) -> Result<(), PipelineError> {
        let features = self.features();
        if features.is_empty() {
            return Err(bad("feature", "at least one [[feature]] with name and kind", "none"));
        }
        let mut seen = BTreeSet::new();
        let roles = [Some(&self.data.label), self.data.id.as_ref(), self.data.time.as_ref(), self.data.weight.as_ref()];
        for feature in features {
            let name = &feature.name;
            if !seen.insert(name.clone()) {
                return Err(bad("feature.name", "each name once", format!("{name:?} twice")));
            }
            if roles.contains(&Some(name)) || self.data.ignore.contains(name) {
                return Err(bad("feature.name", "a column with no other role", format!("{name:?}")));
            }
            if !(-1..=1).contains(&feature.monotone) {
                return Err(bad("feature.monotone", "-1, 0 or 1", feature.monotone.to_string()));
            }
            let is_plain = feature.kind == FeatureKind::Numeric && self.task != TaskKind::Multiclass;
            if feature.monotone != 0 && !is_plain {
                let expected = "0 for categorical features and for multiclass";
                return Err(bad("feature.monotone", expected, format!("{} for {name:?}", feature.monotone)));
            }
        }
        Ok(())
    }

    fn validate_classes(&self) -> Result<(), PipelineError> {
        let n_classes = self.classes.len();
        let got = || format!("{n_classes} classes");
        match self.task {
            TaskKind::Binary if n_classes != 0 && n_classes != 2 => Err(bad("classes", "two classes, or none", got())),
            TaskKind::Multiclass if n_classes == 1 => Err(bad("classes", "two classes or more, or none", got())),
            TaskKind::Regression if n_classes != 0 => Err(bad("classes", "none for a regression", got())),
            _ => Ok(()),
        }
    }

    fn validate_split(&self) -> Result<(), PipelineError> {
        let (SplitSection::Time { validation, .. } | SplitSection::Hash { validation, .. }) = &self.split;
        if !(0.0..=0.5).contains(validation) {
            return Err(bad("split.validation", "a share from 0 to 0.5", validation.to_string()));
        }
        match &self.split {
            SplitSection::Hash { holdout, .. } if !(*holdout > 0.0 && *holdout < 1.0) => {
                Err(bad("split.holdout", "a share between 0 and 1", holdout.to_string()))
            }
            SplitSection::Hash { .. } if self.data.id.is_none() => {
                Err(bad("data.id", "a column, because [split] is by hash", "none"))
            }
            SplitSection::Hash { .. } => Ok(()),
            SplitSection::Time { train_from, train_until, holdout_from, holdout_until, .. } => {
                if self.data.time.is_none() {
                    return Err(bad("data.time", "a column, because [split] is by time", "none"));
                }
                let read = |key: &str, text: Option<&String>| match text.map(|text| parse_time(text)) {
                    Some(Err(error)) => {
                        Err(bad(key, error.to_string(), format!("{:?}", text.map_or("", String::as_str))))
                    }
                    Some(Ok(time)) => Ok(Some(time)),
                    None => Ok(None),
                };
                let until = read("split.train_until", Some(train_until))?.unwrap_or(i64::MAX);
                let from = read("split.train_from", train_from.as_ref())?;
                let holdout_from = read("split.holdout_from", holdout_from.as_ref())?.unwrap_or(until);
                let holdout_until = read("split.holdout_until", holdout_until.as_ref())?;
                if from.is_some_and(|from| until <= from) {
                    return Err(bad("split.train_until", "a time after train_from", train_until));
                }
                if holdout_from < until {
                    return Err(bad("split.holdout_from", "a time not before train_until", "an earlier one"));
                }
                if holdout_until.is_some_and(|end| end <= holdout_from) {
                    return Err(bad("split.holdout_until", "a time after the holdout's start", "an earlier one"));
                }
                Ok(())
            }
        }
    }

    /// The features, one entry a column.
    pub fn features(&self) -> Vec<FeatureSpec> {
        let mut features = Vec::new();
        for section in &self.feature {
            let names = match &section.name {
                Names::One(name) => std::slice::from_ref(name),
                Names::Many(names) => names.as_slice(),
            };
            features.extend(names.iter().map(|name| FeatureSpec {
                name: name.clone(),
                kind: section.kind,
                monotone: section.monotone,
                optional: section.optional,
            }));
        }
        features
    }

    /// What to read from the data files.
    pub fn schema(&self) -> Schema {
        let features = self.features().into_iter();
        let label = match self.task {
            TaskKind::Regression => LabelKind::Number,
            _ if self.classes.is_empty() => LabelKind::AnyClass,
            _ => LabelKind::Classes(self.classes.keys().cloned().collect()),
        };
        Schema {
            features: features.map(|feature| FeatureColumn { name: feature.name, kind: feature.kind }).collect(),
            label: Some((self.data.label.clone(), label)),
            time: self.data.time.clone(),
            id: self.data.id.clone(),
            weight: self.data.weight.clone(),
        }
    }

    /// The class names, for the label values of a table that was read with [`Self::schema`].
    pub fn class_names(&self, label_values: &[String]) -> Vec<String> {
        label_values.iter().map(|value| self.classes.get(value).unwrap_or(value).clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLIGHTS: &str = r#"
        task = "binary"
        [data]
        files = ["data/*.csv.gz"]
        label = "late"
        id = "flight_id"
        time = "time"
        [classes]
        0 = "on_time"
        1 = "late"
        [[feature]]
        name = ["carrier", "origin"]
        kind = "categorical"
        [[feature]]
        name = "wind_speed"
        kind = "numeric"
        monotone = 1
        optional = true
        [split]
        by = "time"
        train_until = "2013-09-01"
        [gbdt]
        n_trees_max = 10
    "#;

    fn parse(text: &str) -> Result<Pipeline, String> {
        let pipeline: Pipeline = toml::from_str(text).map_err(|error| error.to_string())?;
        pipeline.validate().map_err(|error| error.to_string())?;
        Ok(pipeline)
    }

    #[track_caller]
    fn check_error(from: &str, to: &str, expected: &str) {
        assert!(FLIGHTS.contains(from), "the text to replace is there");
        let error = parse(&FLIGHTS.replace(from, to)).unwrap_err();
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }

    #[test]
    fn a_list_of_names_makes_a_feature_each_in_order() {
        let pipeline = parse(FLIGHTS).unwrap();
        let names: Vec<_> = pipeline.features().into_iter().map(|feature| feature.name).collect();
        assert_eq!(names, ["carrier", "origin", "wind_speed"]);
        assert_eq!(pipeline.class_names(&["0".to_owned(), "1".to_owned()]), ["on_time", "late"]);
        assert_eq!(pipeline.gbdt.n_trees_max, 10);
        assert_eq!(pipeline.fit.algorithms, [Algorithm::Gbdt, Algorithm::Linear]);
    }

    #[test]
    fn errors_name_the_key_and_what_is_accepted() {
        check_error("n_trees_max", "n_tree_max", "unknown field `n_tree_max`, expected one of");
        check_error("train_until", "train_til", "unknown field `train_til`");
        check_error("\"binary\"", "\"ranking\"", "unknown variant `ranking`, expected one of `binary`");
        check_error("\"2013-09-01\"", "\"soon\"", "pipeline key split.train_until: expected a time such as 2013-09-01");
        check_error("\"wind_speed\"", "\"late\"", "pipeline key feature.name: expected a column with no other role");
        check_error("\"wind_speed\"", "\"origin\"", "pipeline key feature.name: expected each name once");
        check_error("monotone = 1", "monotone = 2", "pipeline key feature.monotone: expected -1, 0 or 1, got 2");
        check_error("time = \"time\"", "", "pipeline key data.time: expected a column, because [split] is by time");
        check_error("1 = \"late\"", "1 = \"late\"\n2 = \"never\"", "pipeline key classes: expected two classes");
        check_error("n_trees_max = 10", "bins_max = 300", "pipeline key gbdt.bins_max: expected 2 to 254, got 300");
    }

    #[test]
    fn overrides_are_checked_like_the_file() {
        let mut pipeline = parse(FLIGHTS).unwrap();
        pipeline.split = SplitSection::Time {
            train_from: None,
            train_until: "2013-03-01".to_owned(),
            holdout_from: None,
            holdout_until: Some("2013-02-01".to_owned()),
            validation: 0.1,
            validation_by: ValidationBy::Blocks,
        };
        let error = pipeline.validate().unwrap_err().to_string();
        assert!(error.starts_with("pipeline key split.holdout_until"), "{error}");
    }
}
