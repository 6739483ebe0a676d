//! From a captured frame of any link type to the innermost IP packet that carries TCP.
//!
//! ```text
//! frame ─▶ plain Ethernet, IP, TCP? ──────────────────── yes ─────────────────▶ Ip
//!            │ no
//!            ▼
//!          link ─▶ network ─▶ tunnel ─┐   one header a step, at most MAX_LAYERS
//!            ▲        ▲   │           │
//!            └────────┴───┼───────────┘
//!                         ├─▶ TCP ────────────────────────────────────────────▶ Ip
//!                         └─▶ fragment ─▶ fragments ─▶ the last one? ─▶ again ─▶ Reassembled
//! ```
//!
//! The kernel's programs see what a gateway's own interface sees, and pass over what is not plain there.
//! A capture comes from anywhere: a mirror port, a router, a tunnel's underside. What is found here goes
//! through the same datapath, from its IP header on.
//!
//! Lengths come from the headers, never from the frame: short frames are padded. Where a header promises
//! bytes that the capture does not have, that is [`SkipReason::Truncated`]; where it promises more than
//! was on the wire, [`SkipReason::Malformed`].

mod capture_header;
mod ether_type;
mod fragment;
mod fragments;
mod link;
mod link_type;
mod network;
mod recognize;
mod shim;
mod step;
mod tunnel;
mod unread;
mod walk;

#[cfg(test)]
mod tests;

use std::fmt;

use sni_probe_core::flow::Timestamp;
use sni_probe_core::vocabulary::Label;

use self::fragments::{Added, Fragments, Whole};
pub use self::fragments::{MAX_AGE, MAX_DATAGRAMS, MAX_FRAGMENTS, MAX_HELD_BYTES};
pub use self::link_type::LinkType;
pub use self::network::MAX_EXTENSION_HEADERS;
use self::step::{FragmentAt, Payload, Stop};
pub use self::unread::{Encapsulation, MAX_UNREAD_KINDS, Unread, UnreadCounts};
pub use self::walk::MAX_LAYERS;
use self::walk::Walk;

/// A frame as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct FrameBytes<'a> {
    /// What there is of it: less than was on the wire where the capture has a snap length.
    pub bytes: &'a [u8],
    /// Its length on the wire, in bytes.
    pub wire_len: usize,
    /// Its number in the capture: what [`Unwrapped::Reassembled`] tells.
    pub number: u64,
    /// When it was captured, in nanoseconds; fragments wait for each other by it.
    pub time_ns: u64,
}

/// An IP packet with its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPacket<'a> {
    /// From the IP header on, as far as captured. What follows the packet (padding, a frame check sequence)
    /// is there too: the IP header says where it ends.
    pub bytes: &'a [u8],
    /// Length on the wire of the same, in bytes: what the headers around it leave for it.
    pub wire_len: usize,
}

/// What a frame carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwrapped<'a> {
    /// An IP packet whose header says that TCP is in it. Whether that is so, the datapath finds out.
    Ip(IpPacket<'a>),
    /// The same, put together: this frame had the last missing fragment.
    Reassembled {
        /// The packet as it was before it was fragmented, but for an IPv4 header's checksum.
        packet: IpPacket<'a>,
        /// The numbers of the frames that it came in, in the order in which they came.
        frames: &'a [u64],
    },
    /// A fragment of a packet that may turn out to carry TCP. It is kept.
    Fragment,
    /// IP without TCP: none of our business.
    Other,
    /// No IP packet: ARP, for example. (Or the frame is not of the link type that the capture says.)
    NotIp,
    /// It may have carried TCP, but was passed over. Counted: see [`Unwrapper::skipped`].
    Skipped(SkipReason),
    /// It may have carried TCP in something that is not read. Counted as skipped as well.
    Unread {
        /// The link type or encapsulation.
        what: Unread,
        /// How many frames it was in: more than one where they were fragments.
        frames: usize,
    },
}

/// Why a frame that may have carried TCP was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SkipReason {
    /// A link type that is not known here.
    UnknownLinkType,
    /// The capture's snap length cut it before its TCP header, or cut a fragment.
    Truncated,
    /// A header contradicts itself, or promises more bytes than were on the wire.
    Malformed,
    /// More headers inside of each other than are followed: see [`MAX_LAYERS`].
    TooDeep,
    /// TCP may follow an [`Encapsulation`] that is not read, or an `EtherType` that is not known.
    Unsupported,
    /// A fragment whose datagram never became whole: others did not come within [`MAX_AGE`] or before
    /// the capture ended.
    FragmentsMissing,
    /// A fragment whose datagram has fragments that contradict each other.
    FragmentsOverlap,
    /// A fragment given up for one of the bounds [`MAX_DATAGRAMS`], [`MAX_HELD_BYTES`], [`MAX_FRAGMENTS`].
    FragmentsOverflow,
}

impl Label for SkipReason {
    const ALL: &'static [Self] = &[
        Self::UnknownLinkType,
        Self::Truncated,
        Self::Malformed,
        Self::TooDeep,
        Self::Unsupported,
        Self::FragmentsMissing,
        Self::FragmentsOverlap,
        Self::FragmentsOverflow,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::UnknownLinkType => "unknown_link_type",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::TooDeep => "too_deep",
            Self::Unsupported => "unsupported",
            Self::FragmentsMissing => "fragments_missing",
            Self::FragmentsOverlap => "fragments_overlap",
            Self::FragmentsOverflow => "fragments_overflow",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many frames were skipped, by reason.
#[derive(Debug, Default)]
struct Skipped([u64; SkipReason::ALL.len()]);

impl Skipped {
    fn add(&mut self, reason: SkipReason, frames: usize) {
        self.0[reason as usize] += frames as u64;
    }
}

/// Takes the frames of a capture, in order, and keeps the fragments among them until they are whole.
#[derive(Debug, Default)]
pub struct Unwrapper {
    fragments: Fragments,
    /// The datagram that was put together last: what [`Unwrapped::Reassembled`] points into.
    whole: Whole,
    skipped: Skipped,
}

impl Unwrapper {
    /// An unwrapper that keeps no fragments yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds the innermost TCP packet in a frame.
    #[inline]
    pub fn unwrap<'a>(&'a mut self, link: LinkType, frame: &FrameBytes<'a>) -> Unwrapped<'a> {
        match plain(link, frame) {
            Some(packet) => Unwrapped::Ip(packet),
            None => self.unwrap_layers(link, frame),
        }
    }

    /// There are no more frames: the fragments still kept are counted as
    /// [`SkipReason::FragmentsMissing`].
    pub fn finish(&mut self) {
        self.fragments.clear(&mut self.skipped);
    }

    /// How many frames were skipped for this reason. Each frame counts once: those of
    /// [`Unwrapped::Skipped`] and [`Unwrapped::Unread`], and kept fragments when they are given up.
    pub fn skipped(&self, reason: SkipReason) -> u64 {
        self.skipped.0[reason as usize]
    }

    #[inline(never)]
    fn unwrap_layers<'a>(&'a mut self, link: LinkType, frame: &FrameBytes<'a>) -> Unwrapped<'a> {
        let mut walk = Walk { rest: Payload::new(frame.bytes, frame.wire_len), layers: 0, has_ip: false };
        match walk.frame(link) {
            Stop::Tcp => Unwrapped::Ip(walk.rest.into()),
            Stop::Fragment(at) => self.put_together(&walk, at, frame),
            Stop::Other if walk.has_ip => Unwrapped::Other,
            Stop::Other => Unwrapped::NotIp,
            Stop::Skipped(reason) => self.skip(reason, 1),
            Stop::Unread(unread) => self.leave_unread(unread, 1),
        }
    }

    /// Keeps a fragment. If it was the last one missing, what it makes whole may be a fragment again, of a
    /// packet in a tunnel.
    fn put_together(&mut self, outer: &Walk<'_>, at: FragmentAt, frame: &FrameBytes<'_>) -> Unwrapped<'_> {
        let now = Timestamp(frame.time_ns);
        let mut added = self.fragments.add(outer.rest, at, &[frame.number], now, &mut self.skipped);
        let mut layers = outer.layers;
        loop {
            let whole = match added {
                Added::Whole(whole) => whole,
                Added::Kept => return Unwrapped::Fragment,
                Added::Irrelevant => return Unwrapped::Other,
                Added::Refused(reason) => return Unwrapped::Skipped(reason),
            };
            let mut walk = Walk { rest: Payload::new(&whole.bytes, whole.bytes.len()), layers, has_ip: true };
            match walk.ip() {
                Stop::Tcp => {
                    let Payload { bytes, wire_len, offset } = walk.rest;
                    let end = offset + bytes.len();
                    self.whole = whole;
                    let bytes = self.whole.bytes.get(offset..end).unwrap_or_default();
                    let packet = IpPacket { bytes, wire_len };
                    return Unwrapped::Reassembled { packet, frames: &self.whole.frames };
                }
                Stop::Fragment(at) => {
                    added = self.fragments.add(walk.rest, at, &whole.frames, now, &mut self.skipped);
                    layers = walk.layers;
                }
                Stop::Other => return Unwrapped::Other,
                Stop::Skipped(reason) => return self.skip(reason, whole.frames.len()),
                Stop::Unread(unread) => return self.leave_unread(unread, whole.frames.len()),
            }
        }
    }

    fn skip(&mut self, reason: SkipReason, frames: usize) -> Unwrapped<'static> {
        self.skipped.add(reason, frames);
        Unwrapped::Skipped(reason)
    }

    fn leave_unread(&mut self, what: Unread, frames: usize) -> Unwrapped<'static> {
        self.skipped.add(what.reason(), frames);
        Unwrapped::Unread { what, frames }
    }
}

impl<'a> From<Payload<'a>> for IpPacket<'a> {
    fn from(Payload { bytes, wire_len, .. }: Payload<'a>) -> Self {
        Self { bytes, wire_len }
    }
}

/// The packet in an Ethernet frame without tags, tunnels and fragments: nearly all are, and millions a
/// second pass here. What it finds, [`Walk`] would find as well.
#[inline]
fn plain<'a>(link: LinkType, frame: &FrameBytes<'a>) -> Option<IpPacket<'a>> {
    const HEADER: usize = 14;
    const IPV6_HEADER: usize = 40;
    let (_, bytes) = frame.bytes.split_at_checked(HEADER)?;
    let ip: &[u8; 20] = bytes.first_chunk()?;
    let is_tcp = link == LinkType::ETHERNET
        && match [frame.bytes[12], frame.bytes[13]] {
            network::ETHERTYPE_IPV4 => network::is_plain_ipv4_tcp(ip),
            network::ETHERTYPE_IPV6 => bytes.len() >= IPV6_HEADER && network::is_plain_ipv6_tcp(ip),
            _ => false,
        };
    is_tcp.then(|| IpPacket { bytes, wire_len: frame.wire_len.max(frame.bytes.len()) - HEADER })
}
