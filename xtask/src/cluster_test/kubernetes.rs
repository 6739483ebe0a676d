//! Kubernetes 1.20.2, built from Debian 12's source package, and Debian's programs that it works with.
//!
//! Later releases of Debian have clients only. Nothing is installed: packages are unpacked below target/.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use lab_interface::cluster::{ClusterFiles, Program};

use crate::apt::{self, Apt};
use crate::tools::{path_with, progress, run, show};

const SUITE: &str = "bookworm";
const ARCHITECTURE: &str = "amd64";
const VERSION: (&str, &str, &str) = ("v1.20.2", "1", "20");
/// Programs of the node, and busybox for the process that holds a pod's namespaces.
const RUNTIME: [&str; 5] =
    ["etcd-server", "containerd", "runc", "containernetworking-plugins", "busybox-static"];
/// The compiler, and a library that Kubernetes has in version 1.0.1, which crashes with Go 1.18 and later at the first custom resource.
const TOOLCHAIN: [&str; 3] = ["golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev"];
const REFLECT2: &str = "github.com/modern-go/reflect2";
/// Lines of the build's log that a failure shows.
const LOG_TAIL: usize = 20;

/// What came of fetching Kubernetes.
#[derive(Debug)]
pub(super) enum Fetched {
    /// All is there.
    Complete,
    /// It is not to be had, for this reason.
    Missing(String),
}

/// Builds those of the programs that are not there yet, and unpacks those of Debian.
pub(super) fn fetch(files: &ClusterFiles, programs: &[Program]) -> Result<Fetched> {
    let missing: Vec<Program> =
        programs.iter().copied().filter(|program| !files.program(*program).exists()).collect();
    let has_runtime = files.debian().exists();
    if missing.is_empty() && has_runtime {
        return Ok(Fetched::Complete);
    }
    if !cfg!(target_arch = "x86_64") {
        return Ok(Fetched::Missing("the node is built for amd64 only".to_owned()));
    }
    let Some(archive) = apt::archive(false)? else {
        return Ok(Fetched::Missing("no Debian archive is to be had here".to_owned()));
    };
    if !has_runtime {
        progress("fetching etcd, containerd, runc and CNI plugins");
        let scratch = Scratch::new(files, "apt-runtime")?;
        let apt = Apt::new(scratch.path(), &archive, SUITE, ARCHITECTURE)?;
        apt.run("apt-get", &["-q", "update"])?;
        apt.unpack(&RUNTIME.map(str::to_owned), &files.debian())?;
    }
    if !missing.is_empty() {
        build(files, &archive, &missing)?;
    }
    Ok(Fetched::Complete)
}

fn build(files: &ClusterFiles, archive: &str, programs: &[Program]) -> Result<()> {
    let names: Vec<&str> = programs.iter().map(|program| program.name()).collect();
    progress(&format!("building {} (6 to 8 minutes on two cores, once)", names.join(", ")));
    let scratch = Scratch::new(files, "build")?;
    let at = |name: &str| scratch.path().join(name);
    let apt = Apt::with_sources(&at("apt"), archive, SUITE, ARCHITECTURE)?;
    apt.run("apt-get", &["-q", "update"])?;
    apt.unpack(&TOOLCHAIN.map(str::to_owned), &at("go"))?;
    let archive = apt.source("kubernetes")?;
    let source = at("kubernetes");
    fs::create_dir(&source)?;
    run(Command::new("tar").args(["--strip-components", "1", "-xf"]).arg(archive).arg("-C").arg(&source))?;
    replace_reflect2(&at("go/usr/share/gocode/src").join(REFLECT2), &source.join("vendor").join(REFLECT2))?;

    let log = files.directory().join("build.log");
    let mut make = make(&scratch, &source, programs)?;
    let output = File::create(&log)?;
    make.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let shown = show(&make);
    if !make.status().with_context(|| format!("starting {shown}"))?.success() {
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n");
        bail!("{shown} has failed; all of it is in {}; its last lines:\n{tail}", log.display());
    }
    for program in programs {
        let built = source.join("_output/local/bin/linux").join(ARCHITECTURE).join(program.name());
        let to = files.program(*program);
        fs::create_dir_all(to.parent().context("a program in no directory")?)?;
        fs::rename(&built, &to).with_context(|| format!("make has built no {}", built.display()))?;
    }
    Ok(())
}

/// `make` of Kubernetes, which takes nothing from the network nor from the user's own Go.
fn make(scratch: &Scratch, source: &Path, programs: &[Program]) -> Result<Command> {
    let at = |name: &str| scratch.path().join(name);
    let go = at("go/usr/lib/go-1.19");
    let workspace = source.join(".go/src/k8s.io");
    for directory in [&workspace, &at("tmp"), &at("home")] {
        fs::create_dir_all(directory)?;
    }
    symlink("../../..", workspace.join("kubernetes"))?;
    // Else it asks git, which would answer for this repository.
    let (version, major, minor) = VERSION;
    let version_file = at("version");
    let lines = format!(
        "KUBE_GIT_COMMIT='debian'\nKUBE_GIT_TREE_STATE='archive'\nKUBE_GIT_VERSION='{version}'\n\
         KUBE_GIT_MAJOR='{major}'\nKUBE_GIT_MINOR='{minor}'\n"
    );
    fs::write(&version_file, lines)?;
    let mut command = Command::new("make");
    let targets: Vec<String> = programs.iter().map(|program| format!("cmd/{}", program.name())).collect();
    command.current_dir(source).arg(format!("WHAT={}", targets.join(" ")));
    command.env("PATH", path_with(&[&go.join("bin")])?).env("GOROOT", &go).env("GOPATH", source.join(".go"));
    command.env("GOTMPDIR", at("tmp")).env("HOME", at("home")).env("KUBE_GIT_VERSION_FILE", &version_file);
    command.env("CGO_ENABLED", "0").env("GOPROXY", "off").env("GOFLAGS", "");
    for variable in ["GOCACHE", "GOENV", "GOBIN", "MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS"] {
        command.env_remove(variable);
    }
    Ok(command)
}

/// Puts the sources of the library in place of the vendored ones.
fn replace_reflect2(from: &Path, to: &Path) -> Result<()> {
    let is_source = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (name.ends_with(".go") || name.ends_with(".s")) && !name.ends_with("_test.go")
    };
    let sources = |directory: &Path| -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?;
        Ok(entries.flatten().map(|entry| entry.path()).filter(is_source).collect())
    };
    for old in sources(to)? {
        fs::remove_file(old)?;
    }
    for new in sources(from)? {
        fs::copy(&new, to.join(new.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// A directory that is empty at first and goes at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(files: &ClusterFiles, name: &str) -> Result<Self> {
        let path = files.directory().join(name);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
        }
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
