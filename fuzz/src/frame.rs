//! Frames: unwrapped or not, through the datapath in both directions, and what comes of them through the
//! tracker.
//!
//! ```text
//! link type ─ control ─ length ─ frame ─ control ─ length ─ frame ─ …
//! ```
//!
//! The flow table has one bucket, so that a few connections already evict each other. (The table of
//! [`Datapath`] is as large as the kernel's, 4 MiB, and to fill it for each input would leave a fuzzer
//! some hundred inputs a second. The tests compare the two.)

use std::cell::Cell;

use sni_probe_core::vocabulary::Follow;
use sni_probe_core::{Timestamp, TrackerConfig};
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::datapath::{Flows, Sink, client_to_gateway, gateway_to_client};
use sni_probe_datapath::event::{ANSWER_COPY, CLIENT_WINDOW, Event, EventHeader, flags, kind, tcp_flags};
use sni_probe_datapath::flow_table::{Bucket, DEFAULT_EPOCH_LENGTH, Entry, FlowHash, WAYS, stage};
use sni_probe_datapath::tunnel::Tunnels;
use sni_probe_datapath::userspace::{Datapath, Frame, Layer};
use sni_probe_datapath::wire::Packet;
use sni_probe_pcap::frame::{FrameBytes, IpPacket, LinkType, Unwrapper};

use crate::input::Input;
use crate::ledger::{Ledger, milliseconds};
use crate::unwrap::{Account, LINK_TYPES, is_only_a_shortcuts};

/// Bits of the byte before each frame.
mod control {
    /// Only a part of it was captured.
    pub(super) const CUT: u8 = 0x02;
    /// Much time has passed.
    pub(super) const LATER: u8 = 0x04;
    /// Five bits: how much was captured of a frame that is cut.
    pub(super) const PART_SHIFT: u8 = 3;
}

/// Ports of gateways.
const PORTS: [u16; 2] = [443, 8443];

/// Of the hash of flows.
const SEED: u64 = 0x5eed;

/// Takes the bytes for a sequence of frames.
///
/// # Panics
///
/// An invariant is broken.
pub fn frame(bytes: &[u8]) {
    if let Some(event) = Event::from_record(bytes) {
        assert_eq!(event.data.len(), event.header.data_len as usize);
    }
    let mut input = Input::new(bytes);
    // Ethernet comes twice: as the kernel sees it, and as a capture is read.
    let link = usize::from(input.u8()).checked_sub(1).map(|at| LINK_TYPES[at % LINK_TYPES.len()]);
    let mut path = Path::default();
    let mut unwrapper = Unwrapper::new();
    let mut account = Account::default();
    let mut time = 0;
    for number in 1.. {
        if input.is_empty() {
            break;
        }
        let control = input.u8();
        let whole = input.vec16();
        time += if control & control::LATER == 0 { 1 } else { 40_000 };
        let captured = if control & control::CUT == 0 {
            whole.len()
        } else {
            whole.len() * usize::from(control >> control::PART_SHIFT) / 32
        };
        let time_ns = milliseconds(time).0;
        let mut frame =
            Frame { wire_len: whole.len(), ifindex: number, ..Frame::new(&whole[..captured], time_ns) };
        if let Some(link) = link {
            let captured =
                FrameBytes { bytes: frame.bytes, wire_len: frame.wire_len, number: number.into(), time_ns };
            let found = unwrapper.unwrap(link, &captured);
            let Some(packet) = account.packet(found, &captured) else { continue };
            if link == LinkType::ETHERNET {
                let has_no_event = is_only_a_shortcuts(&packet, &captured);
                assert_same_packet(&frame, &packet, has_no_event);
            }
            (frame.layer, frame.bytes, frame.wire_len) = (Layer::Ip, packet.bytes, packet.wire_len);
        }
        path.follow(&frame);
    }
    account.settle(unwrapper);
    path.ledger.finish();
}

/// What the kernel's programs find in a frame, a capture of it has too: never less, at most more.
fn assert_same_packet(frame: &Frame<'_>, packet: &IpPacket<'_>, has_no_event: bool) {
    let packet = Frame { layer: Layer::Ip, bytes: packet.bytes, wire_len: packet.wire_len, ..*frame };
    for direction in [Direction::ToGateway, Direction::ToClient] {
        let captured = Table::default().look(&packet, direction).event;
        assert!(captured.is_none() || !has_no_event, "{captured:?}");
        if let Some(event) = Table::default().look(frame, direction).event {
            assert_eq!(captured, Some(event));
        }
    }
}

/// From a frame to the tracker.
struct Path {
    table: Table,
    /// The datapath as it is, as long as it must come to the same.
    other: Option<Datapath>,
    ledger: Ledger,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            table: Table::default(),
            other: (!cfg!(fuzzing)).then(|| Datapath::new(PORTS, SEED).with_follow_up(true)),
            ledger: Ledger::new(TrackerConfig {
                max_flows: 4,
                follow: Follow::Handshake,
                ..TrackerConfig::default()
            }),
        }
    }
}

impl Path {
    fn follow(&mut self, frame: &Frame<'_>) {
        self.ledger.timeout(Timestamp(frame.time_ns));
        // Both programs look at each frame: whose it is, its ports say.
        for direction in [Direction::ToGateway, Direction::ToClient] {
            let seen = self.table.look(frame, direction);
            seen.assert_consistent(frame, direction);
            if let Some(datapath) = &mut self.other {
                assert_same(datapath, frame, direction, &seen);
            }
            if let Some(event) = &seen.event {
                self.ledger.event(event);
            }
            if self.table.is_full() {
                // From now on the larger table knows more.
                self.other = None;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    ToGateway,
    ToClient,
}

/// One bucket.
#[derive(Default)]
struct Table {
    bucket: [Cell<Entry>; WAYS],
}

impl Flows for Table {
    fn is_gateway_port(&self, port: u16) -> bool {
        PORTS.contains(&port)
    }

    fn seed(&self) -> u64 {
        SEED
    }

    fn tunnels(&self) -> Tunnels {
        Tunnels::NONE
    }

    fn follows_up(&self) -> bool {
        true
    }

    fn bucket(&self, hash: FlowHash) -> Option<impl Bucket> {
        (hash.bucket(1) == 0).then_some(&self.bucket)
    }

    fn epoch<P: Packet>(&self, packet: &P) -> u8 {
        (packet.time_ns() / DEFAULT_EPOCH_LENGTH).to_le_bytes()[0]
    }

    fn counts_other_hosts(&self, _: u32) -> bool {
        false
    }
}

impl Table {
    fn is_full(&self) -> bool {
        self.bucket.iter().all(|entry| entry.get().stage() != stage::FREE)
    }

    fn look<'a>(&self, frame: &Frame<'a>, direction: Direction) -> Produced<'a> {
        let mut seen = Produced { bytes: frame.bytes, event: None, counted: Vec::new() };
        match direction {
            Direction::ToGateway => client_to_gateway(frame, self, &mut seen),
            Direction::ToClient => gateway_to_client(frame, self, &mut seen),
        }
        seen
    }
}

/// What a program makes of a frame.
#[derive(Debug)]
struct Produced<'a> {
    bytes: &'a [u8],
    event: Option<Event<'a>>,
    counted: Vec<Counter>,
}

impl Sink for Produced<'_> {
    fn emit(&mut self, header: &EventHeader, payload_offset: usize) {
        assert!(self.event.is_none(), "two events of one frame");
        let there = self.bytes.get(payload_offset..).unwrap_or_default();
        let wanted = header.data_len as usize;
        if there.len() < wanted {
            self.count(Counter::LostCopyFailed);
        }
        let data = &there[..there.len().min(wanted)];
        let data_len = u32::try_from(data.len()).unwrap_or(u32::MAX);
        assert_wanted(header);
        self.event = Some(Event { header: EventHeader { data_len, ..*header }, data });
    }

    fn count(&mut self, counter: Counter) {
        self.counted.push(counter);
    }
}

impl Produced<'_> {
    fn assert_consistent(&self, frame: &Frame<'_>, direction: Direction) {
        // An entry may be evicted, and the frame that took it be cut short or not readable.
        assert!(self.counted.len() <= 2, "{self:?}");
        let Some(Event { header, data }) = &self.event else { return };
        assert_eq!((header.time_ns, header.ifindex), (frame.time_ns, frame.ifindex));
        let is_clients = matches!(header.kind, kind::CLIENT_DATA | kind::CLIENT_CLOSE);
        assert_eq!(is_clients, direction == Direction::ToGateway);
        // The frame has all of its payload, if it was captured.
        assert!(header.payload_len as usize <= frame.wire_len);
        let is_whole = frame.bytes.len() == frame.wire_len;
        assert!(!is_whole || !self.counted.contains(&Counter::LostCopyFailed), "{} bytes", data.len());
    }
}

/// What the datapath may say of a flow.
const ALL_FLAGS: u8 =
    flags::ISN_KNOWN | flags::FIRST | flags::CLIENT_CLOSED | flags::GATEWAY_CLOSED | flags::UNFOLLOWED;

/// The header agrees with itself, and what is to be copied is within its bounds.
fn assert_wanted(header: &EventHeader) {
    assert!(PORTS.contains(&header.gateway_port));
    assert_eq!((header.flags & !ALL_FLAGS, header.padding), (0, 0));
    let is_reset = header.tcp_flags & tcp_flags::RST != 0;
    let is_close = header.tcp_flags & (tcp_flags::FIN | tcp_flags::RST) != 0;
    let offset = header.seq.wrapping_sub(header.isn).wrapping_sub(1);
    let wanted = match header.kind {
        kind::CLIENT_DATA => {
            assert!(offset < CLIENT_WINDOW && header.payload_len != 0 && !is_reset);
            header.payload_len.min(CLIENT_WINDOW - offset)
        }
        kind::GATEWAY_DATA => {
            assert_eq!(header.tcp_flags & tcp_flags::SYN, 0);
            assert_ne!(header.payload_len, 0);
            header.payload_len.min(ANSWER_COPY)
        }
        kind::CLIENT_CLOSE => {
            assert!(is_close && (is_reset || header.payload_len == 0 || offset >= CLIENT_WINDOW));
            0
        }
        kind::GATEWAY_CLOSE => {
            // Payload that comes with a FIN after the last answer that is passed on is not copied.
            assert!(is_close);
            0
        }
        other => panic!("an event of kind {other}"),
    };
    assert_eq!(header.data_len, wanted);
}

/// The datapath that replays use comes to the same.
fn assert_same(datapath: &mut Datapath, frame: &Frame<'_>, direction: Direction, seen: &Produced<'_>) {
    let counts = |datapath: &Datapath| Counter::ALL.map(|counter| datapath.counter(counter));
    let before = counts(datapath);
    let mut event = None;
    let mut keep = |given: Event<'_>| {
        assert!(event.is_none(), "two events of one frame");
        // Only what reads captures knows of their snap length.
        let mut header = given.header;
        let is_truncated = header.flags & flags::TRUNCATED != 0;
        assert!(!is_truncated || frame.bytes.len() < frame.wire_len);
        header.flags &= !flags::TRUNCATED;
        event = Some((header, given.data.to_vec()));
    };
    match direction {
        Direction::ToGateway => datapath.client_to_gateway(frame, &mut keep),
        Direction::ToClient => datapath.gateway_to_client(frame, &mut keep),
    }
    assert_eq!(event, seen.event.map(|event| (event.header, event.data.to_vec())));
    let counted = |counter: Counter| seen.counted.iter().filter(|&&seen| seen == counter).count() as u64;
    for ((counter, before), after) in Counter::ALL.into_iter().zip(before).zip(counts(datapath)) {
        assert_eq!(after - before, counted(counter), "{counter:?}");
    }
}
