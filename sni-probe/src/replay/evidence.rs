//! `--write`: the packets of the selected handshakes, from SYN to outcome, as a capture.
//!
//! ```text
//! frame ─▶ held, by flow ─▶ (outcome) ─▶ selected? ─▶ written, in the order of the capture
//!                                   └──▶ not: forgotten
//! ```
//!
//! One pass, so that a pipe will do: which handshakes are selected is known only when they end, and until
//! then their packets are held. A written packet waits for those before it whose handshake is still open.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::BufWriter;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sni_probe::capture_file::{Record, Writer};
use sni_probe_common::event::tcp_flags;
use sni_probe_common::userspace::{Frame, Layer};
use sni_probe_common::wire::{self, IpVersion, Packet as _};
use sni_probe_core::flow::FlowKey;
use sni_probe_core::frame::{IpPacket, Unwrapped};

/// Bytes of packets that are held at once, with what their bookkeeping takes. Stops a capture of 100,000
/// connections that never end from filling the memory.
pub(super) const MAX_HELD_BYTES: usize = 24 << 20;

/// Bytes of packets of one connection that are held: enough for any handshake (16 KiB of client, 16
/// segments of answer). Stops an upload in which a hello is still looked for from taking all.
pub(super) const MAX_FLOW_BYTES: usize = 128 << 10;

/// Bytes of IP fragments that wait for the rest of their datagram, as they are in the capture.
const MAX_FRAGMENT_BYTES: usize = 4 << 20;

/// What a held packet takes besides its bytes: its place in the queue and in its flow, and what the
/// allocator adds.
const OVERHEAD: usize = 136;

/// Holds packets until their handshakes end, and writes those that are selected.
pub(super) struct Evidence {
    writer: Writer<BufWriter<File>>,
    /// For each interface of the capture that is read, its number in the one that is written.
    interfaces: HashMap<u32, u32>,
    /// In the order of the capture.
    held: VecDeque<Held>,
    /// The number of the first of them.
    first: u64,
    /// The packets of each connection whose outcome is open.
    flows: HashMap<FlowKey, OpenFlow>,
    fragments: VecDeque<Fragment>,
    fragment_bytes: usize,
    held_bytes: usize,
    /// How long an open handshake can last.
    patience_ns: u64,
    counts: EvidenceCounts,
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EvidenceCounts {
    /// Packets that were written.
    pub(super) written: u64,
    /// Packets that were forgotten before their handshake had an outcome, for want of room: the oldest.
    pub(super) given_up: u64,
    /// Handshakes that were selected and of which not all packets were there.
    pub(super) incomplete: u64,
}

#[derive(Debug, Default)]
struct OpenFlow {
    packets: Vec<u64>,
    bytes: usize,
    /// Not all of its packets are held.
    is_cut: bool,
}

#[derive(Debug)]
struct Held {
    key: FlowKey,
    fate: Fate,
    packet: Stored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Selected,
    Forgotten,
}

/// A packet as it is in the capture.
#[derive(Debug)]
struct Stored {
    interface: u32,
    time_ns: u64,
    wire_len: usize,
    bytes: Box<[u8]>,
}

#[derive(Debug)]
struct Fragment {
    number: u64,
    packet: Stored,
}

impl Evidence {
    /// Makes the file.
    ///
    /// # Errors
    /// If it cannot be written, or is one of those that are to be read.
    pub(super) fn create(
        path: &Path,
        inputs: &[impl AsRef<Path>],
        patience: Duration,
    ) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            bail!("--write -: name a file, standard output is for what is printed");
        }
        let is_input = fs::canonicalize(path).is_ok_and(|out| {
            inputs.iter().any(|input| fs::canonicalize(input).is_ok_and(|input| input == out))
        });
        if is_input {
            bail!("--write {}: this is a capture to be read; name another file", path.display());
        }
        let file = File::create(path).with_context(|| format!("--write {}", path.display()))?;
        let writer =
            Writer::new(BufWriter::new(file)).with_context(|| format!("--write {}", path.display()))?;
        // To become whole, and then to get its outcome.
        let patience_ns = u64::try_from((2 * patience).as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            writer,
            interfaces: HashMap::new(),
            held: VecDeque::new(),
            first: 0,
            flows: HashMap::new(),
            fragments: VecDeque::new(),
            fragment_bytes: 0,
            held_bytes: 0,
            patience_ns,
            counts: EvidenceCounts::default(),
        })
    }

    /// The next file has interfaces of its own.
    pub(super) fn next_file(&mut self) {
        self.interfaces.clear();
    }

    /// Takes a packet. `number` is its frame's in the replay, `event_flow` the connection that the datapath found it to be of.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn take(
        &mut self,
        number: u64,
        record: &Record<'_>,
        unwrapped: &Unwrapped<'_>,
        event_flow: Option<FlowKey>,
    ) -> anyhow::Result<()> {
        let (packet, fragments): (_, &[u64]) = match unwrapped {
            Unwrapped::Ip(packet) => (packet, &[]),
            Unwrapped::Reassembled { packet, frames } => (packet, frames),
            Unwrapped::Fragment => {
                let packet = self.store(record)?;
                self.hold_fragment(Fragment { number, packet });
                return Ok(());
            }
            Unwrapped::Other | Unwrapped::Skipped(_) => return Ok(()),
        };
        let Some(key) = event_flow.or_else(|| self.flow_of(packet)) else { return Ok(()) };
        for &fragment in fragments.iter().filter(|&&fragment| fragment != number) {
            if let Some(packet) = self.take_fragment(fragment) {
                self.hold(key, packet);
            } else {
                self.flows.entry(key).or_default().is_cut = true;
            }
        }
        let packet = self.store(record)?;
        self.hold(key, packet);
        self.make_room(record.time_ns)
    }

    /// The connection has its outcome, or there was no hello in it.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn settle(&mut self, key: &FlowKey, is_selected: bool) -> anyhow::Result<()> {
        let Some(flow) = self.flows.remove(key) else {
            self.counts.incomplete += u64::from(is_selected);
            return Ok(());
        };
        self.counts.incomplete += u64::from(is_selected && flow.is_cut);
        for number in flow.packets {
            let Some(held) = index(self.first, number).and_then(|at| self.held.get_mut(at)) else { continue };
            if is_selected {
                held.fate = Fate::Selected;
            } else {
                self.held_bytes -= forget(held);
            }
        }
        self.write_decided()
    }

    /// Forgets what has no outcome, and writes the rest.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn finish(mut self) -> anyhow::Result<EvidenceCounts> {
        for held in &mut self.held {
            if held.fate == Fate::Open {
                forget(held);
            }
        }
        self.write_decided()?;
        self.writer.finish().context("--write")?;
        Ok(self.counts)
    }

    fn store(&mut self, record: &Record<'_>) -> anyhow::Result<Stored> {
        let interface = match self.interfaces.entry(record.interface) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                *entry.insert(self.writer.add_interface(record.description).context("--write")?)
            }
        };
        let Record { time_ns, wire_len, .. } = *record;
        Ok(Stored { interface, time_ns, wire_len, bytes: record.bytes.into() })
    }

    fn hold(&mut self, key: FlowKey, packet: Stored) {
        let flow = self.flows.entry(key).or_default();
        let bytes = OVERHEAD + packet.bytes.len();
        if flow.bytes + bytes > MAX_FLOW_BYTES {
            flow.is_cut = true;
            return;
        }
        flow.bytes += bytes;
        flow.packets.push(self.first + self.held.len() as u64);
        self.held_bytes += bytes;
        self.held.push_back(Held { key, fate: Fate::Open, packet });
    }

    fn hold_fragment(&mut self, fragment: Fragment) {
        self.fragment_bytes += OVERHEAD + fragment.packet.bytes.len();
        self.fragments.push_back(fragment);
        while self.fragment_bytes > MAX_FRAGMENT_BYTES
            && let Some(oldest) = self.fragments.pop_front()
        {
            self.fragment_bytes -= OVERHEAD + oldest.packet.bytes.len();
        }
    }

    fn take_fragment(&mut self, number: u64) -> Option<Stored> {
        let at = self.fragments.binary_search_by_key(&number, |fragment| fragment.number).ok()?;
        let fragment = self.fragments.remove(at)?;
        self.fragment_bytes -= OVERHEAD + fragment.packet.bytes.len();
        Some(fragment.packet)
    }

    /// The connection that a packet without an event is to be held for: one that it opens, or one of which
    /// packets are held.
    fn flow_of(&self, packet: &IpPacket<'_>) -> Option<FlowKey> {
        let segment = Segment::read(packet)?;
        let Segment { source, destination, flags } = segment;
        let from_client = FlowKey { client: source, gateway: destination };
        const SYN_ACK: u8 = tcp_flags::SYN | tcp_flags::ACK;
        if flags & SYN_ACK == tcp_flags::SYN {
            return Some(from_client);
        }
        let from_gateway = FlowKey { client: destination, gateway: source };
        [from_client, from_gateway].into_iter().find(|key| self.flows.contains_key(key))
    }

    /// Gives up what is too old to get an outcome, and, where that is not enough, first the order of what is
    /// written, then the oldest handshake.
    fn make_room(&mut self, now_ns: u64) -> anyhow::Result<()> {
        while let Some(oldest) = self.held.front()
            && oldest.packet.time_ns.saturating_add(self.patience_ns) < now_ns
        {
            // No hello came, or one of which the tracker has told already.
            let key = oldest.key;
            self.settle(&key, false)?;
        }
        if self.held_bytes <= MAX_HELD_BYTES {
            return Ok(());
        }
        for held in &mut self.held {
            if held.fate == Fate::Selected {
                write(&mut self.writer, &held.packet, &mut self.counts)?;
                self.held_bytes -= forget(held);
            }
        }
        while self.held_bytes > MAX_HELD_BYTES / 2
            && let Some(oldest) = self.held.front()
        {
            let key = oldest.key;
            let flow = self.flows.get(&key);
            self.counts.given_up += flow.map_or(0, |flow| flow.packets.len() as u64);
            self.settle(&key, false)?;
        }
        Ok(())
    }

    /// Writes and forgets from the front as far as all is decided.
    fn write_decided(&mut self) -> anyhow::Result<()> {
        while let Some(held) = self.held.front_mut()
            && held.fate != Fate::Open
        {
            if held.fate == Fate::Selected {
                write(&mut self.writer, &held.packet, &mut self.counts)?;
                self.held_bytes -= forget(held);
            }
            self.held.pop_front();
            self.first += 1;
        }
        Ok(())
    }
}

/// Drops a packet's bytes; its place in the queue stays. Returns how many bytes less are held.
fn forget(held: &mut Held) -> usize {
    held.fate = Fate::Forgotten;
    let bytes = std::mem::take(&mut held.packet.bytes);
    OVERHEAD + bytes.len()
}

fn write(
    writer: &mut Writer<BufWriter<File>>,
    packet: &Stored,
    counts: &mut EvidenceCounts,
) -> anyhow::Result<()> {
    counts.written += 1;
    let Stored { interface, time_ns, wire_len, bytes } = packet;
    writer.write_packet(*interface, *time_ns, *wire_len, bytes).context("--write")
}

fn index(first: u64, number: u64) -> Option<usize> {
    usize::try_from(number.checked_sub(first)?).ok()
}

/// What tells a TCP segment's connection.
struct Segment {
    source: SocketAddr,
    destination: SocketAddr,
    flags: u8,
}

impl Segment {
    fn read(packet: &IpPacket<'_>) -> Option<Self> {
        let IpPacket { bytes, wire_len, .. } = *packet;
        let frame = Frame { layer: Layer::Ip, bytes, wire_len, time_ns: 0, ifindex: 0 };
        let location = wire::locate(&frame).ok()?;
        let segment = wire::segment(&frame, &location).ok()?;
        let ports = frame.u32_at(location.transport).ok()?;
        let [source, destination] = match location.version {
            IpVersion::V4 => [12, 16].map(|at| Some(IpAddr::from(*bytes.get(at..)?.first_chunk::<4>()?))),
            IpVersion::V6 => [8, 24].map(|at| Some(IpAddr::from(*bytes.get(at..)?.first_chunk::<16>()?))),
        };
        // As the tracker has them: an IPv4 address in an IPv6 header is one.
        let [source, destination] = [source?, destination?].map(|address| address.to_canonical());
        Some(Self {
            source: SocketAddr::new(source, (ports >> 16) as u16),
            destination: SocketAddr::new(destination, ports as u16),
            flags: segment.flags,
        })
    }
}
