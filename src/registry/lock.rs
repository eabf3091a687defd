//! One writer at a time, in this process and in others. A lock ends with its process, however that ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::OFlags;

use super::error::RegistryError;
use super::folder::{Folder, Links};

/// Held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until no other writer holds the lock file `name`.
    pub(super) fn take(folder: &Folder, name: &str) -> Result<Self, RegistryError> {
        let path = folder.path().join(name);
        let failed = |error| RegistryError::io(&path, "lock", error);
        loop {
            let file = folder.open_file(name, OFlags::RDWR | OFlags::CREATE, Links::Any)?;
            let Some(file) = file else { return Err(RegistryError::MissingFile { path }) };
            match file.lock() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            }
            // A lock on a file that someone removed meanwhile keeps nobody out.
            let metadata = file.metadata().map_err(failed)?;
            if folder.identity(name)? == Some((metadata.dev(), metadata.ino())) {
                return Ok(Self { _file: file });
            }
        }
    }
}
