//! `--capture af-packet`: what is about the sockets themselves. That they see what the programs see, the tests of
//! gateways and of load tell, which run with either.

use nix::sys::signal::Signal;
use system_tests::probe::Probe;
use system_tests::resetting::{ResettingGateway, send_hello};
use system_tests::{CLIENT_V4, GATEWAY_INTERFACE, GATEWAY_V6, wait_until};

use crate::site::{PORT, Site, TIMEOUT, assert_bare, assert_counted, wait_for_log};

const PACKETS: [&str; 2] = ["--capture", "af-packet"];

fn start<'lab>(site: &'lab Site, options: &[&str]) -> Probe<'lab> {
    site.probe(&[&PACKETS, options].concat())
}

#[test]
fn nothing_is_attached() {
    let site = Site::new();
    let mut probe = start(&site, &[]);
    assert_bare(&site.lab.gateway, GATEWAY_INTERFACE);
    let metrics = probe.metrics().unwrap();
    for hook in ["ingress", "egress"] {
        let labels = [("interface", GATEWAY_INTERFACE), ("hook", hook), ("mode", "af_packet")];
        assert_eq!(metrics.count("sni_probe_attached", &labels), 1);
    }
    assert!(metrics.count("sni_probe_ring_bytes", &[]) > 0);
    site.hello();
    site.hello_to(GATEWAY_V6);
    assert_counted(&probe, 2);
    assert_eq!(probe.stop().unwrap(), 0);
}

/// The kernel hands over what is not a full block only after a while.
#[test]
fn a_signal_loses_nothing() {
    const HELLOS: usize = 60;
    let site = Site::new();
    let mut probe = start(&site, &[]);
    for _ in 0..HELLOS {
        site.hello();
    }
    probe.service().signal(Signal::SIGTERM).unwrap();
    assert_eq!(probe.service().wait(TIMEOUT).unwrap(), 0);
    let events = probe.events().unwrap();
    assert_eq!(events.len(), HELLOS);
    assert!(events.iter().all(|event| event.sni == "absent" && event.outcome == "reset_by_gateway"));
    // Of two clocks, one was made of the other.
    assert!(events.iter().all(|event| event.latency_us.is_some_and(|latency| latency < 1_000_000)));
}

#[test]
fn which_way_round() {
    let site = Site::new();
    // The gateway is at the other end of the veth.
    let _gateway = ResettingGateway::start(&site.lab.client, PORT).unwrap();
    let mut probe = start(&site, &["--orientation", "veth"]);
    site.hello();
    send_hello(&site.lab.gateway, (CLIENT_V4, PORT).into()).unwrap();
    assert_counted(&probe, 1);
    assert_eq!(probe.stop().unwrap(), 0);
}

#[test]
fn goes_down_and_comes_up() {
    let site = Site::new();
    let set = |state| site.lab.gateway.ip(&format!("link set {GATEWAY_INTERFACE} {state}")).unwrap();
    let mut probe = start(&site, &[]);
    set("down");
    wait_for_log(&mut probe, "the interface is down");
    set("up");
    wait_for_log(&mut probe, "the interface is up again");
    site.hello();
    assert_counted(&probe, 1);
    let lost = [("interface", GATEWAY_INTERFACE), ("change", "lost")];
    assert_eq!(probe.metrics().unwrap().count("sni_probe_interface_changes_total", &lost), 0);
}

#[test]
fn deleted_and_made_again() {
    let site = Site::new();
    let mut probe = start(&site, &["--keep-privileges"]);
    site.hello();
    assert_counted(&probe, 1);
    site.lab.gateway.ip(&format!("link delete {GATEWAY_INTERFACE}")).unwrap();
    wait_until("/readyz to say 503", TIMEOUT, || Ok((probe.get("/readyz")?.0 == 503).then_some(()))).unwrap();
    site.lab.connect().unwrap();
    probe.wait_ready().unwrap();
    site.hello();
    assert_counted(&probe, 2);
    assert_eq!(probe.stop().unwrap(), 0);
}

#[test]
fn too_many_ports_are_refused() {
    let site = Site::new();
    let ports: Vec<String> = (1..=1_500).map(|port: u16| port.to_string()).collect();
    let ports = ports.join(",");
    let options = ["-i", GATEWAY_INTERFACE, PACKETS[0], PACKETS[1], "-p", &ports];
    let mut probe = Probe::start_with(&site.lab, &options).unwrap();
    assert_eq!(probe.service().wait(TIMEOUT).unwrap(), 2);
    let said = probe.service().stderr();
    assert!(said.contains("1500 ports are too many") && said.lines().count() == 1, "{said}");
}
