//! The capture that is read: made once, and there for the next time.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sni_probe_testkit::captures::mixed::{self, Mix, Truth};

use crate::progress;

/// A capture and what is in it.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) path: PathBuf,
    pub(super) truth: Truth,
}

impl Capture {
    /// Makes it in a directory, or finds the one that was made before.
    pub(super) fn of(mix: &Mix, directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        let Mix { bytes, hellos, without_sni } = mix;
        let name = format!("mixed-v{}-{bytes}-{hellos}-{without_sni}", mixed::VERSION);
        let path = directory.join(&name).with_extension("pcap");
        let truth_path = directory.join(&name).with_extension("json");
        // The truth is written last: with it, the capture is whole.
        if let Some(truth) = read_truth(&truth_path)
            && fs::metadata(&path).is_ok_and(|metadata| metadata.len() == truth.bytes)
        {
            progress(&format!("the capture is there from before: {}", path.display()));
            return Ok(Self { path, truth });
        }
        progress(&format!("writing a capture of {} MB: {}", bytes / 1_000_000, path.display()));
        let mut file = File::create(&path).with_context(|| path.display().to_string())?;
        let mut tenths = 0;
        let truth = mixed::write(mix, &mut file, |written| {
            let now = written * 10 / bytes.max(&1);
            if now > tenths && now < 10 {
                tenths = now;
                progress(&format!("  {now}0 %"));
            }
        });
        let truth = truth.with_context(|| format!("writing {}", path.display()))?;
        fs::write(&truth_path, serde_json::to_string(&truth)?)
            .with_context(|| truth_path.display().to_string())?;
        Ok(Self { path, truth })
    }

    /// Reads it once, so that the first program does not pay for the disk.
    pub(super) fn warm(&self) -> Result<()> {
        let mut file = File::open(&self.path)?;
        let mut buffer = vec![0; 1 << 20];
        while file.read(&mut buffer)? > 0 {}
        Ok(())
    }
}

fn read_truth(path: &Path) -> Option<Truth> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}
