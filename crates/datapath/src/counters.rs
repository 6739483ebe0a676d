//! What the datapath skips or misses, counted by reason in one per-CPU array.

/// Why a packet that may have belonged to a gateway was passed over, or an event was lost.
///
/// The discriminant is the index into the array of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Counter {
    /// A fragment of an IPv4 or IPv6 packet that carries TCP.
    SkippedFragment = 0,
    /// More IPv6 extension headers than are followed.
    SkippedExtensionHeaders = 1,
    /// More VLAN tags than are followed.
    SkippedVlanTags = 2,
    /// A header whose length fields contradict each other or the packet's length.
    SkippedMalformed = 3,
    /// The kernel refused to read bytes that the headers promise.
    SkippedUnreadable = 4,
    /// The ring buffer had no room for the event.
    LostRingFull = 5,
    /// Payload bytes could not be copied into the event, which was therefore discarded.
    LostCopyFailed = 6,
    /// A handshake under way lost its flow table entry to another flow: its outcome will be missed.
    HandshakeEvicted = 7,
    /// A connection whose client had not spoken lost its flow table entry to another flow, or got none. A ClientHello of
    /// it is seen all the same; first bytes that do not look like one will be missed.
    OpenEvicted = 8,
    /// A connection that was first seen in mid stream lost its flow table entry to another flow, or got none: its
    /// outcome will be missed.
    MidStreamEvicted = 9,
    /// A frame for another host's MAC address that would have opened a connection.
    SkippedOtherHost = 10,
    /// An IPv6 packet with an IPv4-mapped address.
    SkippedMappedAddress = 11,
    /// A handshake after its ServerHello lost its flow table entry to another flow: the end of the handshake will be missed.
    AnsweredEvicted = 12,
}

impl Counter {
    /// Every counter, in the order of its index.
    pub const ALL: [Self; 13] = [
        Self::SkippedFragment,
        Self::SkippedExtensionHeaders,
        Self::SkippedVlanTags,
        Self::SkippedMalformed,
        Self::SkippedUnreadable,
        Self::LostRingFull,
        Self::LostCopyFailed,
        Self::HandshakeEvicted,
        Self::OpenEvicted,
        Self::MidStreamEvicted,
        Self::SkippedOtherHost,
        Self::SkippedMappedAddress,
        Self::AnsweredEvicted,
    ];

    /// Index into the array of counters.
    pub const fn index(self) -> u32 {
        self as u32
    }
}
