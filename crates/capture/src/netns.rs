//! Other network namespaces: a pod's, whose traffic may never pass the host side of its veth.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Why a network namespace cannot be entered.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// There is no such file.
    #[error(
        "--netns {}: {}; a pod's is /proc/PID/ns/net of one of its processes, or in /var/run/netns (see `ip netns` and `crictl inspectp`)",
        .0.display(),
        .1
    )]
    NoFile(PathBuf, io::Error),
    /// The file may not be opened.
    #[error(
        "--netns {}: {}; the namespace of another user's process takes root or CAP_SYS_PTRACE, in a pod hostPID as well",
        .0.display(),
        .1
    )]
    NotReadable(PathBuf, io::Error),
    /// The file is something else.
    #[error("--netns {}: not a network namespace; such a file is /proc/PID/ns/net or in /var/run/netns", .0.display())]
    NotNetns(PathBuf),
    /// The process may not.
    #[error(
        "--netns {}: the kernel does not allow it ({}); entering a network namespace needs root or CAP_SYS_ADMIN",
        .0.display(),
        .1
    )]
    NotAllowed(PathBuf, io::Error),
}

/// Moves the calling thread into the network namespace of the file at `path`. Sockets that it has opened before stay
/// where they are; the namespace lives as long as the thread does.
pub fn enter(path: &Path) -> Result<(), NetnsError> {
    // Not to wait for a writer, should it be a pipe.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(|error| match error {
        Errno::ACCESS | Errno::PERM => NetnsError::NotReadable(path.to_owned(), error.into()),
        other => NetnsError::NoFile(path.to_owned(), other.into()),
    })?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|error| match error {
        Errno::INVAL => NetnsError::NotNetns(path.to_owned()),
        other => NetnsError::NotAllowed(path.to_owned(), other.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_network_namespace_is_refused_in_one_line() {
        for (path, expected) in [
            ("/nowhere/at/all", "--netns /nowhere/at/all: No such file or directory"),
            ("/proc/self/status", "--netns /proc/self/status: not a network namespace"),
            ("/proc/self/ns/uts", "--netns /proc/self/ns/uts: not a network namespace"),
        ] {
            let error = enter(Path::new(path)).expect_err(path).to_string();
            assert!(error.starts_with(expected) && !error.contains('\n'), "{error}");
        }
    }
}
