//! What a bundle is to hold.

use std::path::PathBuf;

/// What a bundle is to hold.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The file to write.
    pub output: PathBuf,
    /// The daemon to ask, if its URL is given.
    pub daemon: sni_probe_client::Config,
    /// The directory of the daemon's packet captures of failed handshakes.
    pub evidence: Option<PathBuf>,
    /// A file of events of the daemon.
    pub events_file: Option<PathBuf>,
    /// Apigee's overrides.yaml.
    pub overrides: Option<PathBuf>,
    /// A file of Kubernetes objects.
    pub routes: Option<PathBuf>,
    /// Reads the routes from the API server.
    pub kube: bool,
    /// The kubeconfig that names the API server.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the routes in the cluster.
    pub namespace: String,
    /// Writes pseudonyms in place of IP addresses, and leaves packet captures out.
    pub redact_addresses: bool,
}
