//! An independent reading of the packets: the TLS records of each connection, segment by segment.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use etherparse::{SlicedPacket, TransportSlice};

/// Content types of TLS records.
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;
/// Handshake messages.
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE: u8 = 11;
/// The random that makes a ServerHello a HelloRetryRequest (RFC 8446, 4.1.3) begins so.
const HELLO_RETRY: [u8; 4] = [0xcf, 0x21, 0xad, 0x74];
const PRE_SHARED_KEY: u16 = 41;

/// A side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that opened it.
    Client,
    /// The other.
    Gateway,
}

/// A TLS record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its content type.
    pub kind: u8,
    /// Its version field.
    pub version: u16,
    /// The length of its body.
    pub length: usize,
    /// Its handshake messages, if it is not encrypted.
    messages: Vec<u8>,
    /// Level and description, of an alert that is not encrypted.
    pub alert: Option<(u8, u8)>,
    is_hello_retry: bool,
    is_resumed: bool,
}

/// A segment: the records that ended in it, and its flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The side that sent it.
    pub side: Side,
    /// The records that ended in it.
    pub records: Vec<Record>,
    /// Whether it has the FIN flag.
    pub fin: bool,
    /// Whether it has the RST flag.
    pub rst: bool,
}

/// A connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// The client's port.
    pub port: u16,
    /// How many connections before it had the same port.
    pub repetition: usize,
    /// The number with which the client's sequence begins.
    initial_sequence: Option<u32>,
    /// The segments that ended a record or the connection, in order.
    pub segments: Vec<Segment>,
}

impl Connection {
    /// Whether the client sent a hello.
    pub fn has_hello(&self) -> bool {
        self.records(Side::Client).any(|record| record.messages.first() == Some(&CLIENT_HELLO))
    }

    /// Whether the gateway resumed a session.
    pub fn is_resumed(&self) -> bool {
        let mut hellos = self.records(Side::Gateway).filter(|record| record.is_server_hello());
        let has_certificate =
            self.records(Side::Gateway).any(|record| record.messages.contains(&CERTIFICATE));
        // Of TLS 1.3, the certificate is encrypted, and the ServerHello says it.
        hellos
            .next()
            .is_some_and(|hello| hello.is_resumed || (!has_certificate && self.of_gateway_is_plain()))
    }

    /// Whether the gateway's change of keys came before anything of TLS 1.3 (which has no encrypted handshake records).
    fn of_gateway_is_plain(&self) -> bool {
        let mut records = self.records(Side::Gateway).skip_while(|record| record.kind != CHANGE_CIPHER_SPEC);
        records.nth(1).is_some_and(|record| record.kind == HANDSHAKE)
    }

    /// Returns what the gateway answered to the hello, in the words of `docs/handshake.md`.
    pub fn shape(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        let after = self.segments.iter().skip_while(|segment| !segment.has_hello());
        for segment in after.filter(|segment| segment.side == Side::Gateway) {
            for record in &segment.records {
                words.push(match record.alert {
                    Some((_, description)) => format!("alert {description} rec {:04x}", record.version),
                    None => record.to_string(),
                });
            }
            if segment.rst || segment.fin {
                words.push(if segment.rst { "RST" } else { "FIN" }.to_owned());
                break;
            }
        }
        words.join(", ")
    }

    /// The records of one side.
    pub fn records(&self, side: Side) -> impl Iterator<Item = &Record> {
        let of_side = self.segments.iter().filter(move |segment| segment.side == side);
        of_side.flat_map(|segment| &segment.records)
    }

    /// Whether the gateway sent a ServerHello.
    pub fn has_server_hello(&self) -> bool {
        self.records(Side::Gateway).any(Record::is_server_hello)
    }
}

impl Segment {
    fn has_hello(&self) -> bool {
        self.records.iter().any(|record| record.messages.first() == Some(&CLIENT_HELLO))
    }
}

impl Record {
    fn is_server_hello(&self) -> bool {
        self.messages.first() == Some(&SERVER_HELLO) && !self.is_hello_retry
    }

    /// Reads a record with its header.
    fn read(bytes: &[u8], is_encrypted: bool) -> Self {
        let (kind, body) = (bytes[0], &bytes[5..]);
        let mut record = Self {
            kind,
            version: u16::from_be_bytes([bytes[1], bytes[2]]),
            length: body.len(),
            messages: Vec::new(),
            alert: None,
            is_hello_retry: false,
            is_resumed: false,
        };
        match (kind, body) {
            (ALERT, &[level, description]) => record.alert = Some((level, description)),
            (HANDSHAKE, _) if !is_encrypted || is_hello(body) => {
                let mut rest = body;
                while let [message, a, b, c, after @ ..] = rest {
                    record.messages.push(*message);
                    let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                    let Some(content) = after.get(..length) else { break };
                    if *message == SERVER_HELLO {
                        record.is_hello_retry = content.get(2..6) == Some(&HELLO_RETRY);
                        record.is_resumed = has_extension(content, PRE_SHARED_KEY) == Some(true);
                    }
                    rest = &after[length..];
                }
            }
            _ => {}
        }
        record
    }
}

/// Whether a record has one hello, which is not encrypted after a HelloRetryRequest with its change of cipher specs either.
fn is_hello(body: &[u8]) -> bool {
    let Some(&[message, a, b, c]) = body.first_chunk() else { return false };
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    [CLIENT_HELLO, SERVER_HELLO].contains(&message) && body.len() == 4 + length
}

/// Whether a ServerHello has an extension. `None`: it could not be read.
fn has_extension(hello: &[u8], wanted: u16) -> Option<bool> {
    let session = usize::from(*hello.get(34)?);
    // Session, cipher suite, compression, length of the extensions.
    let mut rest = hello.get(35 + session + 2 + 1 + 2..)?;
    while let [a, b, c, d, after @ ..] = rest {
        if u16::from_be_bytes([*a, *b]) == wanted {
            return Some(true);
        }
        rest = after.get(usize::from(u16::from_be_bytes([*c, *d]))..)?;
    }
    Some(false)
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.length;
        match (self.kind, self.alert) {
            (_, Some((level, description))) => write!(f, "alert({level},{description})"),
            (CHANGE_CIPHER_SPEC, _) => f.write_str("CCS"),
            (ALERT, _) => write!(f, "enc-alert {length}"),
            (HANDSHAKE, _) if self.messages.is_empty() => write!(f, "enc-hs {length}"),
            (HANDSHAKE, _) => {
                let names = self.messages.iter().map(|message| match message {
                    1 => "CH",
                    2 if self.is_hello_retry => "HRR",
                    2 => "SH",
                    4 => "NST",
                    11 => "Cert",
                    12 => "SKE",
                    13 => "CR",
                    14 => "SHD",
                    15 => "CV",
                    16 => "CKE",
                    22 => "CertStatus",
                    _ => "?",
                });
                write!(f, "{} {length}", names.collect::<Vec<_>>().join("+"))
            }
            (APPLICATION_DATA, _) => write!(f, "enc {length}"),
            (kind, _) => write!(f, "type-{kind} {length}"),
        }
    }
}

/// `C[CCS, enc 69] G[enc 250] C[FIN]`: a bracket is a segment.
impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            let side = if segment.side == Side::Client { "C" } else { "G" };
            let records = segment.records.iter().map(ToString::to_string);
            let flags =
                [(segment.fin, "FIN"), (segment.rst, "RST")].into_iter().filter(|(is_set, _)| *is_set);
            let words: Vec<String> = records.chain(flags.map(|(_, flag)| flag.to_owned())).collect();
            write!(f, "{}{side}[{}]", if index == 0 { "" } else { " " }, words.join(", "))?;
        }
        Ok(())
    }
}

/// A direction of a connection that is being read.
#[derive(Debug, Default)]
struct Direction {
    next: Option<u32>,
    pending: Vec<u8>,
    is_encrypted: bool,
}

impl Direction {
    /// Takes a segment, and gives the records that ended in it.
    fn take(&mut self, sequence: u32, payload: &[u8]) -> Vec<Record> {
        // A veth loses nothing and keeps the order: what is not new was sent again.
        let next = self.next.get_or_insert(sequence);
        let known = next.wrapping_sub(sequence);
        let Some(new) = payload.get(known as usize..) else { return Vec::new() };
        *next = next.wrapping_add(u32::try_from(new.len()).unwrap_or(u32::MAX));
        self.pending.extend_from_slice(new);
        let mut records = Vec::new();
        while let [_, _, _, high, low, ..] = self.pending[..] {
            let end = 5 + usize::from(u16::from_be_bytes([high, low]));
            if self.pending.len() < end {
                break;
            }
            let record = Record::read(&self.pending[..end], self.is_encrypted);
            self.is_encrypted |= record.kind == CHANGE_CIPHER_SPEC;
            records.push(record);
            self.pending.drain(..end);
        }
        records
    }
}

/// Reads the connections to these ports of a file that tcpdump wrote, in the order in which they began.
///
/// # Errors
/// When it is no file of classic pcap with Ethernet frames.
pub fn read(path: &Path, is_gateway: impl Fn(u16) -> bool) -> Result<Vec<Connection>> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    // Little-endian, microseconds: what tcpdump writes on this machine.
    ensure!(
        bytes.get(..4) == Some(&[0xd4, 0xc3, 0xb2, 0xa1]),
        "{} is not what tcpdump writes",
        path.display()
    );
    let mut rest = bytes.get(24..).unwrap_or_default();
    let mut connections: Vec<Connection> = Vec::new();
    // By the client's port, the last connection and its two directions.
    let mut open: BTreeMap<u16, (usize, [Direction; 2])> = BTreeMap::new();
    // The last packet may be half written.
    while let Some((header, after)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let Some((frame, after)) = after.split_at_checked(length) else { break };
        rest = after;
        let Ok(packet) = SlicedPacket::from_ethernet(frame) else { continue };
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { continue };
        let (port, side) = match (is_gateway(tcp.source_port()), is_gateway(tcp.destination_port())) {
            (false, true) => (tcp.source_port(), Side::Client),
            (true, false) => (tcp.destination_port(), Side::Gateway),
            _ => continue,
        };
        let sequence = tcp.sequence_number();
        let of_port = connections.iter().filter(|connection| connection.port == port);
        let is_first = of_port.clone().all(|connection| connection.initial_sequence != Some(sequence));
        if tcp.syn() && side == Side::Client && is_first {
            let connection = Connection {
                port,
                repetition: of_port.count(),
                initial_sequence: Some(sequence),
                segments: Vec::new(),
            };
            open.insert(port, (connections.len(), Default::default()));
            connections.push(connection);
        }
        let Some((index, directions)) = open.get_mut(&port) else { continue };
        let direction = &mut directions[usize::from(side == Side::Client)];
        if tcp.syn() {
            direction.next = Some(sequence.wrapping_add(1));
            continue;
        }
        let records = direction.take(sequence, tcp.payload());
        if !records.is_empty() || tcp.fin() || tcp.rst() {
            let segment = Segment { side, records, fin: tcp.fin(), rst: tcp.rst() };
            connections[*index].segments.push(segment);
        }
    }
    Ok(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short").to_be_bytes();
        [&[kind, 3, 3, length[0], length[1]], body].concat()
    }

    #[test]
    fn records_end_where_their_last_byte_came() {
        let mut direction = Direction { next: Some(7), ..Direction::default() };
        let bytes = [record(CHANGE_CIPHER_SPEC, &[1]), record(APPLICATION_DATA, &[0; 19])].concat();
        assert_eq!(direction.take(7, &bytes[..8]).len(), 1);
        // Sent again, with what was missing.
        let records = direction.take(7, &bytes);
        assert_eq!(records.iter().map(ToString::to_string).collect::<Vec<_>>(), ["enc 19"]);
        assert!(direction.take(7, &bytes).is_empty());
    }

    #[test]
    fn an_alert_of_two_bytes_can_be_read() {
        let mut direction = Direction { next: Some(0), ..Direction::default() };
        let records = direction.take(0, &record(ALERT, &[2, 48]));
        assert_eq!(records[0].alert, Some((2, 48)));
        assert_eq!(records[0].to_string(), "alert(2,48)");
    }
}
