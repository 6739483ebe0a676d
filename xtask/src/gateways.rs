//! `cargo xtask gateways`: real clients and real gateways, and the outcomes that sni-probe reports.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use lab_interface::GATEWAYS_VARIABLE;
use lab_interface::gateways::Options;

use crate::tools::{find, progress, run, tools_directory};
use crate::{build, lab, releases, root, setup};

/// Clients and gateways that both releases have.
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
/// Releases, and the packages that only one of them has or needs.
const RELEASES: [(&str, &[&str]); 2] = [
    ("bookworm", &["jetty9", "openjdk-17-jdk-headless", "python3", "sniproxy", "tomcat10", "trafficserver"]),
    ("sid", &["jetty12", "openjdk-25-jdk-headless", "sniproxy", "tomcat11"]),
];

/// Compare outcomes with what real clients report of real gateways (root)
///
/// Installs clients and gateways of two Debian releases into target/tools/gateways (4 GB). Runs each client with each
/// gateway by TLS 1.2 and 1.3: a normal handshake, a resumption, early data, a client certificate that is right, missing or
/// wrong, and a gateway certificate that is distrusted, expired or of another name. TC programs and packet sockets
/// watch the same packets. Exit code 1 when an outcome contradicts a client's report.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask gateways
  cargo xtask gateways 'Envoy, curl'                # combinations with this text in their names
  cargo xtask gateways 'TLS 1.3, certificate-wrong'
  cargo xtask gateways --newer --records new.tsv    # Debian unstable; the records on the wire
  cargo xtask gateways --refusals                   # how 31 gateways refuse a hello without SNI
  cargo xtask gateways --fixes                      # the lines of diagnose for gateways that refuse
  cargo xtask gateways --sample                     # programs of this machine only, some seconds")]
pub(crate) struct Arguments {
    #[command(flatten)]
    options: Options,
}

pub(crate) fn main(Arguments { options }: &Arguments) -> Result<ExitCode> {
    setup::all()?;
    let directory = tools_directory().join("gateways");
    if !options.sample {
        install(&directory)?;
    }
    let built = build::sni_probe(&build::Options::default())?;
    let mut command = lab::as_root_with(&built.sni_probe, &[(GATEWAYS_VARIABLE, directory.as_os_str())])?;
    command.arg("gateways").args(options.words());
    root::announce(&command);
    lab::run(&mut command)
}

/// Installs the missing releases and packages.
fn install(directory: &Path) -> Result<()> {
    let of_release = |packages: &[&'static str]| [&PACKAGES[..], packages].concat();
    let is_complete = |(release, packages): (&str, &[&'static str])| {
        releases::missing(directory, release, &of_release(packages)).is_empty()
    };
    if RELEASES.into_iter().all(is_complete) {
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
        releases::install(directory, release, &of_release(packages))?;
    }
    Ok(())
}
