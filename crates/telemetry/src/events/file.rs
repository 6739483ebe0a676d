//! `--events-file`: a file that is put aside when it has grown.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Files that were put aside and are kept: `FILE.1`, the newest, to `FILE.4`.
const KEPT: usize = 4;

/// Takes whole lines, and never fails: lines that cannot be written (the disk is full) are counted, and the next
/// ones tried again.
#[derive(Debug)]
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines in the file.
    length: u64,
    /// It is put aside before it has more than so many.
    max_bytes: u64,
    lost_lines: Arc<AtomicU64>,
    has_warned: bool,
}

impl RotatingFile {
    /// Opens the file to append to it, or makes it, for its owner's eyes: it has addresses.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub(super) fn open(path: &Path, max_bytes: u64, lost_lines: Arc<AtomicU64>) -> io::Result<Self> {
        let file = open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(Self {
            path: path.to_owned(),
            length: metadata.len(),
            file,
            max_bytes,
            lost_lines,
            has_warned: false,
        })
    }

    fn try_write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.length > 0 && self.length + lines.len() as u64 > self.max_bytes {
            self.put_aside()?;
        }
        if let Err(error) = self.file.write_all(lines) {
            // What was written of them would run into the next line.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Renames each file to the next number, the oldest over the one before it, and begins a new one.
    fn put_aside(&mut self) -> io::Result<()> {
        for number in (1..KEPT).rev() {
            match fs::rename(numbered(&self.path, number), numbered(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match fs::rename(&self.path, numbered(&self.path, 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = open(&self.path)?;
        self.length = 0;
        Ok(())
    }
}

impl Write for RotatingFile {
    /// Takes as many whole lines as the file has room for; one that is longer than that is a file of its own.
    fn write(&mut self, batch: &[u8]) -> io::Result<usize> {
        let room = self.max_bytes.saturating_sub(self.length).max(1);
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(batch.len());
        let fitting = batch[..room].iter().rposition(|&byte| byte == b'\n');
        let end = fitting.or_else(|| batch.iter().position(|&byte| byte == b'\n'));
        let lines = &batch[..end.map_or(batch.len(), |newline| newline + 1)];
        if let Err(error) = self.try_write(lines) {
            let count = lines.split_inclusive(|&byte| byte == b'\n').count();
            self.lost_lines.fetch_add(count as u64, Ordering::Relaxed);
            if !self.has_warned {
                self.has_warned = true;
                tracing::warn!(file = %self.path.display(), %error, "cannot write events; what is lost is counted");
            }
        } else {
            self.has_warned = false;
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    // A FIFO without a reader is an error then, and not a wait.
    let file =
        OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK).open(path)?;
    // Two daemons would put each other's files aside.
    file.try_lock().map_err(|error| match error {
        TryLockError::Error(error) => error,
        TryLockError::WouldBlock => {
            io::Error::new(io::ErrorKind::ResourceBusy, "another process writes its events there")
        }
    })?;
    Ok(file)
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(directory: &Path, name: &str) -> Option<String> {
        fs::read_to_string(directory.join(name)).ok()
    }

    #[test]
    fn files_are_put_aside_at_line_ends_and_the_oldest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.json");
        fs::write(&path, "before\n").unwrap();
        let lost = Arc::new(AtomicU64::new(0));
        let mut file = RotatingFile::open(&path, 20, Arc::clone(&lost)).unwrap();
        let lines: Vec<String> = (0..14).map(|line| format!("line {line:03}\n")).collect();
        file.write_all(lines.concat().as_bytes()).unwrap();
        let files = |name: &str| written(directory.path(), name);
        assert_eq!(files("events.json").as_deref(), Some("line 013\n"));
        assert_eq!(files("events.json.1").as_deref(), Some("line 011\nline 012\n"));
        assert_eq!(files("events.json.4").as_deref(), Some("line 005\nline 006\n"));
        assert_eq!(files("events.json.5"), None);
        // One that is longer than a file may be is a file of its own.
        file.write_all(format!("{}\n", "x".repeat(50)).as_bytes()).unwrap();
        file.write_all(b"last\n").unwrap();
        assert_eq!(files("events.json").as_deref(), Some("last\n"));
        assert_eq!(files("events.json.1").unwrap().len(), 51);
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_then_it_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.json");
        let lost = Arc::new(AtomicU64::new(0));
        let mut file = RotatingFile::open(&path, 20, Arc::clone(&lost)).unwrap();
        // Nothing can be renamed over a directory that is not empty.
        fs::create_dir_all(directory.path().join("events.json.3/x")).unwrap();
        fs::create_dir_all(directory.path().join("events.json.4/x")).unwrap();
        file.write_all(b"line 1\nline 2\nline 3\nline 4\n").unwrap();
        assert_eq!(lost.load(Ordering::Relaxed), 2);
        assert_eq!(written(directory.path(), "events.json").as_deref(), Some("line 1\nline 2\n"));
        fs::remove_dir_all(directory.path().join("events.json.4")).unwrap();
        file.write_all(b"line 5\n").unwrap();
        file.write_all(b"line 6\n").unwrap();
        assert_eq!(written(directory.path(), "events.json").as_deref(), Some("line 5\nline 6\n"));
        assert_eq!(lost.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_file_is_one_daemons() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.json");
        let mut first = RotatingFile::open(&path, 20, Arc::default()).unwrap();
        let busy = || RotatingFile::open(&path, 20, Arc::default()).unwrap_err().to_string();
        assert!(busy().contains("another process"), "{}", busy());
        first.write_all(b"line 1\nline 2\nline 3\n").unwrap();
        assert!(busy().contains("another process"), "the next file is locked too");
        drop(first);
        RotatingFile::open(&path, 20, Arc::default()).unwrap();
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let open = |path: &str| RotatingFile::open(path.as_ref(), 20, Arc::default());
        assert!(open("/dev/full").unwrap_err().to_string().contains("not a regular file"));
        assert!(open("/").is_err() && open("/nonexistent/events.json").is_err());
    }
}
