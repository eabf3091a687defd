//! Whether files are the ones that were there before, told without reading them.

use super::folder::Folder;
use super::{MANIFEST_FILE, PolicyFile, Registry, RegistryError};
use crate::model::{Manifest, ModelName, Version};

/// Which files decide whether a version can be loaded. Another stamp means that it is worth another try.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp {
    policy: Option<FileStamp>,
    graph: Option<FileStamp>,
    manifest: Option<FileStamp>,
}

impl Stamp {
    /// Whether the version is a bare graph: nobody registered it, somebody put it there.
    pub fn is_bare(&self) -> bool {
        self.graph.is_some() && self.manifest.is_none()
    }
}

/// Device, number, length, last change of content and of anything, nanoseconds included.
type FileStamp = (u64, u64, i64, (i64, u64), (i64, u64));

impl Registry {
    /// The stamp of a version and of the model's policy; files that are not there have none.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`], and what the disk reports.
    pub fn stamp(&self, name: &ModelName, version: Version) -> Result<Stamp, RegistryError> {
        let model = self.model_folder(name)?;
        let folder = model.sub(&version.to_string())?;
        let of = |name| folder.as_ref().map_or(Ok(None), |folder| of(folder, name));
        Ok(Stamp {
            policy: self::of(&model, PolicyFile::Model.name())?,
            graph: of(Manifest::MODEL_FILE)?,
            manifest: of(MANIFEST_FILE)?,
        })
    }
}

fn of(folder: &Folder, name: &str) -> Result<Option<FileStamp>, RegistryError> {
    let stat = folder.stat(name)?;
    Ok(stat.map(|stat| {
        let changed = (stat.st_mtime, stat.st_mtime_nsec);
        (stat.st_dev, stat.st_ino, stat.st_size, changed, (stat.st_ctime, stat.st_ctime_nsec))
    }))
}
