//! Nodes of an overlay network: what their tunnels carry is seen when it is asked for, and only then.

use std::net::{Ipv4Addr, SocketAddr};

use system_tests::probe::Probe;
use system_tests::resetting::send_hello;
use system_tests::{CLIENT_INTERFACE, CLIENT_V4, GATEWAY_INTERFACE, GATEWAY_V4, Lab};

use crate::site::{PORT, Site, assert_counted};

/// The gateway's address in the overlay.
const INNER_GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The client's.
const INNER_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// Connects both ends of the lab by VXLAN to this port, over their link.
fn add_vxlan(lab: &Lab, port: u16) {
    let ends = [
        (&lab.gateway, GATEWAY_INTERFACE, GATEWAY_V4, CLIENT_V4, INNER_GATEWAY),
        (&lab.client, CLIENT_INTERFACE, CLIENT_V4, GATEWAY_V4, INNER_CLIENT),
    ];
    for (namespace, interface, local, remote, address) in ends {
        let tunnel = format!("vxlan id 7 dev {interface} local {local} remote {remote} dstport {port}");
        namespace.ip(&format!("link add tun9 type {tunnel}")).unwrap();
        namespace.ip(&format!("address add {address}/24 dev tun9")).unwrap();
        namespace.ip("link set tun9 up").unwrap();
    }
}

fn hello_in_the_overlay(site: &Site) {
    send_hello(&site.lab.client, SocketAddr::from((INNER_GATEWAY, PORT))).unwrap();
}

#[test]
fn in_vxlan() {
    for port in [4789, 8472] {
        let site = Site::new();
        add_vxlan(&site.lab, port);
        let mut probe = site.probe(&["--decapsulate", "vxlan,geneve"]);
        hello_in_the_overlay(&site);
        assert_counted(&probe, 1);
        // What comes without a tunnel is seen as ever.
        site.hello();
        assert_counted(&probe, 2);
        let events = probe.wait_for_events(2, crate::site::TIMEOUT).unwrap();
        assert!(events[0].client.starts_with(&format!("{INNER_CLIENT}:")), "{events:?}");
        assert_eq!(events[0].gateway, format!("{INNER_GATEWAY}:{PORT}"));
        assert_eq!(probe.stop().unwrap(), 0);
    }
}

#[test]
fn off_unless_asked_for() {
    let site = Site::new();
    add_vxlan(&site.lab, 4789);
    let start = |options: &[&str]| -> Probe<'_> { site.probe(options) };
    for options in [&[][..], &["--decapsulate", "geneve,ipip"]] {
        let probe = start(options);
        hello_in_the_overlay(&site);
        // The next one is seen, so the one before has passed unseen.
        site.hello();
        assert_counted(&probe, 1);
    }
}
