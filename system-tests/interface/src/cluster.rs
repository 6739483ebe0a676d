//! The files of the one-node Kubernetes of `cargo xtask cluster-test`: xtask makes them, the tests run them.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The variable that names the directory of all of this; `cargo xtask` sets it.
pub const CLUSTER_VARIABLE: &str = "SNI_PROBE_CLUSTER";
/// The cgroup of the node, in each hierarchy.
pub const CGROUP: &str = "sni-probe-cluster";
/// The tag of the image of an earlier commit.
pub const EARLIER_TAG: &str = "earlier";

/// A program of Kubernetes that is built from source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The API server.
    ApiServer,
    /// The controller manager.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// The kubelet.
    Kubelet,
}

impl Program {
    /// All of them. The API server alone takes most of the time.
    pub const ALL: [Self; 4] = [Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Kubelet];

    /// The name of its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
        }
    }
}

/// Where each file lies.
#[derive(Debug, Clone)]
pub struct ClusterFiles {
    directory: PathBuf,
}

impl ClusterFiles {
    /// Those in this directory.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Those that `cargo xtask` has made for the tests.
    ///
    /// # Errors
    /// When the variable is not set.
    pub fn from_environment() -> Result<Self> {
        let directory = env::var_os(CLUSTER_VARIABLE).with_context(|| {
            format!("{CLUSTER_VARIABLE} is not set; run these tests by: cargo xtask cluster-test")
        })?;
        Ok(Self { directory: directory.into() })
    }

    /// Where all of them lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A program of Kubernetes.
    pub fn program(&self, program: Program) -> PathBuf {
        self.directory.join("kubernetes").join(program.name())
    }

    /// The root of Debian's packages, which are unpacked and not installed: etcd, containerd, runc, CNI plugins.
    pub fn debian(&self) -> PathBuf {
        self.directory.join("debian")
    }

    /// The archive of the image `NAME:1`, with a program of this machine.
    pub fn image(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}-image.tar"))
    }

    /// The directory of a worktree of an earlier commit, and what `cargo xtask dist` made in it.
    pub fn earlier(&self) -> PathBuf {
        self.directory.join("earlier")
    }

    /// What the node of one run writes. The next run begins with an empty one.
    pub fn state(&self) -> PathBuf {
        self.directory.join("state")
    }
}
