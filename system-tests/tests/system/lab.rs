//! The lab itself, without sni-probe. What the gateways do is in `envoy` and `gateways`, beside what
//! sni-probe says of it.

use std::net::SocketAddr;
use std::time::Duration;

use sni_probe_testkit::hello::{ClientHelloBuilder, POST_QUANTUM_BYTES};
use system_tests::envoy::{Envoy, EnvoyOptions};
use system_tests::process::{Service, run_ok};
use system_tests::raw::RawClient;
use system_tests::{CLIENT_INTERFACE, GATEWAY_V4, Lab, wait_until};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends the segments and waits for the gateway's answer.
fn send(lab: &Lab, segments: &[&[u8]]) {
    let mut client = RawClient::connect(&lab.client, SocketAddr::new(GATEWAY_V4, 443)).unwrap();
    client.send_segments(segments.iter().copied()).unwrap();
    client.read_first(TIMEOUT).unwrap();
}

/// Payload sizes of the client's packets, as tcpdump sees them on the client's interface.
fn captured_sizes(lab: &Lab, work: impl FnOnce()) -> Vec<usize> {
    let file = lab.path("client.pcap");
    let mut command = lab.client.command("tcpdump");
    // Without these two, tcpdump loses what it has not yet written when it is stopped.
    command.args(["-U", "--immediate-mode", "-n", "-Z", "root", "-i", CLIENT_INTERFACE, "-w"]);
    command.arg(&file).arg("dst port 443");
    let mut tcpdump = Service::start("tcpdump", &mut command, lab.directory()).unwrap();
    wait_until("tcpdump", TIMEOUT, || Ok(tcpdump.stderr().contains("listening on").then_some(()))).unwrap();
    work();
    let sizes = || {
        let mut command = lab.client.command("tshark");
        command.arg("-r").arg(&file).args(["-T", "fields", "-e", "tcp.len", "-Y", "tcp.len > 0"]);
        let text = run_ok(&mut command, TIMEOUT).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<usize>>()
    };
    let seen = wait_until("packets", TIMEOUT, || Ok(Some(sizes()).filter(|all| !all.is_empty())));
    tcpdump.stop().unwrap();
    drop(seen);
    sizes()
}

#[test]
fn segments_arrive_as_crafted() {
    let lab = Lab::new().unwrap();
    let _envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    let large = ClientHelloBuilder::new().post_quantum().build();
    let small = ClientHelloBuilder::new().build();
    assert_eq!(captured_sizes(&lab, || send(&lab, &[&large])), [POST_QUANTUM_BYTES]);
    let split = captured_sizes(&lab, || send(&lab, &[&small[..3], &small[3..9], &small[9..]]));
    assert_eq!(split, [3, 6, small.len() - 9]);
    lab.set_offloads(false).unwrap();
    assert_eq!(captured_sizes(&lab, || send(&lab, &[&large])), [1448, 341]);
}

#[test]
fn a_lab_leaves_nothing_behind() {
    let lab = Lab::new().unwrap();
    let address = lab.link_host().unwrap();
    let names = [lab.gateway.name().to_owned(), lab.client.name().to_owned()];
    let directory = lab.directory().to_owned();
    let envoy = Envoy::start(&lab, &EnvoyOptions::default()).unwrap();
    drop(envoy);
    drop(lab);
    let list = run_ok(std::process::Command::new("ip").args(["netns", "list"]), TIMEOUT).unwrap();
    assert!(names.iter().all(|name| !list.contains(name)), "{list}");
    let links = run_ok(std::process::Command::new("ip").arg("address"), TIMEOUT).unwrap();
    let subnet = address.to_string().replace(".1", ".2/24");
    assert!(!directory.exists() && !links.contains(&subnet), "{links}");
}
