//! The names in the certificates of gateways, which TLS 1.2 and older versions send in the clear.
//!
//! ```text
//! segment with a ServerHello ─▶ Assembler ─▶ Certificate message ─▶ names ─▶ (outcome) ─▶ line
//! ```
//!
//! The tracker gets only the first bytes of a segment. A capture has them all.

use std::collections::hash_map::{Entry, HashMap};

use sni_probe_core::assembler::Assembler;
use sni_probe_core::flow::FlowKey;
use sni_probe_core::record::{self, MESSAGE_HEADER_LEN};
use sni_probe_core::server_hello;
use sni_probe_core::vocabulary::TlsVersion;
use sni_probe_datapath::event::{EventHeader, kind};
use sni_probe_datapath::seq::SeqNumber;
use sni_probe_pcap::frame::Unwrapped;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::segment::Segment;
use crate::certificate;

/// Connections for which a certificate is collected or kept at once. Each takes at most 16 KiB, so all take at most 64 MiB.
const MAX_CONNECTIONS: usize = 4096;

/// Handshake types (RFC 5246, section 7.4).
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;

/// Length of a certificate list, and of each certificate in it, in bytes (RFC 5246, section 7.4.2).
const LENGTH_LEN: usize = 3;

/// Collects certificates of gateways until their handshakes have an outcome.
#[derive(Debug, Default)]
pub(super) struct CertificateNames {
    connections: HashMap<FlowKey, Flight>,
    no_room: u64,
}

#[derive(Debug)]
enum Flight {
    /// The gateway's stream from the ServerHello on.
    Collecting { start: SeqNumber, stream: Assembler },
    /// The names in the certificate.
    Read(Vec<String>),
}

/// What the start of a flight shows.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    NeedMore,
    /// There is no certificate that can be read.
    None,
    Names(Vec<String>),
}

impl CertificateNames {
    /// Takes a frame. `event` is the event that the datapath made of it.
    pub(super) fn take(&mut self, unwrapped: &Unwrapped<'_>, event: Option<&EventHeader>) {
        let is_answer = event.is_some_and(|header| header.kind == kind::GATEWAY_DATA);
        if self.connections.is_empty() && !is_answer {
            return;
        }
        let (Unwrapped::Ip(packet) | Unwrapped::Reassembled { packet, .. }) = unwrapped else { return };
        let Some(segment) = Segment::read(packet).filter(|segment| !segment.payload.is_empty()) else {
            return;
        };
        let key = FlowKey { client: segment.destination, gateway: segment.source };
        if is_answer && starts_with_server_hello(segment.payload) {
            self.begin(key, segment.seq);
        }
        let Entry::Occupied(mut entry) = self.connections.entry(key) else { return };
        let Flight::Collecting { start, stream } = entry.get_mut() else { return };
        let progress = match stream.insert(segment.seq.offset_from(*start), segment.payload) {
            Ok(()) => read(stream.contiguous()),
            Err(_) => Progress::None,
        };
        match progress {
            Progress::NeedMore => {}
            Progress::None => drop(entry.remove()),
            Progress::Names(names) => *entry.get_mut() = Flight::Read(names),
        }
    }

    /// Returns the names in the certificate of a connection that has its outcome, and forgets the connection.
    pub(super) fn settle(&mut self, key: &FlowKey) -> Vec<String> {
        match self.connections.remove(key) {
            Some(Flight::Read(names)) => names,
            Some(Flight::Collecting { .. }) | None => Vec::new(),
        }
    }

    /// Forgets all connections: the capture is over.
    pub(super) fn clear(&mut self) {
        self.connections.clear();
    }

    /// Returns how many answers came when there was no room.
    pub(super) const fn no_room(&self) -> u64 {
        self.no_room
    }

    fn begin(&mut self, key: FlowKey, start: SeqNumber) {
        let is_known = match self.connections.get(&key) {
            // A retransmission.
            Some(Flight::Collecting { start: known, .. }) if *known == start => return,
            known => known.is_some(),
        };
        if !is_known && self.connections.len() >= MAX_CONNECTIONS {
            self.no_room += 1;
            return;
        }
        self.connections.insert(key, Flight::Collecting { start, stream: Assembler::default() });
    }
}

fn starts_with_server_hello(payload: &[u8]) -> bool {
    record::message_prefix(payload, 1).is_ok_and(|prefix| prefix == [SERVER_HELLO])
}

/// Reads the certificate in a flight that begins with a ServerHello.
fn read(stream: &[u8]) -> Progress {
    match server_hello::parse(stream) {
        Some(hello) if !matches!(hello.negotiated.version, TlsVersion::Tls13) => {}
        Some(_) => return Progress::None,
        None => return Progress::NeedMore,
    }
    match certificate(stream) {
        Ok(None) => Progress::NeedMore,
        Ok(Some(der)) => match X509Certificate::from_der(&der) {
            Ok((_, certificate)) => Progress::Names(certificate::names(&certificate)),
            Err(_) => Progress::None,
        },
        // The handshake resumes a session, or the suite has no certificate.
        Err(()) => Progress::None,
    }
}

/// Returns the first certificate of the message after the ServerHello, in DER; `None` before all of it is there.
fn certificate(stream: &[u8]) -> Result<Option<Vec<u8>>, ()> {
    let messages = |len: usize| {
        let bytes = record::message_prefix(stream, len).map_err(|_| ())?;
        Ok((bytes.len() == len).then_some(bytes))
    };
    let Some(header) = messages(MESSAGE_HEADER_LEN)? else { return Ok(None) };
    let at = MESSAGE_HEADER_LEN + length(&header[1..]);
    let before_certificate = at + MESSAGE_HEADER_LEN + 2 * LENGTH_LEN;
    let Some(bytes) = messages(at + 1)? else { return Ok(None) };
    if bytes[at] != CERTIFICATE {
        return Err(());
    }
    let Some(bytes) = messages(before_certificate)? else { return Ok(None) };
    let end = before_certificate + length(&bytes[before_certificate - LENGTH_LEN..]);
    Ok(messages(end)?.map(|mut bytes| bytes.split_off(before_certificate)))
}

fn length(bytes: &[u8]) -> usize {
    bytes.iter().take(LENGTH_LEN).fold(0, |length, &byte| length << 8 | usize::from(byte))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use sni_probe_core::TrackerConfig;
    use sni_probe_pcap::engine::Replay;
    use sni_probe_pcap::frame::{FrameBytes, LinkType};
    use sni_probe_testkit::answers::{old_server_hello, server_hello};
    use sni_probe_testkit::captures::Connection;
    use sni_probe_testkit::hello::ClientHelloBuilder;
    use sni_probe_testkit::wire::{handshake, record};

    use super::*;

    const NAMES: [&str; 4] = ["a.example", "*.b.example", "10.1.2.3", "fd77::1"];

    fn vec24(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[1..], bytes].concat()
    }

    /// A Certificate message with a certificate for [`NAMES`], and as many bytes of another one.
    fn certificate_message(other: usize) -> Vec<u8> {
        let pem = include_bytes!("../check/testdata/expired.crt");
        let der = CertificateDer::from_pem_slice(pem).unwrap();
        handshake(CERTIFICATE, &vec24(&[vec24(&der), vec24(&vec![0; other])].concat()))
    }

    fn old_hello() -> Vec<u8> {
        old_server_hello(0x0303, 0xc02f)
    }

    /// Returns the names in a flight of these segments.
    fn names(segments: &[&[u8]]) -> Vec<String> {
        let mut connection = Connection::v4();
        connection.open().client(&ClientHelloBuilder::new().build());
        for segment in segments {
            connection.gateway(segment);
        }
        let mut certificates = CertificateNames::default();
        take(&connection, &mut certificates);
        let (client, gateway) = (connection.client_address(), connection.gateway_address());
        let names = certificates.settle(&FlowKey { client, gateway });
        assert!(certificates.connections.is_empty());
        names
    }

    fn take(connection: &Connection, certificates: &mut CertificateNames) {
        let mut replay = Replay::new([443], TrackerConfig::default());
        for packet in connection.packets() {
            let (bytes, time_ns) = (&packet.bytes[..], packet.time_ns);
            let frame = FrameBytes { bytes, wire_len: bytes.len(), number: 1, time_ns };
            let contents = replay.frame(LinkType(101), &frame);
            certificates.take(&contents.unwrapped, contents.event.as_ref());
        }
    }

    #[test]
    fn messages_in_records_and_segments_of_any_size() {
        let hello = old_hello();
        let certificate = certificate_message(3_000);
        let apart = [hello.clone(), record(22, &certificate)].concat();
        let joined = record(22, &[&hello[5..], &certificate].concat());
        let in_pieces: Vec<u8> = [hello]
            .into_iter()
            .chain(certificate.chunks(100).map(|piece| record(22, piece)))
            .flatten()
            .collect();
        for flight in [apart, joined, in_pieces] {
            for size in [90, 600, 1_448, flight.len()] {
                let segments: Vec<_> = flight.chunks(size).collect();
                assert_eq!(names(&segments), NAMES, "{size}");
            }
        }
    }

    #[test]
    fn flights_without_a_certificate_that_can_be_read() {
        let resumed = [old_hello(), record(20, &[1])].concat();
        let other_message = [old_hello(), record(22, &handshake(12, &[0; 40]))].concat();
        let damaged = [old_hello(), record(22, &handshake(CERTIFICATE, &vec24(&vec24(&[0; 40]))))].concat();
        let empty = [old_hello(), record(22, &handshake(CERTIFICATE, &vec24(&[])))].concat();
        let tls13 = [server_hello(), record(22, &certificate_message(0))].concat();
        let cut = [old_hello(), record(22, &certificate_message(0))].concat();
        let cut = &cut[..cut.len() / 2];
        for flight in [&resumed, &other_message, &damaged, &empty, &tls13, cut] {
            assert_eq!(names(&[flight]), [""; 0]);
        }
    }

    #[test]
    fn connections_have_a_bound() {
        let mut certificates = CertificateNames::default();
        let flight = [old_hello(), record(22, &certificate_message(0))].concat();
        for port in 0..=u16::try_from(MAX_CONNECTIONS).unwrap() {
            let mut connection = Connection::v4().client_port(10_000 + port);
            connection.open().client(&ClientHelloBuilder::new().build()).gateway(&flight);
            take(&connection, &mut certificates);
        }
        assert_eq!((certificates.connections.len(), certificates.no_room()), (MAX_CONNECTIONS, 1));
        certificates.clear();
        assert!(certificates.connections.is_empty());
    }
}
