//! The artifact's description: `manifest.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Digest, Signature, Version};

/// What the prediction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One of two classes.
    Binary,
    /// One of more than two classes.
    Multiclass,
    /// A number.
    Regression,
    /// Anything else.
    Other,
}

crate::schema::described_words!(Task as "Task" { Binary, Multiclass, Regression, Other });

/// Size and digest of one file of the artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its size in bytes.
    pub bytes: u64,
}

crate::schema::described!(FileEntry as "FileEntry" { sha256, bytes });

/// The program that made the artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Producer {
    /// Its name, for example `gudgeon train`.
    pub name: String,
    /// Its version.
    pub version: String,
}

crate::schema::described!(Producer as "Producer" { name, version });

/// One file of training data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Where it was, relative to the pipeline file.
    pub uri: String,
    /// The SHA-256 of its bytes as they lay on disk.
    pub sha256: Digest,
    /// How many rows it has.
    pub rows: usize,
}

crate::schema::described!(DataFile as "DataFile" { uri, sha256, rows });

/// How the rows were split, and how many went where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The rule, readable, for example `time < 2013-09-01`.
    pub rule: String,
    /// Rows that the model was fitted to.
    pub train_rows: usize,
    /// Rows that stopped the fit early.
    pub validation_rows: usize,
    /// Rows of the controlled holdout.
    pub holdout_rows: usize,
}

crate::schema::described!(Split as "Split" { rule, train_rows, validation_rows, holdout_rows });

/// The state of the code that trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeRevision {
    /// The git commit of the folder that holds the pipeline.
    pub commit: String,
    /// Whether the folder had uncommitted changes.
    pub dirty: bool,
}

crate::schema::described!(CodeRevision as "CodeRevision" { commit, dirty });

/// How a version was trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The algorithm that the controlled holdout chose, for example `gbdt`.
    pub algorithm: String,
    /// The column that is predicted.
    pub label_column: String,
    /// The data.
    pub data: Vec<DataFile>,
    /// The smallest and largest value of the time column among the rows fitted, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_range: Option<[String; 2]>,
    /// The split.
    pub split: Split,
    /// The SHA-256 of the pipeline file.
    pub pipeline_sha256: Digest,
    /// The SHA-256 of the holdout rows, in order, that the scores come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout_sha256: Option<Digest>,
    /// Every parameter of the fit, as it ran.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// The seed.
    pub seed: u64,
    /// The state of the code, where the pipeline lies in a git work tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeRevision>,
    /// The version that was champion when this one was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_version: Option<Version>,
}

crate::schema::described!(
    Training as "Training" { algorithm, label_column, data, split, pipeline_sha256, parameters, seed }
    omitted { time_range, holdout_sha256, code, parent_version }
);

/// The artifact's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of this file: [`Manifest::FORMAT`].
    pub format: String,
    /// When it was registered, RFC 3339 in UTC.
    pub created: String,
    /// A free label: a git revision, a semantic version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Who made it.
    pub producer: Producer,
    /// Every other file of the artifact.
    pub files: BTreeMap<String, FileEntry>,
    /// What the prediction is.
    pub task: Task,
    /// What the model takes and gives.
    pub signature: Signature,
    /// The ONNX operator set of the graph's main domain.
    pub opset: i64,
    /// How it was trained, where the trainer made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
}

crate::schema::described!(
    Manifest as "Manifest" { format, created, producer, files, task, signature, opset } omitted { label, training }
);

impl Manifest {
    /// The form that this build reads and writes.
    pub const FORMAT: &'static str = "gudgeon/1";
    /// The graph's file name.
    pub const MODEL_FILE: &'static str = "model.onnx";
}
