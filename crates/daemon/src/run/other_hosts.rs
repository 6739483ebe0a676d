//! On which interfaces frames for other MAC addresses count.
//!
//! An interface in promiscuous mode receives whatever its segment floods to it, and a connection of another host is
//! none of this gateway's. But there are places where a gateway's frames have another MAC address than the interface.

use sni_probe_capture::links::{Link, Links, Netlink, Orientation};

use super::source::PacketSource;

/// Why frames for other MAC addresses count on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// `--mirror-port`.
    MirrorPort,
    /// The node's end of a pod's veth: it sends to the pod's MAC address, and a bridge leaves the kernel's mark of the
    /// port where the frame came in.
    PodsEnd,
    /// The frames are for the bridge, or for what is at its other ports.
    BridgePort,
    /// The same of a VLAN interface on it, or of the bond that it belongs to.
    UnderBridgePort,
    /// The interface receives for macvlan or VLAN interfaces, or VRRP, as well.
    MoreAddresses,
}

impl Reason {
    /// For the log.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::MirrorPort => "it is a mirror port (--mirror-port)",
            Self::PodsEnd => "it is the node's end of a pod's veth",
            Self::BridgePort => "it is a port of a bridge",
            Self::UnderBridgePort => "an interface on it is a port of a bridge",
            Self::MoreAddresses => "it has more MAC addresses than its own",
        }
    }
}

/// Why they count on `link`, if they do. Where the kernel does not say which addresses it has, the answer is what was
/// `known` before.
pub(super) async fn reason(
    netlink: &Netlink,
    links: &Links,
    link: &Link,
    orientation: Orientation,
    is_mirror_port: bool,
    known: Option<Reason>,
) -> Option<Reason> {
    let reason = by_kind(links, link, orientation, is_mirror_port);
    if reason.is_some() {
        return reason;
    }
    match netlink.has_more_addresses(link).await {
        Ok(has_more) => has_more.then_some(Reason::MoreAddresses),
        Err(_) => known.filter(|reason| *reason == Reason::MoreAddresses),
    }
}

/// Tells the datapath. An error is logged and not tried again: where such frames do not count, each is counted as
/// skipped.
pub(super) fn count(link: &Link, reason: Option<Reason>, source: &mut PacketSource) -> bool {
    let result = source.count_other_hosts(link.index, reason.is_some());
    if let Err(error) = &result {
        tracing::warn!(
            interface = link.name,
            %error,
            "cannot say whether frames for other MAC addresses count"
        );
    }
    result.is_ok()
}

fn by_kind(links: &Links, link: &Link, orientation: Orientation, is_mirror_port: bool) -> Option<Reason> {
    if is_mirror_port {
        Some(Reason::MirrorPort)
    } else if orientation == Orientation::Veth {
        Some(Reason::PodsEnd)
    } else if link.bridge.is_some() {
        Some(Reason::BridgePort)
    } else {
        links.is_under_bridge_port(link).then_some(Reason::UnderBridgePort)
    }
}

#[cfg(test)]
mod tests {
    use sni_probe_capture::links::Bridge;

    use super::*;

    #[test]
    fn what_an_interface_is_decides() {
        let link = |bridge| Link { index: 7, bridge, ..Link::default() };
        let on_it = |bridge| Link { index: 8, lower: Some(7), bridge, ..Link::default() };
        let (nic, veth) = (Orientation::Nic, Orientation::Veth);
        let reason = |link: Link, upper: Option<Link>, orientation, is_mirror_port| {
            let all = std::iter::once(link.clone()).chain(upper).collect();
            by_kind(&Links { all, ..Links::default() }, &link, orientation, is_mirror_port)
        };
        assert_eq!(reason(link(None), None, nic, false), None);
        assert_eq!(reason(link(None), Some(on_it(None)), nic, false), None);
        assert_eq!(reason(link(None), None, veth, false), Some(Reason::PodsEnd));
        assert_eq!(reason(link(None), None, nic, true), Some(Reason::MirrorPort));
        for bridge in [Some(Bridge::Kernel), Some(Bridge::OpenVswitch)] {
            assert_eq!(reason(link(bridge), None, nic, false), Some(Reason::BridgePort));
            assert_eq!(reason(link(bridge), None, veth, false), Some(Reason::PodsEnd));
            assert_eq!(reason(link(None), Some(on_it(bridge)), nic, false), Some(Reason::UnderBridgePort));
        }
    }
}
