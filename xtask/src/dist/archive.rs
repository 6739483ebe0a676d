//! Archives whose bytes depend on what is in them and on nothing else.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};

use super::replace;
use super::tree::Tree;

/// A tar archive: sorted, of root, with one time for all.
pub(super) fn tar(tree: &Tree, epoch: u64) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, entry) in tree.entries() {
        let mut header = tar::Header::new_ustar();
        header.set_mode(entry.mode);
        header.set_mtime(epoch);
        header.set_uid(0);
        header.set_gid(0);
        let contents: &[u8] = entry.contents.as_deref().unwrap_or_default();
        header.set_size(contents.len() as u64);
        if entry.contents.is_some() {
            header.set_entry_type(tar::EntryType::Regular);
            archive.append_data(&mut header, path, contents)
        } else {
            header.set_entry_type(tar::EntryType::Directory);
            archive.append_data(&mut header, format!("{path}/"), contents)
        }
        .with_context(|| format!("adding {path} to an archive"))?;
    }
    archive.into_inner().context("finishing an archive")
}

/// gzip without a time and a name in its header.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish().context("compressing")
}

/// Writes a tarball.
pub(super) fn write_gzipped(path: &Path, tree: &Tree, epoch: u64) -> Result<()> {
    replace(path, &gzip(&tar(tree, epoch)?)?)
}

/// In hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_given_is_the_only_one() {
        let mut tree = Tree::default();
        tree.file("etc/passwd", "root");
        let gzipped = |epoch| gzip(&tar(&tree, epoch).unwrap()).unwrap();
        assert_eq!(gzipped(7), gzipped(7));
        assert_ne!(gzipped(7), gzipped(8));
        // RFC 1952: flags and time of the header.
        assert_eq!(gzipped(7)[3..8], [0; 5]);
    }
}
