//! The state of the code that trained.

use std::path::Path;
use std::process::Command;

use crate::model::{CodeRevision, Version};

/// What the registry writes in a model's folder beside the versions: files, and folders of files.
const REGISTRY_FILES: [&str; 6] =
    ["aliases.json", "contract.json", "history.jsonl", ".lock", ".register.lock", ".pending.json"];
const REGISTRY_FOLDERS: [&str; 2] = [".reports", ".verified"];

/// The git commit of `folder` and whether tracked files in it have changed since. `None` where there is no git, or the folder
/// lies in no work tree. What the registry writes there is no change of the code: an owner may remove versions and train
/// them anew.
pub(super) fn revision(folder: &Path) -> Option<CodeRevision> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?.trim().to_owned();
    // Paths are relative to `folder`, each ended by a NUL.
    let changed =
        git(&["diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", "--relative", "HEAD", "--", "."])?;
    let dirty = changed.split('\0').any(|path| !path.is_empty() && !is_of_registry(path));
    Some(CodeRevision { commit, dirty })
}

/// Whether the registry writes `path`: a file of a version, or one of its own beside them.
fn is_of_registry(path: &str) -> bool {
    match path.split_once('/') {
        Some((folder, _)) => REGISTRY_FOLDERS.contains(&folder) || folder.parse::<Version>().is_ok(),
        None => REGISTRY_FILES.contains(&path),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A work tree with a model's folder in it, all committed.
    fn work_tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let model = root.path().join("models/m");
        for folder in ["1", "2-notes", "data", ".reports"] {
            fs::create_dir_all(model.join(folder)).unwrap();
        }
        let of_registry = ["aliases.json", "contract.json", "history.jsonl", "1/model.onnx", ".reports/1-none.json"];
        for file in of_registry.into_iter().chain(["pipeline.toml", "2-notes/why.md", "data/a.csv"]) {
            fs::write(model.join(file), "before").unwrap();
        }
        fs::write(root.path().join("elsewhere.txt"), "before").unwrap();
        git(root.path(), &["init", "--quiet"]);
        git(root.path(), &["add", "."]);
        let author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"];
        git(root.path(), &[&author[..], &["commit", "--quiet", "-m", "all"]].concat());
        root
    }

    fn git(folder: &Path, arguments: &[&str]) {
        let status = Command::new("git").arg("-C").arg(folder).args(arguments).status().unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    #[track_caller]
    fn check(change: impl FnOnce(&Path), expected: bool) {
        let root = work_tree();
        let model = root.path().join("models/m");
        change(&model);
        let found = revision(&model).unwrap();
        assert_eq!((found.commit.len(), found.dirty), (40, expected));
    }

    #[test]
    fn what_the_registry_writes_is_no_change_of_the_code() {
        check(|_| (), false);
        check(|model| fs::remove_dir_all(model.join("1")).unwrap(), false);
        check(|model| fs::write(model.join("1/model.onnx"), "after").unwrap(), false);
        check(|model| fs::remove_file(model.join("aliases.json")).unwrap(), false);
        check(|model| fs::write(model.join("contract.json"), "after").unwrap(), false);
        check(|model| fs::remove_dir_all(model.join(".reports")).unwrap(), false);
        check(|model| fs::write(model.join("history.jsonl"), "after").unwrap(), false);
        check(|model| fs::write(model.join("../../elsewhere.txt"), "after").unwrap(), false);
        check(|model| fs::write(model.join("untracked.txt"), "after").unwrap(), false);
    }

    #[test]
    fn any_other_tracked_file_of_the_folder_is_code() {
        check(|model| fs::write(model.join("pipeline.toml"), "after").unwrap(), true);
        check(|model| fs::remove_file(model.join("data/a.csv")).unwrap(), true);
        check(|model| fs::write(model.join("2-notes/why.md"), "after").unwrap(), true);
        check(
            |model| {
                fs::write(model.join("pipeline.toml"), "after").unwrap();
                git(model, &["add", "pipeline.toml"]);
            },
            true,
        );
    }

    #[test]
    fn a_folder_in_no_work_tree_has_no_revision() {
        assert_eq!(revision(tempfile::tempdir().unwrap().path()), None);
    }
}
