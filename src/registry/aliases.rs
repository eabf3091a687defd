//! Which version is champion, challenger and previous: one small file, replaced at once.

use serde::{Deserialize, Serialize};

use super::error::RegistryError;
use super::folder::{Folder, Links};
use super::moment::Moment;
use crate::model::{Alias, Mode, Share, Version};

pub(super) const ALIASES_FILE: &str = "aliases.json";
const ALIASES_BYTES_MAX: u64 = 64 << 10;

/// Which version each alias names, and how often that has been changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aliases {
    /// Counts the changes. A change is refused where it was made from another generation than the one on disk.
    pub generation: u64,
    /// The active version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub champion: Option<Version>,
    /// The candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenger: Option<Version>,
    /// How the candidate is tried; there where a candidate is, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenge>,
    /// Where a roll back goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Version>,
    /// The version whose signature callers rely on, set by the first activation: `contract.json` has the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Version>,
}

/// How the challenger is tried, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// Whether it answers.
    pub mode: Mode,
    /// The share of requests that it sees or answers.
    pub share: Share,
    /// The step of the rollout, from 1; none where a person decides what comes next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// When this began.
    pub since: Moment,
}

crate::schema::described!(Challenge as "Challenge" { mode, share, since } omitted { step });

impl Aliases {
    /// The same without a challenger.
    #[must_use]
    pub fn without_challenger(self) -> Self {
        Self { challenger: None, challenge: None, ..self }
    }

    /// The version that `alias` names.
    pub fn get(&self, alias: Alias) -> Option<Version> {
        match alias {
            Alias::Champion => self.champion,
            Alias::Challenger => self.challenger,
            Alias::Previous => self.previous,
        }
    }

    /// The versions that an alias names here.
    pub fn versions(&self) -> impl Iterator<Item = Version> + use<> {
        [self.champion, self.challenger, self.previous].into_iter().flatten()
    }
}

/// Reads the aliases; a model without the file has none.
pub(super) fn read(folder: &Folder) -> Result<Aliases, RegistryError> {
    let Some(bytes) = folder.read(ALIASES_FILE, ALIASES_BYTES_MAX, Links::Any)? else { return Ok(Aliases::default()) };
    serde_json::from_slice(&bytes).map_err(|error| RegistryError::malformed(folder.path().join(ALIASES_FILE), &error))
}

/// Replaces `old` by `new`. A failure leaves the old ones, as far as the disk still takes anything.
pub(super) fn replace(folder: &Folder, old: &Aliases, new: &Aliases) -> Result<(), RegistryError> {
    let replaced = folder.replace(ALIASES_FILE, &text(folder, new)?);
    if replaced.is_err() && read(folder).is_ok_and(|now| now.generation == new.generation) {
        // The name was given, but whether it lasts is unknown: a failed flush is a failed write.
        folder.replace(ALIASES_FILE, &text(folder, old)?).ok();
    }
    replaced
}

fn text(folder: &Folder, aliases: &Aliases) -> Result<Vec<u8>, RegistryError> {
    let mut text = serde_json::to_vec_pretty(aliases)
        .map_err(|error| RegistryError::io(&folder.path().join(ALIASES_FILE), "write", error))?;
    text.push(b'\n');
    Ok(text)
}
