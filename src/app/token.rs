//! The admin token: given, or made at start and kept for the command line on the same machine.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::config::TokenSource;

/// The admin token cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot keep the admin token in {path}: {source}; name a file with --admin-token-file, or set GUDGEON_ADMIN_TOKEN"
)]
pub struct TokenError {
    path: PathBuf,
    source: io::Error,
}

/// The token to ask for; a generated one is written to its file first, readable by its owner alone.
pub(super) fn resolve(source: &TokenSource) -> Result<String, TokenError> {
    match source {
        TokenSource::Given(token) => Ok(token.clone()),
        TokenSource::Generated(path) => {
            // Two version 4 UUIDs: 244 random bits from the system.
            let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
            keep(path, &token).map_err(|source| TokenError { path: path.clone(), source })?;
            tracing::info!(path = %path.display(), "made an admin token and kept it in {}", path.display());
            Ok(token)
        }
    }
}

fn keep(path: &Path, token: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}
