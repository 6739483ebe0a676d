//! What must be true of the machine before programs can be loaded, told before anything is done.

use aya::util::KernelVersion;
use caps::{CapSet, Capability};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The oldest kernel that has the BPF ring buffer and everything else that the programs use.
const OLDEST_KERNEL: KernelVersion = KernelVersion::new(5, 8, 0);
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
         `sudo setcap cap_bpf,cap_net_admin,cap_perfmon+ep $(command -v sni-probe)`",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    MissingCapabilities(Vec<Capability>),
}

/// Checks the kernel's version and this process's capabilities, and lifts the limit of locked memory
/// where the kernel has one.
pub fn check() -> Result<(), PreflightError> {
    if let Ok(kernel) = KernelVersion::current() {
        check_kernel(kernel)?;
    }
    check_capabilities(|capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false))?;
    if locked_memory_is_limited() {
        // May fail without CAP_SYS_RESOURCE; loading says so then.
        let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    }
    Ok(())
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

/// `CAP_PERFMON`, for the programs read packets at offsets that depend on the packet: without it the
/// verifier takes that for a way to leak memory by speculation. `CAP_SYS_ADMIN` stands for it and for
/// `CAP_BPF`, as it did before Linux 5.8.
fn check_capabilities(has: impl Fn(Capability) -> bool) -> Result<(), PreflightError> {
    let is_missing = |capability: &Capability| {
        let stands_for = *capability != Capability::CAP_NET_ADMIN && has(Capability::CAP_SYS_ADMIN);
        !has(*capability) && !stands_for
    };
    let needed = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON];
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
    fn missing_capabilities_are_named() {
        let error = check_capabilities(|_| false).unwrap_err().to_string();
        assert!(error.contains("CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"), "{error}");
        assert!(error.contains("sudo"), "{error}");
        for missing in [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_PERFMON] {
            let others = |capability| capability != missing && capability != Capability::CAP_SYS_ADMIN;
            let error = PreflightError::MissingCapabilities(vec![missing]);
            assert_eq!(check_capabilities(others), Err(error));
        }
    }

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon() {
        let granted = [Capability::CAP_SYS_ADMIN, Capability::CAP_NET_ADMIN];
        assert_eq!(check_capabilities(|capability| granted.contains(&capability)), Ok(()));
    }
}
