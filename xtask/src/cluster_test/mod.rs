//! `cargo xtask cluster-test`: a Kubernetes of one node in namespaces of its own, and sni-probe in it.

mod earlier;
mod kubernetes;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use bpf_object::OBJECT_VARIABLE;
use clap::Args;
use lab_interface::cluster::{CGROUP, CLUSTER_VARIABLE, ClusterFiles, Program};
use lab_interface::dist::DIST_VARIABLE;
use lab_interface::{ENVOY_VARIABLE, PROBE_VARIABLE};
use serde_json::Value;

use self::kubernetes::Fetched;
use crate::build::{self, Built, WORKSPACE_ON_HOST};
use crate::summary::Summary;
use crate::tools::{cargo, path_with, progress, target_directory};
use crate::{dist, root, setup};

/// Where the kernel has its cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Run sni-probe in a real Kubernetes: one node, in namespaces of its own (root)
///
/// Builds kube-apiserver, kube-controller-manager, kube-scheduler and kubelet 1.20.2 from Debian 12's source package once (6 to
/// 8 minutes on two cores, 3.4 GB meanwhile). etcd, containerd, runc and CNI plugins are unpacked from Debian's packages. All
/// stay below target/cluster (about 1 GB). Then a node runs the DaemonSet, and Envoy as the gateway.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask cluster-test
  cargo xtask cluster-test chart::         # only tests with `chart::` in their names
  cargo xtask cluster-test --api-server    # tests of --kube with an API server alone
  cargo xtask cluster-test -- --nocapture

The logs of the last node are in target/cluster/state/log.")]
pub(crate) struct Arguments {
    /// Only tests with this in their names
    filter: Option<String>,
    /// Only tests that need an API server and no node
    #[arg(long, conflicts_with = "filter")]
    api_server: bool,
    /// Arguments of the test runner
    #[arg(last = true)]
    runner: Vec<String>,
}

/// The module of the tests that need an API server and no node.
const OF_API_SERVER: &str = "api_server::";
/// The module of the tests that need the image of an earlier commit.
const OF_EARLIER_IMAGE: &str = "upgrade::";

pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    setup::cluster()?;
    let directory = target_directory().join("cluster");
    fs::create_dir_all(&directory)?;
    let _lock = lock(&directory)?;
    let files = ClusterFiles::new(&directory);
    let filter = if arguments.api_server { Some(OF_API_SERVER) } else { arguments.filter.as_deref() };
    let needs_node = filter != Some(OF_API_SERVER);
    let programs = if needs_node { &Program::ALL[..] } else { &[Program::ApiServer] };
    if let Fetched::Missing(reason) = kubernetes::fetch(&files, programs)? {
        println!("skipped: cluster-test ({reason})");
        println!("{}", Summary::counted(0, 0, 1));
        return Ok(ExitCode::SUCCESS);
    }
    let built = build::sni_probe(&build::Options::default())?;
    let mut words: Vec<String> = filter.into_iter().map(str::to_owned).collect();
    let mut summary = Summary::default();
    let mut release = None;
    if needs_node {
        release = Some(dist::for_tests()?);
        images(&files)?;
        let skipped = if is_about_upgrades(filter) { earlier::image(&files)? } else { None };
        if let Some(reason) = skipped {
            println!("skipped: {OF_EARLIER_IMAGE} ({reason})");
            summary += Summary::counted(0, 0, 1);
            words.extend(["--skip", OF_EARLIER_IMAGE].map(str::to_owned));
        }
    }
    words.extend(arguments.runner.iter().cloned());
    summary += run(&files, &built, release.as_deref(), &words)?;
    println!("{summary}");
    Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether tests with this filter take the earlier image: it costs minutes.
fn is_about_upgrades(filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| filter.contains(OF_EARLIER_IMAGE.trim_end_matches("::")))
}

/// Two runs would share the cgroup and the state of the node. The lock goes with the process.
fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another cluster-test runs; wait for its end"),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// Makes the images of the gateway and of the process that holds a pod's namespaces.
fn images(files: &ClusterFiles) -> Result<()> {
    progress("images of Envoy and of the pods' sandbox");
    let envoy = setup::envoy().context("Envoy is not installed; run: cargo xtask setup")?;
    dist::program_image(&files.image("envoy"), "envoy:1", &envoy, &[])?;
    let busybox = files.debian().join("bin/busybox");
    dist::program_image(&files.image("pause"), "pause:1", &busybox, &["sleep", "2147483647"])
}

/// Runs the tests in namespaces that end with them.
fn run(files: &ClusterFiles, built: &Built, release: Option<&Path>, words: &[String]) -> Result<Summary> {
    let test = build_tests(&built.object)?;
    let path = path_with(&[])?;
    let envoy = setup::envoy().context("Envoy is not installed; run: cargo xtask setup")?;
    let deploy_tools = setup::deploy_tools();
    let mut variables: Vec<(&str, &OsStr)> = vec![
        (CLUSTER_VARIABLE, files.directory().as_os_str()),
        (PROBE_VARIABLE, built.sni_probe.as_os_str()),
        (OBJECT_VARIABLE, built.object.as_os_str()),
        (ENVOY_VARIABLE, envoy.as_os_str()),
        ("PATH", &path),
        ("RUST_BACKTRACE", OsStr::new("1")),
    ];
    variables.extend(deploy_tools.variables());
    if let Some(release) = release {
        variables.push((DIST_VARIABLE, release.as_os_str()));
    }
    let _cgroups = Cgroups::new()?;
    let mut command = root::command("unshare", variables);
    // The first process of the PID namespace takes all others along.
    command.args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]).arg(test);
    // One node: one test at a time.
    command.args(words).args(["--test-threads", "1"]);
    root::announce(&command);
    progress("cluster tests");
    Summary::of(&mut command)
}

fn build_tests(object: &Path) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["test", "--no-run", "--message-format", "json-render-diagnostics"]);
    command.args(WORKSPACE_ON_HOST).args(["--test", "cluster"]).env(OBJECT_VARIABLE, object);
    let is_test =
        |message: &Value| message["target"]["name"] == "cluster" && message["profile"]["test"] == true;
    build::executable(&mut command, is_test).context("building the cluster tests")
}

/// Removes the node's cgroups, before the tests those of a run that was killed.
struct Cgroups;

impl Cgroups {
    fn new() -> Result<Self> {
        remove_cgroups()?;
        Ok(Self)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        if let Err(error) = remove_cgroups() {
            progress(&format!("{error:#}"));
        }
    }
}

/// The kernel takes a moment to remove the last process from its cgroup.
fn remove_cgroups() -> Result<()> {
    const TRIES: u32 = 50;
    for _ in 0..TRIES {
        let paths = cgroups()?;
        if paths.is_empty() {
            return Ok(());
        }
        let mut command = root::command("find", []);
        command.args(&paths).args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
        command.output().context("starting find")?;
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    bail!("cannot remove the cgroups {:?}: programs are still in them", cgroups()?)
}

/// The node's cgroup in each hierarchy that has it.
fn cgroups() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(CGROUPS).with_context(|| format!("reading {CGROUPS}"))?.flatten();
    let names = entries.map(|entry| entry.file_name()).chain([OsString::from(".")]);
    let paths = names.map(|hierarchy| Path::new(CGROUPS).join(hierarchy).join(CGROUP));
    Ok(paths.filter(|path| path.is_dir()).collect())
}
