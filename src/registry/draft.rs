//! A version before it has a number: what `register` is given, and the files that it becomes.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::artifact::{self, EVALUATION_FILE, GOLDEN_FILE, MANIFEST_FILE, PROFILE_FILE};
use super::error::RegistryError;
use super::history::Actor;
use crate::model::{Digest, FileEntry, Golden, Manifest, Producer, Signature, Task, Training};

/// A version before it has a number.
#[derive(Clone)]
pub struct Draft {
    /// When, RFC 3339 in UTC: what [`now`](super::now) gives. It becomes the manifest's `created` and the event's `at`.
    pub at: String,
    /// Who registers it.
    pub actor: Actor,
    /// The reason given.
    pub why: Option<String>,
    /// A free label: a git revision, a semantic version.
    pub label: Option<String>,
    /// The program that made it.
    pub producer: Producer,
    /// What the prediction is.
    pub task: Task,
    /// What the model takes and gives.
    pub signature: Signature,
    /// The ONNX operator set of the graph's main domain.
    pub opset: i64,
    /// How it was trained, where the trainer made it.
    pub training: Option<Training>,
    /// The graph.
    pub model: Vec<u8>,
    /// The golden cases.
    pub golden: Option<Golden>,
    /// `profile.json`, a JSON object.
    pub profile: Option<Vec<u8>>,
    /// `evaluation.json`, a JSON object.
    pub evaluation: Option<Vec<u8>>,
    /// External data of the graph, by file name.
    pub extra: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("label", &self.label)
            .field("producer", &self.producer)
            .field("model_bytes", &self.model.len())
            .finish_non_exhaustive()
    }
}

/// The files of a version to be, and what its history will say.
#[derive(Debug)]
pub(super) struct Files {
    /// Every file but the manifest.
    pub(super) parts: BTreeMap<String, Vec<u8>>,
    /// `manifest.json`.
    pub(super) manifest: Vec<u8>,
    pub(super) model_digest: Digest,
    pub(super) at: String,
    pub(super) actor: Actor,
    pub(super) why: Option<String>,
}

impl Draft {
    /// Checks the draft and lays it out as files.
    pub(super) fn into_files(self) -> Result<Files, RegistryError> {
        let Self {
            at,
            actor,
            why,
            label,
            producer,
            task,
            signature,
            opset,
            training,
            model,
            golden,
            profile,
            evaluation,
            extra,
        } = self;
        check_parts(&at, &model, &extra)?;
        let model_digest = Digest::of(&model);
        let mut parts = extra;
        parts.insert(Manifest::MODEL_FILE.to_owned(), model);
        if let Some(golden) = &golden {
            parts.insert(GOLDEN_FILE.to_owned(), json(GOLDEN_FILE, golden)?);
        }
        for (name, text) in [(PROFILE_FILE, profile), (EVALUATION_FILE, evaluation)] {
            let Some(text) = text else { continue };
            let object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&text);
            object.map_err(|error| refused(format!("{name}: expected a JSON object: {error}")))?;
            parts.insert(name.to_owned(), text);
        }
        let entry = |(name, bytes): (&String, &Vec<u8>)| {
            let bytes_len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            (name.clone(), FileEntry { sha256: Digest::of(bytes), bytes: bytes_len })
        };
        let manifest = Manifest {
            format: Manifest::FORMAT.to_owned(),
            created: at.clone(),
            label,
            producer,
            files: parts.iter().map(entry).collect(),
            task,
            signature,
            opset,
            training,
        };
        artifact::check_manifest(&manifest).map_err(refused)?;
        Ok(Files { manifest: json(MANIFEST_FILE, &manifest)?, parts, model_digest, at, actor, why })
    }
}

fn refused(message: String) -> RegistryError {
    RegistryError::Draft { message }
}

fn check_parts(at: &str, model: &[u8], extra: &BTreeMap<String, Vec<u8>>) -> Result<(), RegistryError> {
    if at.parse::<jiff::Timestamp>().is_err() {
        return Err(refused(format!("time: expected RFC 3339, for example 2026-01-31T12:00:00Z, got {at:?}")));
    }
    if model.is_empty() {
        return Err(refused(format!("{}: expected an ONNX graph, got no bytes", Manifest::MODEL_FILE)));
    }
    let own = [Manifest::MODEL_FILE, MANIFEST_FILE, PROFILE_FILE, GOLDEN_FILE, EVALUATION_FILE];
    match extra.keys().find(|name| own.contains(&name.as_str())) {
        Some(name) => Err(refused(format!("extra files: expected other names than the registry's own, got {name:?}"))),
        None => Ok(()),
    }
}

fn json(name: &str, value: &impl Serialize) -> Result<Vec<u8>, RegistryError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| refused(format!("{name}: {error}")))?;
    text.push(b'\n');
    Ok(text)
}
