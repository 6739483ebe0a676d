//! Legacy filters of traffic control as rtnetlink tells them, and the sign by which this program's are known.

use aya::programs::tc::TcHandle;
use rtnetlink::packet_route::tc::{TcAttribute, TcFilterBpfOption, TcMessage, TcOption};

use super::programs::{CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT};

/// Explicit, so that a second copy cannot be added by mistake. The second one is that of the other program on the same
/// hook, at a mirror port: two filters of one priority must differ by handle.
pub(super) const FILTER_HANDLES: [TcHandle; 2] = [TcHandle::new(0, 0x0535), TcHandle::new(0, 0x0536)];

/// A filter's priority, which shares a word with its protocol.
pub(super) fn priority(filter: &TcMessage) -> u16 {
    (filter.header.info >> 16) as u16
}

/// Whether it is one of this program's, by handle and name. The name is empty where aya could not find out that the
/// kernel knows names, for which it loads a tracing program: without `CAP_PERFMON` it may not.
pub(super) fn is_ours(filter: &TcMessage) -> bool {
    FILTER_HANDLES.into_iter().any(|handle| u32::from(filter.header.handle) == u32::from(handle))
        && program_name(filter).is_some_and(|name| ["", CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT].contains(&name))
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
