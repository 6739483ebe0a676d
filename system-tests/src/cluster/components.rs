//! The programs of the cluster, each with its log in `state/log`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use lab_interface::cluster::{CGROUP, ClusterFiles, Program};
use serde_json::json;

use super::pki::Pki;
use super::{DEADLINE, NODE, NODE_ADDRESS, TOOL_TIMEOUT};
use crate::process::{Service, run};

const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// A label by which the plain manifests and the sets of values for GKE choose nodes.
const NODE_LABEL: &str = "cloud.google.com/gke-nodepool=apigee-runtime";

/// PATH with these directories before it.
fn path_with(first: impl IntoIterator<Item = PathBuf>) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(first.into_iter().chain(env::split_paths(&path))).context("PATH")
}

/// A command of Debian's packages, which are not installed.
pub(super) fn debian_program(files: &ClusterFiles, path: &str) -> Result<Command> {
    let mut command = Command::new(files.debian().join(path));
    // containerd looks for its shims there.
    let directories = ["usr/bin", "usr/sbin"].map(|directory| files.debian().join(directory));
    command.env("PATH", path_with(directories)?);
    Ok(command)
}

fn start(files: &ClusterFiles, name: &str, command: &mut Command) -> Result<Service> {
    Service::start(name, command, &files.state().join("log"))
}

/// `--name=path`.
fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

pub(super) fn etcd(files: &ClusterFiles) -> Result<Service> {
    let mut command = debian_program(files, "usr/bin/etcd")?;
    start(files, "etcd", command.arg(flag("data-dir", &files.state().join("etcd"))))
}

pub(super) fn api_server(files: &ClusterFiles, pki: &Pki, starts: u32) -> Result<Service> {
    let (certificate, key) = pki.certificate("apiserver");
    let (client_certificate, client_key) = pki.certificate("kubelet-client");
    let mut command = Command::new(files.program(Program::ApiServer));
    command.args([
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        // Pods find it at the address and port of its Service, on loopback.
        "--secure-port=443",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
    ]);
    command.arg(format!("--advertise-address={NODE_ADDRESS}"));
    command.args([
        flag("client-ca-file", &pki.certificate("ca").0),
        flag("tls-cert-file", &certificate),
        flag("tls-private-key-file", &key),
        flag("service-account-key-file", &pki.path("service-accounts.pub")),
        flag("service-account-signing-key-file", &pki.path("service-accounts.key")),
        flag("kubelet-client-certificate", &client_certificate),
        flag("kubelet-client-key", &client_key),
    ]);
    // It writes certificates of its own there, if it has none.
    command.arg(flag("cert-dir", &files.state().join("api-server")));
    start(files, &format!("kube-apiserver-{starts}"), &mut command)
}

pub(super) fn controller_manager(files: &ClusterFiles, pki: &Pki) -> Result<Service> {
    let mut command = Command::new(files.program(Program::ControllerManager));
    command.args(["--use-service-account-credentials", "--leader-elect=false"]).args([
        flag("kubeconfig", &pki.kubeconfig("controller-manager")),
        flag("service-account-private-key-file", &pki.path("service-accounts.key")),
        flag("root-ca-file", &pki.certificate("ca").0),
        flag("cert-dir", &files.state().join("controller-manager")),
    ]);
    start(files, "kube-controller-manager", &mut command)
}

pub(super) fn scheduler(files: &ClusterFiles, pki: &Pki) -> Result<Service> {
    let mut command = Command::new(files.program(Program::Scheduler));
    command.arg("--leader-elect=false").args([
        flag("kubeconfig", &pki.kubeconfig("scheduler")),
        flag("cert-dir", &files.state().join("scheduler")),
    ]);
    start(files, "kube-scheduler", &mut command)
}

pub(super) fn containerd(files: &ClusterFiles) -> Result<Service> {
    let at = |name: &str| files.state().join(name);
    let networks = at("cni");
    fs::create_dir_all(&networks)?;
    let network = json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "br0",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{ "subnet": "10.88.0.0/24" }]],
                "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    });
    fs::write(networks.join("10-pods.conflist"), network.to_string())?;
    let configuration = at("containerd.toml");
    // runc is asked to lower the score of a process, which takes CAP_SYS_RESOURCE.
    let text = format!(
        r#"version = 2
root = "{root}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{runc}"
"#,
        root = at("containerd").display(),
        plugins = files.debian().join("usr/lib/cni").display(),
        networks = networks.display(),
        runc = files.debian().join("usr/sbin/runc").display(),
    );
    fs::write(&configuration, text)?;
    let mut command = debian_program(files, "usr/bin/containerd")?;
    let mut service = start(files, "containerd", command.arg("--config").arg(&configuration))?;
    let mut version = debian_program(files, "usr/bin/ctr")?;
    version.arg("version");
    service.wait_for("containerd", DEADLINE, || {
        run(&mut version, TOOL_TIMEOUT).is_ok_and(|finished| finished.success())
    })?;
    Ok(service)
}

pub(super) fn kubelet(files: &ClusterFiles, pki: &Pki) -> Result<Service> {
    let at = |name: &str| files.state().join(name);
    let (certificate, key) = pki.certificate("kubelet");
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{CGROUP}"),
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": pki.certificate("ca").0 },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": certificate,
        "tlsPrivateKeyFile": key,
        "failSwapOn": false,
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
        "makeIPTablesUtilChains": false,
        "enforceNodeAllocatable": [],
        // A Secret that has changed reaches the pod's files within that time; the default is a minute.
        "syncFrequency": "5s",
        "volumePluginDir": at("volume-plugins"),
    });
    let file = at("kubelet.json");
    fs::write(&file, configuration.to_string()).context("writing the kubelet's configuration")?;
    let mut command = Command::new(files.program(Program::Kubelet));
    command.args([
        flag("config", &file),
        flag("kubeconfig", &pki.kubeconfig("kubelet")),
        flag("root-dir", &at("kubelet")),
        flag("cert-dir", &at("kubelet-certificates")),
        format!("--hostname-override={NODE}"),
        format!("--node-ip={NODE_ADDRESS}"),
        format!("--node-labels={NODE_LABEL}"),
        "--container-runtime=remote".to_owned(),
        format!("--container-runtime-endpoint=unix://{CONTAINERD}"),
    ]);
    start(files, "kubelet", &mut command)
}
