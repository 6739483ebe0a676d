//! `--kube`: names from Kubernetes.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

/// Bytes of a node's name (RFC 1123 subdomain).
const MAX_NODE_BYTES: usize = 253;

/// Names from Kubernetes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kubernetes")]
pub(crate) struct KubeOptions {
    /// Tell gateways and clients by the names of their pods, from the API server of the cluster
    ///
    /// Takes permission to list and watch pods of all namespaces; see docs/kubernetes.md. When the API server is
    /// away, the program goes on with what it knows.
    #[arg(long, env = "SNI_PROBE_KUBE", value_parser = BoolishValueParser::new())]
    pub(crate) kube: bool,

    /// Kubeconfig with which to find the API server [default: the pod's service account, else $KUBECONFIG or ~/.kube/config]
    #[arg(long, env = "SNI_PROBE_KUBECONFIG", value_name = "FILE", requires = "kube")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Name of this node in the cluster [default: the host's name]
    ///
    /// In a pod: the field spec.nodeName, by the downward API.
    #[arg(long, env = "SNI_PROBE_NODE", value_name = "NAME", value_parser = parse_node)]
    pub(crate) node: Option<String>,
}

impl KubeOptions {
    /// What to ask the API server for, if it is to be asked.
    pub(crate) fn config(&self) -> Option<sni_probe_kubernetes::Config> {
        let config =
            || sni_probe_kubernetes::Config { kubeconfig: self.kubeconfig.clone(), node: self.node() };
        self.kube.then(config)
    }

    /// The name of this node: what was given, else the host's name.
    pub(crate) fn node(&self) -> String {
        self.node
            .clone()
            .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().to_lowercase())
    }
}

/// A name that can stand in a selector of the API server.
fn parse_node(text: &str) -> Result<String, String> {
    let is_usual =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    if !text.is_empty() && text.len() <= MAX_NODE_BYTES && text.bytes().all(is_usual) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of a node as `kubectl get nodes` shows it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_node_is_a_host_name() {
        for good in ["node-1", "ip-10-0-0-1.eu-west-1.compute.internal", "0"] {
            assert_eq!(parse_node(good).as_deref(), Ok(good));
        }
        for bad in ["", "Node", "a,spec.nodeName!=b", "a b", "a=b", &"a".repeat(MAX_NODE_BYTES + 1)] {
            assert!(parse_node(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_a_flag_the_node_has_the_name_of_the_host() {
        let options = KubeOptions { kube: true, kubeconfig: None, node: None };
        assert!(!options.node().is_empty());
        let options = KubeOptions { node: Some("node-1".to_owned()), ..options };
        assert_eq!(options.node(), "node-1");
    }
}
