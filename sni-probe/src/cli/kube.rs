//! `--kube`: names from Kubernetes.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

/// Names from Kubernetes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kubernetes")]
pub(crate) struct KubeOptions {
    /// Tell gateways and clients by the names of their pods, from the API server of the cluster
    #[arg(long, env = "SNI_PROBE_KUBE", value_parser = FalseyValueParser::new())]
    pub(crate) kube: bool,

    /// Kubeconfig with which to find the API server [default: the pod's service account, else $KUBECONFIG or ~/.kube/config]
    #[arg(long, env = "SNI_PROBE_KUBECONFIG", value_name = "FILE", requires = "kube")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Name of this node in the cluster [default: the host's name]
    #[arg(long, env = "SNI_PROBE_NODE", value_name = "NAME")]
    pub(crate) node: Option<String>,
}
