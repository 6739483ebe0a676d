use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use sni_probe::capture_file::Interface;
use sni_probe_core::frame::LinkType;

use super::*;

const PACKET: usize = 1_500;

fn evidence(directory: &tempfile::TempDir) -> Evidence {
    Evidence::new(&directory.path().join("out.pcapng"), &[], Duration::from_secs(30)).unwrap()
}

fn flow(client: u32) -> FlowKey {
    let client = SocketAddr::new(Ipv4Addr::from_bits(client).into(), 50_000);
    FlowKey { client, gateway: "192.0.2.1:443".parse().unwrap() }
}

/// Takes a packet of a connection, as if the datapath had made an event of it.
fn take(evidence: &mut Evidence, number: u64, time_ns: u64, key: FlowKey) {
    let bytes = [0; PACKET];
    let interface = Interface::new(LinkType::ETHERNET.0, 0, None);
    let record = Record {
        number,
        time_ns,
        interface: 0,
        description: &interface,
        link_type: interface.link_type,
        wire_len: PACKET,
        bytes: &bytes,
    };
    let packet = IpPacket { bytes: &bytes, wire_len: PACKET };
    evidence.take(number, time_ns, &record, &Unwrapped::Ip(packet), Some(key)).unwrap();
}

#[test]
fn connections_that_never_end_do_not_fill_the_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut evidence = evidence(&directory);
    let packets = 3 * MAX_HELD_BYTES / PACKET;
    for number in 0..packets {
        take(&mut evidence, number as u64, 0, flow(u32::try_from(number).unwrap()));
        assert!(evidence.held_bytes <= MAX_HELD_BYTES + PACKET + OVERHEAD);
    }
    assert!(evidence.given_up > 0);
    assert_eq!(evidence.held.len() + usize::try_from(evidence.given_up).unwrap(), packets);
    assert_eq!(evidence.flows.len(), evidence.held.len());
    // One that is there no more is told as such, one that is there is written.
    evidence.settle(&flow(0), true).unwrap();
    evidence.settle(&flow(u32::try_from(packets).unwrap() - 1), true).unwrap();
    let EvidenceCounts { incomplete, .. } = evidence.finish().unwrap();
    assert_eq!(incomplete, 1);
    let written = fs::metadata(directory.path().join("out.pcapng")).unwrap().len();
    assert!((1_500..2_000).contains(&written), "{written}");
}

#[test]
fn one_connection_does_not_take_all() {
    let directory = tempfile::tempdir().unwrap();
    let mut evidence = evidence(&directory);
    for number in 0..1_000 {
        take(&mut evidence, number, 0, flow(1));
    }
    assert!(evidence.held_bytes <= MAX_FLOW_BYTES);
    evidence.settle(&flow(1), true).unwrap();
    assert_eq!(evidence.finish().unwrap().incomplete, 1);
}

/// What is selected waits for an older connection, but not for longer than that can last.
#[test]
fn an_open_connection_holds_up_others_for_its_time_only() {
    let directory = tempfile::tempdir().unwrap();
    let mut evidence = evidence(&directory);
    take(&mut evidence, 1, 0, flow(1));
    take(&mut evidence, 2, 1, flow(2));
    evidence.settle(&flow(2), true).unwrap();
    assert_eq!(evidence.held.len(), 2);
    take(&mut evidence, 3, 61_000_000_000, flow(3));
    assert_eq!(evidence.held.len(), 1);
    assert_eq!(evidence.held_bytes, PACKET + OVERHEAD);
}
