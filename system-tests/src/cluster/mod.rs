//! A Kubernetes of one node, in namespaces that this process alone lives in.
//!
//! ```text
//!  namespace of the client                this process's namespaces
//!  openssl                                etcd, API server, controller manager, scheduler, kubelet, containerd
//!  cl0 10.77.0.2 ---------- veth -------- gw0 10.77.0.1 -- br0 10.88.0.0/24 -- pods: Envoy
//!                                         sni-probe (hostNetwork) observes gw0
//! ```
//!
//! `cargo xtask cluster-test` starts the tests by `unshare`, as the first process of a PID namespace: what they start ends
//! with them. Mounts are private, /etc, /opt and /var are overlays, so nothing is written to the machine but below
//! `target/cluster/state`.

mod components;
mod gateway;
mod namespaces;
mod pki;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lab_interface::cluster::ClusterFiles;
pub use lab_interface::cluster::EARLIER_TAG;
use nix::sys::signal::Signal;
use serde_json::Value;

pub use self::gateway::{
    Clients, GATEWAY_NAME, GATEWAY_NAMESPACE, GATEWAY_PORT, Gateway, SERVER_NAME, is_ready,
};
use self::pki::Pki;
use crate::deploy::DeployTools;
use crate::netns::Namespace;
use crate::process::{Finished, Service, run, run_ok, wait_until};

/// The name of the node.
pub const NODE: &str = "node-1";
/// Its address.
pub const NODE_ADDRESS: IpAddr = crate::GATEWAY_V4;
/// The namespace of sni-probe.
pub const NAMESPACE: &str = "sni-probe";

/// How long a component may take to start, and a pod to become ready.
pub const DEADLINE: Duration = Duration::from_secs(90);
/// How long a command may take that waits for nothing.
const TOOL_TIMEOUT: Duration = Duration::from_mins(1);

/// etcd and an API server, without a node.
#[derive(Debug)]
pub struct ControlPlane {
    files: ClusterFiles,
    tools: DeployTools,
    pki: Pki,
    _etcd: Service,
    api_server: Mutex<ApiServer>,
    client: Namespace,
}

#[derive(Debug)]
struct ApiServer {
    service: Service,
    /// How often it was started: each has a log of its own.
    starts: u32,
}

impl ControlPlane {
    /// Prepares the namespaces, and starts etcd and the API server.
    ///
    /// # Errors
    /// When this is not the first process of a PID namespace, or one of them does not start.
    pub fn start() -> Result<Self> {
        let files = ClusterFiles::from_environment()?;
        namespaces::enter(&files)?;
        let client = namespaces::connect()?;
        let pki = Pki::create(&files.state().join("pki"))?;
        let etcd = components::etcd(&files)?;
        let service = components::api_server(&files, &pki, 1)?;
        let control_plane = Self {
            tools: DeployTools::from_environment()?,
            api_server: Mutex::new(ApiServer { service, starts: 1 }),
            files,
            pki,
            _etcd: etcd,
            client,
        };
        control_plane.wait_for_api_server()?;
        Ok(control_plane)
    }

    /// A machine outside of the cluster.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// All that the node has written outside of its own state: files, and what is pinned in /sys/fs/bpf.
    pub fn written_files(&self) -> Vec<PathBuf> {
        namespaces::written_files(&self.files)
    }

    /// The files that the cluster is made of.
    pub fn files(&self) -> &ClusterFiles {
        &self.files
    }

    /// A path in the directory of this run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.files.state().join(name)
    }

    /// The kubeconfig of the administrator.
    pub fn admin(&self) -> PathBuf {
        self.pki.kubeconfig("admin")
    }

    /// The address of the API server, as a kubeconfig has it.
    pub fn server() -> String {
        format!("https://{NODE_ADDRESS}")
    }

    /// Writes a kubeconfig with a token.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig(&self, name: &str, token: &str) -> Result<PathBuf> {
        self.pki.kubeconfig_with_token(name, token)
    }

    /// A certificate by the cluster's authority, and its key.
    pub fn certificate(&self, name: &str) -> (PathBuf, PathBuf) {
        self.pki.certificate(name)
    }

    /// Kills the API server, until what this gives is dropped.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn kill_api_server(&self) -> Result<Outage<'_>> {
        let mut api_server = self.api_server();
        api_server.service.signal(Signal::SIGKILL)?;
        api_server.service.wait(DEADLINE)?;
        Ok(Outage { control_plane: self })
    }

    fn start_api_server(&self) -> Result<()> {
        {
            let mut api_server = self.api_server();
            api_server.starts += 1;
            api_server.service = components::api_server(&self.files, &self.pki, api_server.starts)?;
        }
        self.wait_for_api_server()
    }

    fn api_server(&self) -> MutexGuard<'_, ApiServer> {
        self.api_server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_api_server(&self) -> Result<()> {
        let is_ready =
            || matches!(self.try_kubectl(&["get", "--raw", "/readyz"]), Ok(done) if done.success());
        self.api_server().service.wait_for("the API server", DEADLINE, is_ready)
    }

    /// The command `kubectl` as the administrator.
    fn kubectl_command(&self) -> Command {
        let mut command = Command::new(&self.tools.kubectl);
        command.env("KUBECONFIG", self.admin()).env("HOME", self.path("home"));
        command
    }

    /// Runs kubectl to its end, whatever its exit code.
    ///
    /// # Errors
    /// When it hangs.
    pub fn try_kubectl(&self, words: &[&str]) -> Result<Finished> {
        run(self.kubectl_command().args(words), TOOL_TIMEOUT)
    }

    /// Runs kubectl and gives what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn kubectl(&self, words: &[&str]) -> Result<String> {
        run_ok(self.kubectl_command().args(words), TOOL_TIMEOUT)
    }

    /// Runs kubectl, which waits for something.
    ///
    /// # Errors
    /// When it fails, or waits for more than [`DEADLINE`].
    pub fn kubectl_waiting(&self, words: &[&str]) -> Result<String> {
        let timeout = format!("--timeout={}s", DEADLINE.as_secs());
        run_ok(self.kubectl_command().args(words).arg(timeout), DEADLINE + TOOL_TIMEOUT)
    }

    /// `kubectl get … -o json`.
    ///
    /// # Errors
    /// When it fails.
    pub fn get(&self, words: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[&["get", "-o", "json"], words].concat())?;
        serde_json::from_str(&text).context("kubectl prints no JSON")
    }

    /// Applies objects, which are JSON or YAML, on the server's side.
    ///
    /// # Errors
    /// When the API server refuses them.
    pub fn apply(&self, objects: &str) -> Result<String> {
        let path = self.write("objects.yaml", objects)?;
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", &path])
    }

    /// Writes a file in the directory of this run and gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.path(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        path.to_str().map(str::to_owned).context("a path that is no UTF-8")
    }

    /// Runs helm to its end, whatever its exit code.
    ///
    /// # Errors
    /// When it hangs.
    pub fn try_helm(&self, words: &[&str]) -> Result<Finished> {
        let mut command = Command::new(&self.tools.helm);
        command.env("KUBECONFIG", self.admin()).env("HOME", self.path("home"));
        run(command.args(words), DEADLINE + TOOL_TIMEOUT)
    }

    /// Runs helm and gives what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn helm(&self, words: &[&str]) -> Result<String> {
        let finished = self.try_helm(words)?;
        if !finished.success() {
            bail!("helm {}: exit code {}\n{}", words.join(" "), finished.code, finished.stderr);
        }
        Ok(finished.stdout)
    }

    /// A token of a service account, which is good for an hour.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn token(&self, namespace: &str, account: &str) -> Result<String> {
        let token = self.kubectl(&["-n", namespace, "create", "token", account])?;
        Ok(token.trim().to_owned())
    }

    /// The Secret with the token of a service account, which Kubernetes before 1.24 makes and mounts into pods.
    ///
    /// # Errors
    /// When there is none within the deadline.
    pub fn token_secret(&self, namespace: &str, account: &str) -> Result<Value> {
        wait_until("a service account's token", DEADLINE, || {
            let secrets = self.get(&["-n", namespace, "secrets"])?;
            let found = secrets["items"].as_array().into_iter().flatten().find(|secret| {
                secret["type"] == "kubernetes.io/service-account-token"
                    && secret["metadata"]["annotations"]["kubernetes.io/service-account.name"] == account
                    && secret["data"]["token"].is_string()
            });
            Ok(found.cloned())
        })
    }
}

/// The time in which no API server runs.
#[derive(Debug)]
pub struct Outage<'a> {
    control_plane: &'a ControlPlane,
}

impl Drop for Outage<'_> {
    /// Starts the API server once more, and waits until it is ready.
    fn drop(&mut self) {
        // What comes next fails then, with its own message.
        if let Err(error) = self.control_plane.start_api_server() {
            eprintln!("{error:#}");
        }
    }
}

/// The whole node.
#[derive(Debug)]
pub struct Cluster {
    control_plane: ControlPlane,
    _services: Vec<Service>,
}

impl std::ops::Deref for Cluster {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        &self.control_plane
    }
}

impl Cluster {
    /// Starts the rest of the control plane, and the node with these archives of images.
    ///
    /// # Errors
    /// When one of them does not start, or the node does not become ready.
    pub fn start(control_plane: ControlPlane) -> Result<Self> {
        let (files, pki) = (&control_plane.files, &control_plane.pki);
        let mut services = vec![
            components::controller_manager(files, pki)?,
            components::scheduler(files, pki)?,
            components::containerd(files)?,
        ];
        for name in ["pause", "envoy"] {
            import(files, &files.image(name))?;
        }
        services.push(components::kubelet(files, pki)?);
        let node = format!("node/{NODE}");
        control_plane.kubectl_waiting(&["wait", "--for=create", &node])?;
        control_plane.kubectl_waiting(&["wait", "--for=condition=Ready", &node])?;
        Ok(Self { control_plane, _services: services })
    }

    /// Runs containerd's client in the namespace of Kubernetes.
    ///
    /// # Errors
    /// When it fails.
    pub fn ctr(&self, words: &[&str]) -> Result<String> {
        ctr(&self.files, words)
    }

    /// Loads an archive of an image.
    ///
    /// # Errors
    /// When containerd does not take it.
    pub fn import(&self, archive: &Path) -> Result<String> {
        import(&self.files, archive)
    }

    /// The pods of a namespace.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn pods(&self, namespace: &str) -> Result<Vec<Value>> {
        let pods = self.get(&["-n", namespace, "pods"])?;
        Ok(pods["items"].as_array().cloned().unwrap_or_default())
    }
}

fn ctr(files: &ClusterFiles, words: &[&str]) -> Result<String> {
    let mut command = components::debian_program(files, "usr/bin/ctr")?;
    run_ok(command.args(["-n", "k8s.io"]).args(words), TOOL_TIMEOUT)
}

fn import(files: &ClusterFiles, archive: &Path) -> Result<String> {
    ctr(files, &["images", "import", archive.to_str().context("a path that is no UTF-8")?])
}
