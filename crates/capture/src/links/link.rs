//! A network interface, as rtnetlink describes it.

use std::fmt;

use rtnetlink::packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoPortKind, IpVlanMode, LinkAttribute, LinkFlags, LinkInfo,
    LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Index, unique in its network namespace at a time.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Whether it can carry packets.
    pub state: LinkState,
    /// Whether packets at its traffic control hooks begin with an Ethernet header.
    pub has_ethernet_header: bool,
    /// Link layer type in the kernel's words.
    pub layer: String,
    /// What of its kind matters here.
    pub kind: LinkKind,
    /// Whether it is one end of a pair (veth, netkit) with its other end in another network namespace.
    pub is_pair_to_elsewhere: bool,
    /// XDP programs on it: each sees a received packet before the traffic control hooks do.
    pub xdp: Vec<Xdp>,
    /// The bridge of which it is a port.
    pub bridge: Option<Bridge>,
    /// Index of the interface that it is enslaved to: a bridge, a bond.
    pub master: Option<u32>,
    /// Index of the interface that it is on, if it is a VLAN or macvlan interface.
    pub lower: Option<u32>,
    /// Packets that it carried by the time of the question.
    pub packets: Packets,
}

/// Whether an interface can carry packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// It is up and has a carrier.
    #[default]
    Up,
    /// It is administratively up and has no carrier: no cable, no peer, a lower interface that is down.
    NoCarrier,
    /// It is administratively down.
    Down,
}

impl LinkState {
    fn of(flags: LinkFlags) -> Self {
        if !flags.contains(LinkFlags::Up) {
            Self::Down
        } else if !flags.contains(LinkFlags::LowerUp) {
            Self::NoCarrier
        } else {
            Self::Up
        }
    }
}

/// The state, and what follows from it.
impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::NoCarrier => "up without a carrier: nothing is seen there until it has one",
            Self::Down => "down: nothing is seen there until it is up",
        })
    }
}

/// A kind of interface on which not all packets pass the traffic control hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkKind {
    /// Any other.
    #[default]
    Other,
    /// A bridge: packets between its ports do not pass the bridge's own device.
    Bridge,
    /// An ipvlan interface in mode l3s: received packets reach its sockets from the interface below it
    /// (`ipvlan_l3s.c`, netfilter's `LOCAL_IN` hook), and not through this one.
    IpvlanL3s,
}

impl LinkKind {
    fn of(infos: &[LinkInfo]) -> Self {
        let is_l3s = |info: &LinkInfo| match info {
            LinkInfo::Data(InfoData::IpVlan(data)) => data.contains(&InfoIpVlan::Mode(IpVlanMode::L3S)),
            _ => false,
        };
        if infos.contains(&LinkInfo::Kind(InfoKind::Bridge)) {
            Self::Bridge
        } else if infos.iter().any(is_l3s) {
            Self::IpvlanL3s
        } else {
            Self::Other
        }
    }

    /// Which packets do not pass the hooks of such an interface, and what to watch instead.
    pub const fn blind_spot(self) -> Option<&'static str> {
        match self {
            Self::Other => None,
            Self::Bridge => Some(
                "it is a bridge: packets that the bridge forwards between its ports are not seen here, only those of the \
                 bridge's own addresses; watch the ports instead",
            ),
            Self::IpvlanL3s => Some(
                "it is an ipvlan interface in mode l3s: received packets do not pass it, so no ClientHello is seen here; \
                 watch the interface below it, or use mode l2 or l3",
            ),
        }
    }
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xdp {
    /// The kernel's number of the program; 0 where the kernel does not report it.
    pub program_id: u32,
    /// Where it runs: `driver`, `generic` or `hardware`.
    pub place: &'static str,
}

impl Xdp {
    fn of(attributes: &[LinkXdp]) -> Vec<Self> {
        let numbered = attributes.iter().filter_map(|attribute| match *attribute {
            LinkXdp::DrvProgId(program_id) => Some(Self { program_id, place: "driver" }),
            LinkXdp::SkbProgId(program_id) => Some(Self { program_id, place: "generic" }),
            LinkXdp::HwProgId(program_id) => Some(Self { program_id, place: "hardware" }),
            _ => None,
        });
        let numbered: Vec<Self> = numbered.collect();
        if !numbered.is_empty() {
            return numbered;
        }
        // Before Linux 4.19 the kernel reports how a program is attached, and no number.
        let place = attributes.iter().find_map(|attribute| match attribute {
            LinkXdp::Attached(XdpAttached::Driver) => Some("driver"),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => Some("generic"),
            LinkXdp::Attached(XdpAttached::Hardware) => Some("hardware"),
            _ => None,
        });
        place.map(|place| Self { program_id: 0, place }).into_iter().collect()
    }
}

/// Packets that an interface carried since it was made: `rx_packets` and `tx_packets` of `rtnl_link_stats64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packets {
    /// By the interface.
    pub received: u64,
    /// By the interface.
    pub sent: u64,
}

impl Packets {
    /// What came since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            received: self.received.saturating_sub(earlier.received),
            sent: self.sent.saturating_sub(earlier.sent),
        }
    }
}

/// A kind of bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bridge {
    /// The kernel's own.
    Kernel,
    /// Open vSwitch.
    OpenVswitch,
}

impl Bridge {
    /// Of which kind the interface that this is about is a port.
    fn of(info: &LinkInfo) -> Option<Self> {
        match info {
            LinkInfo::PortKind(InfoPortKind::Bridge) => Some(Self::Kernel),
            LinkInfo::PortKind(InfoPortKind::Other(kind)) if kind == "openvswitch" => Some(Self::OpenVswitch),
            _ => None,
        }
    }
}

/// On which side of the gateway an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orientation {
    /// Clients are outside: their packets come in (a NIC, a pod's own interface).
    Nic,
    /// The gateway is outside: clients' packets go out (the host side of a pod's veth).
    Veth,
}

impl fmt::Display for Orientation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nic => "nic",
            Self::Veth => "veth",
        })
    }
}

pub(super) fn link(message: &LinkMessage) -> Option<Link> {
    let mut name = None;
    let mut kind = LinkKind::Other;
    let mut xdp = Vec::new();
    let mut is_pair = false;
    let mut is_elsewhere = false;
    let mut bridge = None;
    let mut master = None;
    let mut lower = None;
    let mut is_on_another = false;
    let mut packets = Packets::default();
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::LinkNetNsId(_) => is_elsewhere = true,
            LinkAttribute::Controller(index) => master = Some(*index),
            LinkAttribute::Link(index) => lower = Some(*index),
            LinkAttribute::Stats64(stats) => {
                packets = Packets { received: stats.rx_packets, sent: stats.tx_packets };
            }
            LinkAttribute::LinkInfo(infos) => {
                is_pair |= infos
                    .iter()
                    .any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth | InfoKind::Netkit)));
                kind = LinkKind::of(infos);
                is_on_another |= infos.iter().any(|info| {
                    matches!(info, LinkInfo::Kind(InfoKind::Vlan | InfoKind::MacVlan | InfoKind::MacVtap))
                });
                bridge = infos.iter().find_map(Bridge::of);
            }
            LinkAttribute::Xdp(attributes) => xdp = Xdp::of(attributes),
            _ => {}
        }
    }
    let layer = message.header.link_layer_type;
    Some(Link {
        index: message.header.index,
        name: name?,
        state: LinkState::of(message.header.flags),
        has_ethernet_header: matches!(layer, LinkLayerType::Ether | LinkLayerType::Loopback),
        layer: format!("{layer:?}").to_lowercase(),
        kind,
        is_pair_to_elsewhere: is_pair && is_elsewhere,
        xdp,
        bridge,
        master,
        lower: lower.filter(|_| is_on_another && !is_elsewhere),
        packets,
    })
}

#[cfg(test)]
mod tests {
    use super::Packets;

    /// Another interface of the same name begins at 0.
    #[test]
    fn packets_since() {
        let first = Packets { received: 100, sent: 50 };
        let later = Packets { received: 103, sent: 50 };
        assert_eq!(later.since(first), Packets { received: 3, sent: 0 });
        assert_eq!(first.since(later), Packets::default());
    }
}
