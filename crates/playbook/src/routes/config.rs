//! Which routes to judge.

use std::path::PathBuf;

/// The namespace of Apigee's routes unless another is given.
pub const DEFAULT_NAMESPACE: &str = "apigee";
/// The labels of Apigee's ingress gateway unless others are given.
pub const DEFAULT_INGRESS: &str = "app=apigee-ingressgateway";

/// Which routes to judge.
#[derive(Clone, Debug)]
pub struct Config {
    /// Files of Kubernetes objects; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Apigee's overrides.yaml.
    pub overrides: Option<PathBuf>,
    /// Reads the routes from the API server.
    pub kube: bool,
    /// The kubeconfig that names the API server; the pod's service account or the user's kubeconfig without one.
    pub kubeconfig: Option<PathBuf>,
    /// The namespace of the routes in the cluster.
    pub namespace: String,
    /// Labels of the ingress gateway, each `KEY=VALUE`.
    pub ingress: Vec<String>,
    /// Prints JSON instead of text.
    pub json: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            overrides: None,
            kube: false,
            kubeconfig: None,
            namespace: DEFAULT_NAMESPACE.to_owned(),
            ingress: vec![DEFAULT_INGRESS.to_owned()],
            json: false,
        }
    }
}
