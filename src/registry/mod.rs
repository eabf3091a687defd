//! Versions at rest: the models directory, its digests, aliases, history and the one way in which it is written.
//!
//! A registered version never changes. A reader never sees half a version, takes no lock and writes nothing, so a read-only
//! directory will do. Writers take turns by lock files. Everything takes effect with one rename, so a crash leaves the old
//! state or the new one (see `journal`). Golden cases, profiles, evaluations and verifications are bytes here, policies are text: others know
//! what they mean.
//!
//! Every call blocks on the disk: keep it off the threads that wait for requests.

mod aliases;
mod artifact;
mod contract;
mod draft;
mod error;
mod folder;
mod history;
mod journal;
mod listing;
mod lock;
mod moment;
mod prune;
mod register;
mod reports;
mod stamp;
#[cfg(test)]
mod tests;
mod verified;
mod watch;

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

pub use aliases::{Aliases, Challenge};
pub use artifact::{Artifact, EVALUATION_FILE, GOLDEN_FILE, MANIFEST_FILE, PROFILE_FILE};
pub use contract::RecordedContract;
pub use draft::Draft;
pub use error::RegistryError;
pub use history::{Action, Actor, Call, Event, History, Outcome};
pub use listing::{Ignored, Listing, ModelFolder};
pub use moment::Moment;
pub use register::Registered;
pub use stamp::Stamp;
pub use watch::Watch;

use self::folder::{Folder, Links};
use self::journal::{Effect, Writer};
use crate::model::{Manifest, ModelName, Version};

const POLICY_BYTES_MAX: u64 = 1 << 20;

/// The files that people write beside a model's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyFile {
    /// `model.toml`: contract, rollout, drift thresholds, retention.
    Model,
    /// `gate.toml`: what makes a version better.
    Gate,
    /// `pipeline.toml`: how the trainer makes a version.
    Pipeline,
}

impl PolicyFile {
    const ALL: [Self; 3] = [Self::Model, Self::Gate, Self::Pipeline];

    /// The file's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Model => "model.toml",
            Self::Gate => "gate.toml",
            Self::Pipeline => "pipeline.toml",
        }
    }
}

/// The time now, RFC 3339 in UTC, as events and manifests carry it.
pub fn now() -> String {
    jiff::Timestamp::now().to_string()
}

/// The models directory. Cheap to clone; holds nothing open.
#[derive(Debug, Clone)]
pub struct Registry {
    root: PathBuf,
    artifact_bytes_max: u64,
    /// Where a model's versions are inside of its folder; `None` where they are in it.
    inner_folder: Option<&'static str>,
}

impl Registry {
    /// The most bytes that the files of one version may have together, unless another limit is set: 4 GiB.
    pub const ARTIFACT_BYTES_MAX: u64 = 4 << 30;

    /// Opens the models directory at `root`.
    ///
    /// # Errors
    /// [`RegistryError::RootMissing`], [`RegistryError::RootNotADirectory`], [`RegistryError::NoPermission`].
    pub fn open(root: &Path) -> Result<Self, RegistryError> {
        let registry = Self { root: root.to_owned(), artifact_bytes_max: Self::ARTIFACT_BYTES_MAX, inner_folder: None };
        registry.root_folder()?;
        Ok(registry)
    }

    /// The same registry with another limit on the bytes of one version.
    #[must_use]
    pub fn with_artifact_bytes_max(self, artifact_bytes_max: u64) -> Self {
        Self { artifact_bytes_max, ..self }
    }

    /// The same registry with the versions of each model in a folder of this name inside of the model's. Nothing is registered there:
    /// somebody else lays the models out.
    #[must_use]
    pub fn with_inner_folder(self, name: &'static str) -> Self {
        Self { inner_folder: Some(name), ..self }
    }

    /// The models directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The versions of a model, sorted. Partial, foreign and temporary folders are none.
    ///
    /// # Errors
    /// As [`Registry::model`].
    pub fn versions(&self, name: &ModelName) -> Result<Vec<Version>, RegistryError> {
        Ok(self.model(name)?.versions)
    }

    /// Reads one version, each file once; what is returned is what was held against the manifest. Files that the manifest
    /// does not list are not looked at. Links, FIFOs and devices are refused.
    ///
    /// # Errors
    /// Where there is no such version, where a file is missing, unsafe, too large or not the one registered, and where the
    /// manifest makes no sense.
    pub fn read(&self, name: &ModelName, version: Version) -> Result<Artifact, RegistryError> {
        artifact::read(&self.version_folder(name, version)?, version, self.artifact_bytes_max)
    }

    /// Reads the manifest of one version alone, without looking at the files that it lists; `None` where the version is a
    /// bare graph.
    ///
    /// # Errors
    /// As [`Registry::read`], as far as the manifest goes.
    pub fn manifest(&self, name: &ModelName, version: Version) -> Result<Option<Manifest>, RegistryError> {
        Ok(artifact::read_manifest(&self.version_folder(name, version)?)?.map(|(manifest, _)| manifest))
    }

    /// The text of one of the files that people write; `None` where there is none.
    ///
    /// # Errors
    /// Where there is no such model, and where the file is no plain text of at most 1 MiB.
    pub fn policy_text(&self, name: &ModelName, file: PolicyFile) -> Result<Option<String>, RegistryError> {
        let folder = self.model_folder(name)?;
        let Some(bytes) = folder.read(file.name(), POLICY_BYTES_MAX, Links::Any)? else { return Ok(None) };
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|error| RegistryError::malformed(folder.path().join(file.name()), &error))
    }

    /// Which version is champion, challenger and previous; none of them, at generation 0, where that was never set.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`], [`RegistryError::Malformed`], and what the disk reports.
    pub fn aliases(&self, name: &ModelName) -> Result<Aliases, RegistryError> {
        aliases::read(&self.model_folder(name)?)
    }

    /// Replaces the aliases and adds `event` to the history, both or neither. `aliases` is what [`Registry::aliases`] gave,
    /// changed: its generation says what the change was made from. Returns the new aliases, one generation on.
    ///
    /// # Errors
    /// [`RegistryError::Conflict`] where someone changed them meanwhile, [`RegistryError::NoSuchVersion`] where an alias
    /// would come to name a version that is not there, and what the disk reports; then nothing was changed.
    pub fn set_aliases(&self, name: &ModelName, aliases: Aliases, event: Event) -> Result<Aliases, RegistryError> {
        let folder = self.model_folder(name)?;
        let writer = Writer::of(&folder)?;
        let old = aliases::read(&folder)?;
        if old.generation != aliases.generation {
            let (expected, got) = (aliases.generation, old.generation);
            return Err(RegistryError::Conflict { model: name.clone(), expected, got });
        }
        for version in aliases.versions().filter(|version| old.versions().all(|known| known != *version)) {
            self.version_folder(name, version)?;
        }
        let new = Aliases { generation: old.generation.saturating_add(1), ..aliases };
        writer.commit(event, Effect::Generation(new.generation), || aliases::replace(&folder, &old, &new))?;
        Ok(new)
    }

    /// What happened to the model's versions, oldest first. A last line that a crash cut short is left out, and so far no
    /// event whose writer got an answer can be missing.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`], and what the disk reports.
    pub fn history(&self, name: &ModelName) -> Result<History, RegistryError> {
        journal::read_history(&self.model_folder(name)?)
    }

    /// Adds an event that changes neither versions nor aliases: verified, evaluated, refused, failed.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`], and what the disk reports; then the history is as it was.
    pub fn append(&self, name: &ModelName, event: &Event) -> Result<(), RegistryError> {
        let folder = self.model_folder(name)?;
        Writer::of(&folder)?.append(event)
    }

    fn root_folder(&self) -> Result<Folder, RegistryError> {
        let path = || self.root.clone();
        Folder::open(&self.root).map_err(|errno| match errno {
            Errno::NOENT => RegistryError::RootMissing { path: path() },
            Errno::NOTDIR => RegistryError::RootNotADirectory { path: path() },
            errno => RegistryError::io(&self.root, "open", io::Error::from(errno)),
        })
    }

    fn model_folder(&self, name: &ModelName) -> Result<Folder, RegistryError> {
        let folder = self.root_folder()?.sub(name.as_str())?;
        let folder = match (folder, self.inner_folder) {
            (Some(folder), Some(inner)) => folder.sub(inner)?,
            (folder, _) => folder,
        };
        folder.ok_or_else(|| RegistryError::NoSuchModel { model: name.clone() })
    }

    fn version_folder(&self, name: &ModelName, version: Version) -> Result<Folder, RegistryError> {
        let folder = self.model_folder(name)?.sub(&version.to_string())?;
        folder.ok_or_else(|| RegistryError::NoSuchVersion { model: name.clone(), version })
    }
}
