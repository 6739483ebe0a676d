//! Frames in, observations out: the way of a packet through all of user space, for captures and for
//! whatever else hands over whole frames.
//!
//! ```text
//! frame ─▶ Unwrapper ─▶ IP packet ─▶ Datapath ─▶ Event ─▶ Tracker ─▶ Observation
//! ```
//!
//! The datapath is the one that runs in the kernel. There, each of its two programs sees the packets of one
//! direction; which direction that is of a frame in a capture nobody says, so both look at each.

use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::Observation;
use sni_probe_core::tracker::{Tracker, TrackerConfig};
use sni_probe_core::vocabulary::Follow;
use sni_probe_datapath::counters::Counter;
use sni_probe_datapath::event::{Event, EventHeader};
use sni_probe_datapath::userspace::{Datapath, Frame, Layer};

use crate::frame::{FrameBytes, IpPacket, LinkType, SkipReason, Unwrapped, Unwrapper};

/// The seed of the datapath's table. A constant, so that a capture gives the same answer at each time; who
/// makes a capture to fill a bucket of it finds that counted.
const SEED: u64 = 0x736e_692d_7072_6f62;

/// What was in a frame.
#[derive(Debug)]
pub struct FrameContents<'a> {
    /// What it carried.
    pub unwrapped: Unwrapped<'a>,
    /// The event that it became, if it told something of a handshake.
    pub event: Option<EventHeader>,
}

/// Follows the handshakes in a sequence of frames.
///
/// ```
/// use sni_probe_core::TrackerConfig;
/// use sni_probe_core::observation::Observation;
/// use sni_probe_pcap::engine::Replay;
/// use sni_probe_pcap::frame::{FrameBytes, LinkType};
/// use sni_probe_testkit::captures::Connection;
/// use sni_probe_testkit::hello::ClientHelloBuilder;
///
/// const RAW_IP: LinkType = LinkType(101);
/// let mut connection = Connection::v4();
/// connection.open().client(&ClientHelloBuilder::new().server_name("shop.example").build()).gateway_fin();
///
/// let mut replay = Replay::new([443], TrackerConfig::default());
/// for (number, packet) in (1..).zip(connection.packets()) {
///     let (bytes, time_ns) = (&packet.bytes[..], packet.time_ns);
///     replay.frame(RAW_IP, &FrameBytes { bytes, wire_len: bytes.len(), number, time_ns });
/// }
/// replay.finish();
/// let observations: Vec<_> = std::iter::from_fn(|| replay.poll_observation()).collect();
/// let handshakes = observations.iter().filter_map(|observation| match observation {
///     Observation::Handshake(handshake) => Some(handshake),
///     _ => None,
/// });
/// let names: Vec<_> = handshakes.map(|handshake| handshake.hello.sni.name()).collect();
/// assert_eq!(names, [Some("shop.example")]);
/// ```
pub struct Replay {
    unwrapper: Unwrapper,
    datapath: Datapath,
    tracker: Tracker,
}

impl Replay {
    /// A replay of connections to gateways on `ports`.
    pub fn new(ports: impl IntoIterator<Item = u16>, config: TrackerConfig) -> Self {
        Self {
            unwrapper: Unwrapper::new(),
            datapath: Datapath::new(ports, SEED)
                .with_handshake_timeout(config.handshake_timeout)
                .with_follow_up(config.follow == Follow::Handshake),
            tracker: Tracker::new(config),
        }
    }

    /// Takes one frame, and says what was in it. Its number tells it in what it leads to
    /// ([`Handshake::place`](sni_probe_core::observation::Handshake::place)).
    ///
    /// Time is that of the frames: what was to come in time and did not, is over when a later frame says so. One wrong stamp
    /// does not count: see [`Tracker::handle_event`].
    pub fn frame<'a>(&'a mut self, link: LinkType, frame: &FrameBytes<'a>) -> FrameContents<'a> {
        let mut seen = None;
        // Fragments wait for each other by the same clock.
        let time_ns = self.tracker.plausible_time(Timestamp(frame.time_ns)).0;
        let unwrapped = self.unwrapper.unwrap(link, &FrameBytes { time_ns, ..*frame });
        if let Unwrapped::Ip(packet) | Unwrapped::Reassembled { packet, .. } = &unwrapped {
            let packet = packet_of(packet, frame);
            let mut handle = |event: Event<'_>| {
                self.tracker.handle_event(&event);
                seen = Some(event.header);
            };
            self.datapath.client_to_gateway(&packet, &mut handle);
            self.datapath.gateway_to_client(&packet, &mut handle);
        }
        if seen.is_none() {
            self.tracker.handle_stamp(Timestamp(frame.time_ns));
        }
        FrameContents { unwrapped, event: seen }
    }

    /// There are no more frames: hellos without an outcome get
    /// [`Outcome::Unfinished`](sni_probe_core::observation::Outcome::Unfinished).
    pub fn finish(&mut self) {
        self.unwrapper.finish();
        self.tracker.finish();
    }

    /// What was seen, in order.
    pub fn poll_observation(&mut self) -> Option<Observation> {
        self.tracker.poll_observation()
    }

    /// The time of the latest frame whose stamp is believed.
    pub fn time(&self) -> Timestamp {
        self.tracker.time()
    }

    /// How many stamps were wrong: see [`Tracker::time_jumps`].
    pub fn time_jumps(&self) -> u64 {
        self.tracker.time_jumps()
    }

    /// How often the datapath counted `counter`.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.datapath.counter(counter)
    }

    /// How many frames were skipped for `reason`.
    pub fn skipped(&self, reason: SkipReason) -> u64 {
        self.unwrapper.skipped(reason)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the driver knows how many frames it has read")]
fn packet_of<'a>(packet: &IpPacket<'a>, frame: &FrameBytes<'_>) -> Frame<'a> {
    Frame {
        layer: Layer::Ip,
        wire_len: packet.wire_len,
        ifindex: frame.number as u32,
        ..Frame::new(packet.bytes, frame.time_ns)
    }
}
