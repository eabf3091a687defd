//! Removing a version: one rename to a name that readers ignore, then its files.

use uuid::Uuid;

use super::error::RegistryError;
use super::folder::Folder;
use super::history::Event;
use super::journal::{Effect, Writer};
use super::lock::Lock;
use super::register::{REGISTER_LOCK_FILE, TEMPORARY_PREFIX, remove_leftovers};
use super::{Registry, aliases};
use crate::model::{ModelName, Version};

/// Folders of a model that hold something about each version, by its number.
const BESIDE_VERSIONS: [&str; 2] = [".verified", ".reports"];

impl Registry {
    /// Removes a version and adds `event` to the history, both or neither. Its number is not used again. Files that cannot be
    /// deleted at once are out of every reader's sight, and go before the next version comes.
    ///
    /// # Errors
    /// [`RegistryError::Aliased`] where an alias names it, [`RegistryError::NoSuchVersion`], and what the disk reports; then
    /// nothing was removed.
    pub fn prune(&self, name: &ModelName, version: Version, event: Event) -> Result<(), RegistryError> {
        let model = self.model_folder(name)?;
        // The lock of `register` too: the temporary folders of a writer that lives are not leftovers.
        let _alone = Lock::take(&model, REGISTER_LOCK_FILE)?;
        remove_leftovers(&model)?;
        let writer = Writer::of(&model)?;
        self.version_folder(name, version)?;
        if aliases::read(&model)?.versions().any(|aliased| aliased == version) {
            return Err(RegistryError::Aliased { model: name.clone(), version });
        }
        writer.commit(event, Effect::Gone(version), || hide(&model, version))?;
        drop(writer);
        // The version is gone, whatever becomes of its files.
        remove_beside(&model, version).ok();
        remove_leftovers(&model).ok();
        Ok(())
    }
}

fn hide(model: &Folder, version: Version) -> Result<(), RegistryError> {
    let number = version.to_string();
    let hidden = format!("{TEMPORARY_PREFIX}{}", Uuid::new_v4().simple());
    model.rename_new(&number, &hidden)?;
    let flushed = model.sync();
    if flushed.is_err() {
        // Whether the change lasts is unknown: a failed flush is a failed removal.
        model.rename_new(&hidden, &number).ok();
    }
    flushed
}

/// Removes what is kept about a version outside its folder: files whose name begins with its number, then a
/// dot or a hyphen.
fn remove_beside(model: &Folder, version: Version) -> Result<(), RegistryError> {
    for name in BESIDE_VERSIONS {
        let Some(folder) = model.sub(name)? else { continue };
        let mut found = Vec::new();
        folder.visit(|entry, _| {
            let number = entry.split(['.', '-']).next().unwrap_or_default();
            let is_of_version = number.parse() == Ok(version);
            found.extend(is_of_version.then(|| entry.to_owned()));
            true
        })?;
        for entry in found {
            folder.remove(&entry)?;
        }
    }
    Ok(())
}
