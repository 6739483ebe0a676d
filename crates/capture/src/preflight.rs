//! What must be true of the machine before programs can be loaded, told before anything is done.

use aya::util::KernelVersion;
use caps::{CapSet, Capability};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The oldest kernel that has the BPF ring buffer and everything else that the programs use.
const OLDEST_KERNEL: KernelVersion = KernelVersion::new(5, 8, 0);
/// From this one on, the verifier takes these programs without `CAP_PERFMON`. (5.10 does not; what is between was
/// not tried.)
const SPECULATION_KERNEL: KernelVersion = KernelVersion::new(6, 1, 0);
/// From this one on, maps are charged to the memory cgroup, not to `RLIMIT_MEMLOCK`.
const MEMORY_CGROUP_KERNEL: KernelVersion = KernelVersion::new(5, 11, 0);

/// Why this process cannot watch interfaces on this machine.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum PreflightError {
    /// The kernel lacks what the programs need.
    #[error("Linux 5.8 or later is needed (BPF ring buffer), this is {0}; update the node's kernel")]
    OldKernel(String),
    /// The process lacks capabilities.
    #[error(
        "missing capabilities: {}; run it as root (`sudo sni-probe run …`), or grant them: \
         `sudo setcap cap_bpf,cap_net_admin,cap_perfmon+ep $(command -v sni-probe)` (CAP_PERFMON before Linux 6.1 only)",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    MissingCapabilities(Vec<Capability>),
    /// The process lacks the one capability of packet sockets.
    #[error(
        "missing capability: CAP_NET_RAW; run it as root (`sudo sni-probe run …`), or grant it: \
         `sudo setcap cap_net_raw+ep $(command -v sni-probe)`"
    )]
    NoPacketSockets,
}

/// Checks what the TC programs need: the kernel's version and this process's capabilities. Lifts the limit of locked
/// memory where the kernel has one.
pub fn tc() -> Result<(), PreflightError> {
    let kernel = KernelVersion::current().unwrap_or(SPECULATION_KERNEL);
    check_kernel(kernel)?;
    check_capabilities(kernel, has_capability)?;
    if locked_memory_is_limited() {
        // May fail without CAP_SYS_RESOURCE; loading says so then.
        let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    }
    Ok(())
}

/// Checks what packet sockets need.
pub fn packet_sockets() -> Result<(), PreflightError> {
    if has_capability(Capability::CAP_NET_RAW) { Ok(()) } else { Err(PreflightError::NoPacketSockets) }
}

/// The modes of kernel lockdown, with the current one in brackets. Empty or missing without securityfs.
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
/// The inode of the first user namespace (`PROC_USER_INIT_INO` of the kernel).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Lets aya find out what the kernel's bpf(2) supports. aya does so once, and keeps the answers.
///
/// One of aya's questions is a tracing program that reads kernel memory. Lockdown in the mode confidentiality refuses
/// it with a line in the kernel's log. Without `CAP_PERFMON` the kernel refuses it earlier and writes no line, so the
/// capability is put aside meanwhile. The programs then have no names, as always without `CAP_PERFMON`.
pub(super) fn detect_features() {
    let modes = std::fs::read_to_string(LOCKDOWN).unwrap_or_default();
    // CAP_SYS_ADMIN stands for CAP_BPF as well, which the other questions take.
    let aside: Vec<Capability> =
        if forbids_reading_kernel_memory(&modes) && has_capability(Capability::CAP_BPF) {
            let both = [Capability::CAP_PERFMON, Capability::CAP_SYS_ADMIN];
            both.into_iter().filter(|capability| has_capability(*capability)).collect()
        } else {
            Vec::new()
        };
    for capability in &aside {
        let _ = caps::drop(None, CapSet::Effective, *capability);
    }
    let _ = aya::features();
    for capability in aside {
        // It is still permitted, so this succeeds.
        let _ = caps::raise(None, CapSet::Effective, capability);
    }
}

fn forbids_reading_kernel_memory(modes: &str) -> bool {
    modes.contains("[confidentiality]")
}

/// Whether this process is in a user namespace of its own, as in a rootless container. bpf(2) asks for capabilities in
/// the first one.
pub(super) fn is_in_user_namespace() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() != INITIAL_USER_NAMESPACE)
}

/// Whether a seccomp filter decides which system calls this process may make, as in most containers.
pub(super) fn has_seccomp_filter() -> bool {
    /// `SECCOMP_MODE_FILTER` of the kernel.
    const FILTER: u32 = 2;
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.seccomp == Some(FILTER))
}

/// Whether the kernel asks for `CAP_BPF` for reading maps as well. Since 5.19 it does not, of whoever has the map's
/// descriptor.
pub fn reading_maps_takes_bpf() -> bool {
    KernelVersion::current().is_ok_and(|kernel| kernel < KernelVersion::new(5, 19, 0))
}

/// Whether the verifier allows this process what it allows with `CAP_PERFMON`.
pub(super) fn has_perfmon() -> bool {
    has_capability(Capability::CAP_PERFMON) || has_capability(Capability::CAP_SYS_ADMIN)
}

fn has_capability(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// Whether maps may be refused for the limit of locked memory.
pub(super) fn locked_memory_is_limited() -> bool {
    KernelVersion::current().is_ok_and(|kernel| kernel < MEMORY_CGROUP_KERNEL)
        && getrlimit(Resource::Memlock).current.is_some()
}

fn check_kernel(kernel: KernelVersion) -> Result<(), PreflightError> {
    if kernel >= OLDEST_KERNEL {
        return Ok(());
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Err(PreflightError::OldKernel(release))
}

/// `CAP_PERFMON` on older kernels, whose verifiers without it take more of what these programs do for a way to leak
/// memory by speculation. `CAP_SYS_ADMIN` stands for it and for `CAP_BPF`, as it did before Linux 5.8.
fn check_capabilities(kernel: KernelVersion, has: impl Fn(Capability) -> bool) -> Result<(), PreflightError> {
    let is_missing = |capability: &Capability| {
        let stands_for = *capability != Capability::CAP_NET_ADMIN && has(Capability::CAP_SYS_ADMIN);
        !has(*capability) && !stands_for
    };
    let mut needed = vec![Capability::CAP_BPF, Capability::CAP_NET_ADMIN];
    if kernel < SPECULATION_KERNEL {
        needed.push(Capability::CAP_PERFMON);
    }
    let missing: Vec<Capability> = needed.into_iter().filter(is_missing).collect();
    if missing.is_empty() { Ok(()) } else { Err(PreflightError::MissingCapabilities(missing)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_ring_buffer_is_refused() {
        assert!(matches!(check_kernel(KernelVersion::new(5, 7, 19)), Err(PreflightError::OldKernel(_))));
        assert_eq!(check_kernel(KernelVersion::new(5, 8, 0)), Ok(()));
        assert_eq!(check_kernel(KernelVersion::new(6, 18, 0)), Ok(()));
    }

    #[test]
    fn only_confidentiality_forbids_to_read_kernel_memory() {
        assert!(forbids_reading_kernel_memory("none integrity [confidentiality]\n"));
        for modes in ["none [integrity] confidentiality\n", "[none] integrity confidentiality\n", ""] {
            assert!(!forbids_reading_kernel_memory(modes), "{modes}");
        }
    }

    const OLD: KernelVersion = KernelVersion::new(5, 10, 0);
    const NEW: KernelVersion = KernelVersion::new(6, 12, 0);

    #[test]
    fn missing_capabilities_are_named() {
        let error = check_capabilities(OLD, |_| false).unwrap_err().to_string();
        assert!(error.contains("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON;"), "{error}");
        assert!(error.contains("sudo"), "{error}");
        for missing in [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON] {
            let others = |capability| capability != missing && capability != Capability::CAP_SYS_ADMIN;
            let error = PreflightError::MissingCapabilities(vec![missing]);
            assert_eq!(check_capabilities(OLD, others), Err(error));
        }
    }

    #[test]
    fn newer_kernels_do_without_perfmon() {
        let granted = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN];
        assert_eq!(check_capabilities(NEW, |capability| granted.contains(&capability)), Ok(()));
        assert!(check_capabilities(OLD, |capability| granted.contains(&capability)).is_err());
    }

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon() {
        let granted = [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN];
        assert_eq!(check_capabilities(OLD, |capability| granted.contains(&capability)), Ok(()));
    }
}
