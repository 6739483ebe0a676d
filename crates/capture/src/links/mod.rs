//! Network interfaces by rtnetlink: which there are, which carry the default routes, when they change.

mod link;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage};
use rtnetlink::packet_route::route::{RouteAttribute, RouteHeader, RouteMessage};
use rtnetlink::packet_route::tc::{TcAttribute, TcMessage};
use rtnetlink::sys::AsyncSocket as _;
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};

use self::link::link;
pub use self::link::{Bridge, Link, LinkKind, LinkState, Orientation, Packets, Xdp};

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
    /// A veth or netkit interface with its peer in another namespace is taken for the host side of a pod's, unless it
    /// carries a default route: then it is the uplink of the pod in whose namespace this process runs.
    pub fn orientation(&self, link: &Link) -> Orientation {
        if link.is_pair_to_elsewhere && !self.default_routes.contains(&link.index) {
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
    /// Connects, and returns a stream that yields whenever an interface, the filters of one, or (`with_routes`) a default
    /// route have changed, and when notices were lost: look again then with [`Netlink::links`]. Needs a running tokio
    /// runtime.
    pub fn connect(with_routes: bool) -> io::Result<(Self, impl Stream<Item = ()> + Unpin)> {
        const ROUTES: [MulticastGroup; 2] = [MulticastGroup::Ipv4Route, MulticastGroup::Ipv6Route];
        let mut groups = vec![MulticastGroup::Link, MulticastGroup::Tc];
        groups.extend(ROUTES.into_iter().filter(|_| with_routes));
        let (connection, handle, messages) = rtnetlink::new_multicast_connection(&groups)?;
        tokio::spawn(connection);
        let (mut connection, strict, _) = rtnetlink::new_connection()?;
        // (Linux 4.20. An older kernel lists those of all interfaces, which are then sorted out here.)
        let _ = connection.socket_mut().socket_mut().set_netlink_get_strict_chk(true);
        tokio::spawn(connection);
        let changes =
            messages.filter_map(|(message, _)| async move { is_of_interest(&message).then_some(()) });
        Ok((Self { handle, strict }, Box::pin(changes)))
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

    /// The addresses of an interface that others can reach: no link-local ones. None if the kernel does not answer.
    pub async fn addresses(&self, link: &Link) -> Vec<IpAddr> {
        let request = self.handle.address().get().set_link_index_filter(link.index).execute();
        let messages: Vec<AddressMessage> = request.try_collect().await.unwrap_or_default();
        let attributes = messages
            .into_iter()
            .filter(|message| {
                message.header.index == link.index && message.header.scope == AddressScope::Universe
            })
            .flat_map(|message| message.attributes);
        attributes
            .filter_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(address),
                AddressAttribute::Address(address) if address.is_ipv6() => Some(address),
                _ => None,
            })
            .collect()
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

/// Whether a notice is a reason to look again. A node has many routes that come and go with its pods.
fn is_of_interest(message: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
    match &message.payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) => !default_route_links(route).is_empty(),
        _ => true,
    }
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
