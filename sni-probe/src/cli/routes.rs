//! The flags of `routes`.

use std::path::PathBuf;

use clap::Args;
use sni_probe_playbook::routes::{self, DEFAULT_INGRESS, DEFAULT_NAMESPACE};

/// Read the routes of a gateway, and report whether clients without SNI are served
///
/// Reads ApigeeRoutes, Gateways of Istio, and Gateways and ListenerSets of the Gateway API, from files, the cluster or
/// both, and the virtual hosts of overrides.yaml. Reports each wrong field with the value that it has and should have.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = EPILOGUE)]
pub(crate) struct RoutesOptions {
    /// Objects, as `kubectl get ... -o json` or `-o yaml` prints them; - for standard input; may be repeated
    #[arg(short, long = "file", value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// overrides.yaml of Apigee hybrid: its virtual hosts are compared with the routes
    #[arg(long, value_name = "FILE")]
    pub(crate) overrides: Option<PathBuf>,

    /// Read ApigeeRoutes, Gateways and ListenerSets from the cluster
    ///
    /// Takes permission to list these kinds (docs/routes.md). A kind that the cluster lacks, or that you may not list, is
    /// reported as a note. With --file, an object of a file replaces the object of the same name in the cluster.
    #[arg(long)]
    pub(crate) kube: bool,

    /// Kubeconfig with which to find the API server [default: the pod's service account, else $KUBECONFIG or ~/.kube/config]
    #[arg(long, value_name = "FILE", requires = "kube")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Namespace of the ApigeeRoutes in the cluster; Gateways are read from all namespaces
    #[arg(short, long, value_name = "NAME", default_value = DEFAULT_NAMESPACE, value_parser = parse_namespace)]
    pub(crate) namespace: String,

    /// Labels of the ingress gateway's pods, which the selector of the wildcard route has to name
    #[arg(
        long,
        value_name = "KEY=VALUE",
        value_delimiter = ',',
        default_value = DEFAULT_INGRESS,
        value_parser = parse_label
    )]
    pub(crate) ingress: Vec<String>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const EPILOGUE: &str = "\
Examples:
  kubectl get apigeeroutes -A -o json | sni-probe routes --file -
      What the routes say.
  sni-probe routes --kube --overrides overrides.yaml
      The routes of the cluster, and whether each virtual host names the wildcard route.
  sni-probe routes --file routes.yaml --json | jq -r '.findings[] | \"\\(.object) \\(.path): \\(.expected)\"'
      For programs: which field should have which value.
  kubectl get gateways.networking.istio.io -A -o yaml | sni-probe routes --file -
      What the Gateways of Istio say.
  kubectl get gateways.gateway.networking.k8s.io,listenersets,tlsroutes -A -o yaml | sni-probe routes --file -
      What Gateways, ListenerSets and TLSRoutes of the Gateway API say.
  sni-probe routes --kube --file new-route.yaml
      Whether clients without SNI would be served once the file is applied to the cluster.

Exit codes:
  0  clients without SNI are served according to the configuration
  1  clients without SNI are not served, or there are findings
  2  the configuration does not decide it (notes say why), or an input could not be read (one line on stderr)";

impl RoutesOptions {
    /// What the flags ask for.
    pub(crate) fn config(self) -> routes::Config {
        routes::Config {
            files: self.files,
            overrides: self.overrides,
            kube: self.kube,
            kubeconfig: self.kubeconfig,
            namespace: self.namespace,
            ingress: self.ingress,
            json: self.json,
        }
    }
}

/// A label of a namespace is what can stand in the path of a request (RFC 1123 label).
pub(super) fn parse_namespace(text: &str) -> Result<String, &'static str> {
    let is_usual = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=63).contains(&text.len()) && text.bytes().all(is_usual) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of a namespace, such as apigee")
    }
}

fn parse_label(text: &str) -> Result<String, &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => Ok(text.to_owned()),
        _ => Err("expected labels, such as app=apigee-ingressgateway"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_cannot_leave_its_place_in_a_path() {
        assert_eq!(parse_namespace("apigee"), Ok("apigee".to_owned()));
        for bad in ["", "../x", "a/b", "A", "a b", &"a".repeat(64)] {
            assert!(parse_namespace(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_label_has_a_key_and_a_value() {
        for good in ["app=istio", DEFAULT_INGRESS] {
            assert!(parse_label(good).is_ok(), "{good}");
        }
        for bad in ["", "app", "=x", "app="] {
            assert!(parse_label(bad).is_err(), "{bad}");
        }
    }
}
