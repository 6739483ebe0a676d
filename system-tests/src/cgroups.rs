//! Control groups that the lab's container engines make.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long the kernel may take to forget processes that were killed.
const DEADLINE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// Where each hierarchy is mounted: the one of version 2, and those of version 1.
pub fn hierarchies() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    // "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0"
    let columns = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let ours = columns.filter(|columns| columns.get(2).is_some_and(|kind| kind.starts_with("cgroup")));
    ours.map(|columns| columns[1].into()).collect()
}

/// The directories of a control group, one in each hierarchy that has it.
pub fn directories(name: &str) -> Vec<PathBuf> {
    let all = hierarchies().into_iter().map(|hierarchy| hierarchy.join(name));
    all.filter(|directory| directory.is_dir()).collect()
}

/// The memory limit of a process, in bytes.
pub fn memory_limit(pid: u32) -> Option<u64> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    // "4:memory:/path" of version 1; "0::/path" of version 2, which may lack the controller.
    let mut groups = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    groups.find_map(|(controllers, path)| {
        let is_it = |controller| matches!(controller, "memory" | "");
        let path = path.trim_start_matches('/');
        controllers.split(',').any(is_it).then(|| {
            let files = ["memory.limit_in_bytes", "memory.max"];
            let directories = hierarchies().into_iter().map(|hierarchy| hierarchy.join(path));
            let mut files = directories.flat_map(|directory| files.map(|file| directory.join(file)));
            files.find_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok())
        })?
    })
}

/// Kills what runs in a control group and in those below it, and removes them from all hierarchies.
pub fn remove(name: &str) {
    let start = Instant::now();
    loop {
        let directories = directories(name);
        for directory in &directories {
            remove_below(directory);
        }
        if directories.is_empty() || start.elapsed() > DEADLINE {
            return;
        }
        thread::sleep(POLL);
    }
}

/// Removes what can be removed: a control group stays busy for as long as its processes are not gone.
fn remove_below(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
        }
    }
    let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
    fs::remove_dir(directory).ok();
}
