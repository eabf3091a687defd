//! A change and its line in the history, as one step.
//!
//! A change takes effect with one rename: of a version's folder, or of `aliases.json`. The history is another file, so a
//! crash could fall between the two. Therefore the event is first noted in `.pending.json`, together with the length of the
//! history; then comes the rename; then the line; then the note goes. Whoever finds a note can tell how far its writer
//! came: where the rename never happened, nothing did; where it did, the event counts, and the next writer adds its line.
//!
//! ```text
//! crash before the note      old state
//! crash before the rename    old state, the note is void
//! crash after the rename     new state, readers take the event from the note, the next writer adds its line
//! crash after the line       new state, the history is longer than the note says: the note is spent
//! ```

use serde::{Deserialize, Serialize};

use super::error::RegistryError;
use super::folder::{Folder, Links};
use super::history::{self, Event, History};
use super::lock::Lock;
use super::{aliases, folder};
use crate::model::Version;

const PENDING_FILE: &str = ".pending.json";
const LOCK_FILE: &str = ".lock";
const PENDING_BYTES_MAX: u64 = 256 << 10;

/// What can be seen once a change has taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Effect {
    /// The version's folder is there.
    Version(Version),
    /// The aliases have come to this generation.
    Generation(u64),
    /// The version's folder is not there any more.
    Gone(Version),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    event: Event,
    effect: Effect,
    history_bytes: u64,
}

/// The one that may change a model's folder. Taking this role ends what an earlier writer left unfinished.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    folder: &'a Folder,
    _lock: Lock,
}

impl<'a> Writer<'a> {
    /// Waits for other writers.
    pub(super) fn of(folder: &'a Folder) -> Result<Self, RegistryError> {
        let lock = Lock::take(folder, LOCK_FILE)?;
        let writer = Self { folder, _lock: lock };
        writer.recover()?;
        Ok(writer)
    }

    /// Adds an event that stands for itself.
    pub(super) fn append(&self, event: &Event) -> Result<(), RegistryError> {
        history::append(self.folder, event)
    }

    /// Carries out `change` and adds `event`, both or neither.
    pub(super) fn commit(
        &self,
        event: Event,
        effect: Effect,
        change: impl FnOnce() -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let history_bytes = history::repair(self.folder)?;
        let pending = Pending { event: event.in_one_line(), effect, history_bytes };
        let note = serde_json::to_vec(&pending)
            .map_err(|error| RegistryError::io(&self.folder.path().join(PENDING_FILE), "write", error))?;
        let changed = self.folder.replace(PENDING_FILE, &note).and_then(|()| change());
        if let Err(error) = changed {
            if !has_happened(self.folder, effect).unwrap_or(true) {
                self.folder.remove(PENDING_FILE).ok();
            }
            return Err(error);
        }
        // From here on the change stands and its event is safe in the note: a full disk only puts the line off.
        if history::append(self.folder, &pending.event).is_ok() {
            self.folder.remove(PENDING_FILE).ok();
        }
        Ok(())
    }

    fn recover(&self) -> Result<(), RegistryError> {
        let Some(pending) = read_pending(self.folder)? else { return Ok(()) };
        if history::repair(self.folder)? <= pending.history_bytes && has_happened(self.folder, pending.effect)? {
            history::append(self.folder, &pending.event)?;
        }
        self.folder.remove(PENDING_FILE)
    }
}

/// The history with the event of a change whose line is still to come. Writes nothing.
pub(super) fn read_history(folder: &Folder) -> Result<History, RegistryError> {
    // The note first: when it is gone by the time that the history is read, its line is there.
    let pending = read_pending(folder)?;
    let mut history = history::read(folder)?;
    if let Some(pending) = pending
        && history.bytes <= pending.history_bytes
        && has_happened(folder, pending.effect)?
    {
        history.events.push(pending.event);
    }
    Ok(history)
}

fn read_pending(folder: &Folder) -> Result<Option<Pending>, RegistryError> {
    let Some(bytes) = folder.read(PENDING_FILE, PENDING_BYTES_MAX, Links::Any)? else { return Ok(None) };
    let pending = serde_json::from_slice(&bytes);
    pending.map(Some).map_err(|error| RegistryError::malformed(folder.path().join(PENDING_FILE), &error))
}

fn has_happened(folder: &Folder, effect: Effect) -> Result<bool, RegistryError> {
    match effect {
        Effect::Version(version) => Ok(folder.kind(&version.to_string())? == Some(folder::Kind::Folder)),
        Effect::Generation(generation) => Ok(generation <= aliases::read(folder)?.generation),
        Effect::Gone(version) => Ok(folder.kind(&version.to_string())?.is_none()),
    }
}
