//! Giving up what is not needed any more, so that whoever takes over the process gains nothing by it.

use std::io;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};

/// Leaves this thread these capabilities (of those that it has) and no others, for good: nor can a program that it
/// starts have more. Threads that it starts from now on have the same; those that are there keep theirs.
///
/// # Errors
/// What the kernel says.
pub fn keep_only(kept: &[Capability]) -> io::Result<()> {
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
    Ok(())
}

fn other(error: CapsError) -> io::Error {
    io::Error::other(error)
}
