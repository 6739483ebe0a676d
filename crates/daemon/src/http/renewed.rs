//! What is read from files that may be renewed under way, without a restart.
//!
//! cert-manager, or a kubelet, replaces the files. They are looked at when a request comes, every ten seconds at most.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

/// How often the files are looked at.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes of each file.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The value that was in the files when they were last good.
pub(super) struct Renewed<T> {
    /// For messages.
    what: &'static str,
    files: Arc<Files<T>>,
    current: Mutex<Current<T>>,
}

struct Files<T> {
    paths: Vec<PathBuf>,
    load: Box<dyn Fn() -> anyhow::Result<T> + Send + Sync>,
}

struct Current<T> {
    value: Arc<T>,
    /// Of the files that were read last, though they may have been no good.
    stamp: Vec<Option<FileStamp>>,
    looked: Instant,
}

/// What tells a file from the one that was there before. Whoever replaces it as kubelets do, by a symbolic link,
/// leaves the time of change alone, but not the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileStamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl<T: Send + Sync + 'static> Renewed<T> {
    /// Loads the value, and again by `load` whenever one of `paths` has changed.
    ///
    /// # Errors
    /// As `load`. Later its errors go to the log, and the value stays.
    pub(super) fn load(
        what: &'static str,
        paths: Vec<PathBuf>,
        load: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let files = Files { paths, load: Box::new(load) };
        // Before reading: a change in between is found at the next look.
        let stamp = files.stamp();
        let value = Arc::new((files.load)()?);
        let current = Current { value, stamp, looked: Instant::now() };
        Ok(Self { what, files: Arc::new(files), current: Mutex::new(current) })
    }

    /// What is in the files now, or was when they were last good.
    pub(super) async fn get(&self, now: Instant) -> Arc<T> {
        let last = {
            let mut current = self.lock();
            if now.duration_since(current.looked) < LOOK_INTERVAL {
                return Arc::clone(&current.value);
            }
            current.looked = now;
            current.stamp.clone()
        };
        let files = Arc::clone(&self.files);
        // Files may be on a slow disk.
        let look = tokio::task::spawn_blocking(move || {
            let stamp = files.stamp();
            (stamp != last).then(|| (stamp, (files.load)()))
        });
        let changed = look.await.ok().flatten();
        let mut current = self.lock();
        if let Some((stamp, loaded)) = changed {
            current.stamp = stamp;
            match loaded {
                Ok(value) => {
                    tracing::info!(file = %self.files.paths[0].display(), "{} renewed", self.what);
                    current.value = Arc::new(value);
                }
                Err(error) => tracing::warn!("{} not renewed, what was before stays: {error:#}", self.what),
            }
        }
        Arc::clone(&current.value)
    }

    fn lock(&self) -> MutexGuard<'_, Current<T>> {
        // Its fields are replaced whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Files<T> {
    /// Nothing for a file that cannot be looked at.
    fn stamp(&self) -> Vec<Option<FileStamp>> {
        let stamp = |path: &PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some(FileStamp {
                device: metadata.dev(),
                inode: metadata.ino(),
                bytes: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
            })
        };
        self.paths.iter().map(stamp).collect()
    }
}

impl<T> std::fmt::Debug for Renewed<T> {
    // Not the value: it may be a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewed").field("files", &self.files.paths).finish_non_exhaustive()
    }
}

/// Reads a file that is small.
///
/// # Errors
/// Says what is wrong, not with which file.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = fs::metadata(path).context("cannot be read")?.len();
    ensure!(bytes <= MAX_FILE_BYTES, "it has {bytes} bytes, more than {MAX_FILE_BYTES}");
    fs::read(path).context("cannot be read")
}
