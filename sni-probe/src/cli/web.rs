//! `--listen`, `--web`, `--web-host` and what guards the HTTP server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sni_probe_daemon::{HostName, PageVisitors, WebConfig};

/// The HTTP server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP server")]
pub(crate) struct WebOptions {
    /// Address and port of the HTTP server: /metrics, /healthz, /readyz, and the page for people at /
    #[arg(
        long,
        env = "SNI_PROBE_LISTEN",
        value_name = "ADDRESS:PORT",
        default_value = "0.0.0.0:9917",
        value_parser = parse_listen
    )]
    pub(crate) listen: SocketAddr,

    /// Who may see the page at / and its API at /api/v1/; /metrics, /healthz and /readyz answer in any case
    ///
    /// With --auth-file, whoever has a password may see them from everywhere, with `local` too.
    #[arg(long, env = "SNI_PROBE_WEB", value_enum, default_value_t)]
    pub(crate) web: Web,

    /// Name by which the page and its API are opened, besides localhost and IP addresses; several, separated by commas
    ///
    /// A request with another name in `Host` is refused: a web site could otherwise read the page by making its own name
    /// point here (DNS rebinding). /metrics, /healthz and /readyz answer to every name.
    #[arg(long, env = "SNI_PROBE_WEB_HOST", value_name = "NAME", value_delimiter = ',')]
    pub(crate) web_host: Vec<HostName>,

    /// File of users and passwords, as htpasswd -B makes it: all pages but /healthz ask for one
    ///
    /// Basic authentication. /readyz asks as well: a probe sends the header, or asks /healthz. A file that has changed
    /// counts within ten seconds. Without --tls-cert passwords cross the network as they are.
    #[arg(long, env = "SNI_PROBE_AUTH_FILE", value_name = "FILE")]
    pub(crate) auth_file: Option<PathBuf>,

    /// Certificate chain of the server in PEM: HTTPS instead of HTTP
    ///
    /// Files that are replaced, as cert-manager does, count from the next connection on, within ten seconds.
    #[arg(long, env = "SNI_PROBE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key to --tls-cert, in PEM
    #[arg(long, env = "SNI_PROBE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
}

impl WebOptions {
    /// What the flags ask for.
    pub(crate) fn config(self) -> WebConfig {
        let Self { listen, web, web_host, auth_file, tls_cert, tls_key } = self;
        let page = match web {
            Web::Local => PageVisitors::Local,
            Web::On => PageVisitors::All,
            Web::Off => PageVisitors::None,
        };
        WebConfig { listen, page, hosts: web_host, auth_file, tls_cert, tls_key }
    }
}

/// `--web`: the page and its API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Web {
    /// Connections from this host: a program on it, or `kubectl port-forward`
    #[default]
    Local,
    /// Whoever reaches the port
    On,
    /// No page: metrics and probes only
    Off,
}

fn parse_listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 0.0.0.0:9917 or [::1]:9917")
}
