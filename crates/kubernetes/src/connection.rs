//! Where the API server is, and how to speak with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use http_body_util::Limited;
use hyper::Response;
use kube::client::{ClientBuilder, DynBody};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Client, Error};
use tower::limit::RateLimitLayer;
use tower::util::MapResponseLayer;

use super::contact::chain;
use super::pace::{Pace, PaceLayer};

/// Requests a second, of whatever kind.
pub(super) const MAX_REQUESTS_PER_SECOND: u64 = 10;
/// Bytes of an answer: a list, or all events of a watch. It is in memory up to three times while it is parsed. The
/// pods of a node are a few MiB at most.
pub(super) const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// After which an open watch ends, and is begun anew from where it was.
pub(super) const WATCH_DURATION: Duration = Duration::from_secs(290);
/// Silence after which a connection is given up: longer than a watch may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(310);
/// Set in each pod.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// Where it is written how to reach the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// In the file of `--kubeconfig`.
    File(PathBuf),
    /// In the pod: its service account.
    ServiceAccount,
    /// In the files of `$KUBECONFIG`, or in `~/.kube/config`.
    Kubeconfig,
}

impl Credentials {
    /// Those of the flag, else of the pod, else of the user.
    pub fn choose(kubeconfig: Option<&Path>) -> Self {
        match kubeconfig {
            Some(path) => Self::File(path.to_owned()),
            None if std::env::var_os(IN_CLUSTER).is_some() => Self::ServiceAccount,
            None => Self::Kubeconfig,
        }
    }

    /// Makes a client, and says whose: the API server's URL. No request yet. Within a tokio runtime. Runs the
    /// credential plugin of the kubeconfig, if it has one.
    ///
    /// # Errors
    /// If there is no configuration, or it is none.
    pub async fn connect(&self) -> anyhow::Result<(Client, String)> {
        self.connect_paced(None).await
    }

    /// The same for a client that watches at this pace.
    ///
    /// # Errors
    /// As [`Credentials::connect`].
    pub(super) async fn connect_paced(&self, pace: Option<Pace>) -> anyhow::Result<(Client, String)> {
        let mut config = self.load().await?;
        config.read_timeout = Some(READ_TIMEOUT);
        config.reset_reader_on_write = true;
        // Retries are the caller's, who tells of them.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        match client(config, pace) {
            Ok(client) => Ok((client, server)),
            Err(error) => Err(anyhow::anyhow!(
                "--kube: cannot speak with {server}: {}; see its certificates and credentials, or the plugin that \
                 gives them",
                chain(&error)
            )),
        }
    }

    async fn load(&self) -> anyhow::Result<Config> {
        let kubeconfig = match self {
            Self::ServiceAccount => {
                return Config::incluster().map_err(|error| anyhow::anyhow!(chain(&error))).context(
                    "--kube: the pod has no service account's token; set automountServiceAccountToken: true, or name \
                     a kubeconfig with --kubeconfig",
                );
            }
            Self::File(path) => Kubeconfig::read_from(path),
            Self::Kubeconfig => Kubeconfig::read(),
        };
        let load = async {
            let kubeconfig = kubeconfig?;
            let has_proxy = kubeconfig
                .clusters
                .iter()
                .any(|cluster| cluster.cluster.as_ref().is_some_and(|cluster| cluster.proxy_url.is_some()));
            let mut config =
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            if !has_proxy {
                // It may be HTTPS_PROXY of the environment, with which NO_PROXY would not be heeded.
                config.proxy_url = None;
            }
            Ok(config)
        };
        load.await.map_err(|error: kube::config::KubeconfigError| {
            let what_to_do = match self {
                Self::File(_) => "name a kubeconfig with which `kubectl get pods` works",
                _ => "name a kubeconfig with --kubeconfig, or run in a pod with a service account",
            };
            anyhow::anyhow!("--kube: {}; {what_to_do}", chain(&error))
        })
    }
}

fn client(config: Config, pace: Option<Pace>) -> Result<Client, Error> {
    let bounded = MapResponseLayer::new(|response: Response<Box<DynBody>>| {
        response.map(|body| Limited::new(body, MAX_ANSWER_BYTES))
    });
    let paced = RateLimitLayer::new(MAX_REQUESTS_PER_SECOND, Duration::from_secs(1));
    Ok(ClientBuilder::try_from(config)?
        .with_layer(&bounded)
        .with_layer(&paced)
        .with_layer(&PaceLayer(pace))
        .build())
}
