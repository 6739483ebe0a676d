//! From packets to files and back, by the code that runs live and the code that replays.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use sni_probe_core::observation::Outcome;
use sni_probe_core::vocabulary::{Label as _, OutcomeClass};
use sni_probe_core::{Tracker, TrackerConfig};
use sni_probe_datapath::userspace::{Datapath, Frame, Layer};
use sni_probe_pcap::Reader;
use sni_probe_pcap::engine::Replay;
use sni_probe_pcap::frame::{FrameBytes, LinkType};
use sni_probe_testkit::captures::{self, Capture, Connection};
use sni_probe_testkit::hello::ClientHelloBuilder;

use super::file_name::FileName;
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// The daemon between the datapath and the directory.
struct Bench {
    directory: tempfile::TempDir,
    metrics: Arc<Metrics>,
    evidence: FailureCaptures,
    datapath: Datapath,
    tracker: Tracker,
    handshakes: Vec<Handshake>,
}

/// Where the daemon was stopped.
struct Stopped {
    directory: tempfile::TempDir,
    metrics: Arc<Metrics>,
    handshakes: Vec<Handshake>,
}

impl Bench {
    fn new() -> Self {
        Self::keeping(100, 16 << 20)
    }

    fn keeping(handshakes: usize, bytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::for_captures().unwrap());
        let wanted = EvidenceConfig { directory: Some(directory.path().to_owned()), handshakes, bytes };
        let config = TrackerConfig::default();
        let evidence = FailureCaptures::open(&wanted, config.handshake_timeout, &metrics).unwrap().unwrap();
        let (datapath, tracker) = (Datapath::new(1..=u16::MAX, 1), Tracker::new(config));
        Self { directory, metrics, evidence, datapath, tracker, handshakes: Vec::new() }
    }

    fn play(&mut self, capture: &Capture) {
        for packet in capture.packets() {
            self.packet(packet.time_ns, &packet.bytes);
        }
    }

    /// Takes an IP packet, as both programs would see it: at most one of them makes an event of it.
    fn packet(&mut self, time_ns: u64, bytes: &[u8]) {
        self.tracker.handle_timeout(Timestamp(time_ns));
        self.publish();
        let Self { evidence, tracker, datapath, .. } = self;
        let mut handle = |event: Event<'_>| {
            evidence.event(&event, Timestamp(time_ns));
            tracker.handle_event(&event);
        };
        let frame = Frame { layer: Layer::Ip, ifindex: 2, ..Frame::new(bytes, time_ns) };
        datapath.client_to_gateway(&frame, &mut handle);
        datapath.gateway_to_client(&frame, &mut handle);
        self.publish();
    }

    fn publish(&mut self) {
        while let Some(observation) = self.tracker.poll_observation() {
            self.evidence.observe(&observation, |_| "eth0", WallClock::UTC);
            if let Observation::Handshake(handshake) = observation {
                self.handshakes.push(*handshake);
            }
        }
    }

    fn stop(mut self) -> Stopped {
        self.tracker.finish();
        self.publish();
        let Self { directory, metrics, evidence, handshakes, .. } = self;
        evidence.finish(PATIENCE);
        Stopped { directory, metrics, handshakes }
    }

    /// Waits for a series of the metrics to have this value.
    fn wait_for(&self, sample: &str) {
        let start = Instant::now();
        while !self.metrics.encode().unwrap().contains(&format!("{sample}\n")) {
            assert!(start.elapsed() < PATIENCE, "{sample}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Stopped {
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn lost(&self, reason: EvidenceLoss) -> bool {
        let zero = format!("sni_probe_evidence_lost_total{{reason=\"{}\"}} 0\n", reason.as_str());
        !self.metrics.encode().unwrap().contains(&zero)
    }
}

/// The handshakes in a file of evidence.
fn replay(file: &Path) -> Vec<Handshake> {
    let mut reader = Reader::open(file).unwrap();
    let mut replay = Replay::new(1..=u16::MAX, TrackerConfig::default());
    while let Some(record) = reader.next_record().unwrap() {
        let frame = FrameBytes {
            bytes: record.bytes,
            wire_len: record.wire_len,
            time_ns: record.time_ns,
            number: record.number,
        };
        replay.frame(LinkType(record.link_type), &frame);
    }
    replay.finish();
    let observations = std::iter::from_fn(|| replay.poll_observation());
    observations
        .filter_map(|observation| match observation {
            Observation::Handshake(handshake) => Some(*handshake),
            _ => None,
        })
        .collect()
}

/// What a replay of the evidence of a handshake must say: nobody waits for a timeout there.
fn replayed(live: &Handshake, again: &Handshake) -> Handshake {
    let mut expected = Handshake { place: again.place, ..live.clone() };
    if live.outcome == Outcome::Timeout {
        expected.outcome = Outcome::Unfinished;
        expected.latency = again.latency;
        if expected.hello.incomplete == Some(IncompleteReason::Timeout) {
            expected.hello.incomplete = Some(IncompleteReason::Unfinished);
        }
    }
    expected
}

/// Replays each file, and compares it with what was seen live. Returns the outcomes of those that could be compared.
fn compare(name: &str, stopped: &Stopped) -> Vec<OutcomeClass> {
    let mut failed: Vec<&Handshake> =
        stopped.handshakes.iter().filter(|handshake| handshake.outcome.class().is_failure()).collect();
    failed.sort_by_key(|handshake| FileName::new(handshake, WallClock::UTC));
    let files = stopped.files();
    assert_eq!(files.len(), failed.len(), "{name}");
    if stopped.lost(EvidenceLoss::FlowTruncated) {
        return Vec::new();
    }
    let compare = |(live, file): (&Handshake, PathBuf)| {
        let again = replay(&file);
        assert_eq!(again.len(), 1, "{name}: {}", file.display());
        assert_eq!(again[0], replayed(live, &again[0]), "{name}");
        live.outcome.class()
    };
    failed.into_iter().zip(files).map(compare).collect()
}

#[test]
fn a_replay_of_the_evidence_says_the_same() {
    let mut outcomes = Vec::new();
    for scenario in captures::all() {
        let mut bench = Bench::new();
        bench.play(&scenario.capture);
        outcomes.extend(compare(&scenario.name, &bench.stop()));
    }
    for class in OutcomeClass::ALL {
        let is_kept = outcomes.contains(class);
        assert!(!is_kept || class.is_failure(), "{class}");
        // The scenarios do not say how an answered handshake ends.
        assert!(is_kept || class.is_answered() || !class.is_failure(), "{class}");
    }
}

/// The same clients, but the gateway resets them instead of answering: segments in any order, PROXY headers, hellos of all
/// sizes and formats.
#[test]
fn so_it_does_of_hellos_of_all_kinds() {
    let mut compared = 0;
    for scenario in captures::all() {
        let mut bench = Bench::new();
        let gateways: Vec<SocketAddr> = scenario.expected.iter().map(|expected| expected.gateway).collect();
        let mut last_ns = 0;
        // What each client acknowledges is what it expects next.
        let mut acknowledged: HashMap<SocketAddr, u32> = HashMap::new();
        for packet in scenario.capture.packets() {
            last_ns = packet.time_ns;
            // Fragments are passed over live as well.
            let Some(segment) = Essentials::of(&packet.bytes) else { continue };
            let [syn, ack, fin, ..] = segment.flags;
            if ack {
                acknowledged.insert(segment.source, segment.ack);
            }
            if syn || !(gateways.contains(&segment.source) || fin && segment.payload.is_empty()) {
                bench.packet(packet.time_ns, &packet.bytes);
            }
        }
        for expected in &scenario.expected {
            let seq = acknowledged.get(&expected.client).copied().unwrap_or_default();
            bench.packet(last_ns + 1_000, &gateway_reset(expected.client, expected.gateway, seq));
        }
        compared += compare(&scenario.name, &bench.stop()).len();
    }
    assert!(compared >= 30, "{compared} handshakes");
}

fn gateway_reset(client: SocketAddr, gateway: SocketAddr, seq: u32) -> Vec<u8> {
    let builder = match (gateway.ip(), client.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            PacketBuilder::ipv4(source.octets(), destination.octets(), 64)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            PacketBuilder::ipv6(source.octets(), destination.octets(), 64)
        }
        _ => panic!("two families"),
    };
    let mut packet = Vec::new();
    builder.tcp(gateway.port(), client.port(), seq, 0).rst().write(&mut packet, &[]).unwrap();
    packet
}

fn hello() -> Vec<u8> {
    ClientHelloBuilder::new().build()
}

fn reset(mut connection: Connection, segment: usize) -> Connection {
    connection.open().client_in_segments(&hello(), segment).gateway_reset();
    connection
}

/// What of a TCP segment is known of evidence as well.
#[derive(Debug, PartialEq, Eq)]
struct Essentials {
    source: SocketAddr,
    seq: u32,
    ack: u32,
    /// SYN, ACK, FIN, RST, PSH.
    flags: [bool; 5],
    payload: Vec<u8>,
}

impl Essentials {
    /// `None` if it is no whole TCP segment.
    fn of(packet: &[u8]) -> Option<Self> {
        let sliced = SlicedPacket::from_ip(packet).ok()?;
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { return None };
        let address = match sliced.net? {
            NetSlice::Ipv4(ip) => IpAddr::V4(ip.header().source_addr()),
            NetSlice::Ipv6(ip) => IpAddr::V6(ip.header().source_addr()),
            NetSlice::Arp(_) => return None,
        };
        let header = tcp.to_header();
        Some(Self {
            source: SocketAddr::new(address, header.source_port),
            seq: header.sequence_number,
            ack: header.acknowledgment_number,
            flags: [header.syn, header.ack, header.fin, header.rst, header.psh],
            payload: tcp.payload().to_vec(),
        })
    }
}

fn has_right_checksums(packet: &[u8]) -> bool {
    let sliced = SlicedPacket::from_ip(packet).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
    let header = tcp.to_header();
    let tcp_checksum = match sliced.net.unwrap() {
        NetSlice::Ipv4(ip) => {
            let ip = ip.header().to_header();
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            header.calc_checksum_ipv4(&ip, tcp.payload())
        }
        NetSlice::Ipv6(ip) => header.calc_checksum_ipv6(&ip.header().to_header(), tcp.payload()),
        NetSlice::Arp(_) => panic!("no IP"),
    };
    header.checksum == tcp_checksum.unwrap()
}

#[test]
fn packets_are_rebuilt_as_they_were() {
    for connection in [Connection::v4(), Connection::v6()] {
        let connection = reset(connection, 100);
        let mut bench = Bench::new();
        bench.play(&connection.capture());
        let stopped = bench.stop();
        let mut reader = Reader::open(&stopped.files()[0]).unwrap();
        // The SYN, the data, the RST; no SYN,ACK and no ACKs.
        let mut original = connection.packets().iter().filter(|packet| {
            let segment = Essentials::of(&packet.bytes).unwrap();
            let [syn, ack, _, rst, _] = segment.flags;
            (syn && !ack) || rst || !segment.payload.is_empty()
        });
        let mut count = 0;
        while let Some(record) = reader.next_record().unwrap() {
            let packet = original.next().unwrap();
            assert_eq!(Essentials::of(record.bytes), Essentials::of(&packet.bytes));
            assert!(has_right_checksums(record.bytes));
            assert_eq!(record.wire_len, record.bytes.len());
            assert_eq!((record.link_type, record.description.name.as_deref()), (101, Some("eth0")));
            // The time of the SYN is that of the first data.
            assert!(record.time_ns == packet.time_ns || count == 0);
            count += 1;
        }
        assert!(original.next().is_none());
        assert!(count > 3, "{count}");
    }
}

/// Of the answer 256 bytes are copied; its length is known.
#[test]
fn a_packet_that_was_not_copied_whole_says_how_long_it_was() {
    let mut connection = Connection::v4();
    // A long record that is neither a ServerHello nor an alert.
    connection.open().client(&hello()).gateway(&[0x17; 1_000]).gateway_reset();
    let mut bench = Bench::new();
    bench.play(&connection.capture());
    let stopped = bench.stop();
    let mut reader = Reader::open(&stopped.files()[0]).unwrap();
    let mut lengths = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        lengths.push((record.bytes.len(), record.wire_len));
    }
    assert_eq!(lengths[2..], [(40 + 256, 40 + 1_000), (40, 40)]);
}

#[test]
fn a_file_says_that_it_is_no_raw_capture_and_what_happened() {
    let mut bench = Bench::new();
    bench.play(&reset(Connection::v4(), 10_000).capture());
    let stopped = bench.stop();
    let contents = fs::read(&stopped.files()[0]).unwrap();
    let text = String::from_utf8_lossy(&contents);
    for part in ["this is no raw capture", "(no SNI)", "reset_by_gateway", "Rebuilt from its sequence number"]
    {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("Packets are missing"));
}

#[test]
fn what_is_not_whole_says_so() {
    let mut connection = Connection::v6();
    connection.open();
    for offset in 0..2_000 {
        connection.client_at(offset, b"\x16\x03\x01\x20\x00\x01"[offset.min(5)..=offset.min(5)].as_ref());
    }
    connection.gateway_reset();
    let mut bench = Bench::new();
    bench.play(&connection.capture());
    let stopped = bench.stop();
    assert!(stopped.lost(EvidenceLoss::FlowTruncated));
    let contents = fs::read(&stopped.files()[0]).unwrap();
    assert!(String::from_utf8_lossy(&contents).contains("Packets are missing besides"));
    // The longest file there is has room in the smallest directory (see `--evidence-bytes`).
    assert!(contents.len() < 64 << 10, "{}", contents.len());
}

#[test]
fn the_last_ones_are_kept() {
    let mut bench = Bench::keeping(3, 16 << 20);
    for port in 1..=10 {
        let connection = Connection::v4()
            .client_port(50_000 + port)
            .starting_at(captures::START_NS + u64::from(port) * 1_000_000_000);
        bench.play(&reset(connection, 10_000).capture());
    }
    let stopped = bench.stop();
    let clients: Vec<_> = stopped
        .files()
        .iter()
        .flat_map(|file| replay(file))
        .map(|handshake| handshake.flow.client.port())
        .collect();
    assert_eq!(clients, [50_008, 50_009, 50_010]);
    let metrics = stopped.metrics.encode().unwrap();
    assert!(metrics.contains("sni_probe_evidence_files 3\n"));
    let bytes: u64 = stopped.files().iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(metrics.contains(&format!("sni_probe_evidence_bytes {bytes}\n")));
}

/// A disk that does not take files for a while.
#[test]
fn files_that_cannot_be_written_are_counted_and_later_ones_are_kept() {
    let mut bench = Bench::new();
    let set_mode = |bench: &Bench, mode| {
        fs::set_permissions(bench.directory.path(), fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(&bench, 0o500);
    for port in 1..=2 {
        bench.play(&reset(Connection::v4().client_port(50_000 + port), 10_000).capture());
    }
    bench.wait_for("sni_probe_evidence_lost_total{reason=\"write_failed\"} 2");
    set_mode(&bench, 0o700);
    bench.play(&reset(Connection::v4().client_port(50_003), 10_000).capture());
    let stopped = bench.stop();
    let [file] = &stopped.files()[..] else { panic!("{:?}", stopped.files()) };
    assert_eq!(replay(file)[0].flow.client.port(), 50_003);
}
