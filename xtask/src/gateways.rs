//! `cargo xtask gateways`: real clients against real gateways, and what sni-probe says of each handshake.

use std::ffi::OsStr;
use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use lab_interface::{ENVOY_VARIABLE, GATEWAYS_VARIABLE, PROBE_VARIABLE};

use crate::tools::{find, path_with, progress, run, tools_directory};
use crate::{build, lab, releases, root, setup};

/// Of both releases, clients and gateways.
const PACKAGES: [&str; 15] = [
    "apache2",
    "ca-certificates",
    "caddy",
    "curl",
    "erlang-ssl",
    "gnutls-bin",
    "golang-go",
    "haproxy",
    "hitch",
    "libnginx-mod-stream",
    "nginx-light",
    "nodejs",
    "openssl",
    "stunnel4",
    "wget",
];
/// Releases, with what not both have.
const RELEASES: [(&str, &[&str]); 2] = [
    ("bookworm", &["openjdk-17-jdk-headless", "python3", "sniproxy", "trafficserver"]),
    ("sid", &["openjdk-25-jdk-headless"]),
];

/// Compare outcomes with what real clients report of real gateways (root)
///
/// Installs clients and gateways of two Debian releases into target/tools/gateways (3 GB), and runs each client with each
/// gateway by TLS 1.2 and 1.3: in order, resumed, with early data, with a client certificate that is right, missing or
/// wrong, and with a gateway certificate that is distrusted, expired or of another name. TC programs and packet sockets
/// watch the same packets. Exit code 1 when an outcome is not what the client reports.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask gateways
  cargo xtask gateways 'Envoy, curl'                # combinations whose name contains this
  cargo xtask gateways 'TLS 1.3, certificate-wrong'
  cargo xtask gateways --newer --records new.tsv    # Debian unstable; the records on the wire
  cargo xtask gateways --refusals                   # how 30 gateways refuse a hello without SNI
  cargo xtask gateways --sample                     # programs of this machine only, a minute")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Arguments {
    /// Only combinations whose name contains this
    filter: Option<String>,
    /// A sample, of programs of this machine only
    #[arg(long, group = "choice")]
    sample: bool,
    /// Newer releases of clients and gateways instead of those of Debian 12
    #[arg(long, group = "choice")]
    newer: bool,
    /// Clients with options that change the lengths or the number of records
    #[arg(long, group = "choice")]
    unusual: bool,
    /// How gateways refuse hellos without SNI and with an unknown name, instead of combinations
    #[arg(long, group = "choice", conflicts_with = "records")]
    refusals: bool,
    /// Write a line for each combination to this file, with the records on the wire
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::all()?;
    let directory = tools_directory().join("gateways");
    if !arguments.sample {
        install(&directory)?;
    }
    let built = build::sni_probe(&build::Options::default())?;
    let mut command = command(&built.sni_probe, &directory)?;
    command.arg("gateways").args(&arguments.filter);
    let flags = [
        (arguments.sample, "--sample"),
        (arguments.newer, "--newer"),
        (arguments.unusual, "--unusual"),
        (arguments.refusals, "--refusals"),
    ];
    command.args(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag));
    if let Some(records) = &arguments.records {
        command.arg("--records").arg(path::absolute(records)?);
    }
    root::announce(&command);
    lab::run(&mut command)
}

fn command(sni_probe: &Path, directory: &Path) -> Result<Command> {
    let envoy = setup::envoy().context("Envoy is not installed; run: cargo xtask setup")?;
    let path = path_with(&[])?;
    let variables: [(&str, &OsStr); 4] = [
        (PROBE_VARIABLE, sni_probe.as_os_str()),
        (ENVOY_VARIABLE, envoy.as_os_str()),
        (GATEWAYS_VARIABLE, directory.as_os_str()),
        ("PATH", &path),
    ];
    Ok(root::command(lab::build()?, variables))
}

/// Installs the releases that are not there.
fn install(directory: &Path) -> Result<()> {
    if RELEASES.iter().all(|(release, _)| directory.join(format!("debian-{release}/.installed")).exists()) {
        return Ok(());
    }
    if !root::is_root() {
        bail!("the releases are installed as root; run: sudo -E env \"PATH=$PATH\" cargo xtask gateways");
    }
    std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    if find("debootstrap").is_none() {
        run(Command::new("apt-get").args(["install", "-q", "-y", "--no-install-recommends", "debootstrap"]))?;
    }
    for (release, packages) in RELEASES {
        progress(&format!("Debian {release}: clients and gateways"));
        releases::install(directory, release, PACKAGES.iter().chain(packages))?;
    }
    Ok(())
}
