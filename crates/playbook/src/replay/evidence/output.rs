//! The file of `--write`.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use sni_probe_pcap::{Interface, PacketToWrite, Writer};

use super::queue::StoredPacket;
use crate::replay::config::Config;

/// The mode of the file.
const OWNER_ONLY: u32 = 0o600;

/// The file that is written. It is made with the first frame: a slip in the name of a capture costs nobody an older file.
pub(super) struct Output {
    path: PathBuf,
    writer: Option<Writer<BufWriter<File>>>,
}

impl Output {
    /// The file at `path`.
    ///
    /// # Errors
    /// If it is one of those that are to be read.
    pub(super) fn new(path: &Path, inputs: &[PathBuf]) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            bail!("--write -: name a file, standard output is for what is printed");
        }
        if is_input(path, inputs) {
            bail!("--write {}: this is a capture to be read; name another file", path.display());
        }
        Ok(Self { path: path.to_owned(), writer: None })
    }

    /// Describes an interface, and gives its number.
    pub(super) fn add_interface(&mut self, interface: &Interface) -> anyhow::Result<u32> {
        let name = self.name();
        self.writer()?.add_interface(interface).context(name)
    }

    pub(super) fn write(&mut self, packet: &StoredPacket) -> anyhow::Result<()> {
        let &StoredPacket { interface, time_ns, wire_len, ref bytes } = packet;
        let packet = PacketToWrite { interface, time_ns, wire_len, bytes, comment: None };
        self.writer()?.write_packet(&packet).with_context(|| self.name())
    }

    /// Writes what is left. Without a frame there is no file.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        if let Some(writer) = self.writer.take() {
            writer.finish().with_context(|| self.name())?;
        }
        Ok(())
    }

    /// The writer; makes the file if there is none yet.
    fn writer(&mut self) -> anyhow::Result<&mut Writer<BufWriter<File>>> {
        if self.writer.is_none() {
            let made = create(&self.path).and_then(|file| Writer::new(BufWriter::new(file), None));
            self.writer = Some(made.with_context(|| self.name())?);
        }
        self.writer.as_mut().context("the file was made just now")
    }

    fn name(&self) -> String {
        format!("--write {}", self.path.display())
    }
}

/// An empty file that its owner alone reads, for there are addresses and first bytes of clients in it. One that was there
/// is made so as well; a pipe or a device stays what it is.
fn create(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(path)?;
    if file.metadata()?.is_file() {
        // File systems without modes, and files of others, keep theirs.
        let _ = file.set_permissions(Permissions::from_mode(OWNER_ONLY));
    }
    Ok(file)
}

/// Whether the file at `path` is one of those to be read, by whatever name; `-` is what stdin is redirected from.
fn is_input(path: &Path, inputs: &[PathBuf]) -> bool {
    let Ok(output) = fs::metadata(path) else { return false };
    let is_output = |input: fs::Metadata| (input.dev(), input.ino()) == (output.dev(), output.ino());
    inputs.iter().any(|input| {
        let metadata = if Config::is_stdin(input) {
            io::stdin().as_fd().try_clone_to_owned().and_then(|stdin| File::from(stdin).metadata())
        } else {
            fs::metadata(input)
        };
        metadata.is_ok_and(is_output)
    })
}
