//! The captures as one sequence of frames, and what of them was not seen.

use std::time::Duration;

use sni_probe_core::TrackerConfig;
use sni_probe_core::flow::Place;
use sni_probe_core::flow::Timestamp;
use sni_probe_core::observation::Observation;
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::vocabulary::{EvictionReason, Follow, IncompleteReason, Label};
use sni_probe_datapath::counters::Counter;
use sni_probe_pcap::Record;
use sni_probe_pcap::engine::{FrameContents, Replay};
use sni_probe_pcap::frame::{FrameBytes, LinkType, SkipReason, UnreadCounts, Unwrapped};
use sni_probe_telemetry::metrics::Metrics;

use super::config::Config;
use super::report::Totals;
use super::unread::{self, FileFrames};

/// Follows handshakes from file to file where one goes on where the other ended.
pub(super) struct Session {
    ports: Vec<u16>,
    config: TrackerConfig,
    replay: Replay,
    captures: Vec<Capture>,
    /// Of all files.
    frames: u64,
    /// The latest time in the files so far, wrong stamps left out.
    latest: Option<Timestamp>,
    /// No frame of the file has come yet.
    is_at_start: bool,
    totals: Totals,
    counters: [u64; Counter::ALL.len()],
    skipped: [u64; SkipReason::ALL.len()],
    unread: UnreadCounts,
    /// Hellos that the snap length cut.
    truncated_hellos: u64,
    /// Of the file that is read.
    file: FileFrames,
    evicted: [u64; EvictionReason::ALL.len()],
    time_jumps: u64,
}

#[derive(Debug)]
struct Capture {
    name: String,
    /// Frames of the files before it.
    before: u64,
}

/// How the tracker is to work: the one place at which [`Config::follow`] reaches it.
fn tracker_config(handshake_timeout: Duration, follow: Follow, fingerprints: Fingerprints) -> TrackerConfig {
    TrackerConfig { handshake_timeout, preludes: true, follow, fingerprints, ..TrackerConfig::default() }
}

impl Session {
    pub(super) fn new(config: &Config, fingerprints: Fingerprints) -> Self {
        Self::on_ports(&config.ports, config.handshake_timeout, config.follow, fingerprints)
    }

    /// Of gateways on these ports; none: on every port.
    pub(super) fn on_ports(
        ports: &[u16],
        handshake_timeout: Duration,
        follow: Follow,
        fingerprints: Fingerprints,
    ) -> Self {
        let config = tracker_config(handshake_timeout, follow, fingerprints);
        let every_port = || (1..=u16::MAX).collect();
        let ports = if ports.is_empty() { every_port() } else { ports.to_vec() };
        Self {
            replay: Replay::new(ports.iter().copied(), config),
            ports,
            config,
            captures: Vec::new(),
            frames: 0,
            latest: None,
            is_at_start: true,
            totals: Totals::default(),
            counters: [0; Counter::ALL.len()],
            skipped: [0; SkipReason::ALL.len()],
            unread: UnreadCounts::default(),
            truncated_hellos: 0,
            file: FileFrames::default(),
            evicted: [0; EvictionReason::ALL.len()],
            time_jumps: 0,
        }
    }

    /// The frames to come are of this file.
    pub(super) fn next_file(&mut self, name: &str) {
        self.captures.push(Capture { name: name.to_owned(), before: self.frames });
        self.is_at_start = true;
        self.totals.captures += 1;
        self.file = FileFrames::default();
    }

    /// Why not one of the file's frames so far can be read, and what to do; `None` if one can, or there is none.
    pub(super) fn why_unreadable(&self) -> Option<String> {
        self.file.why_unreadable()
    }

    /// Frames so far, of all files.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Whether the file whose first frame is of this time is another capture than the file before: it does not
    /// go on where that one ended. (Rotated captures do, but for what their packets overtook each other.)
    pub(super) fn is_another_capture(&self, time_ns: u64) -> bool {
        let Some(latest) = self.latest.filter(|_| self.is_at_start).map(|_| self.replay.time()) else {
            return false;
        };
        let time = Timestamp(time_ns);
        time.since(latest).max(latest.since(time)) > self.config.handshake_timeout
    }

    /// Takes a frame.
    pub(super) fn frame<'a>(&'a mut self, record: &Record<'a>) -> FrameContents<'a> {
        self.note_time();
        self.frames += 1;
        self.is_at_start = false;
        let Record { bytes, wire_len, time_ns, .. } = *record;
        let frame = FrameBytes { bytes, wire_len, time_ns, number: self.frames };
        // Of the first frame nothing says otherwise.
        self.latest = self.latest.or(Some(Timestamp(time_ns)));
        let link_type = LinkType(record.link_type);
        let seen = self.replay.frame(link_type, &frame);
        self.file.add(link_type, &seen.unwrapped);
        if let Unwrapped::Unread { what, frames } = seen.unwrapped {
            self.unread.add(what, frames as u64);
        }
        seen
    }

    /// The time of the frames so far, wrong stamps left out; `None` before the first one.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.latest
    }

    /// Takes in the time of the last frame.
    fn note_time(&mut self) {
        if self.latest.is_some() {
            let time = self.replay.time();
            self.latest = Some(time);
            self.totals.span.add(time);
        }
    }

    /// What was seen, in order.
    pub(super) fn poll_observation(&mut self) -> Option<Observation> {
        const TRUNCATED: IncompleteReason = IncompleteReason::Truncated;
        let observation = self.replay.poll_observation()?;
        match observation {
            Observation::Evicted { reason } => self.evicted[reason as usize] += 1,
            Observation::ClientHello { incomplete: Some(TRUNCATED), .. }
            | Observation::Unclassified { reason: TRUNCATED, .. } => self.truncated_hellos += 1,
            _ => {}
        }
        Some(observation)
    }

    /// The capture is over: what is still open becomes an observation.
    pub(super) fn end_capture(&mut self) {
        self.replay.finish();
        self.note_time();
    }

    /// Begins with nothing open. All observations must have been polled.
    pub(super) fn begin_capture(&mut self) {
        for (sum, &counter) in self.counters.iter_mut().zip(&Counter::ALL) {
            *sum += self.replay.counter(counter);
        }
        for (sum, &reason) in self.skipped.iter_mut().zip(SkipReason::ALL) {
            *sum += self.replay.skipped(reason);
        }
        self.time_jumps += self.replay.time_jumps();
        self.replay = Replay::new(self.ports.iter().copied(), self.config);
        self.latest = None;
    }

    /// The capture's name, and the frame's number in it, of the latest frame with these 32 bits.
    pub(super) fn place(&self, Place(number): Place) -> (&str, u64) {
        #[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is compared")]
        let behind = u64::from((self.frames as u32).wrapping_sub(number));
        let frame = self.frames.saturating_sub(behind);
        let at = self.captures.partition_point(|capture| capture.before < frame);
        match at.checked_sub(1).map(|at| &self.captures[at]) {
            Some(capture) => (&capture.name, frame - capture.before),
            None => ("", frame),
        }
    }

    /// What was read. Everything must have ended.
    pub(super) fn totals(mut self) -> Totals {
        self.totals.frames = self.frames;
        self.totals.not_read = self.not_read();
        let of_packets = Counter::ALL.into_iter().zip(self.counters);
        let of_packets = of_packets.filter(|&(counter, _)| !is_not_read(counter));
        let of_packets = of_packets.map(|(counter, n)| (describe(counter).to_owned(), n));
        let evicted = EvictionReason::ALL.iter().zip(self.evicted);
        let evicted = evicted.map(|(reason, n)| (format!("connections given up ({reason})"), n));
        let jumps = ("wrong time stamps".to_owned(), self.time_jumps);
        let not_seen = of_packets.chain(evicted).chain([jumps]);
        self.totals.not_seen = not_seen.filter(|&(_, n)| n > 0).collect();
        self.totals
    }

    /// What was not read, in words with how many. Everything must have ended.
    pub(super) fn not_read(&self) -> Vec<(String, u64)> {
        let hellos = (TRUNCATED_HELLOS.to_owned(), self.truncated_hellos);
        let of_frames = SkipReason::ALL.iter().zip(self.skipped);
        let of_frames =
            of_frames.filter_map(|(&reason, n)| Some((unread::describe_skip(reason)?.to_owned(), n)));
        let of_packets = Counter::ALL.into_iter().zip(self.counters);
        let of_packets = of_packets.filter(|&(counter, _)| is_not_read(counter));
        let of_packets = of_packets.map(|(counter, n)| (describe(counter).to_owned(), n));
        let not_read = unread::describe(&self.unread).into_iter();
        let not_read = not_read.chain([hellos]).chain(of_frames).chain(of_packets);
        not_read.filter(|&(_, n)| n > 0).collect()
    }

    /// Adds what was not seen to the metrics.
    pub(super) fn count(&self, metrics: &Metrics) {
        for (&n, &counter) in self.counters.iter().zip(&Counter::ALL) {
            metrics.add(counter, n);
        }
        for (&n, &reason) in self.skipped.iter().zip(SkipReason::ALL) {
            metrics.frames_skipped(reason, n);
        }
        metrics.set_time_jumps(self.time_jumps);
    }
}

const TRUNCATED_HELLOS: &str = "hellos cut by the capture's snap length (capture with: tcpdump -s 0)";

/// Whether a packet that counts so was not read: its own form, or the capture's, is to blame.
fn is_not_read(counter: Counter) -> bool {
    matches!(
        counter,
        Counter::SkippedExtensionHeaders
            | Counter::SkippedVlanTags
            | Counter::SkippedMalformed
            | Counter::SkippedUnreadable
            | Counter::LostCopyFailed
    )
}

fn describe(counter: Counter) -> &'static str {
    match counter {
        Counter::SkippedFragment => "IP fragments",
        Counter::SkippedExtensionHeaders => "packets with too many IPv6 extension headers",
        Counter::SkippedVlanTags => "packets with too many VLAN tags",
        Counter::SkippedMalformed => "packets whose lengths contradict each other",
        Counter::SkippedUnreadable => "packets cut short before what matters (capture with: tcpdump -s 0)",
        Counter::SkippedMappedAddress => "IPv6 packets with IPv4-mapped addresses",
        Counter::LostRingFull => "events lost",
        Counter::LostCopyFailed => {
            "segments cut short by the capture's snap length (capture with: tcpdump -s 0)"
        }
        Counter::HandshakeEvicted => "handshakes evicted from the flow table",
        Counter::OpenEvicted => "connections evicted from the flow table before the client spoke",
        Counter::MidStreamEvicted => "connections seen in mid stream and evicted from the flow table",
        Counter::AnsweredEvicted => "answered handshakes evicted from the flow table",
        Counter::SkippedOtherHost => "frames for other hosts",
    }
}
