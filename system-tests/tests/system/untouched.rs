//! Packets are untouched: what passes an interface that sni-probe watches is the same behind it as
//! in front of it.
//!
//! ```text
//!  namespace …-cl           namespace …-gw                     namespace …-sv
//!  clients                  bridge, sni-probe run -i up0       openssl s_server
//!  cl0 ------- veth ------- gw0 [br0] up0 ------- veth ------- sv0
//!  tcpdump                                                     tcpdump
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use etherparse::{NetHeaders, PacketBuilder, PacketHeaders, TcpHeader, TransportHeader, VlanId};
use sni_probe_testkit::hello::ClientHelloBuilder;
use system_tests::clients::{self, Target};
use system_tests::frames::{Wire, stay_on_one_cpu};
use system_tests::metrics::Metrics;
use system_tests::probe::Probe;
use system_tests::process::run_ok;
use system_tests::raw::RawClient;
use system_tests::{
    CLIENT_INTERFACE, GATEWAY_INTERFACE, GATEWAY_V4, GATEWAY_V6, Lab, Namespace, SERVER_NAME, Service,
    wait_until,
};

use crate::expected::answered;

const TIMEOUT: Duration = Duration::from_secs(20);
const PORT: u16 = 443;
/// The middle's port towards the gateway, which sni-probe watches, and the gateway's end of it.
const WATCHED: &str = "up0";
const SERVER_INTERFACE: &str = "sv0";
const BULK: &str = "bulk.bin";
const BULK_BYTES: usize = 4 << 20;
/// Hellos that [`Line::traffic`] sends with a name, and without one.
const PRESENT: u64 = 3;
const ABSENT: u64 = 3;
/// Those that it sends in VLANs, where nobody answers.
const TAGGED: u64 = 2;

/// A client, a gateway, and a bridge between them.
struct Line {
    lab: Lab,
    server: Namespace,
}

impl Line {
    fn new() -> Self {
        let line = Self { lab: Lab::new().unwrap(), server: Namespace::new("sv").unwrap() };
        let (middle, server) = (&line.lab.gateway, &line.server);
        let ip = |namespace: &Namespace, words: &str| namespace.ip(words).unwrap();
        ip(middle, "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
        ip(
            middle,
            &format!("link add {WATCHED} type veth peer name {SERVER_INTERFACE} netns {}", server.name()),
        );
        // The gateway's addresses move to the other end.
        ip(middle, &format!("address flush dev {GATEWAY_INTERFACE}"));
        for port in [GATEWAY_INTERFACE, WATCHED] {
            ip(middle, &format!("link set {port} master br0"));
            ip(middle, &format!("link set {port} up"));
        }
        ip(middle, "link set br0 up");
        ip(server, &format!("address add {GATEWAY_V4}/24 dev {SERVER_INTERFACE}"));
        ip(server, &format!("address add {GATEWAY_V6}/64 dev {SERVER_INTERFACE} nodad"));
        ip(server, &format!("link set {SERVER_INTERFACE} up"));
        line
    }

    /// Makes the sender's kernel cut segments and calculate checksums itself, so that packets look
    /// in front of the probe as they would on a wire.
    fn without_offloads(self) -> Self {
        let Self { lab, server } = &self;
        for (namespace, interface) in [
            (&lab.client, CLIENT_INTERFACE),
            (&lab.gateway, GATEWAY_INTERFACE),
            (&lab.gateway, WATCHED),
            (server, SERVER_INTERFACE),
        ] {
            let mut command = namespace.command("ethtool");
            command.args(["-K", interface]);
            for feature in ["tso", "gso", "gro", "tx", "txvlan", "rxvlan"] {
                command.args([feature, "off"]);
            }
            run_ok(&mut command, TIMEOUT).unwrap();
        }
        self
    }

    fn watch(&self, attach: &str) -> Probe<'_> {
        let options = ["-i", WATCHED, "--orientation", "veth", "--attach", attach];
        Probe::start(&self.lab, &options).unwrap()
    }

    /// An HTTPS server on each of the gateway's addresses that serves the lab's directory.
    fn serve(&self) -> Vec<Service> {
        let certificate = self.lab.certificate(SERVER_NAME).unwrap();
        let directory = self.lab.directory();
        let start = |address: IpAddr| {
            let address = SocketAddr::new(address, PORT).to_string();
            let mut command = self.server.command("openssl");
            command.args(["s_server", "-WWW", "-accept", &address, "-cert"]).arg(&certificate.certificate);
            command.arg("-key").arg(&certificate.key).current_dir(directory);
            let name = format!("s_server-{}", address.replace(['[', ']', ':'], "-"));
            let mut service = Service::start(&name, &mut command, directory).unwrap();
            let log = directory.join(format!("{name}.out"));
            let is_ready = || fs::read_to_string(&log).is_ok_and(|text| text.contains("ACCEPT"));
            service.wait_for("openssl to listen", TIMEOUT, is_ready).unwrap();
            service
        };
        [GATEWAY_V4, GATEWAY_V6].map(start).into()
    }

    fn captures(&self) -> [Capture; 2] {
        [(&self.lab.client, CLIENT_INTERFACE), (&self.server, SERVER_INTERFACE)]
            .map(|(namespace, interface)| Capture::start(&self.lab, namespace, interface))
    }

    /// Handshakes with and without SNI over IPv4 and IPv6, a download, a hello in two segments, and
    /// hellos with one VLAN tag and with two.
    fn traffic(&self) {
        for address in [GATEWAY_V4, GATEWAY_V6] {
            for name in [Some(SERVER_NAME), None] {
                let seen = clients::openssl(&self.lab, Target::https(address, name), &[]).unwrap();
                assert!(seen.stdout.contains("BEGIN CERTIFICATE"), "{seen:?}");
            }
        }

        let words = 0..u32::try_from(BULK_BYTES / 4).unwrap();
        let bulk: Vec<u8> = words.flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect();
        fs::write(self.lab.path(BULK), &bulk).unwrap();
        let received = self.lab.path("received.bin");
        let mut curl = self.lab.client.command("curl");
        curl.args(["--silent", "--show-error", "--insecure", "--noproxy", "*", "--max-time", "20"]);
        curl.args(["--resolve", &format!("{SERVER_NAME}:{PORT}:{GATEWAY_V4}"), "--output"]).arg(&received);
        curl.arg(format!("https://{SERVER_NAME}:{PORT}/{BULK}"));
        run_ok(&mut curl, TIMEOUT).unwrap();
        assert!(fs::read(&received).unwrap() == bulk, "the file arrives as it was sent");

        let hello = ClientHelloBuilder::new().build();
        let mut client = RawClient::connect(&self.lab.client, SocketAddr::new(GATEWAY_V4, PORT)).unwrap();
        client.send_segments([&hello[..100], &hello[100..]]).unwrap();
        assert_eq!(client.read_first(TIMEOUT).unwrap().bytes.first(), Some(&22));

        let wire = Wire::from_clients(&self.lab).unwrap();
        for is_double in [false, true] {
            for payload in [&[][..], &hello] {
                wire.send_frame(&tagged(is_double, payload)).unwrap();
            }
        }
    }
}

/// A SYN, or the data that follows it, in one VLAN or in one within another. The bridge does not know
/// its destination, and sends it out at the other port.
fn tagged(is_double: bool, payload: &[u8]) -> Vec<u8> {
    let id = VlanId::try_new(7).unwrap();
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 7], [2, 0, 0, 0, 0, 9]);
    let vlan = if is_double { ethernet.double_vlan(id, id) } else { ethernet.single_vlan(id) };
    let is_syn = payload.is_empty();
    let mut tcp = TcpHeader::new(1_007 + u16::from(is_double), PORT, 1_000 + u32::from(!is_syn), 64_000);
    (tcp.syn, tcp.ack) = (is_syn, !is_syn);
    let mut frame = Vec::new();
    let ip = vlan.ipv4([10, 78, 0, 2], [10, 78, 0, 1], 64);
    ip.tcp_header(tcp).write(&mut frame, payload).unwrap();
    frame
}

/// A running tcpdump.
struct Capture {
    tcpdump: Service,
    file: PathBuf,
}

impl Capture {
    fn start(lab: &Lab, namespace: &Namespace, interface: &str) -> Self {
        let file = lab.path(&format!("{interface}.pcap"));
        let mut command = namespace.command("tcpdump");
        // Each packet is in the file at once; room for 32 MiB of them on the way there.
        command.args(["-U", "--immediate-mode", "-B", "32768", "-n", "-Z", "root", "-i", interface, "-w"]);
        command.arg(&file);
        let mut tcpdump =
            Service::start(&format!("tcpdump-{interface}"), &mut command, lab.directory()).unwrap();
        let log = lab.path(&format!("tcpdump-{interface}.err"));
        let is_ready = || fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on"));
        tcpdump.wait_for("tcpdump to listen", TIMEOUT, is_ready).unwrap();
        Self { tcpdump, file }
    }

    fn read(&self) -> Packets {
        Packets::parse(&fs::read(&self.file).unwrap())
    }

    fn stop(&mut self) -> Packets {
        self.tcpdump.stop().unwrap();
        let log = self.tcpdump.stderr();
        assert!(log.contains("\n0 packets dropped by kernel"), "{log}");
        self.read()
    }
}

/// The frames of a capture.
#[derive(Debug, Default, PartialEq)]
struct Packets {
    from_client: Vec<Vec<u8>>,
    from_gateway: Vec<Vec<u8>>,
}

impl Packets {
    /// Reads the pcap format, in the byte order of the machine; the last packet may be half written.
    fn parse(mut file: &[u8]) -> Self {
        const FILE_HEADER: usize = 24;
        const PACKET_HEADER: usize = 16;
        let mut packets = Self::default();
        file = file.get(FILE_HEADER..).unwrap_or_default();
        while let Some((header, rest)) = file.split_at_checked(PACKET_HEADER) {
            // Seconds, microseconds, bytes in the file, bytes on the wire.
            let [captured, wire] = [8, 12]
                .map(|at| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
            assert_eq!(captured, wire, "no packet is cut short");
            let Some((frame, rest)) = rest.split_at_checked(captured as usize) else { break };
            file = rest;
            // Neighbour discovery goes the same way.
            let Some(Frame { tcp, .. }) = Frame::parse(frame) else { continue };
            let is_from_client = tcp.destination_port == PORT;
            let direction = if is_from_client { &mut packets.from_client } else { &mut packets.from_gateway };
            direction.push(frame.to_vec());
        }
        packets
    }

    fn directions(&self) -> [&Vec<Vec<u8>>; 2] {
        [&self.from_client, &self.from_gateway]
    }

    /// The bytes that each side of each connection sent.
    fn streams(&self) -> BTreeMap<Ends, Vec<u8>> {
        let mut starts = BTreeMap::new();
        let mut streams: BTreeMap<Ends, Vec<u8>> = BTreeMap::new();
        for frame in self.directions().into_iter().flatten() {
            let frame = Frame::parse(frame).unwrap();
            let (ends, seq) = (frame.ends(), frame.tcp.sequence_number);
            if frame.tcp.syn {
                starts.insert(ends, seq.wrapping_add(1));
            }
            let start = seq.wrapping_sub(starts[&ends]) as usize;
            if frame.payload.is_empty() {
                continue;
            }
            let stream = streams.entry(ends).or_default();
            let end = start + frame.payload.len();
            stream.resize(stream.len().max(end), 0);
            stream[start..end].copy_from_slice(frame.payload);
        }
        streams
    }
}

/// Source and destination.
type Ends = (SocketAddr, SocketAddr);

/// A frame's headers and payload.
struct Frame<'a> {
    net: NetHeaders,
    tcp: TcpHeader,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// `None` if it is no TCP.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let headers = PacketHeaders::from_ethernet_slice(bytes).unwrap();
        let TransportHeader::Tcp(tcp) = headers.transport? else { return None };
        Some(Self { net: headers.net?, tcp, payload: headers.payload.slice() })
    }

    fn ends(&self) -> Ends {
        let (source, destination): (IpAddr, IpAddr) = match &self.net {
            NetHeaders::Ipv4(header, _) => (header.source.into(), header.destination.into()),
            NetHeaders::Ipv6(header, _) => (header.source.into(), header.destination.into()),
            NetHeaders::Arp(_) => panic!("no IP"),
        };
        let Self { tcp, .. } = self;
        (SocketAddr::new(source, tcp.source_port), SocketAddr::new(destination, tcp.destination_port))
    }

    fn has_right_checksums(&self) -> bool {
        // 0 and 0xffff are the same number in one's complement, and the kernel uses both.
        let same = |one: u16, other: u16| one % 0xffff == other % 0xffff;
        let (tcp, is_ip_right) = match &self.net {
            NetHeaders::Ipv4(header, _) => (
                self.tcp.calc_checksum_ipv4(header, self.payload),
                same(header.header_checksum, header.calc_header_checksum()),
            ),
            NetHeaders::Ipv6(header, _) => (self.tcp.calc_checksum_ipv6(header, self.payload), true),
            NetHeaders::Arp(_) => panic!("no IP"),
        };
        is_ip_right && same(tcp.unwrap(), self.tcp.checksum)
    }
}

/// The hellos were seen, so the probe was in the way of these packets.
fn assert_counted(probe: &Probe<'_>) {
    let hellos = |metrics: &Metrics| metrics.count("sni_probe_client_hellos_total", &[]);
    let outcomes = |metrics: &Metrics| ["present", "absent"].map(|sni| answered(metrics, &[("sni", sni)]));
    let all = PRESENT + ABSENT;
    let are_seen =
        |metrics: &Metrics| outcomes(metrics).iter().sum::<u64>() >= all && hellos(metrics) >= all + TAGGED;
    let metrics = probe.wait_for_metrics(TIMEOUT, are_seen).unwrap();
    assert_eq!(outcomes(&metrics), [PRESENT, ABSENT]);
    assert_eq!(hellos(&metrics), all + TAGGED);
    assert_eq!(metrics.count("sni_probe_client_hello_features_total", &[("feature", "multi_segment")]), 1);
}

fn every_packet_is_the_same_behind_the_probe(attach: &str) {
    // No packet overtakes another then, on the bridge neither.
    stay_on_one_cpu().unwrap();
    let line = Line::new().without_offloads();
    let _servers = line.serve();
    let probe = line.watch(attach);
    let [mut front, mut behind] = line.captures();
    line.traffic();
    assert_counted(&probe);
    // The last packets of the last connection may still be on their way.
    let settled = || Ok((front.read() == behind.read()).then_some(()));
    let _ = wait_until("both captures", TIMEOUT, settled);
    let [front, behind] = [&mut front, &mut behind].map(Capture::stop);
    assert_same(&front.from_client, &behind.from_client);
    assert_same(&front.from_gateway, &behind.from_gateway);
    let least = BULK_BYTES / 1448;
    let counts = front.directions().map(Vec::len);
    println!("{counts:?} packets compared");
    assert!(counts[0] > least / 50 && counts[1] > least, "{counts:?} packets");
    let all = || front.directions().into_iter().flatten();
    for frame in all() {
        let is_as_on_a_wire = frame.len() <= 1518 && Frame::parse(frame).unwrap().has_right_checksums();
        assert!(is_as_on_a_wire, "{} bytes: {frame:02x?}", frame.len());
    }
    // Both families, and tagged frames.
    for ether_type in [[0x08, 0x00], [0x86, 0xdd], [0x81, 0x00], [0x88, 0xa8]] {
        assert!(all().any(|frame| frame[12..14] == ether_type), "{ether_type:02x?}");
    }
}

fn assert_same(front: &[Vec<u8>], behind: &[Vec<u8>]) {
    for (index, (front, behind)) in front.iter().zip(behind).enumerate() {
        assert!(front == behind, "packet {index} differs:\n{front:02x?}\n{behind:02x?}");
    }
    assert_eq!(front.len(), behind.len(), "packets in front and behind");
}

#[test]
fn every_packet_is_the_same_behind_tcx_programs() {
    every_packet_is_the_same_behind_the_probe("tcx");
}

#[test]
fn every_packet_is_the_same_behind_clsact_filters() {
    every_packet_is_the_same_behind_the_probe("clsact");
}

#[test]
fn every_byte_is_the_same_with_offloads() {
    let line = Line::new();
    let _servers = line.serve();
    let probe = line.watch("auto");
    let [mut front, mut behind] = line.captures();
    line.traffic();
    assert_counted(&probe);
    let settled = || Ok((front.read().streams() == behind.read().streams()).then_some(()));
    let _ = wait_until("both captures", TIMEOUT, settled);
    let [front, behind] = [&mut front, &mut behind].map(Capture::stop);
    let (front_streams, behind_streams) = (front.streams(), behind.streams());
    let sides = 2 * usize::try_from(PRESENT + ABSENT).unwrap();
    assert_eq!(front_streams.len(), sides + usize::try_from(TAGGED).unwrap());
    assert!(front_streams.values().any(|stream| stream.len() > BULK_BYTES));
    assert!(front_streams == behind_streams, "the streams differ");
    let largest = front.directions().into_iter().flatten().map(Vec::len).max();
    assert!(largest > Some(10_000), "packets of {largest:?} bytes at most");
}
