//! After `helm uninstall` nothing is left on the node.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::json;
use system_tests::GATEWAY_INTERFACE;
use system_tests::cluster::Clients;
use system_tests::process::run_ok;
use system_tests::wait_until;

use crate::site::{Release, assert_counts, cluster, gateway, make_namespace};

const TOOL_TIMEOUT: Duration = Duration::from_secs(30);
/// The kubelet removes the logs of a pod that is gone within a minute.
const DEADLINE: Duration = Duration::from_mins(2);

/// All that could be left, in words.
fn traces() -> BTreeSet<String> {
    let mut traces: BTreeSet<String> =
        cluster().written_files().iter().map(|path| format!("file {}", path.display())).collect();
    traces.extend(processes().into_iter().map(|pid| format!("process {pid}")));
    traces.extend(cgroups().iter().map(|path| format!("cgroup {}", path.display())));
    for (direction, attach) in [("ingress", TcAttachType::Ingress), ("egress", TcAttachType::Egress)] {
        let (_, programs) = SchedClassifier::query_tcx(GATEWAY_INTERFACE, attach).unwrap();
        traces.extend(programs.iter().map(|program| format!("TCX {direction} {}", program.id())));
        let filters = tc(&["filter", "show", "dev", GATEWAY_INTERFACE, direction]);
        traces.extend(filters.lines().map(|line| format!("filter {direction} {line}")));
    }
    traces
        .extend(tc(&["qdisc", "show", "dev", GATEWAY_INTERFACE]).lines().map(|line| format!("qdisc {line}")));
    let containers = cluster().ctr(&["containers", "list", "--quiet"]).unwrap();
    traces.extend(containers.lines().map(|container| format!("container {container}")));
    let volumes = fs::read_dir(cluster().path("kubelet").join("pods")).into_iter().flatten().flatten();
    traces.extend(volumes.map(|entry| format!("volumes {}", entry.path().display())));
    traces
}

fn tc(words: &[&str]) -> String {
    run_ok(Command::new("tc").args(words), TOOL_TIMEOUT).unwrap()
}

/// Processes of the daemon: this PID namespace has no other.
fn processes() -> Vec<String> {
    let pids = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let is_daemon = |path: &PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end() == "sni-probe")
    };
    pids.filter(is_daemon).map(|path| path.display().to_string()).collect()
}

/// The cgroups of pods and containers.
fn cgroups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = pending.pop() {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        for path in entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
        {
            if path.components().any(|part| part.as_os_str() == "kubepods") {
                found.push(path.clone());
            }
            pending.push(path);
        }
    }
    found
}

/// Installs, counts, uninstalls, and compares what is on the node with what was.
fn assert_nothing_is_left(attach: &str) {
    let gateway = gateway();
    make_namespace();
    let before = traces();
    let release = Release::install(&json!({ "attach": attach, "kube": { "enabled": true } }));
    assert_counts(&gateway, Clients::default(), Clients { served: 1, without: 1, unknown: 1 });
    let during = traces();
    let is_seen = |what: &str| during.difference(&before).any(|trace| trace.starts_with(what));
    let hook = if attach == "tcx" { "TCX" } else { "filter" };
    for what in [hook, "process", "cgroup", "container", "file", "volumes"] {
        assert!(is_seen(what), "this test would not see a {what} that is left:\n{during:#?}");
    }
    drop(release);
    let mut left = BTreeSet::new();
    let result = wait_until("the node to be as before", DEADLINE, || {
        left = traces().difference(&before).cloned().collect();
        Ok(left.is_empty().then_some(()))
    });
    result.unwrap_or_else(|error| panic!("{error:#}\n{left:#?}"));
}

#[test]
fn nothing_is_left_by_tcx() {
    assert_nothing_is_left("tcx");
}

#[test]
fn nothing_is_left_by_clsact() {
    assert_nothing_is_left("clsact");
}
