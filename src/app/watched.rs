//! Files that are read again when they change, as certificates and keys do when somebody rotates them.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

/// How often the files are looked at. The system could tell of changes, but not of those behind a symbolic link, which is how
/// Kubernetes rotates a secret.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Files that make sense together, and what to do when one of them has changed.
pub(super) struct Watched {
    what: &'static str,
    paths: Vec<PathBuf>,
    seen: Vec<Option<Stamp>>,
    reload: Reload,
}

/// Reads the files again; a failure leaves everything as it was.
type Reload = Box<dyn Fn() -> Result<(), String> + Send>;

/// What changes with a file's content: device, inode, size, time.
type Stamp = (u64, u64, u64, (i64, i64));

impl Watched {
    /// Watches `paths` for changes from now on: they are to be read for the first time after this.
    pub(super) fn new(what: &'static str, paths: Vec<PathBuf>) -> Self {
        let seen = stamps(&paths);
        Self { what, paths, seen, reload: Box::new(|| Ok(())) }
    }

    /// Does `reload` after a change.
    pub(super) fn then(self, reload: impl Fn() -> Result<(), String> + Send + 'static) -> Self {
        Self { reload: Box::new(reload), ..self }
    }

    fn look(&mut self) {
        let now = stamps(&self.paths);
        if now == self.seen {
            return;
        }
        self.seen = now;
        let what = self.what;
        match (self.reload)() {
            Ok(()) => tracing::info!("{what} changed and were read again"),
            Err(error) => tracing::error!(%error, "{what} changed, and what was read before is kept: {error}"),
        }
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino(), found.len(), (found.mtime(), found.mtime_nsec())))
    };
    paths.iter().map(stamp).collect()
}

/// Looks at the files for as long as it is held.
#[derive(Debug)]
pub(super) struct Watch(#[expect(dead_code, reason = "the thread ends when it is dropped")] Option<Sender<()>>);

/// Looks at `all` on a thread of its own, which there is none of where there are no files.
///
/// # Errors
/// Where the system has no thread left.
pub(super) fn watch(mut all: Vec<Watched>) -> io::Result<Watch> {
    if all.is_empty() {
        return Ok(Watch(None));
    }
    let (sender, ended) = channel();
    Builder::new().name("gudgeon-files".to_owned()).spawn(move || {
        while ended.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            all.iter_mut().for_each(Watched::look);
        }
    })?;
    Ok(Watch(Some(sender)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_change_is_seen_once_behind_a_link_too() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), |name: &str| folder.path().join(name));
        std::fs::write(file("a"), "1").unwrap();
        std::fs::write(file("b"), "2").unwrap();
        std::os::unix::fs::symlink(file("a"), &link).unwrap();
        let n_reloads = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&n_reloads);
        let mut watched = Watched::new("the files", vec![link.clone()]).then(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Err("a failure is not tried again before the next change".to_owned())
        });
        let mut looks = |expected: usize| {
            watched.look();
            watched.look();
            assert_eq!(n_reloads.load(Ordering::Relaxed), expected);
        };
        looks(0);
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(file("b"), &link).unwrap();
        looks(1);
        std::fs::write(file("b"), "longer").unwrap();
        looks(2);
        std::fs::remove_file(file("b")).unwrap();
        looks(3);
    }
}
