//! The demo's own copy of the sample model, so that the registry stays as it was.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// A folder with a registry in it that is the demo's own.
pub(super) struct Workspace {
    root: PathBuf,
    is_kept: bool,
}

impl Workspace {
    /// Copies `flights` without its versions from `models`.
    pub(super) fn new(models: &Path, keep: Option<PathBuf>) -> anyhow::Result<Self> {
        let sample = models.join("flights");
        if !sample.join("pipeline.toml").is_file() {
            bail!(
                "no sample model at {}: run the demo in the folder of the repository, or name its models folder with --models",
                sample.display()
            );
        }
        let is_kept = keep.is_some();
        let root = match keep {
            Some(root) => root,
            None => std::env::temp_dir().join(format!("gudgeon-demo-{}", uuid::Uuid::new_v4().simple())),
        };
        let workspace = Self { root, is_kept };
        let target = workspace.models().join("flights");
        if target.exists() {
            bail!("{} exists already: name another folder with --keep, or remove it", target.display());
        }
        copy(&sample, &target)?;
        Ok(workspace)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    pub(super) fn pipeline(&self) -> PathBuf {
        self.models().join("flights").join("pipeline.toml")
    }

    /// Writes another split into the pipeline: training rows before `until`, holdout rows from there to before `holdout_until`.
    pub(super) fn split(&self, until: &str, holdout_until: &str) -> anyhow::Result<()> {
        let path = self.pipeline();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let is_date = |line: &&str| line.starts_with("train_until") || line.starts_with("holdout_until");
        let split = format!("[split]\ntrain_until = \"{until}\"\nholdout_until = \"{holdout_until}\"");
        let lines =
            text.lines().filter(|line| !is_date(line)).map(|line| if line == "[split]" { &split } else { line });
        let text = lines.collect::<Vec<_>>().join("\n") + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The data of one month of 2013.
    pub(super) fn month(&self, month: u32) -> PathBuf {
        self.models().join("flights").join("data").join(format!("2013-{month:02}.csv.gz"))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if !self.is_kept {
            // A temporary folder that cannot be removed is the system's to clean.
            drop(fs::remove_dir_all(&self.root));
        }
    }
}

/// Copies what people write: policies and data, not what the registry wrote.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to.join("data")).with_context(|| format!("cannot make {}", to.display()))?;
    for file in ["pipeline.toml", "gate.toml", "model.toml"] {
        let source = from.join(file);
        if source.is_file() {
            fs::copy(&source, to.join(file)).with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    for entry in fs::read_dir(from.join("data"))? {
        let source = entry?.path();
        if let Some(name) = source.file_name().filter(|name| name.to_string_lossy().ends_with(".csv.gz")) {
            fs::copy(&source, to.join("data").join(name))
                .with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}
