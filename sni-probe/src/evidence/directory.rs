//! The directory in which evidence is kept, within its bounds.

use std::collections::VecDeque;
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, flock, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::file_name::FileName;

/// A file gets its name when it is whole. There is one writer, so one such name will do.
const UNFINISHED: &str = ".sni-probe-evidence.tmp";

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Files, one for each handshake.
    pub(super) handshakes: usize,
    /// Bytes of all files together.
    pub(super) bytes: u64,
}

/// The directory. It is held by a descriptor, so that it stays the same whatever is done to its path.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    descriptor: OwnedFd,
    limits: Limits,
    /// Oldest first: by their names at the start, then in the order in which they were written, for the clock may be set back.
    files: VecDeque<Kept>,
    bytes: u64,
}

#[derive(Debug)]
struct Kept {
    name: FileName,
    bytes: u64,
}

impl Directory {
    /// Opens the directory, and makes it if there is none.
    ///
    /// # Errors
    /// If that cannot be, or another process has it.
    pub(super) fn open(path: &Path, limits: Limits) -> anyhow::Result<Self> {
        let said = |what| format!("--evidence {}: {what}; name another directory", path.display());
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(path)
            .with_context(|| said("it cannot be made"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor =
            openat(CWD, path, flags, Mode::empty()).with_context(|| said("it cannot be opened"))?;
        // Where the file system has no locks, two daemons in one directory are the user's affair.
        if flock(&descriptor, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            bail!(said("another sni-probe keeps its evidence there"));
        }
        Ok(Self { path: path.to_owned(), descriptor, limits, files: VecDeque::new(), bytes: 0 })
    }

    /// Counts what earlier runs left towards the bounds, removes what is beyond them, and makes sure that files can
    /// be written. To be called with the privileges with which they will be.
    ///
    /// # Errors
    /// If they cannot.
    pub(super) fn take_stock(&mut self) -> anyhow::Result<()> {
        let taken = self.find().and_then(|()| self.make_room(0, 0)).and_then(|()| {
            self.write_unfinished(b"")?;
            self.discard_unfinished()
        });
        taken.with_context(|| {
            format!(
                "--evidence {}: cannot write there; the directory must belong to the user that sni-probe runs as \
                 (its capabilities it gives up, root as well)",
                self.path.display()
            )
        })
    }

    /// Writes a file, and removes the oldest before where there would be too many or too much.
    ///
    /// # Errors
    /// If it cannot be written: then nothing is left of it.
    pub(super) fn add(&mut self, name: FileName, contents: &[u8]) -> io::Result<()> {
        let bytes = contents.len() as u64;
        if bytes > self.limits.bytes {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.make_room(1, bytes)?;
        let written = self
            .write_unfinished(contents)
            .and_then(|()| Ok(renameat(&self.descriptor, UNFINISHED, &self.descriptor, name.as_str())?));
        if let Err(error) = written {
            // What is told is the first error; if this fails too, the next file takes its place.
            let _ = self.discard_unfinished();
            return Err(error);
        }
        // The same client's port, within the same microsecond: the later one has replaced the earlier.
        if let Some(at) = self.files.iter().position(|kept| kept.name == name)
            && let Some(replaced) = self.files.remove(at)
        {
            self.bytes -= replaced.bytes;
        }
        self.bytes += bytes;
        self.files.push_back(Kept { name, bytes });
        Ok(())
    }

    /// How much is kept.
    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Files that are kept.
    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    /// Bytes of all files together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn find(&mut self) -> io::Result<()> {
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().ok().and_then(FileName::parse) else { continue };
            let status = statat(&self.descriptor, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            if FileType::from_raw_mode(status.st_mode) == FileType::RegularFile {
                let bytes = u64::try_from(status.st_size).unwrap_or_default();
                self.bytes += bytes;
                self.files.push_back(Kept { name, bytes });
            }
        }
        self.files.make_contiguous().sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }

    /// Removes the oldest files until there is room for so many more, of so many bytes.
    fn make_room(&mut self, handshakes: usize, bytes: u64) -> io::Result<()> {
        while self.files.len() + handshakes > self.limits.handshakes || self.bytes + bytes > self.limits.bytes
        {
            let Some(oldest) = self.files.front() else { break };
            remove(&self.descriptor, oldest.name.as_str())?;
            self.bytes -= oldest.bytes;
            self.files.pop_front();
        }
        Ok(())
    }

    fn write_unfinished(&self, contents: &[u8]) -> io::Result<()> {
        self.discard_unfinished()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.descriptor, UNFINISHED, flags, FILE_MODE)?);
        file.write_all(contents)
    }

    fn discard_unfinished(&self) -> io::Result<()> {
        remove(&self.descriptor, UNFINISHED)
    }
}

/// Removes a file; it is well if somebody else has done so.
fn remove(directory: &OwnedFd, name: &str) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
