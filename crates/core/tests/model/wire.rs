//! From segments of the model to packets, and what clients and gateways say.

use sni_probe_testkit::answers::old_server_hello;
pub(crate) use sni_probe_testkit::answers::{alert, hello_retry_request};
use sni_probe_testkit::hello::{ClientHelloBuilder, TLS_1_2};

use super::tcp::{Segment, Side};

const GATEWAY: [u8; 4] = [198, 51, 100, 9];
const CLIENT_PORT: u16 = 40_000;
pub(crate) const GATEWAY_PORT: u16 = 443;

/// An IPv4 packet without options. Its checksums are not read.
pub(crate) fn packet(segment: &Segment, client: [u8; 4]) -> Vec<u8> {
    let ((source, source_port), (destination, destination_port)) = match segment.from {
        Side::Client => ((client, CLIENT_PORT), (GATEWAY, GATEWAY_PORT)),
        Side::Gateway => ((GATEWAY, GATEWAY_PORT), (client, CLIENT_PORT)),
    };
    let total = u16::try_from(40 + segment.data.len()).expect("a segment of the model is short");
    let [high, low] = total.to_be_bytes();
    let mut packet = vec![0x45, 0, high, low, 0, 0, 0x40, 0, 64, 6, 0, 0];
    packet.extend(source);
    packet.extend(destination);
    packet.extend(source_port.to_be_bytes());
    packet.extend(destination_port.to_be_bytes());
    packet.extend(segment.seq.0.to_be_bytes());
    packet.extend(segment.ack.map_or(0, |ack| ack.0).to_be_bytes());
    let flags = [
        (segment.flags.fin, 0x01),
        (segment.flags.syn, 0x02),
        (segment.flags.rst, 0x04),
        (segment.ack.is_some(), 0x10),
    ];
    let flags: u8 = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum();
    packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend(&segment.data);
    packet
}

/// The name that a client of this connection asks for.
pub(crate) fn name(connection: usize) -> String {
    format!("connection-{connection}.example")
}

pub(crate) fn client_hello(connection: usize) -> Vec<u8> {
    ClientHelloBuilder::bare().server_name(&name(connection)).build()
}

pub(crate) fn server_hello() -> Vec<u8> {
    old_server_hello(TLS_1_2, 0xc02f)
}
