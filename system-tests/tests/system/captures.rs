//! Captures through the real classifiers (`BPF_PROG_TEST_RUN`) and through user space: the same hellos, with the
//! same fate.

use std::path::{Path, PathBuf};

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use sni_probe_capture::programs::{CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT};
use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::{Handshake, Observation};
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::vocabulary::Follow;
use sni_probe_core::{Tracker, TrackerConfig};
use sni_probe_datapath::event::{Event, EventHeader};
use sni_probe_datapath::userspace::{Datapath, Frame};
use sni_probe_pcap::engine::Replay;
use sni_probe_pcap::frame::{FrameBytes, LinkType, Unwrapped};
use sni_probe_pcap::{Reader, Record};
use sni_probe_testkit::captures::Format;

use crate::parity::{Kernel, NO_VERDICT};

const ETHERNET: u16 = 1;
/// The kernel makes its test packets of one page, with room for headers; and of a whole Ethernet header.
const TEST_PACKET: std::ops::RangeInclusive<usize> = 14..=3_400;
const CONFIG: TrackerConfig = TrackerConfig {
    handshake_timeout: std::time::Duration::from_mins(10),
    max_flows: 10_000,
    preludes: true,
    follow: Follow::Handshake,
    fingerprints: Fingerprints::All,
};

/// One way from frames to handshakes.
struct Way {
    tracker: Tracker,
    handshakes: Vec<Handshake>,
}

impl Way {
    fn new() -> Self {
        Self { tracker: Tracker::new(CONFIG), handshakes: Vec::new() }
    }

    fn event(&mut self, event: &Event<'_>, frame: &Frame<'_>) {
        // The kernel's clock and interface are its own.
        let header = EventHeader { time_ns: frame.time_ns, ifindex: frame.ifindex, ..event.header };
        self.tracker.handle_event(&Event { header, ..*event });
        self.drain();
    }

    fn finish(mut self) -> Vec<Handshake> {
        self.tracker.finish();
        self.drain();
        self.handshakes
    }

    fn drain(&mut self) {
        while let Some(observation) = self.tracker.poll_observation() {
            self.handshakes.extend(handshake(observation));
        }
    }
}

fn handshake(observation: Observation) -> Option<Handshake> {
    match observation {
        Observation::Handshake(handshake) => Some(*handshake),
        _ => None,
    }
}

fn every_port() -> Vec<u16> {
    (1..=u16::MAX).collect()
}

/// What a capture gives.
struct Compared {
    /// Ethernet frames.
    frames: usize,
    /// Frames that the kernel does not take as test packets, or that the capture has cut short.
    left_out: usize,
    hellos: usize,
    /// Frames whose TCP is in a tunnel or in fragments, which the kernel's programs do not follow.
    wrapped: usize,
}

fn compare(path: &Path) -> Compared {
    let mut reader = Reader::open(path).unwrap();
    let mut kernel = Kernel::load(&every_port());
    let mut datapath = Datapath::new(every_port(), 1).with_follow_up(true);
    let mut replay = Replay::new(every_port(), CONFIG);
    let (mut in_kernel, mut in_user_space, mut replayed) = (Way::new(), Way::new(), Vec::new());
    let mut compared = Compared { frames: 0, left_out: 0, hellos: 0, wrapped: 0 };
    let is_cut = std::cell::Cell::new(false);
    let is_ethernet = std::cell::Cell::new(false);
    let mut next = || match reader.next_record() {
        // A record lives as long as the reader is borrowed: its bytes are what is kept.
        Ok(record) => record.map(|record| {
            is_cut.set(record.bytes.len() < record.wire_len);
            is_ethernet.set(record.link_type == ETHERNET);
            let Record { number, time_ns, .. } = record;
            (number, time_ns, record.bytes.to_vec())
        }),
        // Ends inside a packet: what came before counts.
        Err(_) => None,
    };
    while let Some((number, time_ns, bytes)) = next() {
        if !is_ethernet.get() {
            continue;
        }
        compared.frames += 1;
        if is_cut.get() || !TEST_PACKET.contains(&bytes.len()) {
            compared.left_out += 1;
            continue;
        }
        let ifindex = u32::try_from(number).unwrap();
        let frame = Frame { ifindex, ..Frame::new(&bytes, time_ns) };
        for way in [&mut in_kernel, &mut in_user_space] {
            way.tracker.handle_timeout(Timestamp(time_ns));
        }
        run_in_kernel(&mut kernel, &frame, &mut in_kernel);
        datapath.client_to_gateway(&frame, |event| in_user_space.event(&event, &frame));
        datapath.gateway_to_client(&frame, |event| in_user_space.event(&event, &frame));
        let of_replay = FrameBytes { bytes: &bytes, wire_len: bytes.len(), number, time_ns };
        compared.wrapped += match replay.frame(LinkType(ETHERNET), &of_replay).unwrapped {
            Unwrapped::Ip(packet) => {
                let offset = packet.bytes.as_ptr().addr() - bytes.as_ptr().addr();
                usize::from(offset != behind_vlan_tags(&bytes))
            }
            Unwrapped::Reassembled { .. } | Unwrapped::Fragment => 1,
            Unwrapped::Other | Unwrapped::NotIp | Unwrapped::Skipped(_) | Unwrapped::Unread { .. } => 0,
        };
        replayed.extend(std::iter::from_fn(|| replay.poll_observation()).filter_map(handshake));
    }
    replay.finish();
    replayed.extend(std::iter::from_fn(|| replay.poll_observation()).filter_map(handshake));
    let (in_kernel, in_user_space) = (in_kernel.finish(), in_user_space.finish());
    assert_eq!(in_kernel, in_user_space, "{}", path.display());
    if compared.wrapped == 0 {
        assert_eq!(in_kernel, replayed, "{}", path.display());
    }
    compared.hellos = in_kernel.len();
    compared
}

/// Where the IP header is behind an Ethernet header and at most two VLAN tags, which is as far as the kernel's
/// programs look; nowhere, if something else is there.
fn behind_vlan_tags(frame: &[u8]) -> usize {
    [14, 18, 22]
        .into_iter()
        .find(|&at| !matches!(frame.get(at - 2..at), Some([0x81 | 0x91 | 0x92, 0] | [0x88, 0xa8])))
        .filter(|&at| matches!(frame.get(at - 2..at), Some([0x08, 0] | [0x86, 0xdd])))
        .unwrap_or_default()
}

/// Runs both programs over a frame, as `replay` does: nobody says which way it went.
fn run_in_kernel(kernel: &mut Kernel, frame: &Frame<'_>, way: &mut Way) {
    for program in [CLIENT_TO_GATEWAY, GATEWAY_TO_CLIENT] {
        let program: &mut SchedClassifier = kernel.programs.program(program).unwrap();
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame.bytes);
        let result = program.test_run(options).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
        assert_eq!(result.return_value, NO_VERDICT, "the chain goes on after {frame:02x?}");
        kernel.ring.drain(usize::MAX, |event| way.event(&event.unwrap(), frame));
    }
}

/// Captures that the lab makes: what the real ones lack.
#[test]
fn generated_captures_in_the_kernel_and_in_user_space() {
    let directory = tempfile::tempdir().unwrap();
    let mut hellos = 0;
    for scenario in sni_probe_testkit::captures::all() {
        let path = directory.path().join(format!("{}.pcap", scenario.name));
        std::fs::write(&path, scenario.capture.to_bytes(Format::PCAP).unwrap()).unwrap();
        hellos += compare(&path).hellos;
    }
    assert!(hellos > 30, "{hellos} hellos");
}

fn captures_in(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(captures_in(&path));
        } else if path.extension().is_some_and(|extension| extension.to_string_lossy().starts_with("pcap")) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Captures that lie beside the repository; see `sni-probe/tests/captures.rs`.
#[test]
fn real_captures_in_the_kernel_and_in_user_space() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures");
    if !directory.exists() {
        println!("skipped: the captures are absent ({})", directory.display());
        return;
    }
    let files = captures_in(&directory);
    let all: Vec<_> = files.iter().map(|path| compare(path)).collect();
    let sum = |of: fn(&Compared) -> usize| all.iter().map(of).sum::<usize>();
    let [frames, left_out, hellos] = [sum(|one| one.frames), sum(|one| one.left_out), sum(|one| one.hellos)];
    println!("{} captures, {frames} frames, {left_out} of them left out, {hellos} hellos", files.len());
    assert!(hellos > 300, "{hellos} hellos");
    assert!(left_out < frames / 5, "{left_out} of {frames} frames left out");
}
