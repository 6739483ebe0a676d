//! VLAN tags on a real link. Linux takes one off each frame that it receives, so a received frame has one less than the
//! same frame when it is sent.

use std::time::Duration;

use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::frames::{Flag, Segment, Wire, stay_on_one_cpu};
use system_tests::{Lab, probe::Probe};

use crate::site::assert_counted;

/// What both directions of a connection are read with, the outermost first.
const READ: [&[u16]; 8] = [
    &[],
    &[0x8100],
    &[0x88a8],
    &[0x9100],
    &[0x9200],
    &[0x88a8, 0x8100],
    &[0x9100, 0x8100],
    &[0x8100, 0x9200],
];
/// What both directions are skipped with.
const SKIPPED: [&[u16]; 3] =
    [&[0x88a8, 0x8100, 0x8100], &[0x9100, 0x8100, 0x8100], &[0x8100, 0x8100, 0x8100, 0x8100]];

fn with_tags(mut frame: Vec<u8>, tags: &[u16]) -> Vec<u8> {
    let bytes = tags.iter().flat_map(|tag| [tag.to_be_bytes(), [0, 7]]).flatten();
    frame.splice(12..12, bytes);
    frame
}

#[test]
fn both_directions_are_read_or_skipped() {
    for capture in ["tc", "af-packet"] {
        let lab = Lab::new().unwrap();
        stay_on_one_cpu().unwrap();
        let hello = ClientHelloBuilder::new().build();
        let probe = Probe::start(&lab, &["--capture", capture]).unwrap();
        let (clients, gateway) = (Wire::from_clients(&lab).unwrap(), Wire::from_gateway(&lab).unwrap());
        for (client, tags) in (0..).zip(READ.into_iter().chain(SKIPPED)) {
            let send = |wire: &Wire, segment: &Segment<'_>| {
                wire.send_frame(&with_tags(wire.bytes(segment, client).unwrap(), tags)).unwrap();
            };
            send(&clients, &Segment::SYN);
            send(&clients, &Segment::data(&hello));
            send(&gateway, &Segment::only(Flag::Rst, 0));
        }
        let skipped = [("reason", "vlan_tags")];
        let count = 3 * SKIPPED.len() as u64;
        let metrics = probe.wait_for_metrics(Duration::from_secs(10), |metrics| {
            metrics.count("sni_probe_packets_skipped_total", &skipped) >= count
        });
        assert_eq!(metrics.unwrap().count("sni_probe_packets_skipped_total", &[]), count, "{capture}");
        assert_counted(&probe, READ.len() as u64);
    }
}
