//! What can go wrong with versions at rest, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::{Digest, ModelName, Version};

/// The registry could not do what it was asked. Messages name paths: they are for operators, not for callers of a model.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The models directory does not exist.
    #[error("no models directory at {path:?}: make it (mkdir -p) or name another one with --models")]
    RootMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The models directory is something else.
    #[error("{path:?} is not a directory: name the directory that holds the models with --models")]
    RootNotADirectory {
        /// What was named.
        path: PathBuf,
    },
    /// There is no folder of that name.
    #[error("no model {model} in the registry: register a first version of it, or check the name")]
    NoSuchModel {
        /// The name.
        model: ModelName,
    },
    /// The model has no such version.
    #[error("model {model} has no version {version}: list its versions and choose one of them")]
    NoSuchVersion {
        /// The model.
        model: ModelName,
        /// The number.
        version: Version,
    },
    /// A file that must be there is not.
    #[error("{path:?} is missing: restore it from a copy, or register the version again")]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// The bytes are not those that were registered.
    #[error(
        "{path:?} has changed since it was registered: expected SHA-256 {expected}, got {got}; restore it from a copy, or \
         register the version again"
    )]
    DigestMismatch {
        /// The file.
        path: PathBuf,
        /// The digest in the manifest.
        expected: Digest,
        /// The digest of what was read.
        got: Digest,
    },
    /// The file is not as long as what was registered.
    #[error(
        "{path:?} has changed since it was registered: expected {expected} bytes, got {got}; restore it from a copy, or \
         register the version again"
    )]
    SizeMismatch {
        /// The file.
        path: PathBuf,
        /// The size in the manifest.
        expected: u64,
        /// The size of what was read.
        got: u64,
    },
    /// Something that the registry does not open: it could lead out of the folder, or hang the reader.
    #[error("{path:?} is {what}, which the registry does not open: put a plain file or folder of its own there")]
    Unsafe {
        /// The entry.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A file over a limit.
    #[error("{path:?} has {bytes} bytes: expected at most {bytes_max}; make it smaller or raise the limit")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A file that cannot be read as what it should be.
    #[error("{path:?}: {message}; correct the file or restore it from a copy")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The part, what was expected and what came.
        message: String,
    },
    /// What was to be registered makes no version.
    #[error("not registered: {message}")]
    Draft {
        /// The part, what was expected and what came.
        message: String,
    },
    /// Permission bits or an attribute forbid it.
    #[error("no permission to {doing} {path:?}: give the user of this process the right to (chown or chmod)")]
    NoPermission {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The disk, a quota or a limit on file size is full.
    #[error("no space left to {doing} {path:?}: nothing was changed; free some space and try again")]
    DiskFull {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file system is mounted read-only.
    #[error("cannot {doing} {path:?}: the file system is read-only; write through a registry that is mounted writable")]
    ReadOnly {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Someone else changed the aliases meanwhile.
    #[error(
        "the aliases of {model} have changed meanwhile: expected generation {expected}, got {got}; read them again, then \
         decide again"
    )]
    Conflict {
        /// The model.
        model: ModelName,
        /// The generation that the change was made from.
        expected: u64,
        /// The generation on disk.
        got: u64,
    },
    /// A version that an alias names is not removed.
    #[error("version {version} of model {model} is champion, challenger or previous: such a version is never removed")]
    Aliased {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
    },
    /// The largest number is taken, so there is none after it.
    #[error("model {model} has used up its version numbers: remove the folder with the largest number")]
    NumbersUsedUp {
        /// The model.
        model: ModelName,
    },
    /// Anything else that the system reports.
    #[error("cannot {doing} {path:?}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl RegistryError {
    /// Sorts a failure of the system by what an operator has to do about it.
    pub(super) fn io(path: &Path, doing: &'static str, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.to_owned(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull { path, doing, source }
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path, doing, source },
            io::ErrorKind::PermissionDenied => Self::NoPermission { path, doing, source },
            _ => Self::Io { path, doing, source },
        }
    }

    pub(super) fn malformed(path: PathBuf, message: &impl ToString) -> Self {
        Self::Malformed { path, message: message.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[track_caller]
    fn check(errno: Errno, expected: &str) {
        let error = RegistryError::io(Path::new("m/f"), "write", errno);
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_failure_of_the_system_says_what_to_do() {
        let full = r#"no space left to write "m/f": nothing was changed; free some space and try again"#;
        check(Errno::NOSPC, full);
        check(Errno::DQUOT, full);
        check(Errno::FBIG, full);
        let denied = r#"no permission to write "m/f": give the user of this process the right to (chown or chmod)"#;
        check(Errno::ACCESS, denied);
        check(Errno::PERM, denied);
        check(
            Errno::ROFS,
            r#"cannot write "m/f": the file system is read-only; write through a registry that is mounted writable"#,
        );
        check(Errno::IO, r#"cannot write "m/f": Input/output error (os error 5)"#);
    }
}
