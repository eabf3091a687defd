//! What verification measured, kept beside the versions: `.verified/<version>.json`. A version itself never changes.

use super::Registry;
use super::error::RegistryError;
use super::folder::{Folder, Links};
use super::lock::Lock;
use crate::model::{ModelName, Version};

const VERIFIED_FOLDER: &str = ".verified";
const LOCK_FILE: &str = ".lock";
const VERIFICATION_BYTES_MAX: u64 = 1 << 20;

impl Registry {
    /// What [`Registry::keep_verification`] was last given for this version; what it means is not known here.
    ///
    /// # Errors
    /// Where there is no such model, and what the disk reports.
    pub fn verification(&self, name: &ModelName, version: Version) -> Result<Option<Vec<u8>>, RegistryError> {
        let Some(folder) = self.model_folder(name)?.sub(VERIFIED_FOLDER)? else { return Ok(None) };
        folder.read(&file_name(version), VERIFICATION_BYTES_MAX, Links::One)
    }

    /// Keeps `text` for this version, in the place of what was kept before.
    ///
    /// # Errors
    /// Where there is no such model, and what the disk reports; then what was kept before still is.
    pub fn keep_verification(&self, name: &ModelName, version: Version, text: &[u8]) -> Result<(), RegistryError> {
        let folder = made(&self.model_folder(name)?)?;
        let _alone = Lock::take(&folder, LOCK_FILE)?;
        folder.replace(&file_name(version), text)
    }
}

fn file_name(version: Version) -> String {
    format!("{version}.json")
}

fn made(model: &Folder) -> Result<Folder, RegistryError> {
    if let Some(folder) = model.sub(VERIFIED_FOLDER)? {
        return Ok(folder);
    }
    match model.make(VERIFIED_FOLDER) {
        Ok(folder) => Ok(folder),
        // Another writer may have made it meanwhile.
        Err(error) => model.sub(VERIFIED_FOLDER)?.ok_or(error),
    }
}
