//! What the gate said, kept outside of the versions that it said it about: one file a pair of challenger and champion.

use super::Registry;
use super::error::RegistryError;
use super::folder::Links;
use super::journal::Writer;
use crate::model::{ModelName, Version};

const REPORTS_FOLDER: &str = ".reports";
const REPORT_BYTES_MAX: u64 = 4 << 20;

fn file_name(challenger: Version, champion: Option<Version>) -> String {
    match champion {
        Some(champion) => format!("{challenger}-{champion}.json"),
        None => format!("{challenger}-none.json"),
    }
}

impl Registry {
    /// The report about `challenger` against `champion` as it was kept last; `None` where there is none. Whether it still holds
    /// is for the reader to say.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`], and what the disk reports.
    pub fn report(
        &self,
        name: &ModelName,
        challenger: Version,
        champion: Option<Version>,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let Some(folder) = self.model_folder(name)?.sub(REPORTS_FOLDER)? else { return Ok(None) };
        folder.read(&file_name(challenger, champion), REPORT_BYTES_MAX, Links::Any)
    }

    /// Keeps a report, in the place of an older one about the same pair.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`], and what the disk reports; then the older one is still there.
    pub fn keep_report(
        &self,
        name: &ModelName,
        (challenger, champion): (Version, Option<Version>),
        report: &[u8],
    ) -> Result<(), RegistryError> {
        let model = self.model_folder(name)?;
        let _alone = Writer::of(&model)?;
        let folder = match model.sub(REPORTS_FOLDER)? {
            Some(folder) => folder,
            None => model.make(REPORTS_FOLDER)?,
        };
        folder.replace(&file_name(challenger, champion), report)
    }
}
