//! The contract as it was recorded: the signature that callers have relied on since the first activation. It is kept beside the
//! versions, so that it outlives the one that it came from.

use serde::{Deserialize, Serialize};

use super::error::RegistryError;
use super::folder::Links;
use super::journal::Writer;
use super::{PolicyFile, Registry, aliases};
use crate::model::{ContractPolicy, ModelName, Signature, Version};

pub(super) const CONTRACT_FILE: &str = "contract.json";
const CONTRACT_BYTES_MAX: u64 = 16 << 20;

/// `contract.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedContract {
    /// [`RecordedContract::FORMAT`].
    pub format: String,
    /// The version that it came from.
    pub version: Version,
    /// What that version took and gave.
    pub signature: Signature,
}

impl RecordedContract {
    /// The form of the file.
    pub const FORMAT: &'static str = "gudgeon-contract/1";
}

impl Registry {
    /// The signature that callers rely on: that of the version which the owner names, else the recorded one; `None` where
    /// nothing was recorded yet.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchVersion`] and [`RegistryError::Malformed`] where the named version is not there or has no
    /// manifest, [`RegistryError::MissingFile`] where the record is gone, and what the disk reports.
    pub fn contract(&self, name: &ModelName, policy: &ContractPolicy) -> Result<Option<Signature>, RegistryError> {
        let folder = self.model_folder(name)?;
        if let Some(version) = policy.version {
            let manifest = self.manifest(name, version)?;
            let bare = || {
                let message =
                    format!("contract.version: expected a version with a manifest, got {version}, a bare graph");
                RegistryError::malformed(folder.path().join(PolicyFile::Model.name()), &message)
            };
            return manifest.map(|manifest| Some(manifest.signature)).ok_or_else(bare);
        }
        let Some(version) = aliases::read(&folder)?.contract else { return Ok(None) };
        let path = folder.path().join(CONTRACT_FILE);
        let Some(bytes) = folder.read(CONTRACT_FILE, CONTRACT_BYTES_MAX, Links::Any)? else {
            return Err(RegistryError::MissingFile { path });
        };
        let recorded: RecordedContract =
            serde_json::from_slice(&bytes).map_err(|error| RegistryError::malformed(path.clone(), &error))?;
        if recorded.version != version {
            let message = format!("version: expected {version} as aliases.json has it, got {}", recorded.version);
            return Err(RegistryError::malformed(path, &message));
        }
        Ok(Some(recorded.signature))
    }

    /// Writes `contract.json`. It counts from the moment when the aliases name its version.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`], and what the disk reports.
    pub fn record_contract(
        &self,
        name: &ModelName,
        version: Version,
        signature: &Signature,
    ) -> Result<(), RegistryError> {
        let folder = self.model_folder(name)?;
        let _alone = Writer::of(&folder)?;
        let recorded =
            RecordedContract { format: RecordedContract::FORMAT.to_owned(), version, signature: signature.clone() };
        let mut text = serde_json::to_vec_pretty(&recorded)
            .map_err(|error| RegistryError::io(&folder.path().join(CONTRACT_FILE), "write", error))?;
        text.push(b'\n');
        folder.replace(CONTRACT_FILE, &text)
    }
}
