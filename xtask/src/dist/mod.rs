//! `cargo xtask dist`: what users get. A static binary in the root filesystem of the image, the image itself, a
//! tarball, a bill of materials and checksums, all without a container engine.

mod archive;
mod binary;
mod crates;
mod image;
mod licences;
mod program_image;
mod root_filesystem;
mod sbom;
mod system;
mod tarball;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;
use lab_interface::dist::{Architecture, Artifacts};

use self::crates::Crates;
pub(crate) use self::program_image::program_image;
use self::tree::Tree;
use crate::cross::{self, Processor};
use crate::setup;
use crate::tools::{progress, root, target_directory};

/// Make the release: static binary, root filesystem, image, tarball, SBOM, checksums
///
/// Takes no container engine. The binary has its eBPF programs inside and is linked with nothing, so it starts on any
/// Linux of its processor. All times in the archives are the last commit's.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask dist
  cargo xtask dist --arch amd64,arm64
  cargo xtask dist --rootfs-only --output /out    # what deploy/Dockerfile calls
  (cd target/dist && sha256sum -c SHA256SUMS)
  podman load -i target/dist/sni-probe-0.1.0-linux-amd64-image.tar

Environment:
  SOURCE_DATE_EPOCH   another time, in seconds since 1970
  SNI_PROBE_REVISION  what the binary and the image call their revision [default: the commit]")]
pub(crate) struct Arguments {
    /// The processors, separated by commas [default: this machine's]
    #[arg(long, value_enum, value_delimiter = ',')]
    arch: Vec<Processor>,
    /// Only the root filesystem of the image
    #[arg(long)]
    rootfs_only: bool,
    /// Where to put it all [default: target/dist]
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

/// The end of the name of a file that is being written.
const PARTIAL: &str = ".partial";

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    let output = arguments.output.clone().unwrap_or_else(directory);
    let architectures = cross::architectures(&arguments.arch).into_iter();
    let releases: Vec<Artifacts> =
        architectures.map(|architecture| Artifacts::new(&output, architecture)).collect();
    let mut made = Vec::new();
    for artifacts in &releases {
        make(artifacts, arguments.rootfs_only)?;
        made.push(artifacts.root_filesystem());
        if !arguments.rootfs_only {
            made.extend([artifacts.image(), artifacts.tarball(), artifacts.bill_of_materials()]);
        }
    }
    if !arguments.rootfs_only {
        made.extend(releases.first().map(Artifacts::checksums));
    }
    for path in made {
        println!("{:>9}  {}", mebibytes(size(&path)?), path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Where it all goes by default.
fn directory() -> PathBuf {
    target_directory().join("dist")
}

/// Makes the release for this machine and gives its directory, for the tests.
pub(crate) fn for_tests() -> Result<PathBuf> {
    let artifacts = Artifacts::new(&directory(), Architecture::host());
    make(&artifacts, false)?;
    Ok(artifacts.directory().to_owned())
}

/// Builds the static binary of a release, and nothing else. Returns its path.
pub(crate) fn static_binary(architecture: Architecture) -> Result<PathBuf> {
    Ok(binary::build(architecture)?.binary)
}

fn make(artifacts: &Artifacts, rootfs_only: bool) -> Result<()> {
    setup::ebpf()?;
    let epoch = epoch()?;
    let built = binary::build(artifacts.architecture())?;
    let crates = Crates::load(&built)?;
    let licences = licences::text(&built, &crates)?;
    let tree = root_filesystem::tree(&built.binary, &licences)?;
    progress(&format!(
        "sni-probe is {}, the root filesystem {}",
        mebibytes(size(&built.binary)?),
        mebibytes(tree.bytes())
    ));
    tree.write(&artifacts.root_filesystem())?;
    if rootfs_only {
        return Ok(());
    }
    progress("image, tarball and bill of materials");
    image::write(&artifacts.image(), &tree, artifacts.architecture(), epoch)?;
    let contents = tarball::tree(&built, &licences)?;
    archive::write_gzipped(&artifacts.tarball(), &Tree::below(&artifacts.name(), contents), epoch)?;
    sbom::write(&artifacts.bill_of_materials(), &artifacts.name(), &built, &crates, epoch)?;
    checksums(artifacts)
}

/// Writes the checksums of all files of this version, for each processor whose release lies there.
fn checksums(artifacts: &Artifacts) -> Result<()> {
    let prefix = concat!("sni-probe-", env!("CARGO_PKG_VERSION"), "-");
    let mut lines = Vec::new();
    for entry in fs::read_dir(artifacts.directory())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = name.starts_with(prefix) && !name.ends_with(PARTIAL);
        if is_ours && entry.file_type()?.is_file() {
            lines.push((name, archive::sha256(&fs::read(entry.path())?)));
        }
    }
    lines.sort();
    let lines: Vec<String> = lines.into_iter().map(|(name, sum)| format!("{sum}  {name}")).collect();
    let text = lines.join("\n") + "\n";
    replace(&artifacts.checksums(), text.as_bytes())
}

/// The time of all files, in seconds since 1970: `SOURCE_DATE_EPOCH`, or the last commit's, or 0 without git.
fn epoch() -> Result<u64> {
    let set = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty());
    match set.or_else(|| git(&["log", "-1", "--format=%ct"])) {
        Some(text) => {
            text.parse().with_context(|| format!("SOURCE_DATE_EPOCH: {text:?} is no number of seconds"))
        }
        None => Ok(0),
    }
}

/// What git prints, where there is a repository.
fn git(words: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // With sudo the repository is another user's, and git would not speak of it.
    command.arg("-c").arg(format!("safe.directory={}", root().display()));
    let output = command.arg("-C").arg(root()).args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

/// Writes a file in one step: what reads it meanwhile sees the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(PARTIAL);
    let partial = PathBuf::from(partial);
    fs::write(&partial, bytes).with_context(|| format!("writing {}", partial.display()))?;
    fs::rename(&partial, path).with_context(|| format!("writing {}", path.display()))
}

/// Of a file, or of all files in a directory.
fn size(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path).with_context(|| format!("looking at {}", path.display()))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}

fn mebibytes(bytes: u64) -> String {
    const MEBIBYTE: u64 = 1 << 20;
    let tenths = bytes.saturating_mul(10).div_ceil(MEBIBYTE);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
