//! Kinds of interfaces between a client and a gateway, and how to make each of them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rtnetlink::LinkNetkit;
use rtnetlink::packet_route::link::NetkitMode;
use system_tests::process::run_ok;
use system_tests::virtual_machine::{LINKS, Side, mac_address};
use system_tests::{Lab, Namespace};

use super::PATIENCE;

/// The interface of [`TOPOLOGIES`] that is a bridge's own device.
pub(super) const BRIDGE: &str = "br0";
/// The interface of [`TOPOLOGIES`] that is an ipvlan interface in mode l3s.
pub(super) const IPVLAN_L3S: &str = "ipvl3s0";

/// A daemon that watches interfaces of several topologies.
///
/// All interfaces of a daemon share one flow table, so a connection that passes two of them is reported once. Therefore no
/// connection passes two interfaces of one watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watcher {
    /// On the node: interfaces that are on top of others, and the node's ends of pairs.
    Upper,
    /// On the node: network cards.
    Lower,
    /// On the node, with `--decapsulate`. It also watches the second port of the bridge.
    Decapsulating,
    /// In the pod's network namespace, by `--netns`.
    Pod,
}

impl Watcher {
    pub(super) const ALL: [Self; 4] = [Self::Upper, Self::Lower, Self::Decapsulating, Self::Pod];
}

/// An interface of a topology.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatchPoint {
    /// What it is, for the table.
    pub(super) label: &'static str,
    pub(super) watcher: Watcher,
    pub(super) interface: &'static str,
}

/// A way from the client to a gateway.
pub(super) struct Topology {
    /// For the table.
    pub(super) name: &'static str,
    /// The gateway's address, which no other topology has.
    pub(super) gateway: Ipv4Addr,
    /// The interfaces on the way.
    pub(super) points: &'static [WatchPoint],
    /// Makes the interfaces.
    pub(super) set_up: fn(&Network) -> Result<()>,
}

const fn upper(label: &'static str, interface: &'static str) -> WatchPoint {
    WatchPoint { label, watcher: Watcher::Upper, interface }
}

const fn lower(label: &'static str, interface: &'static str) -> WatchPoint {
    WatchPoint { label, watcher: Watcher::Lower, interface }
}

const fn decapsulating(label: &'static str, interface: &'static str) -> WatchPoint {
    WatchPoint { label, watcher: Watcher::Decapsulating, interface }
}

const fn in_pod(label: &'static str, interface: &'static str) -> WatchPoint {
    WatchPoint { label, watcher: Watcher::Pod, interface }
}

const NIC: &str = "the node's NIC";
const NODES_END: &str = "the node's end";
const PODS_END: &str = "the pod's end";
const BELOW: &str = "the NIC below it";

/// All of them, in the order of the table.
pub(super) const TOPOLOGIES: &[Topology] = &[
    Topology {
        name: "veth pair to the gateway's pod",
        gateway: Ipv4Addr::new(10, 91, 1, 1),
        points: &[lower(NIC, "nic0"), upper(NODES_END, "veth0"), in_pod(PODS_END, "vethpod")],
        set_up: |network| {
            let pod = network.pod.name();
            network.node().ip(&format!("link add veth0 type veth peer name vethpod netns {pod}"))?;
            network.route_to_pod(1, "veth0", "vethpod")
        },
    },
    Topology {
        name: "netkit pair in mode L2 to the gateway's pod",
        gateway: Ipv4Addr::new(10, 91, 2, 1),
        points: &[lower(NIC, "nic0"), upper(NODES_END, "netkit2"), in_pod(PODS_END, "netkitpod2")],
        set_up: |network| {
            network.add_netkit("netkit2", "netkitpod2", NetkitMode::L2)?;
            network.route_to_pod(2, "netkit2", "netkitpod2")
        },
    },
    Topology {
        name: "netkit pair in mode L3 to the gateway's pod",
        gateway: Ipv4Addr::new(10, 91, 3, 1),
        points: &[lower(NIC, "nic0"), upper(NODES_END, "netkit3"), in_pod(PODS_END, "netkitpod3")],
        set_up: |network| {
            network.add_netkit("netkit3", "netkitpod3", NetkitMode::L3)?;
            network.route_to_pod(3, "netkit3", "netkitpod3")
        },
    },
    Topology {
        name: "802.1Q VLAN interface",
        gateway: Ipv4Addr::new(10, 90, 5, 1),
        points: &[upper("the VLAN interface", "vlan5"), lower(BELOW, "nic0")],
        set_up: |network| network.connect_both("vlan5", "link {nic} name {name} type vlan id 5", 5),
    },
    Topology {
        name: "bond",
        gateway: Ipv4Addr::new(10, 90, 6, 1),
        points: &[upper("the bond", "bond1"), lower("its slave, a NIC", "nic5")],
        set_up: |network| {
            let node = network.node();
            node.ip("link add bond1 type bond mode active-backup miimon 100")?;
            node.ip("link set nic5 down")?;
            node.ip("link set nic5 master bond1")?;
            add_address(node, "bond1", "10.90.6.1/24")?;
            add_address(network.client(), "cli5", "10.90.6.2/24")
        },
    },
    Topology {
        name: "bridge that has the gateway's address",
        gateway: Ipv4Addr::new(10, 90, 7, 1),
        points: &[upper("the bridge's own device", BRIDGE), lower("its port, a NIC", "nic6")],
        set_up: |network| {
            let node = network.node();
            node.ip(&format!("link add {BRIDGE} type bridge"))?;
            node.ip(&format!("link set nic6 master {BRIDGE}"))?;
            add_address(node, BRIDGE, "10.90.7.1/24")?;
            add_address(network.client(), "cli6", "10.90.7.2/24")
        },
    },
    // On the same bridge.
    Topology {
        name: "bridge with the gateway's pod at a port",
        gateway: Ipv4Addr::new(10, 90, 7, 3),
        points: &[
            upper("the bridge's own device", BRIDGE),
            lower("the port to the clients, a NIC", "nic6"),
            decapsulating("the port to the pod, a veth", "bridgeveth"),
            in_pod(PODS_END, "bridgepod"),
        ],
        set_up: |network| {
            let node = network.node();
            let pod = network.pod.name();
            node.ip(&format!("link add bridgeveth type veth peer name bridgepod netns {pod}"))?;
            node.ip(&format!("link set bridgeveth master {BRIDGE}"))?;
            node.ip("link set bridgeveth up")?;
            add_address(&network.pod, "bridgepod", "10.90.7.3/24")
        },
    },
    Topology {
        name: "macvlan interface in the gateway's pod",
        gateway: Ipv4Addr::new(10, 90, 8, 1),
        points: &[in_pod("the macvlan interface", "macvlan0"), lower(BELOW, "nic1")],
        set_up: |network| network.add_to_pod("macvlan0", 1, "macvlan mode bridge", 8),
    },
    Topology {
        name: "ipvlan interface in mode l2 in the gateway's pod",
        gateway: Ipv4Addr::new(10, 90, 9, 1),
        points: &[in_pod("the ipvlan interface", "ipvl2"), lower(BELOW, "nic2")],
        set_up: |network| network.add_to_pod("ipvl2", 2, "ipvlan mode l2", 9),
    },
    Topology {
        name: "ipvlan interface in mode l3 in the gateway's pod",
        gateway: Ipv4Addr::new(10, 90, 10, 1),
        points: &[in_pod("the ipvlan interface", "ipvl3"), lower(BELOW, "nic3")],
        set_up: |network| network.add_routed_ipvlan("ipvl3", 3, "l3", 10),
    },
    Topology {
        name: "ipvlan interface in mode l3s in the gateway's pod",
        gateway: Ipv4Addr::new(10, 90, 11, 1),
        points: &[in_pod("the ipvlan interface", IPVLAN_L3S), lower(BELOW, "nic4")],
        set_up: |network| network.add_routed_ipvlan(IPVLAN_L3S, 4, "l3s", 11),
    },
    Topology {
        name: "VXLAN",
        gateway: Ipv4Addr::new(10, 90, 12, 1),
        points: &[
            upper("the VXLAN interface", "vxlan7"),
            lower(BELOW, "nic0"),
            decapsulating("the NIC below it, with `--decapsulate vxlan`", "nic0"),
        ],
        set_up: |network| {
            let options = "name {name} type vxlan id 7 dev {nic} local {local} remote {remote} dstport 4789";
            network.connect_both("vxlan7", options, 12)
        },
    },
    Topology {
        name: "Geneve",
        gateway: Ipv4Addr::new(10, 90, 13, 1),
        points: &[
            upper("the Geneve interface", "geneve7"),
            lower(BELOW, "nic0"),
            decapsulating("the NIC below it, with `--decapsulate geneve`", "nic0"),
        ],
        set_up: |network| network.connect_both("geneve7", "name {name} type geneve id 7 remote {remote}", 13),
    },
    Topology {
        name: "GRE with Ethernet frames (gretap)",
        gateway: Ipv4Addr::new(10, 90, 14, 1),
        points: &[upper("the gretap interface", "gretap7"), lower(BELOW, "nic0")],
        set_up: |network| {
            network.connect_both("gretap7", "name {name} type gretap local {local} remote {remote}", 14)
        },
    },
];

/// A node with a pod, and clients outside, which reach the node over [`LINKS`] links.
///
/// ```text
///  clients' namespace                node's namespace                   pod's namespace
///  cli0 10.90.0.2  ------ hub ------ nic0 10.90.0.1, veth0, netkit2 … - vethpod, netkitpod2 …
///  cli1 … cli6     ------ hubs ----- nic1 … nic6 ---------------------- macvlan0, ipvl2 …
/// ```
pub(super) struct Network {
    /// The node and the clients.
    pub(super) lab: Lab,
    /// The pod with the second gateway.
    pub(super) pod: Namespace,
}

impl Network {
    /// Takes the network cards into the namespaces.
    pub(super) fn new() -> Result<Self> {
        let lab = Lab::new()?;
        let network = Self { pod: Namespace::new("pod")?, lab };
        let forward = || fs::write("/proc/sys/net/ipv4/ip_forward", "1");
        network.node().run_in_thread(forward)?.context("forwarding packets")?;
        for link in 0..LINKS {
            for (side, namespace, prefix) in
                [(Side::Node, network.node(), "nic"), (Side::Client, network.client(), "cli")]
            {
                let card = card_with(&mac_address(link, side))?;
                let mut command = Command::new("ip");
                command.args(["link", "set", &card, "netns", namespace.name()]);
                command.args(["name", &format!("{prefix}{link}")]);
                run_ok(&mut command, PATIENCE)?;
                namespace.ip(&format!("link set {prefix}{link} up"))?;
            }
        }
        add_address(network.node(), "nic0", "10.90.0.1/24")?;
        add_address(network.client(), "cli0", "10.90.0.2/24")?;
        network.node().ip("route add default via 10.90.0.2 dev nic0")?;
        Ok(network)
    }

    fn node(&self) -> &Namespace {
        &self.lab.gateway
    }

    fn client(&self) -> &Namespace {
        &self.lab.client
    }

    /// Makes an interface on the first NIC of the node, and one on that of the clients, with addresses of `10.90.<network>`.
    fn connect_both(&self, name: &str, options: &str, network: u8) -> Result<()> {
        let sides = [(self.node(), "nic0", 1, 2), (self.client(), "cli0", 2, 1)];
        for (namespace, nic, local, remote) in sides {
            let options = options.replace("{name}", name).replace("{nic}", nic);
            let options = options.replace("{local}", &format!("10.90.0.{local}"));
            let options = options.replace("{remote}", &format!("10.90.0.{remote}"));
            namespace.ip(&format!("link add {options}"))?;
            add_address(namespace, name, &format!("10.90.{network}.{local}/24"))?;
        }
        Ok(())
    }

    /// Makes an interface in the pod that is on a NIC of the node. The pod is in the clients' network.
    fn add_to_pod(&self, name: &str, link: u8, kind: &str, network: u8) -> Result<()> {
        let pod = self.pod.name();
        self.node().ip(&format!("link add link nic{link} name {name} netns {pod} type {kind}"))?;
        add_address(&self.pod, name, &format!("10.90.{network}.1/24"))?;
        add_address(self.client(), &format!("cli{link}"), &format!("10.90.{network}.2/24"))
    }

    /// Makes an ipvlan interface in the pod that is on a NIC of the node. The clients reach the pod by a route.
    fn add_routed_ipvlan(&self, name: &str, link: u8, mode: &str, network: u8) -> Result<()> {
        let pod = self.pod.name();
        self.node()
            .ip(&format!("link add link nic{link} name {name} netns {pod} type ipvlan mode {mode}"))?;
        add_address(self.node(), &format!("nic{link}"), &format!("10.93.{link}.1/24"))?;
        add_address(self.client(), &format!("cli{link}"), &format!("10.93.{link}.2/24"))?;
        add_address(&self.pod, name, &format!("10.90.{network}.1/32"))?;
        self.client().ip(&format!("route add 10.90.{network}.1/32 via 10.93.{link}.1"))?;
        self.pod.ip(&format!("route add 10.93.{link}.2/32 dev {name}"))?;
        Ok(())
    }

    /// Makes a netkit pair, and takes one end into the pod.
    fn add_netkit(&self, name: &str, peer: &str, mode: NetkitMode) -> Result<()> {
        let message = LinkNetkit::new(name, peer, mode).build();
        let add = || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection()?;
                tokio::spawn(connection);
                handle.link().add(message).execute().await.context("making a netkit pair")
            })
        };
        self.node().run_in_thread(add)??;
        self.node().ip(&format!("link set {peer} netns {}", self.pod.name()))?;
        Ok(())
    }

    /// Gives addresses of `10.91.<number>` to a pair. The clients reach the pod from an address of their own, so that each
    /// answer goes the way back.
    fn route_to_pod(&self, number: u8, nodes_end: &str, pods_end: &str) -> Result<()> {
        let client = format!("10.90.0.{}", 100 + number);
        add_address(self.node(), nodes_end, &format!("10.91.{number}.254/24"))?;
        add_address(&self.pod, pods_end, &format!("10.91.{number}.1/24"))?;
        self.pod.ip(&format!("route add {client}/32 via 10.91.{number}.254 dev {pods_end}"))?;
        add_address(self.client(), "cli0", &format!("{client}/24"))?;
        self.client().ip(&format!("route add 10.91.{number}.0/24 via 10.90.0.1 src {client}"))?;
        Ok(())
    }
}

fn add_address(namespace: &Namespace, interface: &str, address: &str) -> Result<()> {
    namespace.ip(&format!("link set {interface} up"))?;
    namespace.ip(&format!("address add {address} dev {interface}"))?;
    Ok(())
}

/// The network card of the machine that has this MAC address.
fn card_with(address: &str) -> Result<String> {
    let directory = Path::new("/sys/class/net");
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let found = fs::read_to_string(directory.join(&name).join("address")).unwrap_or_default();
        if found.trim() == address {
            return Ok(name);
        }
    }
    bail!("no network card has the address {address}; is virtio_net there?")
}
