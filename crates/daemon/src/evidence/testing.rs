//! What the tests of evidence need.

use std::time::Duration;

use sni_probe_core::flow::{FlowKey, Place, Timestamp};
use sni_probe_core::observation::{AnswerDetails, Handshake, Hello, Outcome, Sni};
use sni_probe_datapath::event::{Event, EventHeader, flags, kind, tcp_flags};
use sni_probe_telemetry::events::WallClock;

use super::case::Case;
use super::holding::HeldEvents;

/// 2026-03-05 14:03:22 UTC.
pub(super) const START_NS: u64 = 1_772_719_402_000_000_000;

const ISN: u32 = 1_000;

/// A segment of a client at `offset` of its stream, the SYN having been seen.
pub(super) fn client_data(port: u16, time_ns: u64, offset: u32, data: &[u8]) -> Event<'_> {
    let length = u32::try_from(data.len()).unwrap();
    let header = EventHeader {
        time_ns,
        client_addr: "::ffff:192.0.2.7".parse::<std::net::Ipv6Addr>().unwrap().octets(),
        gateway_addr: "::ffff:198.51.100.9".parse::<std::net::Ipv6Addr>().unwrap().octets(),
        client_port: port,
        gateway_port: 443,
        ifindex: 2,
        isn: ISN,
        seq: ISN + 1 + offset,
        ack: 1,
        payload_len: length,
        data_len: length,
        kind: kind::CLIENT_DATA,
        tcp_flags: tcp_flags::ACK,
        flags: flags::ISN_KNOWN,
        padding: 0,
    };
    Event { header, data }
}

pub(super) fn flow(port: u16) -> FlowKey {
    FlowKey::of(&client_data(port, 0, 0, b"").header)
}

/// The RST of the gateway.
pub(super) fn reset(port: u16, time_ns: u64) -> Event<'static> {
    let mut event = client_data(port, time_ns, 0, b"");
    event.header.kind = kind::GATEWAY_CLOSE;
    event.header.tcp_flags |= tcp_flags::RST;
    event
}

/// A handshake without SNI that the gateway reset, a second later for each port.
pub(super) fn handshake(port: u16) -> Handshake {
    Handshake {
        flow: flow(port),
        place: Place(2),
        proxied: None,
        time: Timestamp(START_NS + u64::from(port) * 1_000_000_000),
        hello: Hello { sni: Sni::Absent, ..Hello::default() },
        outcome: Outcome::ResetByGateway,
        latency: Duration::from_micros(45),
        answer: AnswerDetails::default(),
    }
}

/// The same with a packet.
pub(super) fn case(port: u16) -> Case {
    let mut held = HeldEvents::new(Duration::from_secs(30));
    let handshake = handshake(port);
    held.event(&client_data(port, handshake.time.0, 0, &[0x16; 500]), handshake.time);
    let connection = held.settle(&handshake.flow, handshake.time).unwrap();
    Case::new(&handshake, "eth0", WallClock::UTC, connection)
}
