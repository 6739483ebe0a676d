//! The directory in which evidence is kept, within its bounds.

use std::collections::{HashMap, VecDeque};
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::file_name::FileName;

/// A file gets its name when it is whole. There is one writer, so one such name will do.
const UNFINISHED: &str = ".sni-probe-evidence.tmp";

/// The directory is read at least this often, because a file's size does not show in the directory's change time.
const FULL_LOOK: Duration = Duration::from_mins(1);

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
    last_look: Option<Look>,
}

/// When the directory was last read.
#[derive(Clone, Copy, Debug)]
struct Look {
    time: Instant,
    /// Its change time just before.
    changed: (i64, i64),
    /// Whether that was long enough ago that a later change has another time.
    is_settled: bool,
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
        Ok(Self {
            path: path.to_owned(),
            descriptor,
            limits,
            files: VecDeque::new(),
            bytes: 0,
            last_look: None,
        })
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

    /// Notes files that others added, changed or removed, and removes what is then beyond the bounds.
    ///
    /// Files that others added go first when there is no room. To be called from time to time: it reads the directory
    /// only if the directory has changed, or [`FULL_LOOK`] has passed.
    ///
    /// # Errors
    /// If the directory cannot be read, or a file not be removed.
    pub(super) fn follow(&mut self, now: Instant) -> io::Result<()> {
        let changed = change_time(&self.descriptor)?;
        if let Some(look) = self.last_look
            && look.is_settled
            && look.changed == changed
            && now.duration_since(look.time) < FULL_LOOK
        {
            return Ok(());
        }
        // Changes that follow at once may get the same time.
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let is_settled = u64::try_from(changed.0).is_ok_and(|changed| changed + 1 < seconds);
        self.find()?;
        self.make_room(0, 0)?;
        self.last_look = Some(Look { time: now, changed, is_settled });
        Ok(())
    }

    /// Reads the directory.
    fn find(&mut self) -> io::Result<()> {
        let mut found = HashMap::new();
        for entry in Dir::read_from(&self.descriptor)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().ok().and_then(FileName::parse) else { continue };
            match statat(&self.descriptor, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(status) if FileType::from_raw_mode(status.st_mode) == FileType::RegularFile => {
                    found.insert(name, u64::try_from(status.st_size).unwrap_or_default());
                }
                // Removed meanwhile.
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // A file that this process wrote keeps its place.
        self.files.retain_mut(|kept| match found.remove(&kept.name) {
            Some(bytes) => {
                kept.bytes = bytes;
                true
            }
            None => false,
        });
        let mut others: Vec<Kept> = found.into_iter().map(|(name, bytes)| Kept { name, bytes }).collect();
        others.sort_unstable_by(|a, b| b.name.cmp(&a.name));
        for other in others {
            self.files.push_front(other);
        }
        self.bytes = self.files.iter().map(|kept| kept.bytes).sum();
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

/// When an entry of the directory was last added, removed or renamed: seconds and nanoseconds.
fn change_time(directory: &OwnedFd) -> io::Result<(i64, i64)> {
    let status = fstat(directory)?;
    Ok((status.st_mtime, status.st_mtime_nsec.try_into().unwrap_or_default()))
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
