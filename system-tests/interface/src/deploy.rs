//! The tools that judge what `deploy/` holds: Helm, kubectl, the Kubernetes schemas.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The variables that say where each is; `cargo xtask` sets them.
pub const HELM_VARIABLE: &str = "SNI_PROBE_HELM";
/// See [`HELM_VARIABLE`].
pub const KUBECTL_VARIABLE: &str = "SNI_PROBE_KUBECTL";
/// See [`HELM_VARIABLE`].
pub const KUBERNETES_VALIDATE_VARIABLE: &str = "SNI_PROBE_KUBERNETES_VALIDATE";

/// Where the tools are. None of them needs a cluster.
#[derive(Debug, Clone)]
pub struct DeployTools {
    /// Helm 4.
    pub helm: PathBuf,
    /// kubectl, of which `kustomize` works without an API server.
    pub kubectl: PathBuf,
    /// kubernetes-validate: the `OpenAPI` schemas of all Kubernetes versions, and no network.
    pub kubernetes_validate: PathBuf,
}

impl DeployTools {
    /// Where the variables say that they are.
    ///
    /// # Errors
    ///
    /// One of them is not set.
    pub fn from_environment() -> Result<Self> {
        let path = |name: &str| -> Result<PathBuf> {
            let value = std::env::var_os(name).with_context(|| {
                format!("{name} is not set; run these tests by: cargo xtask system-test deploy::")
            })?;
            Ok(value.into())
        };
        Ok(Self {
            helm: path(HELM_VARIABLE)?,
            kubectl: path(KUBECTL_VARIABLE)?,
            kubernetes_validate: path(KUBERNETES_VALIDATE_VARIABLE)?,
        })
    }

    /// The three files.
    pub fn all(&self) -> [&PathBuf; 3] {
        [&self.helm, &self.kubectl, &self.kubernetes_validate]
    }

    /// The three with the variables that name them.
    pub fn variables(&self) -> [(&'static str, &OsStr); 3] {
        [
            (HELM_VARIABLE, self.helm.as_os_str()),
            (KUBECTL_VARIABLE, self.kubectl.as_os_str()),
            (KUBERNETES_VALIDATE_VARIABLE, self.kubernetes_validate.as_os_str()),
        ]
    }
}
