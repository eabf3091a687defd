//! What an operator sees of models and versions.

use serde::{Deserialize, Serialize};

use super::LifecycleError;
use crate::model::{Alias, Digest, ModelName, Signature, Task, Version};
use crate::verify::Report;

/// Where a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// It answers requests that name no version.
    Serving,
    /// In memory: it answers requests that name it, and an activation of it needs no loading.
    InMemory,
    /// In the registry alone.
    AtRest,
}

crate::schema::described_words!(VersionState as "VersionState" { Serving, InMemory, AtRest });

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// The number.
    pub version: Version,
    /// Where it is.
    pub state: VersionState,
    /// The names that point to it.
    pub aliases: Vec<Alias>,
    /// The label given when it was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When it was registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it, and with what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<String>,
    /// What the prediction is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The digest of the graph, where the manifest gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// What its last verification measured, where that was of this graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Report>,
    /// What is wrong with it, where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

crate::schema::described!(
    VersionStatus as "VersionStatus" { version, state, aliases }
    omitted { label, created, producer, task, digest, verified, problem }
);

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// The name.
    pub model: String,
    /// The active version, as recorded.
    pub champion: Option<Version>,
    /// The version that a roll back goes to.
    pub previous: Option<Version>,
    /// Whether a version is in memory and answers.
    pub is_serving: bool,
    /// The version that answers here. Another one than the champion where this server cannot follow the registry, or is about to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<Version>,
    /// Whether that is the champion.
    pub is_converged: bool,
    /// Why the server does not do what the registry says, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Every version, oldest first.
    pub versions: Vec<VersionStatus>,
    /// What the champion takes and gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

crate::schema::described!(
    ModelStatus as "ModelStatus" { model, champion, previous, is_serving, is_converged, versions }
    omitted { serves, problem, signature }
);

impl ModelStatus {
    /// A model whose folder or aliases cannot be read.
    pub(super) fn unreadable(model: &ModelName, error: &LifecycleError) -> Self {
        Self {
            model: model.to_string(),
            champion: None,
            previous: None,
            is_serving: false,
            serves: None,
            is_converged: false,
            problem: Some(error.to_string()),
            versions: Vec::new(),
            signature: None,
        }
    }
}
