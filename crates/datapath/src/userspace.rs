//! The datapath over byte slices: what replay and tests run instead of the TC programs.

extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec;
use core::cell::Cell;
use core::time::Duration;

use crate::counters::Counter;
use crate::datapath::{self, Flows, Sink};
use crate::event::{Event, EventHeader, flags};
use crate::flow_table::{BUCKETS, Bucket, DEFAULT_EPOCH_LENGTH, Entry, FlowHash, WAYS, epoch_length};
use crate::ports::{self, PortBitmap};
use crate::tunnel::Tunnels;
pub use crate::wire::Layer;
use crate::wire::{Packet, Read, Unreadable};

/// One packet as bytes.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// What the bytes begin with.
    pub layer: Layer,
    /// The bytes at hand: fewer than `wire_len` where a capture was cut short (its snap length).
    pub bytes: &'a [u8],
    /// Length on the wire, in bytes.
    pub wire_len: usize,
    /// See [`EventHeader::time_ns`].
    pub time_ns: u64,
    /// See [`EventHeader::ifindex`].
    pub ifindex: u32,
    /// See [`Packet::has_tag_apart`].
    pub has_tag_apart: bool,
    /// See [`Packet::is_for_other_host`].
    pub is_for_other_host: bool,
}

impl<'a> Frame<'a> {
    /// A whole Ethernet frame.
    pub const fn new(bytes: &'a [u8], time_ns: u64) -> Self {
        Self {
            layer: Layer::Ethernet,
            bytes,
            wire_len: bytes.len(),
            time_ns,
            ifindex: 0,
            has_tag_apart: false,
            is_for_other_host: false,
        }
    }
}

/// Reads bytes at hand.
impl Read for &[u8] {
    fn bytes_at<const N: usize>(&self, offset: usize) -> Result<[u8; N], Unreadable> {
        self.get(offset..).and_then(|rest| rest.first_chunk()).copied().ok_or(Unreadable)
    }

    fn u16_at(&self, offset: usize) -> Result<u16, Unreadable> {
        self.bytes_at(offset).map(u16::from_be_bytes)
    }

    fn u32_at(&self, offset: usize) -> Result<u32, Unreadable> {
        self.bytes_at(offset).map(u32::from_be_bytes)
    }
}

impl Read for Frame<'_> {
    fn bytes_at<const N: usize>(&self, offset: usize) -> Result<[u8; N], Unreadable> {
        self.bytes.bytes_at(offset)
    }

    fn u16_at(&self, offset: usize) -> Result<u16, Unreadable> {
        self.bytes.u16_at(offset)
    }

    fn u32_at(&self, offset: usize) -> Result<u32, Unreadable> {
        self.bytes.u32_at(offset)
    }
}

impl<'a> Packet for Frame<'a> {
    type Head = &'a [u8];

    fn head(&self, len: usize) -> Option<&'a [u8]> {
        match self.layer {
            Layer::Ethernet => self.bytes.get(..len),
            Layer::Ip => None,
        }
    }

    fn layer(&self) -> Layer {
        self.layer
    }

    fn wire_len(&self) -> usize {
        self.wire_len
    }

    fn time_ns(&self) -> u64 {
        self.time_ns
    }

    fn ifindex(&self) -> u32 {
        self.ifindex
    }

    fn has_tag_apart(&self) -> bool {
        self.has_tag_apart
    }

    fn is_for_other_host(&self) -> bool {
        self.is_for_other_host
    }

    fn interface(&self) -> u32 {
        match self.layer {
            Layer::Ethernet => self.ifindex,
            // Link layers were taken off: a replay.
            Layer::Ip => 0,
        }
    }
}

/// The datapath with its flow table and counters.
///
/// ```
/// use sni_probe_datapath::event::kind;
/// use sni_probe_datapath::userspace::{Datapath, Frame, Layer};
/// use sni_probe_testkit::captures::Connection;
/// use sni_probe_testkit::hello::ClientHelloBuilder;
///
/// let mut connection = Connection::v4();
/// connection.open().client(&ClientHelloBuilder::new().build()).gateway_reset();
///
/// let mut datapath = Datapath::new([443], 1);
/// let mut kinds = Vec::new();
/// for packet in connection.packets() {
///     let frame = Frame { layer: Layer::Ip, ..Frame::new(&packet.bytes, packet.time_ns) };
///     datapath.client_to_gateway(&frame, |event| kinds.push(event.header.kind));
///     datapath.gateway_to_client(&frame, |event| kinds.push(event.header.kind));
/// }
/// assert_eq!(kinds, [kind::CLIENT_DATA, kind::GATEWAY_CLOSE]);
/// ```
pub struct Datapath {
    table: Table,
    counters: [u64; Counter::ALL.len()],
}

impl Datapath {
    /// A datapath for gateways on `ports`. The same `seed` gives the same buckets.
    pub fn new(ports: impl IntoIterator<Item = u16>, seed: u64) -> Self {
        let bucket = [const { Cell::new(Entry(0)) }; WAYS];
        let table = Table {
            ports: Box::new(ports::bitmap(ports)),
            seed,
            tunnels: Tunnels::NONE,
            follows_up: false,
            buckets: vec![bucket; BUCKETS as usize].into_boxed_slice(),
            epoch_length: DEFAULT_EPOCH_LENGTH,
            other_hosts: BTreeSet::new(),
        };
        Self { table, counters: [0; Counter::ALL.len()] }
    }

    /// The same, that looks into `tunnels`.
    #[must_use]
    pub fn with_tunnels(mut self, tunnels: Tunnels) -> Self {
        self.table.tunnels = tunnels;
        self
    }

    /// The same, for handshakes that take up to twice this time: older entries are the first to be evicted.
    #[must_use]
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.table.epoch_length = epoch_length(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        self
    }

    /// The same, that follows handshakes beyond the ServerHello: see [`Flows::follows_up`].
    #[must_use]
    pub fn with_follow_up(mut self, follows_up: bool) -> Self {
        self.table.follows_up = follows_up;
        self
    }

    /// Says whether frames for other hosts count on an interface: see [`Packet::is_for_other_host`].
    pub fn count_other_hosts(&mut self, ifindex: u32, do_count: bool) {
        if do_count {
            self.table.other_hosts.insert(ifindex);
        } else {
            self.table.other_hosts.remove(&ifindex);
        }
    }

    /// What the program `client_to_gateway` does with a frame: at most one event.
    pub fn client_to_gateway(&mut self, frame: &Frame<'_>, on_event: impl FnMut(Event<'_>)) {
        let mut sink = Copier { frame, counters: &mut self.counters, on_event };
        datapath::client_to_gateway(frame, &self.table, &mut sink);
    }

    /// What the program `gateway_to_client` does with a frame: at most one event.
    pub fn gateway_to_client(&mut self, frame: &Frame<'_>, on_event: impl FnMut(Event<'_>)) {
        let mut sink = Copier { frame, counters: &mut self.counters, on_event };
        datapath::gateway_to_client(frame, &self.table, &mut sink);
    }

    /// The entries of a bucket, a number less than [`BUCKETS`].
    pub fn bucket(&self, index: u32) -> Option<[Entry; WAYS]> {
        self.table.buckets.get(index as usize).map(|bucket| bucket.each_ref().map(Cell::get))
    }

    /// The epoch of a point in time: see [`epoch_length`].
    pub fn epoch(&self, time_ns: u64) -> u8 {
        self.table.epoch_at(time_ns)
    }

    /// How often `counter` was counted.
    pub const fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }
}

struct Table {
    ports: Box<PortBitmap>,
    seed: u64,
    tunnels: Tunnels,
    follows_up: bool,
    buckets: Box<[[Cell<Entry>; WAYS]]>,
    /// Nanoseconds.
    epoch_length: u64,
    /// Interfaces on which frames for other hosts count.
    other_hosts: BTreeSet<u32>,
}

impl Table {
    fn epoch_at(&self, time_ns: u64) -> u8 {
        (time_ns / self.epoch_length) as u8
    }
}

impl Flows for Table {
    fn is_gateway_port(&self, port: u16) -> bool {
        ports::contains(&self.ports, port)
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn tunnels(&self) -> Tunnels {
        self.tunnels
    }

    fn follows_up(&self) -> bool {
        self.follows_up
    }

    fn bucket(&self, hash: FlowHash) -> Option<impl Bucket> {
        self.buckets.get(hash.bucket(BUCKETS) as usize)
    }

    fn epoch<P: Packet>(&self, packet: &P) -> u8 {
        self.epoch_at(packet.time_ns())
    }

    fn counts_other_hosts(&self, ifindex: u32) -> bool {
        self.other_hosts.contains(&ifindex)
    }
}

struct Copier<'a, F> {
    frame: &'a Frame<'a>,
    counters: &'a mut [u64; Counter::ALL.len()],
    on_event: F,
}

impl<F: FnMut(Event<'_>)> Sink for Copier<'_, F> {
    fn emit(&mut self, header: &EventHeader, payload_offset: usize) {
        let there = self.frame.bytes.get(payload_offset..).unwrap_or_default();
        let data_len = header.data_len as usize;
        let data = there.get(..data_len).unwrap_or(there);
        let mut header = EventHeader { data_len: data.len() as u32, ..*header };
        if data.len() < data_len {
            // The capture's snap length cut the segment. The event has the bytes that are left.
            header.flags |= flags::TRUNCATED;
            self.count(Counter::LostCopyFailed);
        }
        (self.on_event)(Event { header, data });
    }

    fn count(&mut self, counter: Counter) {
        self.counters[counter as usize] += 1;
    }
}
