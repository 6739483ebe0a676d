//! Label sets that only metrics have, and what makes a label set an index.

use sni_probe_core::label;
use sni_probe_core::vocabulary::{
    AlertDescription, AlertSender, EvictionReason, Feature, IncompleteReason, Label, NonTls, OutcomeClass,
    SniClass, TlsVersion,
};
use sni_probe_pcap::frame;

/// A label set whose values are numbered.
pub(super) trait Dimension: Label {
    /// The place in [`Label::ALL`].
    fn position(self) -> usize;
}

macro_rules! dimensions {
    ($($name:ident),+ $(,)?) => {
        $(impl Dimension for $name {
            fn position(self) -> usize {
                self as usize
            }
        })+
    };
}

dimensions!(
    AlertDescription,
    AlertSender,
    EvidenceLoss,
    Feature,
    FlowEviction,
    IncompleteReason,
    LineDropReason,
    LostReason,
    NonTls,
    OutcomeClass,
    SkipReason,
    SlotUse,
    SniClass,
    ClientSource,
    TlsVersion,
);

label! {
    /// Why a packet of interest did not reach the daemon.
    pub(super) enum LostReason {
        /// See [`Counter::LostRingFull`](sni_probe_datapath::counters::Counter::LostRingFull).
        RingFull => "ring_full",
        /// See [`Counter::LostCopyFailed`](sni_probe_datapath::counters::Counter::LostCopyFailed).
        CopyFailed => "copy_failed",
        /// The ring of a packet socket had no room for a frame.
        PacketRingFull => "packet_ring_full",
        /// A record of the ring buffer is shorter than it says.
        InvalidRecord => "invalid_record",
    }
}

label! {
    /// Why a line of events was not written.
    pub(super) enum LineDropReason {
        SlowReader => "slow_reader",
        RateLimit => "rate_limit",
        WriteFailed => "write_failed",
        Closed => "closed",
    }
}

label! {
    /// Whether a hello without SNI is news, from where it came.
    pub enum ClientSource {
        /// It would be.
        Other => "other",
        /// `--expected-non-sni` names the client.
        Expected => "expected",
    }
}

label! {
    /// Why a packet was passed over: the counters `Skipped*` of
    /// [`Counter`](sni_probe_datapath::counters::Counter); of captures also
    /// [`frame::SkipReason`](sni_probe_pcap::frame::SkipReason).
    pub(super) enum SkipReason {
        Fragment => "fragment",
        ExtensionHeaders => "extension_headers",
        VlanTags => "vlan_tags",
        Malformed => "malformed",
        Unreadable => "unreadable",
        Ipv4Mapped => "ipv4_mapped",
        LinkType => "link_type",
        TooDeep => "too_deep",
        Unsupported => "unsupported",
        OtherHost => "other_host",
    }
}

impl From<frame::SkipReason> for SkipReason {
    fn from(reason: frame::SkipReason) -> Self {
        match reason {
            frame::SkipReason::UnknownLinkType => Self::LinkType,
            frame::SkipReason::Truncated => Self::Unreadable,
            frame::SkipReason::Malformed => Self::Malformed,
            frame::SkipReason::TooDeep => Self::TooDeep,
            frame::SkipReason::Unsupported => Self::Unsupported,
            frame::SkipReason::FragmentsMissing
            | frame::SkipReason::FragmentsOverlap
            | frame::SkipReason::FragmentsOverflow => Self::Fragment,
        }
    }
}

label! {
    /// Why a flow was given up, in the tracker or in the kernel.
    pub(super) enum FlowEviction {
        /// See [`EvictionReason::Capacity`].
        Capacity => "capacity",
        /// See [`EvictionReason::PortReuse`].
        PortReuse => "port_reuse",
        /// See [`Counter::HandshakeEvicted`](sni_probe_datapath::counters::Counter::HandshakeEvicted).
        SlotDisplaced => "slot_displaced",
        /// See [`Counter::OpenEvicted`](sni_probe_datapath::counters::Counter::OpenEvicted).
        OpenSlotDisplaced => "open_slot_displaced",
        /// See [`Counter::MidStreamEvicted`](sni_probe_datapath::counters::Counter::MidStreamEvicted).
        MidStream => "mid_stream",
        /// See [`Counter::AnsweredEvicted`](sni_probe_datapath::counters::Counter::AnsweredEvicted).
        Answered => "answered",
    }
}

impl From<EvictionReason> for FlowEviction {
    fn from(reason: EvictionReason) -> Self {
        match reason {
            EvictionReason::Capacity => Self::Capacity,
            EvictionReason::PortReuse => Self::PortReuse,
        }
    }
}

label! {
    /// A hook of traffic control.
    pub enum Hook {
        /// What the interface receives.
        Ingress => "ingress",
        /// What the interface sends.
        Egress => "egress",
    }
}

label! {
    /// By which interface of the kernel a program is attached.
    pub enum AttachMode {
        /// A TCX link.
        Tcx => "tcx",
        /// A filter of a clsact qdisc.
        Clsact => "clsact",
        /// A packet socket, which sees both hooks.
        AfPacket => "af_packet",
    }
}

impl AttachMode {
    /// For messages.
    pub fn name(self) -> &'static str {
        self.as_str()
    }
}

label! {
    /// What is known of a program that packets meet before ours.
    pub enum ChainEffect {
        /// It may let packets go on, or end the chain.
        Unknown => "unknown",
        /// It ends the chain: packets that it takes are not seen.
        EndsChain => "ends_chain",
    }
}

label! {
    /// What a flow table entry is used for: see [`stage`](sni_probe_datapath::flow_table::stage).
    pub enum SlotUse {
        /// The client has not spoken yet.
        Open => "open",
        /// A handshake under way.
        Handshake => "handshake",
        /// The gateway has answered with a ServerHello, and the handshake is followed on.
        Answered => "answered",
        /// A connection whose observation is over.
        Done => "done",
    }
}

label! {
    /// Why packets of a handshake are not among the evidence.
    pub enum EvidenceLoss {
        /// There was no room for them until the outcome.
        BufferFull => "buffer_full",
        /// They were more than are held of one flow, or the first ones were not seen: the rest is kept.
        FlowTruncated => "flow_truncated",
        /// The file could not be written.
        WriteFailed => "write_failed",
        /// Too many failed before they could be written.
        QueueFull => "queue_full",
    }
}

label! {
    /// Which way a packet passes an interface.
    pub enum Direction {
        /// Into this network namespace.
        Received => "received",
        /// Out of it.
        Sent => "sent",
    }
}

label! {
    /// What happened to an interface that is watched.
    pub enum InterfaceChange {
        /// The programs were attached: at the start, or because it is back.
        Attached => "attached",
        /// It went away with the programs on it.
        Lost => "lost",
        /// It was set down: nothing is seen there.
        Down => "down",
        /// It was set up again.
        Up => "up",
    }
}
