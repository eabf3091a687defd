//! Writing a version: all of its files in a temporary folder, read back, then one rename.

use std::path::PathBuf;

use uuid::Uuid;

use super::artifact::{self, MANIFEST_FILE};
use super::draft::{Draft, Files};
use super::error::RegistryError;
use super::folder::{Folder, Kind};
use super::history::{Action, Event, Outcome};
use super::journal::{self, Effect, Writer};
use super::lock::Lock;
use super::{Registry, aliases};
use crate::model::{Digest, ModelName, Version};

/// Held while a version is written, so that what lies in a temporary folder when it is taken was left by a writer that died.
/// Another lock than the one for aliases and history: a roll back does not wait for a large model to be written.
pub(super) const REGISTER_LOCK_FILE: &str = ".register.lock";
pub(super) const TEMPORARY_PREFIX: &str = ".tmp-";
/// Nobody changes a registered file by accident.
const READ_ONLY: u32 = 0o444;

/// A version that has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// The number that it was given.
    pub version: Version,
    /// The SHA-256 of its graph.
    pub model_digest: Digest,
    /// The SHA-256 of its manifest, and so of everything in it.
    pub manifest_digest: Digest,
}

impl Registry {
    /// Writes a new version and adds it to the history. The number is one more than any that the model ever had. Other
    /// writers wait; readers see the whole version or nothing of it.
    ///
    /// # Errors
    /// [`RegistryError::Draft`] where the parts make no version, [`RegistryError::TooLarge`] where they are over the limit,
    /// and what the disk reports; then nothing was registered.
    pub fn register(&self, name: &ModelName, draft: Draft) -> Result<Registered, RegistryError> {
        let files = draft.into_files()?;
        let model = self.make_model_folder(name)?;
        let _alone = Lock::take(&model, REGISTER_LOCK_FILE)?;
        remove_leftovers(&model)?;
        let staged = Staged::write(&model, &files, self.artifact_bytes_max)?;
        let writer = Writer::of(&model)?;
        let version = next_version(&model, name)?;
        let manifest_digest = Digest::of(&files.manifest);
        let event = Event {
            at: files.at,
            actor: files.actor,
            action: Action::Register,
            version: Some(version),
            why: files.why,
            outcome: Outcome::Ok,
            detail: Some(format!("model {}, manifest {manifest_digest}", files.model_digest)),
        };
        writer.commit(event, Effect::Version(version), || staged.publish(version))?;
        Ok(Registered { version, model_digest: files.model_digest, manifest_digest })
    }

    fn make_model_folder(&self, name: &ModelName) -> Result<Folder, RegistryError> {
        if self.inner_folder.is_some() {
            return self.model_folder(name);
        }
        let root = self.root_folder()?;
        if let Some(model) = root.sub(name.as_str())? {
            return Ok(model);
        }
        match root.make(name.as_str()) {
            Ok(model) => {
                root.sync()?;
                Ok(model)
            }
            // Another writer may have made it meanwhile.
            Err(error) => root.sub(name.as_str())?.ok_or(error),
        }
    }
}

/// A version's files under a name that readers ignore; removed again unless they are published.
struct Staged<'a> {
    model: &'a Folder,
    temporary: String,
    path: PathBuf,
}

impl<'a> Staged<'a> {
    fn write(model: &'a Folder, files: &Files, bytes_max: u64) -> Result<Self, RegistryError> {
        let temporary = format!("{TEMPORARY_PREFIX}{}", Uuid::new_v4().simple());
        let folder = model.make(&temporary)?;
        let staged = Self { model, temporary, path: folder.path().to_owned() };
        for (name, bytes) in &files.parts {
            folder.create(name, bytes, READ_ONLY)?;
        }
        folder.create(MANIFEST_FILE, &files.manifest, READ_ONLY)?;
        folder.sync()?;
        // The same eyes as every reader's: what could not be read later is not registered now.
        artifact::read(&folder, Version::FIRST, bytes_max)?;
        Ok(staged)
    }

    fn publish(self, version: Version) -> Result<(), RegistryError> {
        let number = version.to_string();
        self.model.rename_new(&self.temporary, &number)?;
        let flushed = self.model.sync();
        if flushed.is_err() {
            // Whether the name lasts is unknown: a failed flush is a failed write.
            self.model.rename_new(&number, &self.temporary).ok();
        }
        flushed
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // After the rename there is nothing under this name. What cannot be removed now goes before the next version.
        std::fs::remove_dir_all(&self.path).ok();
    }
}

pub(super) fn remove_leftovers(model: &Folder) -> Result<(), RegistryError> {
    let mut leftovers = Vec::new();
    model.visit(|name, kind| {
        if kind == Kind::Folder && name.starts_with(TEMPORARY_PREFIX) {
            leftovers.push(model.path().join(name));
        }
        true
    })?;
    for path in leftovers {
        std::fs::remove_dir_all(&path).map_err(|error| RegistryError::io(&path, "remove", error))?;
    }
    Ok(())
}

/// One more than every number that is or was taken: a folder may be gone, but what was answered under its number is not.
fn next_version(model: &Folder, name: &ModelName) -> Result<Version, RegistryError> {
    let mut taken: Option<Version> = aliases::read(model)?.versions().max();
    let events = journal::read_history(model)?.events;
    let registered = events.into_iter().filter(|event| event.outcome == Outcome::Ok).filter_map(|event| event.version);
    taken = taken.max(registered.max());
    model.visit(|entry, _| {
        taken = taken.max(entry.parse().ok());
        true
    })?;
    let Some(taken) = taken else { return Ok(Version::FIRST) };
    let next = taken.next();
    if next == taken { Err(RegistryError::NumbersUsedUp { model: name.clone() }) } else { Ok(next) }
}
