//! Giving up what is not needed any more, so that whoever takes over the process gains nothing by it.

use std::io;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

/// What became of the bounding set, which limits the capabilities that a program can gain by execve(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundingSet {
    /// It has the kept capabilities and no others.
    Reduced,
    /// It is as it was. Reducing it takes `CAP_SETPCAP`, which the thread did not have.
    Unchanged,
}

/// Leaves this thread these capabilities (of those that it has) and no others, for good. With `no_new_privs`, a program
/// that it starts cannot have more, whatever the bounding set allows. Threads that it starts from now on have the same;
/// those that are there keep theirs.
///
/// # Errors
/// What the kernel says.
pub fn keep_only(kept: &[Capability]) -> io::Result<BoundingSet> {
    let may_shrink_bounding =
        caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(other)?;
    if may_shrink_bounding {
        let bounding = caps::read(None, CapSet::Bounding).map_err(other)?;
        for capability in bounding.into_iter().filter(|capability| !kept.contains(capability)) {
            caps::drop(None, CapSet::Bounding, capability).map_err(other)?;
        }
    }
    // Kernels before 4.3 have no ambient set, and nothing runs there.
    caps::clear(None, CapSet::Ambient).map_err(other)?;
    caps::clear(None, CapSet::Inheritable).map_err(other)?;
    let permitted = caps::read(None, CapSet::Permitted).map_err(other)?;
    let left: CapsHashSet = permitted.into_iter().filter(|capability| kept.contains(capability)).collect();
    caps::set(None, CapSet::Effective, &left).map_err(other)?;
    caps::set(None, CapSet::Permitted, &left).map_err(other)?;
    rustix::thread::set_no_new_privs(true)?;
    Ok(if may_shrink_bounding { BoundingSet::Reduced } else { BoundingSet::Unchanged })
}

/// Drops all capabilities of this thread, for good: see [`keep_only`].
///
/// # Errors
/// What the kernel says, and which thread it is.
pub fn drop_all() -> io::Result<()> {
    match keep_only(&[]) {
        Ok(_) => Ok(()),
        Err(error) => {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("without a name");
            Err(io::Error::new(error.kind(), format!("cannot drop privileges of the thread {name}: {error}")))
        }
    }
}

fn other(error: CapsError) -> io::Error {
    io::Error::other(error)
}
