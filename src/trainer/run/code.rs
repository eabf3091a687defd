//! The state of the code that trained.

use std::path::Path;
use std::process::Command;

use crate::model::CodeRevision;

/// The git commit of `folder` and whether tracked files in it have changed. `None` where there is no git, or the folder
/// lies in no work tree.
pub(super) fn revision(folder: &Path) -> Option<CodeRevision> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        let text = output.status.success().then_some(output.stdout)?;
        Some(String::from_utf8_lossy(&text).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    // Versions that the trainer itself registers are no change of the code: only tracked files count.
    let changes = git(&["status", "--porcelain", "--untracked-files=no", "--", "."])?;
    Some(CodeRevision { commit, dirty: !changes.is_empty() })
}
