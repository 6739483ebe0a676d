//! Legacy filters of traffic control as rtnetlink tells them, and the sign by which this program's are known.

use std::ops::RangeInclusive;

use aya::programs::tc::TcHandle;
use rtnetlink::packet_route::tc::{TcAttribute, TcBpfFlags, TcFilterBpfOption, TcMessage, TcOption};

use super::programs::{CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT};

/// Explicit, so that a second copy cannot be added by mistake. The second one is that of the other program on the same
/// hook, at a mirror port: two filters of one priority must differ by handle.
pub(super) const FILTER_HANDLES: [TcHandle; 2] = [TcHandle::new(0, 0x0535), TcHandle::new(0, 0x0536)];

/// Priorities of a legacy filter, of which the first that is free is taken: not 1, where Cilium's stands and others
/// fight for it. All filters of one priority are of one kind and protocol, so another program's may bar it.
pub(super) const FILTER_PRIORITIES: RangeInclusive<u16> = 50..=65;

/// A filter's priority, which shares a word with its protocol.
pub(super) fn priority(filter: &TcMessage) -> u16 {
    (filter.header.info >> 16) as u16
}

/// Whether it is one of this program's: by its handle, and by its name. The name is empty where aya could not find out
/// that the kernel knows names, for which it loads a tracing program: without `CAP_PERFMON` it may not. Then the rest of
/// what this program writes must be there: a BPF filter for every protocol, in direct-action mode.
pub(super) fn is_ours(filter: &TcMessage) -> bool {
    let has_handle =
        FILTER_HANDLES.into_iter().any(|handle| u32::from(filter.header.handle) == u32::from(handle));
    has_handle
        && match program_name(filter) {
            Some(CLIENT_TO_GATEWAY | GATEWAY_TO_CLIENT) => true,
            Some("") => is_for_all_protocols(filter) && is_direct(filter),
            _ => false,
        }
}

/// Whether it is for frames of every protocol (`ETH_P_ALL`), which stands below the priority.
fn is_for_all_protocols(filter: &TcMessage) -> bool {
    /// `linux/if_ether.h`, in network byte order.
    const ETH_P_ALL: u16 = 3_u16.to_be();
    (filter.header.info & 0xffff) as u16 == ETH_P_ALL
}

/// Whether the program's verdict is the filter's (`TCA_BPF_FLAG_ACT_DIRECT`).
fn is_direct(filter: &TcMessage) -> bool {
    options(filter).any(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::Flags(flags)) => flags.contains(TcBpfFlags::DirectAction),
        _ => false,
    })
}

pub(super) fn options(filter: &TcMessage) -> impl Iterator<Item = &TcOption> {
    let options = filter.attributes.iter().filter_map(|attribute| match attribute {
        TcAttribute::Options(options) => Some(options),
        _ => None,
    });
    options.flatten()
}

/// The name of the eBPF program of a filter, if it has one.
fn program_name(filter: &TcMessage) -> Option<&str> {
    options(filter).find_map(|option| match option {
        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => Some(&**name),
        _ => None,
    })
}

/// A program's name, else the kind of the filter.
pub(super) fn name(filter: &TcMessage) -> String {
    let kind = || {
        filter.attributes.iter().find_map(|attribute| match attribute {
            TcAttribute::Kind(kind) => Some(&**kind),
            _ => None,
        })
    };
    let name = program_name(filter).filter(|name| !name.is_empty());
    name.or_else(kind).unwrap_or("a filter without a name").to_owned()
}
