//! One version's files, read once and held against its manifest. What is hashed is what is returned.

use std::collections::BTreeMap;
use std::fmt;

use super::error::RegistryError;
use super::folder::{Folder, Links};
use crate::model::{Digest, FileEntry, Manifest, Version};

/// The artifact's description.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The distribution of every feature and of the prediction in training.
pub const PROFILE_FILE: &str = "profile.json";
/// Inputs with the outputs expected of any engine.
pub const GOLDEN_FILE: &str = "golden.json";
/// Scores on the controlled holdout.
pub const EVALUATION_FILE: &str = "evaluation.json";

const MANIFEST_BYTES_MAX: u64 = 16 << 20;
const N_FILES_MAX: usize = 1_000;
const FILE_NAME_LEN_MAX: usize = 200;

/// One version's files. A folder that holds `model.onnx` alone has neither manifest, golden cases nor profile.
#[derive(Clone)]
pub struct Artifact {
    /// Its number.
    pub version: Version,
    /// The graph.
    pub model: Vec<u8>,
    /// The SHA-256 of `model`.
    pub model_digest: Digest,
    /// The description; every other part has been held against it.
    pub manifest: Option<Manifest>,
    /// The SHA-256 of `manifest.json`, and so of everything in the version.
    pub manifest_digest: Option<Digest>,
    /// `golden.json` as it is.
    pub golden: Option<Vec<u8>>,
    /// `profile.json` as it is.
    pub profile: Option<Vec<u8>>,
    /// `evaluation.json` as it is.
    pub evaluation: Option<Vec<u8>>,
    /// Every other file that the manifest lists, by name: external data of the graph.
    pub extra: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact")
            .field("version", &self.version)
            .field("model_digest", &self.model_digest)
            .field("model_bytes", &self.model.len())
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

/// Whether a file of an artifact may have this name: it lies in the folder itself, in sight, and is one word of ASCII.
pub(super) fn is_file_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\');
    !name.starts_with('.') && (1..=FILE_NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(plain)
}

/// Reads and checks the manifest, and its digest; `None` where there is none.
pub(super) fn read_manifest(folder: &Folder) -> Result<Option<(Manifest, Digest)>, RegistryError> {
    let Some(bytes) = folder.read(MANIFEST_FILE, MANIFEST_BYTES_MAX, Links::One)? else { return Ok(None) };
    let malformed = |message: String| RegistryError::malformed(folder.path().join(MANIFEST_FILE), &message);
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    check_manifest(&manifest).map_err(malformed)?;
    Ok(Some((manifest, Digest::of(&bytes))))
}

/// What the types of a manifest do not say.
pub(super) fn check_manifest(manifest: &Manifest) -> Result<(), String> {
    if manifest.format != Manifest::FORMAT {
        return Err(format!("format: expected {:?}, got {:?}", Manifest::FORMAT, manifest.format));
    }
    manifest.signature.validate().map_err(|mismatch| mismatch.to_string())?;
    if N_FILES_MAX < manifest.files.len() {
        return Err(format!("files: expected at most {N_FILES_MAX}, got {}", manifest.files.len()));
    }
    if !manifest.files.contains_key(Manifest::MODEL_FILE) {
        return Err(format!("files: expected {:?} among them, got none of that name", Manifest::MODEL_FILE));
    }
    match manifest.files.keys().find(|name| !is_file_name(name) || *name == MANIFEST_FILE) {
        Some(name) => Err(format!("files: expected names of files beside the manifest, got {name:?}")),
        None => Ok(()),
    }
}

/// Reads a whole version. No file outside the manifest is looked at.
pub(super) fn read(folder: &Folder, version: Version, bytes_max: u64) -> Result<Artifact, RegistryError> {
    let Some((manifest, manifest_digest)) = read_manifest(folder)? else {
        return read_bare(folder, version, bytes_max);
    };
    let mut files = BTreeMap::new();
    let mut bytes_left = bytes_max;
    for (name, entry) in &manifest.files {
        if bytes_left < entry.bytes {
            let path = folder.path().join(name);
            return Err(RegistryError::TooLarge { path, bytes: entry.bytes, bytes_max: bytes_left });
        }
        bytes_left -= entry.bytes;
        files.insert(name.clone(), read_listed(folder, name, entry)?);
    }
    let missing_model = || RegistryError::MissingFile { path: folder.path().join(Manifest::MODEL_FILE) };
    let model_digest = manifest.files.get(Manifest::MODEL_FILE).map(|entry| entry.sha256).ok_or_else(missing_model)?;
    Ok(Artifact {
        version,
        model: files.remove(Manifest::MODEL_FILE).ok_or_else(missing_model)?,
        model_digest,
        manifest: Some(manifest),
        manifest_digest: Some(manifest_digest),
        golden: files.remove(GOLDEN_FILE),
        profile: files.remove(PROFILE_FILE),
        evaluation: files.remove(EVALUATION_FILE),
        extra: files,
    })
}

/// One file, held against its entry; no more of it is read than the entry says.
fn read_listed(folder: &Folder, name: &str, entry: &FileEntry) -> Result<Vec<u8>, RegistryError> {
    let path = || folder.path().join(name);
    let resized = |got| RegistryError::SizeMismatch { path: path(), expected: entry.bytes, got };
    let bytes = match folder.read(name, entry.bytes, Links::One) {
        Err(RegistryError::TooLarge { bytes, .. }) => return Err(resized(bytes)),
        read => read?.ok_or_else(|| RegistryError::MissingFile { path: path() })?,
    };
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size != entry.bytes {
        return Err(resized(size));
    }
    let got = Digest::of(&bytes);
    if got != entry.sha256 {
        return Err(RegistryError::DigestMismatch { path: path(), expected: entry.sha256, got });
    }
    Ok(bytes)
}

/// The layout of Triton and TF Serving: the graph alone.
fn read_bare(folder: &Folder, version: Version, bytes_max: u64) -> Result<Artifact, RegistryError> {
    let model = folder.read(Manifest::MODEL_FILE, bytes_max, Links::One)?;
    let model = model.ok_or_else(|| RegistryError::MissingFile { path: folder.path().join(Manifest::MODEL_FILE) })?;
    Ok(Artifact {
        version,
        model_digest: Digest::of(&model),
        model,
        manifest: None,
        manifest_digest: None,
        golden: None,
        profile: None,
        evaluation: None,
        extra: BTreeMap::new(),
    })
}
