//! Frames for other MAC addresses: of other hosts on a promiscuous interface, and where a gateway's frames arrive so.

use std::net::{Ipv4Addr, SocketAddr};

use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::frames::{Flag, Segment, Wire, stay_on_one_cpu};
use system_tests::probe::Probe;
use system_tests::resetting::{ResettingGateway, send_hello};
use system_tests::{GATEWAY_INTERFACE, Lab, Namespace};

use crate::site::{PORT, Site, TIMEOUT, assert_bare, assert_counted, wait_for_log};

const CAPTURES: [&str; 2] = ["tc", "af-packet"];
/// Hosts of which frames come that are none of the gateway's.
const OTHERS: u32 = 5;
/// A MAC address that no interface has.
const OTHER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

const COUNT: &str = "frames for other MAC addresses count";
const DO_NOT_COUNT: &str = "frames for other MAC addresses do not count any more";

/// Sends SYN and hello of each of the clients, for a MAC address that is not the gateway's.
fn send_to_another(lab: &Lab, clients: std::ops::Range<u32>) {
    stay_on_one_cpu().unwrap();
    let wire = Wire::from_clients(lab).unwrap();
    let hello = ClientHelloBuilder::new().build();
    for client in clients {
        for segment in [Segment::SYN, Segment::data(&hello)] {
            let mut frame = wire.bytes(&segment, client).unwrap();
            frame[..6].copy_from_slice(&OTHER_MAC);
            wire.send_frame(&frame).unwrap();
        }
    }
}

/// Waits until so many frames were skipped, each for this reason.
#[track_caller]
fn assert_skipped(probe: &Probe<'_>, count: u64) {
    let family = "sni_probe_packets_skipped_total";
    let labels = [("reason", "other_host")];
    let metrics = probe.wait_for_metrics(TIMEOUT, |metrics| metrics.count(family, &labels) >= count).unwrap();
    assert_eq!(metrics.count(family, &[]), count);
}

#[test]
fn on_a_promiscuous_interface_they_do_not_count() {
    for capture in CAPTURES {
        let site = Site::new();
        site.lab.gateway.ip(&format!("link set {GATEWAY_INTERFACE} promisc on")).unwrap();
        let probe = site.probe(&["--capture", capture]);
        send_to_another(&site.lab, 0..OTHERS);
        assert_skipped(&probe, 2 * u64::from(OTHERS));
        site.hello();
        assert_counted(&probe, 1);
    }
}

/// Both directions come in, for MAC addresses of others.
#[test]
fn on_a_mirror_port_they_do() {
    let ways = [
        &["--capture", "tc", "--attach", "tcx"][..],
        &["--capture", "tc", "--attach", "clsact"],
        &["--capture", "tc", "--attach", "clsact", "--priority", "7"],
        &["--capture", "tc", "--orientation", "veth"],
        &["--capture", "af-packet"],
    ];
    for way in ways {
        let site = Site::new();
        let gateway = &site.lab.gateway;
        gateway.ip(&format!("link set {GATEWAY_INTERFACE} promisc on")).unwrap();
        let mut probe = site.probe(&[way, &["--mirror-port"]].concat());
        wait_for_log(&mut probe, COUNT);
        send_to_another(&site.lab, 0..OTHERS);
        let (clients, mirrored) =
            (Wire::from_clients(&site.lab).unwrap(), Wire::from_gateway(&site.lab).unwrap());
        for client in 0..OTHERS {
            let mut frame = mirrored.bytes(&Segment::only(Flag::Rst, 0), client).unwrap();
            frame[..6].copy_from_slice(&OTHER_MAC);
            clients.send_frame(&frame).unwrap();
        }
        assert_counted(&probe, OTHERS.into());
        assert_skipped(&probe, 0);
        assert_eq!(probe.stop().unwrap(), 0);
        assert_bare(gateway, GATEWAY_INTERFACE);
    }
}

/// A namespace for a pod, or a virtual machine, with a gateway in it.
struct Pod {
    _gateway: ResettingGateway,
    namespace: Namespace,
    address: SocketAddr,
}

impl Pod {
    /// `link`, an interface of `node`, becomes its `eth0` with this address, of the lab's subnet or another.
    fn new(node: &Namespace, link: &str, address: Ipv4Addr) -> Self {
        let namespace = Namespace::new("pod").unwrap();
        node.ip(&format!("link set {link} netns {} name eth0", namespace.name())).unwrap();
        namespace.ip(&format!("address add {address}/24 dev eth0")).unwrap();
        namespace.ip("link set eth0 up").unwrap();
        let gateway = ResettingGateway::start(&namespace, PORT).unwrap();
        Self { _gateway: gateway, namespace, address: (address, PORT).into() }
    }

    /// With a veth of which `end` is a port of the node's bridge.
    fn on_bridge(node: &Namespace, end: &str, bridge: &str, address: Ipv4Addr) -> Self {
        node.ip(&format!("link add {end} type veth peer name pod")).unwrap();
        node.ip(&format!("link set {end} master {bridge} up")).unwrap();
        Self::new(node, "pod", address)
    }
}

/// The interface becomes a port of a bridge while it is watched, and is no port any more in the end.
#[test]
fn on_a_port_of_a_bridge_they_do() {
    for capture in CAPTURES {
        let lab = Lab::new().unwrap();
        let node = &lab.gateway;
        let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--capture", capture];
        let mut probe = Probe::start_with(&lab, &options).unwrap();
        probe.wait_ready().unwrap();
        node.ip("link add br0 type bridge").unwrap();
        node.ip("link set br0 up").unwrap();
        let machine = Pod::on_bridge(node, "tap0", "br0", Ipv4Addr::new(10, 77, 0, 20));
        send_to_another(&lab, 0..1);
        assert_skipped(&probe, 2);

        node.ip(&format!("link set {GATEWAY_INTERFACE} master br0")).unwrap();
        wait_for_log(
            &mut probe,
            &format!("{COUNT} interface={GATEWAY_INTERFACE:?} reason=\"it is a port of a bridge\""),
        );
        send_hello(&lab.client, machine.address).unwrap();
        assert_counted(&probe, 1);

        node.ip(&format!("link set {GATEWAY_INTERFACE} nomaster")).unwrap();
        wait_for_log(&mut probe, DO_NOT_COUNT);
        send_to_another(&lab, 1..2);
        assert_skipped(&probe, 4);
        assert_counted(&probe, 1);
        assert_eq!(probe.stop().unwrap(), 0);
    }
}

/// The port is an interface on the NIC (macvlan that takes all; VLAN, on most hypervisors), and the NIC is watched.
#[test]
fn under_a_port_of_a_bridge_they_do() {
    for capture in CAPTURES {
        let lab = Lab::new().unwrap();
        let node = &lab.gateway;
        node.ip("link add br0 type bridge").unwrap();
        node.ip("link set br0 up").unwrap();
        node.ip(&format!("link add link {GATEWAY_INTERFACE} name upper type macvlan mode passthru")).unwrap();
        node.ip("link set upper master br0 up").unwrap();
        let machine = Pod::on_bridge(node, "tap0", "br0", Ipv4Addr::new(10, 77, 0, 20));
        let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--capture", capture];
        let mut probe = Probe::start_with(&lab, &options).unwrap();
        probe.wait_ready().unwrap();
        wait_for_log(&mut probe, "an interface on it is a port of a bridge");
        send_hello(&lab.client, machine.address).unwrap();
        assert_counted(&probe, 1);
        assert_eq!(probe.stop().unwrap(), 0);
    }
}

/// As the CNI plugin "bridge" connects pods: from a pod of the same node the kernel only bridges, and the frames keep
/// the mark that they got at the port where they came in; what comes from outside it routes.
#[test]
fn behind_a_bridge_cni_they_do() {
    for capture in CAPTURES {
        let lab = Lab::new().unwrap();
        let node = &lab.gateway;
        node.ip("link add cni0 type bridge").unwrap();
        node.ip("address add 10.78.0.1/24 dev cni0").unwrap();
        node.ip("link set cni0 up").unwrap();
        let gateway = Pod::on_bridge(node, "veth1", "cni0", Ipv4Addr::new(10, 78, 0, 2));
        let other = Pod::on_bridge(node, "veth2", "cni0", Ipv4Addr::new(10, 78, 0, 3));
        gateway.namespace.ip("route add default via 10.78.0.1").unwrap();
        lab.client.ip("route add 10.78.0.0/24 via 10.77.0.1").unwrap();
        node.run_in_thread(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap().unwrap();

        // It finds out by itself which way round it is.
        let options = ["-i", "veth1", "--capture", capture];
        let mut probe = Probe::start_with(&lab, &options).unwrap();
        probe.wait_ready().unwrap();
        wait_for_log(&mut probe, "orientation=veth");
        send_hello(&other.namespace, gateway.address).unwrap();
        assert_counted(&probe, 1);
        send_hello(&lab.client, gateway.address).unwrap();
        assert_counted(&probe, 2);
        assert_skipped(&probe, 0);
        assert_eq!(probe.stop().unwrap(), 0);
    }
}

/// The NIC receives for the pod's MAC address as well, and is not promiscuous.
#[test]
fn under_macvlan_they_do() {
    for capture in CAPTURES {
        let lab = Lab::new().unwrap();
        let node = &lab.gateway;
        node.ip(&format!("link add pod link {GATEWAY_INTERFACE} type macvlan mode bridge")).unwrap();
        let pod = Pod::new(node, "pod", Ipv4Addr::new(10, 77, 0, 30));
        let options = ["-i", GATEWAY_INTERFACE, "--orientation", "nic", "--capture", capture];
        let mut probe = Probe::start_with(&lab, &options).unwrap();
        probe.wait_ready().unwrap();
        wait_for_log(&mut probe, "it has more MAC addresses than its own");
        send_hello(&lab.client, pod.address).unwrap();
        assert_counted(&probe, 1);
        // It goes, and is noticed at the next look around.
        drop(pod);
        wait_for_log(&mut probe, DO_NOT_COUNT);
        assert_eq!(probe.stop().unwrap(), 0);
    }
}
