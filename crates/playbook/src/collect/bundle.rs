//! The archive: files one after the other, each as it is there, and the manifest at the end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::limits::MAX_MISSING;
use super::redact::Redactor;

/// The directory in the archive: unpacking it strews nothing.
const DIRECTORY: &str = "sni-probe-bundle";
/// Of zstd: its default.
const LEVEL: i32 = 3;
const OWNER_ONLY: u32 = 0o600;

/// An archive that is being written, under another name until it is whole.
pub(super) struct Bundle {
    archive: tar::Builder<zstd::Encoder<'static, BufWriter<File>>>,
    output: PathBuf,
    partial: Partial,
    redactor: Redactor,
    manifest: Manifest,
}

/// `MANIFEST.json`.
#[derive(Debug, Serialize)]
struct Manifest {
    /// Of the program.
    version: &'static str,
    /// When it was made.
    time: Timestamp,
    /// How it was called.
    command_line: Vec<String>,
    /// Whether addresses are pseudonyms.
    addresses_redacted: bool,
    files: Vec<ManifestEntry>,
    missing: Vec<Missing>,
}

#[derive(Debug, Serialize)]
struct ManifestEntry {
    /// In the archive.
    name: String,
    /// Where it is from: a URL, a path.
    source: String,
    /// Bytes.
    size: u64,
    /// Over the bytes in the archive, in lower-case hexadecimal digits.
    sha256: String,
    /// Secrets that were taken out.
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted: Option<u64>,
}

/// Something that could not be collected.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Missing {
    /// What.
    pub(super) name: String,
    /// Why.
    pub(super) reason: String,
}

/// How a text is to be understood, to find the secrets in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A configuration in YAML or JSON: by field name, and words that look like keys. What cannot be parsed is left out.
    Configuration,
    /// A JSON document: by field name. What cannot be parsed is left out.
    Json,
    /// A JSON object a line.
    JsonLines,
    /// Anything else.
    Text,
}

impl Bundle {
    /// Begins an archive that is to become `output`, which [`super::output::check`] has let pass.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub(super) fn create(output: &Path, mut redactor: Redactor) -> anyhow::Result<Self> {
        let mut name = output.file_name().context("--output: expected the name of a file")?.to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let partial = Partial(output.with_file_name(name));
        let cannot = || format!("cannot write {}; see --output", output.display());
        let opened = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&partial.0);
        let encoder = zstd::Encoder::new(BufWriter::new(opened.with_context(cannot)?), LEVEL);
        let command_line = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let command_line = redactor.words(command_line);
        let manifest = Manifest {
            version: env!("CARGO_PKG_VERSION"),
            time: Timestamp::now(),
            command_line,
            addresses_redacted: redactor.is_for_addresses(),
            files: Vec::new(),
            missing: Vec::new(),
        };
        let archive = tar::Builder::new(encoder.with_context(cannot)?);
        Ok(Self { archive, output: output.to_owned(), partial, redactor, manifest })
    }

    /// Whether addresses are pseudonyms.
    pub(super) fn is_for_addresses(&self) -> bool {
        self.redactor.is_for_addresses()
    }

    /// Adds a text, without its secrets.
    ///
    /// # Errors
    /// If the archive cannot be written. A text in which secrets cannot be found is listed as missing.
    pub(super) fn text(&mut self, name: &str, source: &str, kind: Kind, bytes: &[u8]) -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        let before = self.redactor.count();
        let redacted = match kind {
            Kind::Configuration => self.redactor.configuration(source, &text),
            Kind::Json => self.redactor.json(source, &text),
            Kind::JsonLines => Ok(self.redactor.json_lines(&text)),
            Kind::Text => Ok(self.redactor.text(&text)),
        };
        match redacted {
            Ok(text) => self.add(name, source, text.as_bytes(), Some(self.redactor.count() - before)),
            Err(error) => {
                self.miss(name, &format!("{error:#}; left out, because its secrets cannot be found"));
                Ok(())
            }
        }
    }

    /// Adds bytes as they are.
    ///
    /// # Errors
    /// If the archive cannot be written.
    pub(super) fn bytes(&mut self, name: &str, source: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.add(name, source, bytes, None)
    }

    /// Lists something as missing.
    pub(super) fn miss(&mut self, name: &str, reason: &str) {
        if self.manifest.missing.len() < MAX_MISSING {
            let (name, reason) = (self.redactor.message(name), self.redactor.message(reason));
            self.manifest.missing.push(Missing { name, reason });
        }
    }

    /// What is missing so far.
    pub(super) fn missing(&self) -> &[Missing] {
        &self.manifest.missing
    }

    /// Files so far.
    pub(super) fn collected(&self) -> usize {
        self.manifest.files.len()
    }

    /// Writes the manifest, and gives the archive its name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}; is the disk full?", self.output.display());
        let manifest = serde_json::to_vec_pretty(&self.manifest).context("cannot encode the manifest")?;
        append(&mut self.archive, "MANIFEST.json", &manifest).with_context(cannot)?;
        let written = self.archive.into_inner().and_then(zstd::Encoder::finish);
        let written = written.and_then(|writer| writer.into_inner().map_err(io::IntoInnerError::into_error));
        written.and_then(|file| file.sync_all()).with_context(cannot)?;
        fs::rename(&self.partial.0, &self.output)
            .with_context(|| format!("cannot write {}; see --output", self.output.display()))
    }

    fn add(&mut self, name: &str, source: &str, bytes: &[u8], redacted: Option<u64>) -> anyhow::Result<()> {
        append(&mut self.archive, name, bytes)
            .with_context(|| format!("cannot write {}; is the disk full?", self.output.display()))?;
        let digest = Sha256::digest(bytes);
        self.manifest.files.push(ManifestEntry {
            name: name.to_owned(),
            source: self.redactor.message(source),
            size: bytes.len() as u64,
            sha256: format!("{digest:x}"),
            redacted,
        });
        Ok(())
    }
}

fn append(archive: &mut tar::Builder<impl io::Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(OWNER_ONLY);
    header.set_mtime(u64::try_from(Timestamp::now().as_second()).unwrap_or(0));
    archive.append_data(&mut header, format!("{DIRECTORY}/{name}"), bytes)
}

/// The file under its other name; removed unless it got its own.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // After the rename it is not there any more.
        let _ = fs::remove_file(&self.0);
    }
}
