//! Mounts, cgroups and the network of the node, in namespaces of this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lab_interface::cluster::{CGROUP, ClusterFiles};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{NODE, NODE_ADDRESS, TOOL_TIMEOUT};
use crate::netns::Namespace;
use crate::process::run_ok;
use crate::{CLIENT_INTERFACE, CLIENT_V4, GATEWAY_INTERFACE};

/// Directories that the node writes to: overlays whose upper layers are in the state of the run.
const OVERLAYS: [&str; 3] = ["/etc", "/opt", "/var"];
/// Settings of the whole machine that the kubelet writes. It gets files in their place.
const SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];
/// The address at which pods find the API server: its Service's, without a proxy for Services.
const SERVICE_ADDRESS: &str = "10.96.0.1";

/// Makes all mounts, beginning with an empty state.
pub(super) fn enter(files: &ClusterFiles) -> Result<()> {
    ensure!(
        std::process::id() == 1,
        "these tests change mounts and network: they need namespaces of their own; run: cargo xtask cluster-test"
    );
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).context("private mounts")?;
    let state = files.state();
    if state.exists() {
        fs::remove_dir_all(&state).with_context(|| format!("removing {}", state.display()))?;
    }
    for name in ["log", "home", "settings", "cgroup"] {
        fs::create_dir_all(state.join(name))?;
    }
    filesystem("proc", "/proc")?;
    // The new sysfs, of this network namespace, hides the cgroups: they are carried over.
    let cgroups = state.join("cgroup");
    bind(Path::new("/sys/fs/cgroup"), &cgroups)?;
    // Where both versions are mounted, the kubelet takes the first.
    umount2(&cgroups.join("unified"), MntFlags::MNT_DETACH).ok();
    filesystem("sysfs", "/sys")?;
    bind(&cgroups, Path::new("/sys/fs/cgroup"))?;
    filesystem("bpf", "/sys/fs/bpf")?;
    filesystem("tmpfs", "/run")?;
    fs::create_dir_all("/run/netns")?;
    for directory in OVERLAYS {
        overlay(&state, directory)?;
    }
    for (name, text) in [
        ("hosts", format!("127.0.0.1 localhost\n{NODE_ADDRESS} {NODE}\n")),
        ("resolv.conf", String::new()),
        ("machine-id", "0123456789abcdef0123456789abcdef\n".to_owned()),
    ] {
        // It may be a link to what is not there any more.
        let path = Path::new("/etc").join(name);
        fs::remove_file(&path).ok();
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    for (setting, value) in SETTINGS {
        let file = state.join("settings").join(setting.replace('/', "_"));
        fs::write(&file, format!("{value}\n"))?;
        bind(&file, &Path::new("/proc/sys").join(setting))?;
    }
    // The kubelet hands mounts on to pods.
    mount(none, "/", none, MsFlags::MS_SHARED | MsFlags::MS_REC, none).context("shared mounts")?;
    fs::write("/proc/sys/kernel/hostname", NODE).context("naming the node")?;
    make_cgroups()
}

fn filesystem(kind: &str, to: &str) -> Result<()> {
    mount(Some(kind), to, Some(kind), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("mounting {kind} on {to}"))
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .with_context(|| format!("mounting {} on {}", from.display(), to.display()))
}

/// The directory of the files that were written to `directory`, which is one of [`OVERLAYS`].
fn upper(state: &Path, directory: &str) -> PathBuf {
    state.join("overlay").join(directory.trim_start_matches('/')).join("upper")
}

fn overlay(state: &Path, directory: &str) -> Result<()> {
    let upper = upper(state, directory);
    let work = upper.with_file_name("work");
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let options = format!("lowerdir={directory},upperdir={},workdir={}", upper.display(), work.display());
    mount(Some("overlay"), directory, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .with_context(|| format!("mounting an overlay on {directory}"))
}

/// All that the node has written: files below [`OVERLAYS`] and /run, and what is pinned in /sys/fs/bpf.
pub(super) fn written_files(files: &ClusterFiles) -> Vec<PathBuf> {
    let state = files.state();
    let mut found = Vec::new();
    for directory in OVERLAYS {
        collect(&upper(&state, directory), &mut found);
    }
    for directory in ["/run", "/sys/fs/bpf"] {
        collect(Path::new(directory), &mut found);
    }
    found.sort();
    found
}

/// Adds all that lies below a directory. What goes meanwhile is left out.
fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, found);
        }
        found.push(path);
    }
}

/// A cgroup for the node in each hierarchy, or in the one of version 2.
fn make_cgroups() -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return fs::create_dir_all(root.join(CGROUP)).context("making the node's cgroup");
    }
    for hierarchy in fs::read_dir(root)?.flatten().map(|entry| entry.path()) {
        // Of two controllers in one hierarchy, one name is a link to the other.
        if !hierarchy.is_dir() || hierarchy.ends_with("unified") {
            continue;
        }
        let cgroup = hierarchy.join(CGROUP);
        fs::create_dir_all(&cgroup).with_context(|| format!("making {}", cgroup.display()))?;
        // Empty at first, and no process may enter then.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read_to_string(hierarchy.join(file)) {
                fs::write(cgroup.join(file), value).with_context(|| format!("writing {file}"))?;
            }
        }
    }
    Ok(())
}

/// Makes the network of the node, and a client outside of the cluster whose connections arrive at its one NIC.
pub(super) fn connect() -> Result<Namespace> {
    let ip = |words: &str| run_ok(Command::new("ip").args(words.split_whitespace()), TOOL_TIMEOUT);
    ip("link set lo up")?;
    ip(&format!("address add {SERVICE_ADDRESS}/32 dev lo"))?;
    let client = Namespace::new("client")?;
    ip(&format!(
        "link add {GATEWAY_INTERFACE} type veth peer name {CLIENT_INTERFACE} netns {}",
        client.name()
    ))?;
    ip(&format!("address add {NODE_ADDRESS}/24 dev {GATEWAY_INTERFACE}"))?;
    ip(&format!("link set {GATEWAY_INTERFACE} up"))?;
    client.ip(&format!("address add {CLIENT_V4}/24 dev {CLIENT_INTERFACE}"))?;
    client.ip(&format!("link set {CLIENT_INTERFACE} up"))?;
    client.ip(&format!("route add default via {NODE_ADDRESS}"))?;
    ip(&format!("route add default via {CLIENT_V4}"))?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("forwarding to pods")?;
    Ok(client)
}
