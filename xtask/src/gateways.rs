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
/// Further clients, for `--clients`.
const CLIENT_PACKAGES: [&str; 53] = [
    "apache2-utils",
    "aria2",
    "axel",
    "botan",
    "cadaver",
    "chrony",
    "dnsdist",
    "elinks",
    "fetchmail",
    "git",
    "guile-3.0",
    "guile-gnutls",
    "httpie",
    "knot-dnsutils",
    "ldap-utils",
    "lftp",
    "libio-socket-ssl-perl",
    "liblwp-protocol-https-perl",
    "libnet-ssleay-perl",
    "links",
    "lua-sec",
    "lua5.4",
    "lynx",
    "mariadb-client",
    "monit",
    "monitoring-plugins-basic",
    "mosquitto-clients",
    "msmtp",
    "ncat",
    "nghttp2-client",
    "php-cli",
    "postgresql-client",
    "prometheus",
    "prometheus-blackbox-exporter",
    "python3",
    "python3-aiohttp",
    "python3-httpx",
    "python3-pycurl",
    "python3-requests",
    "redis-tools",
    "ruby",
    "siege",
    "skopeo",
    "socat",
    "squid-openssl",
    "sslscan",
    "swaks",
    "syslog-ng-core",
    "tcl",
    "tcl-tls",
    "unbound",
    "w3m",
    "wget2",
];
/// Releases, and the further clients that only one of them has.
const CLIENT_RELEASES: [(&str, &[&str]); 2] = [("bookworm", &[]), ("sid", &["valkey-tools"])];
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
///
/// With --clients, runs each client of `crates/playbook/src/diagnose/clients.tsv` without and with its line (installs 3 GB more).
/// Exit code 1 when a line that the table lists as verified does not make its client send SNI.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask gateways
  cargo xtask gateways 'Envoy, curl'                # combinations with this text in their names
  cargo xtask gateways 'TLS 1.3, certificate-wrong'
  cargo xtask gateways --newer --records new.tsv    # Debian unstable; the records on the wire
  cargo xtask gateways --refusals                   # how 31 gateways refuse a hello without SNI
  cargo xtask gateways --fixes                      # the lines of diagnose for gateways that refuse
  cargo xtask gateways --clients nginx              # without and with the line that makes it send SNI
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
    if options.clients {
        for (release, packages) in CLIENT_RELEASES {
            releases::add(&directory, release, CLIENT_PACKAGES.iter().chain(packages))?;
        }
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
