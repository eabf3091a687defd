//! What happened to a model's versions: one line an event, only ever added to.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::error::RegistryError;
use super::folder::{Folder, Links};
use crate::model::Version;

pub(super) const HISTORY_FILE: &str = "history.jsonl";
/// How much of the end of a history is read: more than 50,000 events of the usual size.
const HISTORY_BYTES_MAX: u64 = 16 << 20;
/// Longer than any line that [`line`] makes.
const LINE_BYTES_MAX: u64 = 64 << 10;
const TEXT_CHARS_MAX: usize = 2_000;

/// What was done to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It was written to the registry.
    Register,
    /// It was tried out.
    Verify,
    /// It was held against the champion.
    Evaluate,
    /// It was made the champion or the challenger.
    Activate,
    /// The version before it became the champion again.
    Rollback,
    /// It was taken out of service.
    Retire,
    /// Its folder was removed, since so many versions need not be kept.
    Prune,
    /// It became the challenger.
    Challenge,
    /// The challenger came to the next step of its rollout.
    Advance,
    /// It is the challenger no more.
    Withdraw,
}

crate::schema::described_words!(Action as "Action" {
    Register, Verify, Evaluate, Activate, Rollback, Retire, Prune, Challenge, Advance, Withdraw,
});

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Ok,
    /// A rule forbade it.
    Refused,
    /// It was tried and went wrong.
    Failed,
}

crate::schema::described_words!(Outcome as "Outcome" { Ok, Refused, Failed });

/// Who asked for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The person or program.
    pub who: String,
    /// Where they asked from: an address, a host, a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// By which call, where it was one.
    #[serde(flatten)]
    pub call: Call,
}

crate::schema::described!(Actor as "Actor" { who } omitted { from } flattened { call });

/// The call by which someone asked for something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Call {
    /// The server's operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What the caller calls the request, so that a repetition is known for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

crate::schema::described!(Call as "Call" {} omitted { operation, key });

/// One thing that happened. Texts are kept as one line of at most 2,000 characters: control characters become spaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// Who asked for it.
    #[serde(flatten)]
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// To which version, where there is one (a refused registration has none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The reason given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// More about it: digests, the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

crate::schema::described!(
    Event as "Event" { at, action, outcome } omitted { version, why, detail } flattened { actor }
);

impl Event {
    /// The event with every text made one line of bounded length.
    #[must_use]
    pub fn in_one_line(self) -> Self {
        let Self { at, actor: Actor { who, from, call }, action, version, why, outcome, detail } = self;
        let Call { operation, key } = call;
        let call = Call { operation: operation.as_deref().map(one_line), key: key.as_deref().map(one_line) };
        Self {
            at: one_line(&at),
            actor: Actor { who: one_line(&who), from: from.as_deref().map(one_line), call },
            action,
            version,
            why: why.as_deref().map(one_line),
            outcome,
            detail: detail.as_deref().map(one_line),
        }
    }
}

fn one_line(text: &str) -> String {
    // U+2028 and U+2029 end a line for some readers; U+202A to U+202E and U+2066 to U+2069 turn the rest of it around.
    let breaks = |char: char| char.is_control() || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().take(TEXT_CHARS_MAX).map(|char| if breaks(char) { ' ' } else { char }).collect()
}

/// What happened to a model's versions, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The events; where the file is over 16 MiB, those at its end.
    pub events: Vec<Event>,
    /// Lines that are no event, because a hand or a failing disk changed them.
    pub n_unreadable: usize,
    /// Where the last whole line ends in the file.
    pub(super) bytes: u64,
}

/// Reads the history; a last line that a crash cut short is no line.
pub(super) fn read(folder: &Folder) -> Result<History, RegistryError> {
    let Some(mut file) = folder.open_file(HISTORY_FILE, OFlags::RDONLY, Links::Any)? else {
        return Ok(History::default());
    };
    let failed = |error| RegistryError::io(&folder.path().join(HISTORY_FILE), "read", error);
    let (start, bytes) = tail(&mut file, HISTORY_BYTES_MAX).map_err(failed)?;
    let mut history = History { bytes: start, ..History::default() };
    // Where only the end was read, its first line is a part of one.
    let mut partial = 0 < start;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let event = serde_json::from_slice(line);
        if event.is_err() && !line.ends_with(b"\n") {
            break;
        }
        history.bytes += length(line);
        match event {
            _ if std::mem::take(&mut partial) => {}
            Ok(event) => history.events.push(event),
            Err(_) => history.n_unreadable += 1,
        }
    }
    Ok(history)
}

/// Opens the history for adding to it, its end made whole: a last line that was cut short goes, one that only lacks its
/// end gets it. Returns the file and its length.
fn open_whole(folder: &Folder) -> Result<(File, u64), RegistryError> {
    let path = folder.path().join(HISTORY_FILE);
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
    let file = folder.open_file(HISTORY_FILE, flags, Links::Any)?;
    let Some(mut file) = file else { return Err(RegistryError::MissingFile { path }) };
    let length = make_whole(&mut file).map_err(|error| RegistryError::io(&path, "repair", error))?;
    Ok((file, length))
}

fn make_whole(file: &mut File) -> io::Result<u64> {
    // Mostly it is whole, and one byte says so.
    let all = file.metadata()?.len();
    let mut last = [0];
    if all == 0 || (file.read_at(&mut last, all - 1)? == 1 && last == *b"\n") {
        return Ok(all);
    }
    let (start, bytes) = tail(file, LINE_BYTES_MAX)?;
    let end = start + length(&bytes);
    let last = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let no_line_of_ours = last.len() == bytes.len() && 0 < start;
    if no_line_of_ours || serde_json::from_slice::<Event>(last).is_ok() {
        file.write_all(b"\n")?;
        file.sync_all()?;
        return Ok(end + 1);
    }
    let whole = end - length(last);
    file.set_len(whole)?;
    file.sync_all()?;
    Ok(whole)
}

/// Makes the history's end whole and says how long it is.
pub(super) fn repair(folder: &Folder) -> Result<u64, RegistryError> {
    open_whole(folder).map(|(_, length)| length)
}

/// Adds one event: in one write, flushed to the disk. A failure leaves the history as it was.
pub(super) fn append(folder: &Folder, event: &Event) -> Result<(), RegistryError> {
    let (mut file, length_before) = open_whole(folder)?;
    let failed = |error| RegistryError::io(&folder.path().join(HISTORY_FILE), "add to", error);
    let line = line(event).map_err(failed)?;
    let written = file.write_all(&line).and_then(|()| file.sync_all()).map_err(failed);
    // The first event made the file: its name must last too.
    let written = written.and_then(|()| if length_before == 0 { folder.sync() } else { Ok(()) });
    if written.is_err() {
        file.set_len(length_before).ok();
    }
    written
}

fn line(event: &Event) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&event.clone().in_one_line())?;
    line.push(b'\n');
    Ok(line)
}

/// The last `bytes_max` bytes of a file, and where they begin.
fn tail(file: &mut File, bytes_max: u64) -> io::Result<(u64, Vec<u8>)> {
    let start = file.metadata()?.len().saturating_sub(bytes_max);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok((start, bytes))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
