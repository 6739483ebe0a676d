//! The packets, and what comes before them in their connection.

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep, TcpHeader, VlanId};
use sni_probe_capture::programs::{CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT};
use sni_probe_datapath::answer::HELLO_RETRY_RANDOM;
use sni_probe_testkit::answers::server_hello_with_random as server_hello;
use sni_probe_testkit::hello::ClientHelloBuilder;

pub(crate) const GATEWAY_PORT: u16 = 443;
const OTHER_PORT: u16 = 9000;
const CLIENT_PORT: u16 = 40_000;
const CLIENT_ISN: u32 = 1_000;
const GATEWAY_ISN: u32 = 9_000;
/// A segment of a download or an upload.
const SEGMENT_BYTES: usize = 1_000;
/// Runs of a case that changes nothing.
const MANY: u32 = 100_000;
/// Hellos between two looks at the ring: few enough that it does not fill.
const HELLOS: u32 = 400;
/// Answers that do not end a handshake; the datapath passes 15 of a connection on.
const ANSWERS: u32 = 12;

/// How a packet is wrapped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    V4,
    V6,
    /// IPv4 behind one tag.
    Vlan,
}

pub(crate) const FAMILIES: [Family; 3] = [Family::V4, Family::V6, Family::Vlan];

impl Family {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
            Self::Vlan => "vlan",
        }
    }

    fn network(self, from: u8, to: u8) -> PacketBuilderStep<IpHeaders> {
        let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
        match self {
            Self::V4 => ethernet.ipv4([from, 0, 0, 1], [to, 0, 0, 1], 64),
            Self::V6 => ethernet.ipv6([from; 16], [to; 16], 64),
            Self::Vlan => {
                let tag = VlanId::try_new(9).expect("a valid id");
                ethernet.single_vlan(tag).ipv4([from, 0, 0, 1], [to, 0, 0, 1], 64)
            }
        }
    }

    /// Where the last three bytes of source and destination address are.
    const fn ends(self) -> (usize, usize) {
        match self {
            Self::V4 => (27, 31),
            Self::V6 => (35, 51),
            Self::Vlan => (31, 35),
        }
    }
}

/// One packet and the program that sees it.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) program: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Where the client's address has three bytes for its number.
    number_at: usize,
}

impl Packet {
    /// The same of another client.
    pub(crate) fn of(&self, client: u32) -> Self {
        let mut packet = self.clone();
        packet.bytes[self.number_at..][..3].copy_from_slice(&client.to_be_bytes()[1..]);
        packet
    }
}

/// What is measured.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    /// What comes before, at each call. Each is of another client: no 4-tuple is used again.
    pub(crate) before: Vec<Packet>,
    pub(crate) packet: Packet,
    /// Repeats in the kernel.
    pub(crate) repeat: u32,
    /// Calls a round; before each, the ring is drained.
    pub(crate) calls: u32,
}

/// All cases of a family.
pub(crate) fn cases(family: Family) -> Vec<Case> {
    let hello = ClientHelloBuilder::new().server_name("api-test.mydomain.com").padded_to(517).build();
    let post_quantum = ClientHelloBuilder::new().server_name("api-test.mydomain.com").post_quantum().build();
    assert_eq!((hello.len(), post_quantum.len()), (517, 1789));
    let client = |flags, offset, payload: &[u8]| client(family, GATEWAY_PORT, flags, offset, payload);
    let gateway = |flags, offset, payload: &[u8]| gateway(family, flags, offset, payload);
    let data = [0x17; SEGMENT_BYTES];

    let syn = client(Flags::Syn, 0, &[]);
    let opened = vec![syn.clone()];
    let mut spoken = opened.clone();
    spoken.push(client(Flags::Push, 1, &hello));
    let mut established = spoken.clone();
    established.push(gateway(Flags::Push, 1, &server_hello([7; 32])));
    let answered = established.clone();
    // The client's change of cipher specs and Finished, a ticket, and a request: what ends an observation.
    let hello_len = u32::try_from(hello.len()).expect("a short hello");
    let finished = record(23, 53);
    let finished = [&[20, 3, 3, 0, 1, 1][..], &finished].concat();
    established.push(client(Flags::Push, 1 + hello_len, &finished));
    established.push(gateway(Flags::Push, 2_000, &record(23, 234)));
    established.push(client(Flags::Push, 1 + hello_len + 64, &record(23, 300)));
    let retry = gateway(Flags::Push, 1, &server_hello(HELLO_RETRY_RANDOM));

    let other = self::client(family, OTHER_PORT, Flags::Ack, 4_000, &data);
    let many = |name, before: &[Packet], packet| Case {
        name,
        family,
        before: before.to_vec(),
        packet,
        repeat: MANY,
        calls: 1,
    };
    vec![
        many("other_port", &[], other),
        many("pure_ack", &established, client(Flags::Ack, 4_000, &[])),
        many("data_to_gateway", &established, client(Flags::Ack, 4_000, &data)),
        many("data_from_gateway", &established, gateway(Flags::Ack, 4_000, &data)),
        many("syn", &opened, syn),
        Case { repeat: HELLOS, calls: 10, ..many("hello_517", &opened, client(Flags::Push, 1, &hello)) },
        Case {
            repeat: HELLOS,
            calls: 10,
            ..many("hello_1789", &opened, client(Flags::Push, 1, &post_quantum))
        },
        Case { repeat: ANSWERS, calls: 100, ..many("answer", &spoken, retry) },
        // The second of them would be another kind of segment.
        Case {
            repeat: 1,
            calls: 300,
            ..many("finished", &answered, client(Flags::Push, 1 + hello_len, &finished))
        },
        // The second of them would not be looked at.
        Case { repeat: 1, calls: 300, ..many("rst", &spoken, gateway(Flags::Rst, 1, &[])) },
    ]
}

/// A record of this type with so many bytes.
fn record(content_type: u8, len: u16) -> Vec<u8> {
    let [high, low] = len.to_be_bytes();
    let mut record = vec![content_type, 3, 3, high, low];
    record.resize(5 + usize::from(len), 0);
    record
}

#[derive(Clone, Copy)]
enum Flags {
    Syn,
    Ack,
    Push,
    Rst,
}

fn client(family: Family, port: u16, flags: Flags, offset: u32, payload: &[u8]) -> Packet {
    let header = tcp(CLIENT_PORT, port, CLIENT_ISN + offset, flags);
    Packet {
        program: CLIENT_TO_GATEWAY,
        bytes: bytes(family.network(1, 2), header, payload),
        number_at: family.ends().0,
    }
}

fn gateway(family: Family, flags: Flags, offset: u32, payload: &[u8]) -> Packet {
    let header = tcp(GATEWAY_PORT, CLIENT_PORT, GATEWAY_ISN + offset, flags);
    Packet {
        program: GATEWAY_TO_CLIENT,
        bytes: bytes(family.network(2, 1), header, payload),
        number_at: family.ends().1,
    }
}

fn tcp(source: u16, destination: u16, seq: u32, flags: Flags) -> TcpHeader {
    let mut header = TcpHeader::new(source, destination, seq, 64_000);
    header.syn = matches!(flags, Flags::Syn);
    header.rst = matches!(flags, Flags::Rst);
    header.psh = matches!(flags, Flags::Push);
    header.ack = !header.syn;
    // Timestamps, as Linux has in every segment: the payload begins at no fixed place.
    header.set_options_raw(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]).expect("12 bytes");
    header
}

fn bytes(network: PacketBuilderStep<IpHeaders>, header: TcpHeader, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    network.tcp_header(header).write(&mut bytes, payload).expect("a vector takes all");
    bytes
}
