//! What to diagnose from.

use std::path::PathBuf;
use std::time::Duration;

use crate::check;

/// What to diagnose from.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The daemon to ask, if its URL is given.
    pub daemon: sni_probe_client::Config,
    /// Counts only what the daemon sees in this time from now on.
    pub span: Option<Duration>,
    /// A file with a scrape of the daemon's metrics.
    pub metrics: Option<PathBuf>,
    /// A packet capture.
    pub capture: Option<PathBuf>,
    /// Access logs of the gateway.
    pub logs: Vec<PathBuf>,
    /// A file of Kubernetes objects.
    pub routes: Option<PathBuf>,
    /// Apigee's overrides.yaml.
    pub overrides: Option<PathBuf>,
    /// Reads the routes from the API server.
    pub kube: bool,
    /// The kubeconfig that names the API server.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the routes in the cluster.
    pub namespace: Option<String>,
    /// The active check of the gateway.
    pub check: Option<check::Config>,
    /// The client's error message, of any content.
    pub message: Option<String>,
    /// Prints JSON instead of text.
    pub json: bool,
    /// Prints Markdown instead of text.
    pub markdown: bool,
}
