//! The pods of this node, and whose an address is.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pod::Pod;
use super::{ClientName, Gateway, GatewayName};

/// Pods of the node that are named; a node runs 110, or 256 where it was told so. Those beyond are counted.
pub(super) const MAX_PODS: usize = 1024;
/// Addresses that keep the name of a pod that is gone.
pub(super) const MAX_DEPARTED: usize = 1024;
/// How long they do: the last handshakes of a pod are told after its end. An address that another pod gets is that
/// one's at once.
pub(super) const DEPARTED_KEPT: Duration = Duration::from_mins(5);
/// Bytes of a name or namespace. Kubernetes allows 253.
const MAX_NAME_BYTES: usize = 253;

/// Where a pod is reached: an address that is its own (all ports), or a port of an address that it shares.
type Place = (IpAddr, Option<u16>);

/// The names of a pod, in the forms in which they are told.
#[derive(Debug)]
pub(super) struct PodNames {
    pub(super) gateway: Gateway,
    pub(super) client: ClientName,
}

impl PodNames {
    /// `None` if the names are none that Kubernetes allows.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let (namespace, name, workload) = (pod.namespace(), pod.name(), &*pod.workload);
        let all_usual = [namespace, name, workload, pod.uid()].into_iter().all(is_usual);
        all_usual.then(|| Self::new(namespace, workload, name))
    }

    pub(super) fn new(namespace: &str, workload: &str, pod: &str) -> Self {
        let workload: Arc<str> = workload.into();
        let pod: Arc<str> = format!("{namespace}/{pod}").into();
        let name = GatewayName { namespace: namespace.into(), workload: Arc::clone(&workload) };
        Self { gateway: Gateway { name, pod: Arc::clone(&pod) }, client: ClientName { pod, workload } }
    }
}

/// Whether a text is a name of an object. Names become labels, log fields and table cells, so nothing else is let through.
///
/// Names of pods and their owners are DNS names (RFC 1123). Some kinds allow more (`validation.IsPathSegmentName`), as do
/// custom resources; of these the printable ones without a meaning in paths, HTML or quoted text are accepted.
fn is_usual(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@+~".contains(&byte);
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(is_usual)
}

/// The pods of this node.
#[derive(Debug)]
pub(super) struct Directory {
    /// Ports of shared addresses that matter.
    gateway_ports: Vec<u16>,
    /// By UID.
    pods: HashMap<String, PodEntry>,
    departed: HashMap<Place, Departed>,
    /// Pods that are beyond [`MAX_PODS`], or without a usual name.
    refused: usize,
}

#[derive(Debug)]
struct PodEntry {
    names: Arc<PodNames>,
    places: Vec<Place>,
    node_addresses: Vec<IpAddr>,
}

#[derive(Debug)]
struct Departed {
    names: Arc<PodNames>,
    until: Instant,
}

impl Directory {
    pub(super) fn new(gateway_ports: &[u16]) -> Self {
        Self {
            gateway_ports: gateway_ports.to_vec(),
            pods: HashMap::new(),
            departed: HashMap::new(),
            refused: 0,
        }
    }

    /// Pods that are named.
    pub(super) fn len(&self) -> usize {
        self.pods.len()
    }

    /// Pods that are not: there are too many, or their names are not names of Kubernetes.
    pub(super) fn refused(&self) -> usize {
        self.refused
    }

    /// Addresses that keep a name.
    #[cfg(test)]
    pub(super) fn departed(&self) -> usize {
        self.departed.len()
    }

    /// A pod came, or changed.
    pub(super) fn apply(&mut self, pod: &Pod, now: Instant) {
        let Some(entry) = self.entry(pod) else {
            self.refused += 1;
            return;
        };
        if let Some(old) = self.pods.remove(pod.uid()) {
            self.depart(&old, &entry.places, now);
        } else if self.pods.len() >= MAX_PODS {
            self.refused += 1;
            return;
        }
        self.pods.insert(pod.uid().to_owned(), entry);
    }

    /// A pod was deleted.
    pub(super) fn remove(&mut self, pod: &Pod, now: Instant) {
        match self.pods.remove(pod.uid()) {
            Some(old) => self.depart(&old, &[], now),
            None => self.refused = self.refused.saturating_sub(1),
        }
    }

    /// These are the pods, and no others.
    pub(super) fn replace(&mut self, listing: Listing, now: Instant) {
        let old = std::mem::replace(&mut self.pods, listing.pods);
        self.refused = listing.refused;
        for (uid, entry) in old {
            let places = self.pods.get(&uid).map_or_else(Vec::new, |entry| entry.places.clone());
            self.depart(&entry, &places, now);
        }
    }

    /// Adds a pod to what [`Self::replace`] will be given.
    pub(super) fn list(&self, listing: &mut Listing, pod: &Pod) {
        let Some(entry) = self.entry(pod) else {
            listing.refused += 1;
            return;
        };
        if listing.pods.len() < MAX_PODS {
            listing.pods.insert(pod.uid().to_owned(), entry);
        } else {
            listing.refused += 1;
        }
    }

    /// Whose each address is.
    pub(super) fn snapshot(&mut self, now: Instant) -> Snapshot {
        self.departed.retain(|_, departed| departed.until > now);
        let mut snapshot = Snapshot { is_listed: true, ..Snapshot::default() };
        for (place, departed) in &self.departed {
            let holder = Holder::Gone(Arc::clone(&departed.names), departed.until);
            snapshot.holders.insert(*place, holder);
        }
        for entry in self.pods.values() {
            snapshot.node_addresses.extend(&entry.node_addresses);
            for place in &entry.places {
                if place.1.is_none() {
                    snapshot.networks.insert(Network::of(place.0));
                }
                let holder = match snapshot.holders.get(place) {
                    Some(Holder::Pod(_) | Holder::Several) => Holder::Several,
                    Some(Holder::Gone(..)) | None => Holder::Pod(Arc::clone(&entry.names)),
                };
                snapshot.holders.insert(*place, holder);
            }
        }
        snapshot
    }

    fn entry(&self, pod: &Pod) -> Option<PodEntry> {
        Some(PodEntry {
            names: Arc::new(PodNames::of(pod)?),
            places: self.places(pod),
            node_addresses: pod.node_addresses.clone(),
        })
    }

    fn places(&self, pod: &Pod) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        if pod.has_ended {
            return places;
        }
        if !pod.on_host_network {
            places.extend(pod.addresses.iter().map(|address| (*address, None)));
        }
        for port in &pod.ports {
            let at_node = match (pod.on_host_network, port.host) {
                (true, host) => host.unwrap_or(port.container),
                (false, Some(host)) => host,
                (false, None) => continue,
            };
            if !self.gateway_ports.contains(&at_node) {
                continue;
            }
            let shared = pod.on_host_network.then_some(&pod.addresses).into_iter().flatten();
            let addresses = shared.chain(&pod.node_addresses);
            places.extend(
                addresses
                    .filter(|address| port.host_address.is_none_or(|only| only == **address))
                    .map(|address| (*address, Some(at_node))),
            );
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Keeps the names of what `old` had and has no more.
    fn depart(&mut self, old: &PodEntry, still: &[Place], now: Instant) {
        for place in old.places.iter().filter(|place| !still.contains(place)) {
            if self.departed.len() >= MAX_DEPARTED && !self.departed.contains_key(place) {
                let oldest = self.departed.iter().min_by_key(|(_, departed)| departed.until);
                if let Some(oldest) = oldest.map(|(place, _)| *place) {
                    self.departed.remove(&oldest);
                }
            }
            let departed = Departed { names: Arc::clone(&old.names), until: now + DEPARTED_KEPT };
            self.departed.insert(*place, departed);
        }
    }
}

/// The pods of a list whose end has not come yet.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pods: HashMap<String, PodEntry>,
    refused: usize,
}

/// Whose each address is, at one moment. Made anew for each change, and only read.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Whether there was a list of the pods yet.
    is_listed: bool,
    holders: HashMap<Place, Holder>,
    node_addresses: HashSet<IpAddr>,
    networks: HashSet<Network>,
}

#[derive(Debug)]
enum Holder {
    Pod(Arc<PodNames>),
    /// It held it, and nobody does now; until when the name is kept.
    Gone(Arc<PodNames>, Instant),
    /// More than one says so: a wrong name is worse than none.
    Several,
}

/// What this node knows of an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Whose it is.
    Pod(ClientName),
    /// Nobody's who could be named: several share it.
    Shared,
    /// It may be a pod's of another node.
    Elsewhere,
    /// It is an address from outside of the cluster; or nothing is known yet, not even what is this node's.
    Outside,
}

impl Snapshot {
    /// The pod of this node that is reached there.
    pub(super) fn gateway(&self, address: SocketAddr) -> Option<Gateway> {
        let ip = address.ip().to_canonical();
        let holder =
            self.holders.get(&(ip, None)).or_else(|| self.holders.get(&(ip, Some(address.port()))))?;
        Some(holder.names()?.gateway.clone())
    }

    /// The pod of this node that connects from there, or where it may be.
    pub(super) fn client(&self, address: IpAddr) -> Known {
        if let Some(holder) = self.holders.get(&(address, None)) {
            return holder.names().map_or(Known::Shared, |names| Known::Pod(names.client.clone()));
        }
        if self.node_addresses.contains(&address) {
            return Known::Shared;
        }
        let may_be_a_pods = is_private(address) || self.networks.contains(&Network::of(address));
        if may_be_a_pods && self.is_listed { Known::Elsewhere } else { Known::Outside }
    }

    /// One that knows these, and forgets none.
    pub(super) fn fixed(pods: impl IntoIterator<Item = (IpAddr, PodNames)>) -> Self {
        let holders = pods.into_iter().map(|(ip, names)| ((ip, None), Holder::Pod(Arc::new(names))));
        Self { is_listed: true, holders: holders.collect(), ..Self::default() }
    }
}

impl Holder {
    fn names(&self) -> Option<&PodNames> {
        match self {
            Self::Pod(names) => Some(names),
            Self::Gone(names, until) => (Instant::now() < *until).then_some(names),
            Self::Several => None,
        }
    }
}

/// The part of an address that pods of one cluster have in common: /16, or /56 (what a cloud's network has of IPv6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(u64);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self(u64::from(address.to_bits() >> 16)),
            // IPv6 addresses in use begin with 2, 3 or f, so the two kinds do not meet.
            IpAddr::V6(address) => Self(upper(address) >> 8),
        }
    }
}

fn upper(address: Ipv6Addr) -> u64 {
    let [a, b, c, d, ..] = address.segments().map(u64::from);
    a << 48 | b << 32 | c << 16 | d
}

/// Whether an address is of a range from which clusters take those of pods: RFC 1918, RFC 6598 (100.64.0.0/10),
/// class E (240.0.0.0/4, which GKE allows), RFC 4193 (`fc00::/7`).
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || (first == 100 && (64..128).contains(&second))
                || (first >= 240 && !address.is_broadcast())
        }
        IpAddr::V6(address) => address.is_unique_local(),
    }
}
