//! What may be replaced by the bundle: an older bundle, and nothing else.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use sni_probe_pcap::magic::ZSTD;

/// Lets pass what is not there yet, and an older bundle that is none of the files to read.
///
/// # Errors
/// If something else is there, which the bundle would destroy: a device, a link, a file of the user's.
pub(super) fn check(output: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    let name = output.display();
    ensure!(
        output != Path::new("-"),
        "--output -: a bundle is written to a file; name one, such as ./bundle.tar.zst"
    );
    ensure!(!inputs.contains(&output), "--output {name}: it is a file to read; name another");
    let there = match fs::symlink_metadata(output) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot write {name}; see --output")),
    };
    // A rename would put the bundle in place of the link or the device.
    ensure!(there.is_file(), "--output {name}: it is there, and no regular file; name another");
    for input in inputs {
        // Another path may lead to the same file. One that is not there is reported when it is to be read.
        let is_same = fs::metadata(input).is_ok_and(|input| is_same(&input, &there));
        ensure!(!is_same, "--output {name}: it is {}, a file to read; name another", input.display());
    }
    if !is_zstd(output).with_context(|| format!("cannot read {name}, which is there; see --output"))? {
        bail!("--output {name}: it is there, and no older bundle; name another, or remove it");
    }
    Ok(())
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn is_zstd(path: &Path) -> io::Result<bool> {
    let mut begin = Vec::new();
    File::open(path)?.take(ZSTD.len() as u64).read_to_end(&mut begin)?;
    Ok(begin == ZSTD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_older_bundle_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let old = path("old.tar.zst");
        fs::write(&old, [&ZSTD[..], b"more"].concat()).unwrap();
        fs::write(path("keep.yaml"), "a: 1").unwrap();
        fs::write(path("short"), &ZSTD[..2]).unwrap();
        fs::hard_link(&old, path("same")).unwrap();
        std::os::unix::fs::symlink(&old, path("link")).unwrap();
        std::os::unix::fs::symlink(path("nowhere"), path("dangling")).unwrap();
        let why = |output: &Path, inputs: &[&Path]| check(output, inputs).unwrap_err().to_string();

        check(&path("new"), &[&path("keep.yaml"), &path("nowhere")]).unwrap();
        check(&old, &[&path("keep.yaml")]).unwrap();
        assert!(why(Path::new("-"), &[]).contains("written to a file"));
        for name in ["keep.yaml", "short"] {
            assert!(why(&path(name), &[]).contains("no older bundle"), "{name}");
        }
        for name in ["link", "dangling", "."] {
            assert!(why(&path(name), &[]).contains("no regular file"), "{name}");
        }
        assert!(why(&old, &[&path("same")]).contains("a file to read"));
        assert!(why(&path("new"), &[&path("new")]).contains("a file to read"));
    }
}
