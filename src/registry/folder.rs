//! One folder, held open. Everything in it is reached through it and by plain names, so that no link leads elsewhere.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use super::error::RegistryError;

/// What an entry is, without following links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Other,
}

/// Whether a file may have other names (hard links).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// Another name could lie outside the folder and lend the file contents that were never meant for it.
    One,
    Any,
}

#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder by its path; links on the way are followed, since the operator named it.
    pub(super) fn open(path: &Path) -> Result<Self, Errno> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// The folder `name` in this one; `None` where there is nothing of that name.
    pub(super) fn sub(&self, name: &str) -> Result<Option<Self>, RegistryError> {
        let path = self.path.join(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => Err(RegistryError::Unsafe { path, what: "a link or no folder" }),
            Err(errno) => Err(RegistryError::io(&path, "open", errno)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What `name` is; `None` where there is nothing of that name.
    pub(super) fn kind(&self, name: &str) -> Result<Option<Kind>, RegistryError> {
        Ok(self.stat(name)?.map(|stat| kind_of(FileType::from_raw_mode(stat.st_mode))))
    }

    /// Which file `name` is now, to tell whether it is still the same one.
    pub(super) fn identity(&self, name: &str) -> Result<Option<(u64, u64)>, RegistryError> {
        Ok(self.stat(name)?.map(|stat| (stat.st_dev, stat.st_ino)))
    }

    pub(super) fn stat(&self, name: &str) -> Result<Option<Stat>, RegistryError> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(RegistryError::io(&self.path.join(name), "look at", errno)),
        }
    }

    /// Calls `visit` with the name and kind of every entry until it returns false. Names that are not UTF-8 come with
    /// replacement characters: they fit no rule, whatever the rule.
    pub(super) fn visit(&self, mut visit: impl FnMut(&str, Kind) -> bool) -> Result<(), RegistryError> {
        let failed = |errno| RegistryError::io(&self.path, "list", errno);
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_string_lossy();
            if matches!(&*name, "." | "..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => self.kind(&name)?.unwrap_or(Kind::Other),
                known => kind_of(known),
            };
            if !visit(&name, kind) {
                break;
            }
        }
        Ok(())
    }

    /// Opens the plain file `name`; `None` where there is nothing of that name. A FIFO or a device is not even opened.
    pub(super) fn open_file(&self, name: &str, flags: OFlags, links: Links) -> Result<Option<File>, RegistryError> {
        let path = self.path.join(name);
        match self.stat(name)? {
            None if !flags.contains(OFlags::CREATE) => return Ok(None),
            Some(stat) => plain(&path, &stat, links)?,
            None => {}
        }
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(0o644)) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(RegistryError::Unsafe { path, what: "a symbolic link" }),
            Err(errno) => return Err(RegistryError::io(&path, "open", errno)),
        };
        // Looked at again: the name may have come to mean something else in between.
        let stat = rustix::fs::fstat(&fd).map_err(|errno| RegistryError::io(&path, "look at", errno))?;
        plain(&path, &stat, links)?;
        Ok(Some(fd.into()))
    }

    /// All bytes of the plain file `name`; `None` where there is nothing of that name.
    pub(super) fn read(&self, name: &str, bytes_max: u64, links: Links) -> Result<Option<Vec<u8>>, RegistryError> {
        let Some(file) = self.open_file(name, OFlags::RDONLY, links)? else { return Ok(None) };
        let path = self.path.join(name);
        let failed = |error| RegistryError::io(&path, "read", error);
        let too_large = |bytes| RegistryError::TooLarge { path: path.clone(), bytes, bytes_max };
        let size = file.metadata().map_err(failed)?.len();
        if bytes_max < size {
            return Err(too_large(size));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        let read = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if bytes_max < read { Err(too_large(read)) } else { Ok(Some(bytes)) }
    }

    /// Makes the new folder `name`.
    pub(super) fn make(&self, name: &str) -> Result<Self, RegistryError> {
        let path = self.path.join(name);
        let made = rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755));
        made.map_err(|errno| RegistryError::io(&path, "make", errno))?;
        self.sub(name)?.ok_or(RegistryError::MissingFile { path })
    }

    /// Writes the new file `name`, with these permission bits, and flushes it to the disk.
    pub(super) fn create(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), RegistryError> {
        let path = self.path.join(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode))
            .map_err(|errno| RegistryError::io(&path, "create", errno))?;
        let mut file = File::from(fd);
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|error| RegistryError::io(&path, "write", error))
    }

    /// Replaces the file `name` at once: a reader, and a restart after a crash, finds the old bytes or the new ones.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let temporary = format!(".{}.tmp", name.trim_start_matches('.'));
        self.remove(&temporary)?;
        let renamed = self.create(&temporary, bytes, 0o644).and_then(|()| {
            let renamed = rustix::fs::renameat(&self.fd, &temporary, &self.fd, name);
            renamed.map_err(|errno| RegistryError::io(&self.path.join(name), "replace", errno))
        });
        if renamed.is_err() {
            self.remove(&temporary).ok();
        }
        renamed?;
        self.sync()
    }

    /// Gives the folder `from` the name `to`, which nothing else has.
    pub(super) fn rename_new(&self, from: &str, to: &str) -> Result<(), RegistryError> {
        let failed = |errno| RegistryError::io(&self.path.join(to), "make", errno);
        match rustix::fs::renameat_with(&self.fd, from, &self.fd, to, RenameFlags::NOREPLACE) {
            // Some network file systems do not know the flag; writers hold a lock, so looking first is enough there.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if self.kind(to)?.is_none() => {
                rustix::fs::renameat(&self.fd, from, &self.fd, to).map_err(failed)
            }
            renamed => renamed.map_err(failed),
        }
    }

    /// Removes the file `name`, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), RegistryError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(RegistryError::io(&self.path.join(name), "remove", errno)),
        }
    }

    /// Flushes the folder's list of names to the disk.
    pub(super) fn sync(&self) -> Result<(), RegistryError> {
        rustix::fs::fsync(&self.fd).map_err(|errno| RegistryError::io(&self.path, "flush", errno))
    }
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        _ => Kind::Other,
    }
}

fn plain(path: &Path, stat: &Stat, links: Links) -> Result<(), RegistryError> {
    let what = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if links == Links::One && 1 < stat.st_nlink => "a file with a second name (a hard link)",
        FileType::RegularFile => return Ok(()),
        FileType::Symlink => "a symbolic link",
        FileType::Directory => "a folder",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        _ => "a device",
    };
    Err(RegistryError::Unsafe { path: path.to_owned(), what })
}
