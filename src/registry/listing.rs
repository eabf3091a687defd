//! What lies in the models directory, and what there is ignored.

use super::aliases::{ALIASES_FILE, Aliases};
use super::error::RegistryError;
use super::folder::{Folder, Kind};
use super::history::HISTORY_FILE;
use super::{PolicyFile, Registry, aliases};
use crate::model::{Manifest, ModelName, Version};

const N_EXAMPLES_MAX: usize = 3;
const EXAMPLE_CHARS_MAX: usize = 40;

/// Entries that are neither models nor versions, with enough to write one warning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ignored {
    /// How many there are.
    pub count: usize,
    /// The names of some, shortened.
    pub examples: Vec<String>,
}

impl Ignored {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.examples.len() < N_EXAMPLES_MAX {
            self.examples.push(name.chars().take(EXAMPLE_CHARS_MAX).collect());
        }
    }

    /// The text of one warning, in one line; `None` where nothing was ignored.
    pub fn warning(&self) -> Option<String> {
        let examples: Vec<_> = self.examples.iter().map(|name| format!("{name:?}")).collect();
        let more = if self.examples.len() < self.count { ", ..." } else { "" };
        (0 < self.count).then(|| {
            format!("ignored {} that are no models or versions: {}{more}", entries(self.count), examples.join(", "))
        })
    }
}

fn entries(count: usize) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// The models of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Their names, sorted.
    pub models: Vec<ModelName>,
    /// Folders that are no models.
    pub ignored: Ignored,
}

/// One model at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    /// Its name.
    pub name: ModelName,
    /// Its versions, sorted.
    pub versions: Vec<Version>,
    /// Which of them the aliases name.
    pub aliases: Aliases,
    /// Entries that look like versions and are none: `0001`, `1.5`, `-1`, a number without a graph.
    pub ignored: Ignored,
}

impl Registry {
    /// The models: folders with a model's name that hold a version or one of a model's own files. Everything else is
    /// ignored; plain files and hidden entries without a word.
    ///
    /// # Errors
    /// Where the directory is gone or cannot be read.
    pub fn models(&self) -> Result<Listing, RegistryError> {
        let root = self.root_folder()?;
        let mut listing = Listing::default();
        root.visit(|name, kind| {
            let model = name.parse().ok().filter(|_| kind == Kind::Folder && is_model(&root, name));
            match model {
                Some(model) => listing.models.push(model),
                None if kind == Kind::File || name.starts_with('.') => {}
                None => listing.ignored.add(name),
            }
            true
        })?;
        listing.models.sort_unstable();
        Ok(listing)
    }

    /// One model: its versions and aliases.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`], [`RegistryError::Malformed`] for broken aliases, and what the disk reports.
    pub fn model(&self, name: &ModelName) -> Result<ModelFolder, RegistryError> {
        let folder = self.model_folder(name)?;
        let aliases = aliases::read(&folder)?;
        let mut versions = Vec::new();
        let mut ignored = Ignored::default();
        folder.visit(|entry, kind| {
            match entry.parse() {
                Ok(version) if kind == Kind::Folder && has_graph(&folder, entry) => versions.push(version),
                _ if looks_like_a_version(entry) => ignored.add(entry),
                _ => {}
            }
            true
        })?;
        versions.sort_unstable();
        Ok(ModelFolder { name: name.clone(), versions, aliases, ignored })
    }
}

fn looks_like_a_version(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '-' | '+'))
}

/// A folder without a graph is no version yet, or no longer.
fn has_graph(model: &Folder, version: &str) -> bool {
    model.kind(&format!("{version}/{}", Manifest::MODEL_FILE)).is_ok_and(|kind| kind.is_some())
}

/// A folder that cannot be looked into is no model: it must not keep the others from being served.
fn is_model(root: &Folder, name: &str) -> bool {
    let Ok(Some(folder)) = root.sub(name) else { return false };
    let own = PolicyFile::ALL.map(PolicyFile::name);
    let mut found = false;
    let seen = folder.visit(|entry, kind| {
        found = match kind {
            Kind::File => own.contains(&entry) || entry == ALIASES_FILE || entry == HISTORY_FILE,
            Kind::Folder => entry.parse::<Version>().is_ok() && has_graph(&folder, entry),
            Kind::Other => false,
        };
        !found
    });
    seen.is_ok() && found
}
