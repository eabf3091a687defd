//! The repository's index: what is in memory, and what should be.

use serde::Serialize;

use crate::slot::{Slot, Slots};

/// Where a model or a version is, as Triton says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// It answers.
    Ready,
    /// It does not.
    Unavailable,
}

crate::schema::described_words!(State as "IndexState" { Ready, Unavailable });

impl State {
    /// Triton's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// One version in memory, or a model without any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the members are the protocol's")]
pub struct IndexEntry {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub state: State,
    pub reason: String,
}

crate::schema::described!(IndexEntry as "IndexEntry" { name, state, reason } omitted { version });

/// Every version in memory by model and number; models that have none follow suit, unless `only_ready` are asked for. `why`
/// says why a model has none.
pub fn index(slots: &Slots, only_ready: bool, why: impl Fn(&Slot) -> String) -> Vec<IndexEntry> {
    let mut entries = Vec::new();
    for slot in slots.all() {
        let versions = slot.lineup().versions();
        let name = || slot.name().to_string();
        if versions.is_empty() && !only_ready {
            entries.push(IndexEntry { name: name(), version: None, state: State::Unavailable, reason: why(&slot) });
        }
        entries.extend(versions.iter().map(|version| IndexEntry {
            name: name(),
            version: Some(version.to_string()),
            state: State::Ready,
            reason: String::new(),
        }));
    }
    entries
}
