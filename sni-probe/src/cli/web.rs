//! `--listen`, `--web` and what guards the HTTP server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sni_probe_daemon::WebConfig;

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

    /// Whether to serve the page at / and its API at /api/v1/ besides /metrics, /healthz and /readyz
    #[arg(long, env = "SNI_PROBE_WEB", value_enum, default_value_t)]
    pub(crate) web: Web,

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
        let Self { listen, web, auth_file, tls_cert, tls_key } = self;
        WebConfig { listen, has_page: web == Web::On, auth_file, tls_cert, tls_key }
    }
}

/// `--web`: the page and its API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Web {
    /// Serve them
    #[default]
    On,
    /// Serve metrics and probes only
    Off,
}

fn parse_listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 0.0.0.0:9917 or [::1]:9917")
}
