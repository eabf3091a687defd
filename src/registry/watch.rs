//! Tells when something in the models directory has changed, where the system can: inotify. A network file system tells
//! nothing of what other machines do, so whoever watches looks by itself from time to time all the same.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::history::HISTORY_FILE;
use super::{Registry, RegistryError};
use crate::model::ModelName;

/// As many events as are read at once.
const BUFFER_BYTES: usize = 4 << 10;
/// After an event that nobody goes by: more of the kind follow, and are read together.
const PAUSE: Duration = Duration::from_millis(5);

/// Watches the models directory and the models in it.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    /// The watch of the models directory itself.
    root: AtomicI32,
}

impl Watch {
    /// Watches the models directory.
    ///
    /// # Errors
    /// Where the system has no inotify, or no more of it for this user.
    pub fn start(registry: &Registry) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC)?;
        let watch = Self { inotify, root: AtomicI32::new(0) };
        watch.cover_root(registry)?;
        Ok(watch)
    }

    /// Watches the models directory, also where it is another one by now.
    ///
    /// # Errors
    /// Where it is gone, or the system watches no more folders for this user.
    pub fn cover_root(&self, registry: &Registry) -> io::Result<()> {
        self.root.store(inotify::add_watch(&self.inotify, registry.root(), flags())?, Ordering::Relaxed);
        Ok(())
    }

    /// Watches a model's folder too. One that is watched already stays so; one that is gone is no error.
    ///
    /// # Errors
    /// Where the system watches no more folders for this user.
    pub fn cover(&self, registry: &Registry, model: &ModelName) -> Result<(), RegistryError> {
        let path = registry.root().join(model.as_str());
        match inotify::add_watch(&self.inotify, &path, flags()) {
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(errno) => Err(RegistryError::io(&path, "watch", errno)),
        }
    }

    /// Waits until something has changed that a server goes by, or the watch is closed.
    ///
    /// # Errors
    /// Where the system can tell no more.
    pub fn wait(&self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        let mut matters = false;
        while !matters || !events.is_buffer_empty() {
            match events.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_bytes());
                    // Events were lost, or a watched folder has gone: anything may have happened.
                    let is_unclear = event.events().intersects(ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED);
                    matters |= is_unclear || name.is_none_or(is_gone_by);
                    if !matters && events.is_buffer_empty() {
                        std::thread::park_timeout(PAUSE);
                    }
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Ends the wait of another thread, and watches the models directory no more.
    pub fn close(&self) {
        // The system says so to whoever waits. Where the directory is gone it has said so already.
        inotify::remove_watch(&self.inotify, self.root.load(Ordering::Relaxed)).ok();
    }
}

/// Names that a server goes by: not the registry's own locks and notes, and not the history, which follows a change.
fn is_gone_by(name: &[u8]) -> bool {
    !name.starts_with(b".") && name != HISTORY_FILE.as_bytes()
}

fn flags() -> WatchFlags {
    WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
}
