//! The seed corpus as code. Small, and each seed another way through what is fuzzed.

use etherparse::{PacketBuilder, TcpHeader};
use sni_probe_testkit::answers::{
    HELLO_RETRY_RANDOM as RETRY, alert, server_hello_with_random as server_hello,
};
use sni_probe_testkit::hello::{ClientHelloBuilder, TLS_1_0, TLS_1_2, record, sslv2};
use sni_probe_testkit::proxy;
use sni_probe_testkit::wire::vec16;

/// The seeds of a target: name and bytes.
pub(crate) fn of(target: &str) -> Vec<(String, Vec<u8>)> {
    let seeds = match target {
        "client_hello" => client_hello(),
        "frame" => frame(),
        "proxy_header" => proxy_header(),
        "record_layer" => record_layer(),
        "tracker" => tracker(),
        other => panic!("no seeds for {other}"),
    };
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

type Seeds = Vec<(&'static str, Vec<u8>)>;

fn hello() -> ClientHelloBuilder {
    ClientHelloBuilder::new()
}

fn named() -> ClientHelloBuilder {
    hello().server_name("a.example")
}

fn client_hello() -> Seeds {
    vec![
        ("no_sni", hello().handshake()),
        ("sni", named().handshake()),
        ("sni_last", named().server_name_last().handshake()),
        ("sni_empty", hello().empty_server_name().handshake()),
        ("sni_of_no_bytes", hello().raw_server_name(&[]).handshake()),
        ("sni_ip_literal", hello().server_name("192.0.2.1").handshake()),
        ("sni_malformed", hello().raw_server_name(&[0, 9, 0, 0, 200, b'a']).handshake()),
        ("tls10", hello().versions(&[TLS_1_0]).handshake()),
        ("tls12", named().versions(&[TLS_1_2]).handshake()),
        ("no_extensions", without_extensions()),
        ("post_quantum", named().post_quantum().server_name_last().handshake()),
    ]
}

/// Version, random, no session ID, one cipher suite, one compression method.
fn without_extensions() -> Vec<u8> {
    ClientHelloBuilder::bare().legacy_version(TLS_1_0).cipher_suites(&[0x002f]).handshake()
}

fn proxy_header() -> Seeds {
    let source = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];
    let tcp6 = [&source[..], &mapped, &[0, 80, 1, 0xbb]].concat();
    vec![
        ("v1_tcp4", proxy::V1.to_vec()),
        ("v1_tcp6", b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 65535\r\n".to_vec()),
        ("v1_unknown", b"PROXY UNKNOWN whatever\r\n".to_vec()),
        ("v1_and_a_hello", [proxy::V1, &named().build()].concat()),
        ("v2_tcp4", proxy::v2()),
        ("v2_tcp4_tlvs", proxy::v2_with_tlv()),
        ("v2_tcp6", proxy::v2_of(0x21, 0x21, &tcp6)),
        ("v2_unix", proxy::v2_of(0x21, 0x31, &[0; 216])),
        ("v2_local", proxy::v2_of(0x20, 0, &[])),
        ("v2_too_large", proxy::v2_of(0x21, 0, &[0; 240])),
    ]
}

fn record_layer() -> Seeds {
    let hello = named();
    let message = hello.handshake();
    vec![
        ("one_record", hello.build()),
        ("three_records", hello.in_records(3)),
        ("header_in_pieces", message[..9].chunks(1).chain([&message[9..]]).flat_map(record).collect()),
        ("record_goes_on", record(&[&message[..], &[20, 0, 0, 0]].concat())),
        ("early_data_behind", [hello.build(), vec![23, 3, 3, 0, 4, 1, 2, 3, 4]].concat()),
        ("alert_inside", [record(&message[..20]), alert(2, 40)].concat()),
        ("too_large", record(&[1, 0, 0x40, 0, 3, 3])),
        ("too_long_a_record", [&[22, 3, 1, 0x40, 1, 2][..], &message].concat()),
        ("sslv2", sslv2()),
        ("proxied", [proxy::v2(), hello.build()].concat()),
        ("http", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("server_hello", server_hello([0x77; 32])),
    ]
}

/// Traffic as `sni_probe_fuzz::tracker` reads it.
struct Traffic {
    bytes: Vec<u8>,
}

/// What a step is, and bits to go with it.
const CLIENT: u8 = 0;
const MARKED: u8 = 1;
const GATEWAY: u8 = 3;
const CLIENT_CLOSES: u8 = 4;
const GATEWAY_CLOSES: u8 = 5;
const RECONNECT: u8 = 6;
const WAIT: u8 = 7;
const FIN: u8 = 0x08;
const RST: u8 = 0x10;
const NO_SYN: u8 = 0x20;
/// Of a gateway's packet.
const FAR: u8 = 0x20;
const CHANGED: u8 = 0x80;

/// Bits of the datapath, with the connection's number.
const FIRST: u8 = 4;
const CLIENT_CLOSED: u8 = 8;
const GATEWAY_CLOSED: u8 = 16;
const UNFOLLOWED: u8 = 32;

const PRELUDES: u8 = 1;
const EXPIRES: u8 = 2;
const FOUR_FLOWS: u8 = 3 << 2;
const FEW_FINGERPRINTS: u8 = 0x10;

impl Traffic {
    fn new(settings: u8, client: &[u8], gateway: &[u8]) -> Self {
        Self { bytes: [&[settings][..], &vec16(client), &vec16(gateway)].concat() }
    }

    /// `at`, `len` and `value` as in the fuzz target's steps; the connection's number in the lower two bits.
    fn step(mut self, what: u8, connection: u8, [at, len, value]: [usize; 3]) -> Self {
        self.bytes.extend([what, connection]);
        for number in [at, len, value] {
            self.bytes.extend(u16::try_from(number).unwrap().to_be_bytes());
        }
        self
    }
}

fn tracker() -> Seeds {
    let bytes = named().build();
    let all = 0xffff;
    let simple = |settings, client: &[u8], gateway: &[u8]| {
        Traffic::new(settings, client, gateway).step(CLIENT, 0, [0, all, 0])
    };
    let accepted = simple(FOUR_FLOWS, &bytes, &server_hello([0x77; 32])).step(GATEWAY, 0, [0, all, 0]);
    let reset =
        simple(FOUR_FLOWS | FEW_FINGERPRINTS, &hello().build(), &[]).step(GATEWAY_CLOSES | RST, 0, [0; 3]);
    let refused = simple(FOUR_FLOWS, &bytes, &alert(2, 112)).step(GATEWAY, 0, [0, all, 0]);
    let retry = [server_hello(RETRY), server_hello([0x77; 32])].concat();
    let first = server_hello(RETRY).len();
    let retried = simple(FOUR_FLOWS, &bytes, &retry)
        .step(GATEWAY, 0, [0, first, 0])
        .step(CLIENT, 0, [0, all, bytes.len()])
        .step(GATEWAY, 0, [first, all, 0]);
    let out_of_order = Traffic::new(FOUR_FLOWS, &named().in_records(3), &[])
        .step(CLIENT, 1, [150, all, 0])
        .step(CLIENT, 1, [60, 100, 0])
        .step(CLIENT, 1, [0, 60, 0])
        .step(CLIENT_CLOSES, 1, [named().in_records(3).len(), 0, 0]);
    let half = Traffic::new(FOUR_FLOWS | EXPIRES, &bytes, &[]).step(CLIENT, 0, [0, 40, 0]).step(
        WAIT,
        0,
        [0, 0, 3_100],
    );
    let mut crowd = Traffic::new(2 << 2, &bytes, &[]);
    for connection in 0..4 {
        crowd = crowd.step(CLIENT | NO_SYN, connection, [0, all, 0]);
    }
    let reopened = simple(FOUR_FLOWS, &bytes, &[]).step(RECONNECT, 0, [0, 0, 9]).step(CLIENT, 0, [0, all, 0]);
    let proxied = [proxy::V1, &bytes].concat();
    let proxied = Traffic::new(FOUR_FLOWS, &proxied, &alert(1, 112))
        .step(CLIENT, 0, [0, proxy::V1.len(), 0])
        .step(CLIENT, 0, [proxy::V1.len(), all, 0])
        .step(GATEWAY, 0, [0, all, 0])
        .step(GATEWAY_CLOSES, 0, [0; 3]);
    let request = b"EHLO a.example\r\nSTARTTLS\r\n";
    let answer = b"220 ready\r\n";
    let starttls = [request, &bytes[..]].concat();
    let starttls = Traffic::new(FOUR_FLOWS | PRELUDES, &starttls, &[answer, &alert(2, 40)[..]].concat())
        .step(CLIENT, 0, [0, request.len(), 0])
        .step(GATEWAY, 0, [0, answer.len(), 0])
        .step(CLIENT, 0, [request.len(), all, 0])
        .step(GATEWAY, 0, [answer.len(), all, 0]);
    let rival = Traffic::new(FOUR_FLOWS | PRELUDES, &bytes, &[])
        .step(CLIENT | CHANGED, 4 * 0x16, [0, 6, 0])
        .step(CLIENT, 0, [0, all, 0]);
    // The hello's second record is none, which its first byte already says.
    let malformed = [&record(&bytes[5..15]), &[23][..]].concat();
    let malformed = Traffic::new(FOUR_FLOWS, &malformed, &[])
        .step(CLIENT, 0, [0, malformed.len() - 1, 0])
        .step(CLIENT, 0, [malformed.len() - 1, 1, 0])
        .step(GATEWAY_CLOSES | RST, 0, [0; 3]);
    let sslv2 = simple(EXPIRES, &sslv2(), &[0x80, 3, 4, 0, 1]).step(GATEWAY, 0, [0, all, 0]);
    [
        ("accepted", accepted),
        ("reset", reset),
        ("refused", refused),
        ("retried", retried),
        ("out_of_order", out_of_order),
        ("half_then_timeout", half),
        ("more_than_fit", crowd),
        ("port_reused", reopened),
        ("proxied_and_warned", proxied),
        ("starttls", starttls),
        ("other_bytes_first", rival),
        ("malformed_in_its_last_byte", malformed),
        ("sslv2", sslv2),
    ]
    .into_iter()
    .chain(ends_and_successors())
    .map(|(name, traffic)| (name, traffic.bytes))
    .collect()
}

/// Connections that end in some way, or are followed by others with their addresses and ports.
fn ends_and_successors() -> Vec<(&'static str, Traffic)> {
    let bytes = named().build();
    let all = 0xffff;
    let simple = |settings, client: &[u8], gateway: &[u8]| {
        Traffic::new(settings, client, gateway).step(CLIENT, 0, [0, all, 0])
    };
    let end = [bytes.len(), 0, 0];
    let answer = server_hello([0x77; 32]);
    let half_closed =
        simple(FOUR_FLOWS, &bytes, &answer).step(CLIENT_CLOSES, 0, end).step(GATEWAY, 0, [0, all, 0]);
    let half_closed_for_good = simple(FOUR_FLOWS | EXPIRES, &bytes, &[]).step(CLIENT_CLOSES, 0, end);
    let fin_first = simple(FOUR_FLOWS, &bytes, &answer)
        .step(GATEWAY_CLOSES, 0, [answer.len(), 0, 0])
        .step(GATEWAY | FIN, 0, [20, all, 0])
        .step(GATEWAY, 0, [0, 20, 0]);
    let far = simple(FOUR_FLOWS, &bytes, &answer)
        .step(GATEWAY_CLOSES | RST | FAR, 0, [0, 0, 0x4000])
        .step(CLIENT_CLOSES | RST | CHANGED, 0, [0, 0, 0x4000])
        .step(GATEWAY_CLOSES | RST | CHANGED, 0, [0, 0xffff, 0])
        .step(GATEWAY, 0, [0, all, 0]);
    let in_window =
        simple(FOUR_FLOWS | EXPIRES, &bytes, &answer).step(GATEWAY_CLOSES | RST, 0, [9_000, 0, 0]);
    let reset_with_text = simple(FOUR_FLOWS, &bytes, &answer).step(GATEWAY | RST, 0, [0, all, 0]);
    let late_packets = simple(FOUR_FLOWS, &bytes, &answer)
        .step(RECONNECT, 8, [0, 0, 9])
        .step(CLIENT, 0, [0, all, 0])
        .step(RECONNECT | CHANGED, 0, [0; 3])
        .step(CLIENT, 0, [0, all, 0])
        .step(GATEWAY, 0, [0, all, 0])
        .step(CLIENT_CLOSES | RST, 0, end)
        .step(RECONNECT | CHANGED, 0, [0; 3])
        .step(GATEWAY_CLOSES | RST, 0, [0; 3]);
    let mut same_number = Traffic::new(FOUR_FLOWS, &bytes, &[]);
    for gateway in [4, 8, 12] {
        same_number = same_number.step(RECONNECT, gateway, [0; 3]).step(CLIENT, 0, [0, all, 0]);
        same_number = same_number.step(GATEWAY_CLOSES | RST, 0, [0; 3]).step(CLIENT, 0, [0, all, 0]);
    }
    let marked = |marks: u8| Traffic::new(FOUR_FLOWS, &bytes, &[]).step(MARKED, FIRST | marks, [0, all, 0]);
    let two_numberings = simple(FOUR_FLOWS, &bytes, &answer).step(GATEWAY | FAR, 0, [0, all, 0x3000]).step(
        GATEWAY_CLOSES,
        0,
        [0; 3],
    );
    let contradictory = Traffic::new(FOUR_FLOWS, &bytes, &[])
        .step(CLIENT | CHANGED, 4 * 0x20, [90, 60, 0])
        .step(CLIENT, 0, [0, all, 0])
        .step(GATEWAY_CLOSES | RST, 0, [0; 3]);
    let wrong_stamps = simple(FOUR_FLOWS, &bytes, &[])
        .step(WAIT | CHANGED, 0, [0, 0, 8_640])
        .step(CLIENT, 1, [0, all, 0])
        .step(CLIENT, 2, [0, all, 0])
        .step(WAIT | CHANGED, 0, [0, 0, 0xf000])
        .step(GATEWAY_CLOSES | RST, 1, [0; 3])
        .step(WAIT, 0, [0, 0, 100])
        .step(GATEWAY_CLOSES | RST, 2, [0; 3]);
    let ends_in_doubt = simple(FOUR_FLOWS | EXPIRES, &bytes, &[])
        .step(WAIT | CHANGED, 0, [0, 0, 8_640])
        .step(CLIENT, 1, [0, all, 0]);
    vec![
        ("half_closed_and_answered", half_closed),
        ("half_closed_for_good", half_closed_for_good),
        ("fin_before_the_answer", fin_first),
        ("far_from_the_window", far),
        ("reset_in_the_window", in_window),
        ("reset_with_text", reset_with_text),
        ("late_packets_of_the_one_before", late_packets),
        ("same_number_each_time", same_number),
        ("closed_first", marked(GATEWAY_CLOSED)),
        ("closed_by_client_first", marked(CLIENT_CLOSED)),
        ("unfollowed", marked(UNFOLLOWED)),
        ("two_numberings", two_numberings),
        ("contradictory", contradictory),
        ("wrong_stamps", wrong_stamps),
        ("ends_in_doubt", ends_in_doubt),
    ]
}

/// The first byte of `sni_probe_fuzz::frame`: a place in its list of link types, or Ethernet as the
/// kernel sees it.
const KERNEL: u8 = 0;
const ETHERNET: u8 = 1;
const NULL: u8 = 2;
const RAW: u8 = 7;
const LINUX_COOKED: u8 = 10;

/// Bits of the byte before each frame.
const WHOLE: u8 = 0;
const HALF: u8 = 2 | 16 << 3;
const LATER: u8 = 4;

const ETHERNET_HEADER: usize = 14;

const CLIENT_PORT: u16 = 40_000;
const ISN: u32 = 1_000;
const GATEWAY_ISN: u32 = 9_000;

#[derive(Clone, Copy, PartialEq)]
enum Sender {
    Client,
    Gateway,
}

/// A frame of one connection to port 443.
fn tcp(sender: Sender, offset: usize, payload: &[u8], flag: fn(&mut TcpHeader)) -> Vec<u8> {
    let (ports, isn) = match sender {
        Sender::Client => ((CLIENT_PORT, 443), ISN),
        Sender::Gateway => ((443, CLIENT_PORT), GATEWAY_ISN),
    };
    let mut header = TcpHeader::new(ports.0, ports.1, isn + 1 + u32::try_from(offset).unwrap(), 64_000);
    header.ack = true;
    flag(&mut header);
    if header.syn {
        header.sequence_number = isn;
    }
    let addresses = match sender {
        Sender::Client => ([192, 0, 2, 1], [192, 0, 2, 2]),
        Sender::Gateway => ([192, 0, 2, 2], [192, 0, 2, 1]),
    };
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(addresses.0, addresses.1, 64);
    builder.tcp_header(header).write(&mut bytes, payload).unwrap();
    bytes
}

fn syn() -> Vec<u8> {
    tcp(Sender::Client, 0, &[], |header| (header.syn, header.ack) = (true, false))
}

fn tcp6(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).single_vlan(etherparse::VlanId::ZERO);
    let builder = builder.ipv6([0xfd; 16], [0xfe; 16], 64).tcp(CLIENT_PORT, 8443, ISN, 64_000);
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

fn frame() -> Seeds {
    let bytes = named().build();
    let none = |_: &mut TcpHeader| {};
    let data = || tcp(Sender::Client, 0, &bytes, none);
    let halves = [tcp(Sender::Client, 0, &bytes[..90], none), tcp(Sender::Client, 90, &bytes[90..], none)];
    let answer = tcp(Sender::Gateway, 0, &server_hello([0x77; 32]), none);
    let reset = tcp(Sender::Gateway, 0, &[], |header| header.rst = true);
    let close = tcp(Sender::Client, bytes.len(), &[], |header| header.fin = true);
    let [first, second] = halves;
    let ip = || data().split_off(ETHERNET_HEADER);
    let link = |header: &[u8]| [header, &ip()].concat();
    let cooked = link(&[0, 0, 0, 1, 0, 6, 4, 4, 4, 4, 4, 4, 0, 0, 8, 0]);
    let null = link(&[2, 0, 0, 0]);
    let [begin, end] = fragments(&ip());
    let (begin, end) = (ethernet(0x0800, &begin), ethernet(0x0800, &end));
    [
        ("accepted", KERNEL, vec![(WHOLE, syn()), (WHOLE, data()), (WHOLE, answer)]),
        ("reset", KERNEL, vec![(WHOLE, syn()), (WHOLE, data()), (WHOLE, reset)]),
        ("closed_by_client", KERNEL, vec![(WHOLE, syn()), (WHOLE, data()), (WHOLE, close)]),
        ("two_segments", KERNEL, vec![(WHOLE, syn()), (WHOLE, second), (WHOLE, first)]),
        ("mid_stream", KERNEL, vec![(WHOLE, data())]),
        ("cut_short", KERNEL, vec![(WHOLE, syn()), (HALF, data())]),
        ("ipv6_vlan", KERNEL, vec![(WHOLE, tcp6(&bytes))]),
        ("captured", ETHERNET, vec![(WHOLE, syn()), (WHOLE, data())]),
        ("captured_ipv6_vlan", ETHERNET, vec![(WHOLE, tcp6(&bytes)), (LATER, data())]),
        ("fragments", ETHERNET, vec![(WHOLE, end.clone()), (WHOLE, begin.clone())]),
        ("fragments_too_late", ETHERNET, vec![(WHOLE, begin), (LATER, end)]),
        ("gre", ETHERNET, vec![(WHOLE, ethernet(0x0800, &ipv4(47, &[&[0, 0, 8, 0], &ip()[..]].concat())))]),
        ("vxlan", ETHERNET, vec![(WHOLE, vxlan(&data()))]),
        ("mpls", ETHERNET, vec![(WHOLE, ethernet(0x8847, &link(&[0, 1, 1, 64])))]),
        ("raw", RAW, vec![(WHOLE, ip())]),
        ("null", NULL, vec![(WHOLE, null)]),
        ("linux_cooked", LINUX_COOKED, vec![(WHOLE, cooked)]),
    ]
    .into_iter()
    .map(|(name, link, frames)| {
        let encode = |(control, frame): (u8, Vec<u8>)| [&[control][..], &vec16(&frame)].concat();
        let frames: Vec<u8> = frames.into_iter().flat_map(encode).collect();
        (name, [&[link][..], &frames].concat())
    })
    .collect()
}

fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &ether_type.to_be_bytes(), payload].concat()
}

/// A header that carries `protocol`, without a checksum, which nobody reads.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let header = [0x45, 0, high, low, 0, 7, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    [&header[..], payload].concat()
}

/// An IPv4 packet without options in two pieces.
fn fragments(packet: &[u8]) -> [Vec<u8>; 2] {
    const UNITS: u8 = 8;
    let (begin, end) = packet[20..].split_at(usize::from(UNITS) * 8);
    let [mut begin, mut end] = [begin, end].map(|payload| ipv4(packet[9], payload));
    begin[6] = 0x20;
    end[7] = UNITS;
    [begin, end]
}

fn vxlan(frame: &[u8]) -> Vec<u8> {
    let udp_len = u16::try_from(16 + frame.len()).unwrap().to_be_bytes();
    let udp = [&[0xc0, 0, 0x12, 0xb5][..], &udp_len, &[0, 0]].concat();
    let payload = [&udp[..], &[8, 0, 0, 0, 0, 0, 1, 0], frame].concat();
    ethernet(0x0800, &ipv4(17, &payload))
}
