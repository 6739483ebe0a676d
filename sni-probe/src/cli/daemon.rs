//! How to ask a daemon: flags of `watch`, `diagnose` and `collect`.

use std::path::PathBuf;

use clap::Args;

/// A daemon, and what it asks of those who ask it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DaemonOptions {
    /// Daemon to ask, by its address; no root is needed for that
    #[arg(long, env = "SNI_PROBE_URL", value_name = "URL")]
    pub(crate) url: Option<String>,

    /// User that the daemon knows (its --auth-file); goes with --password-file
    #[arg(long, env = "SNI_PROBE_USER", value_name = "NAME", requires = "password_file")]
    pub(crate) user: Option<String>,

    /// File with the user's password, and nothing else
    ///
    /// A password on a command line would be seen by everyone on the machine.
    #[arg(long, env = "SNI_PROBE_PASSWORD_FILE", value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,

    /// Certificates by which to know the daemon, in PEM: its own if it is self-signed [default: Mozilla's list]
    #[arg(long, env = "SNI_PROBE_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

impl DaemonOptions {
    /// The daemon that the flags name.
    pub(crate) fn config(self) -> sni_probe_client::Config {
        let Self { url, user, password_file, ca } = self;
        sni_probe_client::Config { url, user, password_file, ca }
    }
}
