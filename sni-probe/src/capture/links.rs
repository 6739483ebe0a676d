//! Network interfaces by rtnetlink: which there are, which carry the default routes, when they change.

use std::collections::BTreeSet;
use std::{fmt, io};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    InfoKind, InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteHeader, RouteMessage};
use rtnetlink::packet_route::tc::{TcAttribute, TcMessage};
use rtnetlink::sys::AsyncSocket as _;
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Index, unique in its network namespace at a time.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Whether it is administratively up.
    pub is_up: bool,
    /// Whether packets at its traffic control hooks begin with an Ethernet header.
    pub has_ethernet_header: bool,
    /// Link layer type in the kernel's words.
    pub layer: String,
    /// Whether it is one end of a veth pair whose other end is in another network namespace.
    pub is_veth_to_elsewhere: bool,
    /// The bridge of which it is a port.
    pub bridge: Option<Bridge>,
    /// Index of the interface that it is enslaved to: a bridge, a bond.
    pub master: Option<u32>,
    /// Index of the interface that it is on, if it is a VLAN or macvlan interface.
    pub lower: Option<u32>,
    /// Packets that it carried by the time of the question.
    pub packets: Packets,
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

/// The interfaces of this network namespace, and those that carry default routes.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// All interfaces, in the kernel's order.
    pub all: Vec<Link>,
    /// Indices of the interfaces through which default routes lead, IPv4 or IPv6: see
    /// [`Netlink::add_default_routes`].
    pub default_routes: BTreeSet<u32>,
}

impl Links {
    /// The interface with this name.
    pub fn by_name(&self, name: &str) -> Option<&Link> {
        self.all.iter().find(|link| link.name == name)
    }

    /// The interfaces through which default routes lead.
    pub fn with_default_route(&self) -> impl Iterator<Item = &Link> {
        self.all.iter().filter(|link| self.default_routes.contains(&link.index))
    }

    /// Whether an interface that takes frames of `link` is a port of a bridge: a VLAN interface on it, the bond that it
    /// belongs to, or one that is on these.
    pub fn is_under_bridge_port(&self, link: &Link) -> bool {
        let is_upper =
            |upper: &Link, of: &Link| upper.lower == Some(of.index) || of.master == Some(upper.index);
        let mut seen = vec![link];
        let mut next = 0;
        while let Some(&current) = seen.get(next) {
            next += 1;
            // A bridge takes them, and hands them on to its ports: what is on it has them no more.
            if current.bridge.is_some() {
                continue;
            }
            let uppers = self.all.iter().filter(|upper| is_upper(upper, current));
            let new: Vec<_> = uppers.filter(|upper| !seen.contains(upper)).collect();
            seen.extend(new);
        }
        seen[1..].iter().any(|upper| upper.bridge.is_some())
    }

    /// The names of all interfaces, for messages.
    pub fn names(&self) -> String {
        self.all.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// On which side of the gateway an interface most likely is.
    ///
    /// A veth that leads into another namespace is taken for the host side of a pod's, unless it
    /// carries a default route: then it is the uplink of the pod in whose namespace this process runs.
    pub fn orientation(&self, link: &Link) -> Orientation {
        if link.is_veth_to_elsewhere && !self.default_routes.contains(&link.index) {
            Orientation::Veth
        } else {
            Orientation::Nic
        }
    }
}

/// A connection to rtnetlink.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: Handle,
    /// A connection on which the kernel heeds the interface that a request names, and does not list those of all.
    strict: Handle,
}

impl Netlink {
    /// Connects, and returns a stream that yields whenever an interface, or the filters of one,
    /// have changed (and when notices were lost): look again then with [`Netlink::links`]. Needs a running tokio runtime.
    pub fn connect() -> io::Result<(Self, impl Stream<Item = ()> + Unpin)> {
        let (connection, handle, messages) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Link, MulticastGroup::Tc])?;
        tokio::spawn(connection);
        let (mut connection, strict, _) = rtnetlink::new_connection()?;
        // (Linux 4.20. An older kernel lists those of all interfaces, which are then sorted out here.)
        let _ = connection.socket_mut().socket_mut().set_netlink_get_strict_chk(true);
        tokio::spawn(connection);
        Ok((Self { handle, strict }, messages.map(|_| ())))
    }

    pub(super) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Asks the kernel for the interfaces, without routes.
    pub async fn links(&self) -> Result<Links, rtnetlink::Error> {
        let messages: Vec<LinkMessage> = self.handle.link().get().execute().try_collect().await?;
        Ok(Links { all: messages.iter().filter_map(link).collect(), default_routes: BTreeSet::new() })
    }

    /// Whether an interface receives for more unicast MAC addresses than its own (`dev_uc_add`): those of macvlan
    /// interfaces on it, in whatever namespace, of VLAN interfaces, of VRRP.
    pub async fn has_more_addresses(&self, link: &Link) -> Result<bool, rtnetlink::Error> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = link.index;
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNeighbour(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut answers = self.strict.clone().request(request)?;
        let mut has_more = false;
        while let Some(answer) = answers.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(entry)) => {
                    has_more |= is_own_unicast_address(&entry, link.index);
                }
                NetlinkPayload::Error(error) => return Err(rtnetlink::Error::NetlinkError(error)),
                _ => {}
            }
        }
        Ok(has_more)
    }

    /// How many legacy filters that are `counted` an interface has, on both hooks together.
    pub(super) async fn count_filters(
        &self,
        index: u32,
        counted: impl Fn(&TcMessage) -> bool,
    ) -> Result<usize, rtnetlink::Error> {
        Ok(filters(&self.handle, index).await?.iter().filter(|filter| counted(filter)).count())
    }

    /// Asks the kernel for the default routes too. The kernel lists all routes, which may be many.
    pub async fn add_default_routes(&self, links: &mut Links) {
        let v4 = RouteMessageBuilder::<std::net::Ipv4Addr>::new().build();
        let v6 = RouteMessageBuilder::<std::net::Ipv6Addr>::new().build();
        for family in [v4, v6] {
            let mut routes = std::pin::pin!(self.handle.route().get(family).execute());
            // A kernel without IPv6 refuses; that family then has no routes.
            while let Some(Ok(route)) = routes.next().await {
                links.default_routes.extend(default_route_links(&route));
            }
        }
    }
}

fn link(message: &LinkMessage) -> Option<Link> {
    let mut name = None;
    let mut is_veth = false;
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
                is_veth |= infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth)));
                is_on_another |= infos.iter().any(|info| {
                    matches!(info, LinkInfo::Kind(InfoKind::Vlan | InfoKind::MacVlan | InfoKind::MacVtap))
                });
                bridge = infos.iter().find_map(Bridge::of);
            }
            _ => {}
        }
    }
    let layer = message.header.link_layer_type;
    Some(Link {
        index: message.header.index,
        name: name?,
        is_up: message.header.flags.contains(LinkFlags::Up),
        has_ethernet_header: matches!(layer, LinkLayerType::Ether | LinkLayerType::Loopback),
        layer: format!("{layer:?}").to_lowercase(),
        is_veth_to_elsewhere: is_veth && is_elsewhere,
        bridge,
        master,
        lower: lower.filter(|_| is_on_another && !is_elsewhere),
        packets,
    })
}

/// Whether an entry is an address that the interface itself receives for, rather than one that a bridge has learnt.
fn is_own_unicast_address(entry: &NeighbourMessage, index: u32) -> bool {
    /// The bit of a MAC address that says "group" (IEEE 802, section 8.2).
    const GROUP: u8 = 1;
    let is_unicast = entry.attributes.iter().any(|attribute| {
        matches!(attribute, NeighbourAttribute::LinkLayerAddress(address)
            if address.first().is_some_and(|first| first & GROUP == 0))
    });
    is_unicast && entry.header.ifindex == index && entry.header.flags.contains(NeighbourFlags::Own)
}

/// The interfaces of a route, if it is a default route of the main table.
fn default_route_links(route: &RouteMessage) -> Vec<u32> {
    if route.header.destination_prefix_length != 0 || route.header.table != RouteHeader::RT_TABLE_MAIN {
        return Vec::new();
    }
    let mut indices = Vec::new();
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => indices.push(*index),
            RouteAttribute::MultiPath(hops) => indices.extend(hops.iter().map(|hop| hop.interface_index)),
            _ => {}
        }
    }
    indices
}

/// Deletes the legacy filters of an interface that are `doomed`, from both hooks.
pub(super) async fn delete_filters(
    index: u32,
    doomed: impl Fn(&TcMessage) -> bool,
) -> Result<(), rtnetlink::Error> {
    with_connection(async |mut handle| {
        for filter in filters(&handle, index).await?.iter().filter(|filter| doomed(filter)) {
            // Just this one: without its priority and handle, all that are there would be meant.
            let mut message = TcMessage::default();
            message.header = filter.header.clone();
            message.attributes = vec![TcAttribute::Kind("bpf".to_owned())];
            let mut request = NetlinkMessage::from(RouteNetlinkMessage::DelTrafficFilter(message));
            request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
            let mut answers = handle.request(request)?;
            while let Some(answer) = answers.next().await {
                if let NetlinkPayload::Error(error) = answer.payload {
                    return Err(rtnetlink::Error::NetlinkError(error));
                }
            }
        }
        Ok(())
    })
    .await
}

/// Deletes the clsact qdisc of an interface, unless somebody's filters are in it.
pub(super) async fn delete_clsact_if_empty(index: u32) -> Result<(), rtnetlink::Error> {
    with_connection(async |handle| {
        if !filters(&handle, index).await?.is_empty() {
            return Ok(());
        }
        let Ok(index) = i32::try_from(index) else { return Ok(()) };
        let qdiscs: Vec<TcMessage> = handle.qdisc().get().index(index).execute().try_collect().await?;
        let Some(clsact) =
            qdiscs.into_iter().find(|qdisc| qdisc.header.index == index && is_of_kind(qdisc, "clsact"))
        else {
            return Ok(());
        };
        let mut request = handle.qdisc().del(index);
        request.message_mut().header.parent = clsact.header.parent;
        request.message_mut().header.handle = clsact.header.handle;
        request.execute().await
    })
    .await
}

/// A connection for one thing to do: also at the end, when the one that follows changes may be gone.
async fn with_connection<T>(
    work: impl AsyncFnOnce(Handle) -> Result<T, rtnetlink::Error>,
) -> Result<T, rtnetlink::Error> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|error| rtnetlink::Error::NamespaceError(error.to_string()))?;
    let connection = tokio::spawn(connection);
    let result = work(handle).await;
    connection.abort();
    result
}

/// The legacy filters of an interface, of both hooks.
async fn filters(handle: &Handle, index: u32) -> Result<Vec<TcMessage>, rtnetlink::Error> {
    let Ok(index) = i32::try_from(index) else { return Ok(Vec::new()) };
    let filters = handle.traffic_filter(index);
    let mut all: Vec<TcMessage> = filters.clone().get().ingress().execute().try_collect().await?;
    let egress: Vec<TcMessage> = filters.clone().get().egress().execute().try_collect().await?;
    all.extend(egress);
    Ok(all)
}

fn is_of_kind(message: &TcMessage, wanted: &str) -> bool {
    message.attributes.iter().any(|attribute| matches!(attribute, TcAttribute::Kind(kind) if kind == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_bridges_are_found_above_an_interface() {
        let link = |index, lower, master, bridge| Link { index, bridge, master, lower, ..Link::default() };
        let kernel = Some(Bridge::Kernel);
        let links = Links {
            all: vec![
                // Two in a bond, with two VLAN interfaces on it, one of which is a port of bridge 9.
                link(1, None, Some(3), None),
                link(2, None, Some(3), None),
                link(3, None, None, None),
                link(4, Some(3), None, None),
                link(5, Some(3), Some(9), kernel),
                // A port itself, and one on the bridge.
                link(6, None, Some(9), kernel),
                link(7, Some(9), None, None),
                // Alone; and two that say that they are on each other.
                link(8, None, None, None),
                link(9, None, None, None),
                link(10, Some(11), None, None),
                link(11, Some(10), None, None),
            ],
            ..Links::default()
        };
        let under: Vec<u32> =
            links.all.iter().filter(|link| links.is_under_bridge_port(link)).map(|link| link.index).collect();
        assert_eq!(under, [1, 2, 3]);
    }
}
