//! On which interfaces frames for other MAC addresses count.
//!
//! An interface in promiscuous mode receives whatever its segment floods to it, and a connection of another host is
//! none of this gateway's. But there are places where a gateway's frames have another MAC address than the interface.

use sni_probe::capture::links::{Link, Netlink, Orientation};

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
            Self::MoreAddresses => "it has more MAC addresses than its own",
        }
    }
}

/// Why they count on `link`, if they do. Where the kernel does not say which addresses it has, the answer is what was
/// `known` before.
pub(super) async fn reason(
    netlink: &Netlink,
    link: &Link,
    orientation: Orientation,
    is_mirror_port: bool,
    known: Option<Reason>,
) -> Option<Reason> {
    let reason = by_kind(link, orientation, is_mirror_port);
    if reason.is_some() {
        return reason;
    }
    match netlink.has_more_addresses(link).await {
        Ok(has_more) => has_more.then_some(Reason::MoreAddresses),
        Err(_) => known.filter(|reason| *reason == Reason::MoreAddresses),
    }
}

fn by_kind(link: &Link, orientation: Orientation, is_mirror_port: bool) -> Option<Reason> {
    if is_mirror_port {
        Some(Reason::MirrorPort)
    } else if orientation == Orientation::Veth {
        Some(Reason::PodsEnd)
    } else if link.bridge.is_some() {
        Some(Reason::BridgePort)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use sni_probe::capture::links::{Bridge, Packets};

    use super::*;

    #[test]
    fn what_an_interface_is_decides() {
        let link = |bridge| Link {
            index: 7,
            name: "eth0".to_owned(),
            is_up: true,
            has_ethernet_header: true,
            layer: "ether".to_owned(),
            is_veth_to_elsewhere: false,
            bridge,
            packets: Packets::default(),
        };
        let (nic, veth) = (Orientation::Nic, Orientation::Veth);
        assert_eq!(by_kind(&link(None), nic, false), None);
        assert_eq!(by_kind(&link(None), veth, false), Some(Reason::PodsEnd));
        assert_eq!(by_kind(&link(None), nic, true), Some(Reason::MirrorPort));
        for bridge in [Bridge::Kernel, Bridge::OpenVswitch] {
            assert_eq!(by_kind(&link(Some(bridge)), nic, false), Some(Reason::BridgePort));
            assert_eq!(by_kind(&link(Some(bridge)), veth, false), Some(Reason::PodsEnd));
        }
    }
}
