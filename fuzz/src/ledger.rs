//! A tracker under supervision: every hello is booked, and its outcome strikes it out.

use std::collections::HashMap;
use std::time::Duration;

use sni_probe_core::observation::{Features, Handshake, Hello, Outcome, Sni};
use sni_probe_core::tracker::Fingerprints;
use sni_probe_core::vocabulary::{AlertSender, Feature, IncompleteReason, Prelude, SniClass, TlsVersion};
use sni_probe_core::{FlowKey, Observation, Timestamp, Tracker, TrackerConfig};
use sni_probe_datapath::event::{Event, flags, kind, tcp_flags};

/// What one event can lead to, besides the end of flows whose time is over: a flow with a hello makes room for it and one
/// with its addresses is given up, three observations each, and its own hello comes and ends.
const MAX_OBSERVATIONS: usize = 8;

/// How often the handshake timeout a latency can be at most: a hello that comes a timeout late, waits for its rest and then
/// for its outcome.
const MAX_TIMEOUTS: u32 = 3;

/// A tracker, and what is to be expected of it.
#[derive(Debug)]
pub(crate) struct Ledger {
    tracker: Tracker,
    config: TrackerConfig,
    /// Hellos without an outcome.
    open: Vec<Booked>,
    /// What was sent on each connection, and on those before it with the same addresses and ports.
    sent: HashMap<FlowKey, Sent>,
    clock: Timestamp,
    /// What was observed so far.
    seen: Vec<Observation>,
}

/// What [`Observation::ClientHello`] says.
#[derive(Debug, PartialEq)]
struct Booked {
    flow: FlowKey,
    sni: SniClass,
    version: TlsVersion,
    features: Features,
    incomplete: Option<IncompleteReason>,
}

#[derive(Debug, Default)]
struct Sent {
    bytes: usize,
    segments: u32,
    hellos: u32,
    /// Every TCP flag that each side sent.
    client_flags: u8,
    gateway_flags: u8,
    /// Every bit of the datapath.
    flags: u8,
    is_answered: bool,
}

impl Sent {
    fn add(&mut self, event: &Event<'_>) {
        let header = &event.header;
        self.flags |= header.flags;
        match header.kind {
            kind::CLIENT_DATA => {
                self.bytes += event.data.len();
                self.segments += 1;
                self.client_flags |= header.tcp_flags;
            }
            kind::CLIENT_CLOSE => self.client_flags |= header.tcp_flags,
            _ => {
                self.is_answered |= header.kind == kind::GATEWAY_DATA;
                self.gateway_flags |= header.tcp_flags;
            }
        }
    }

    /// Whether something was sent that can lead to the outcome: none is invented.
    fn explains(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::ServerHello
            | Outcome::Established
            | Outcome::ClientCertificateRefused { .. }
            | Outcome::RefusedAfterServerHello { .. }
            | Outcome::Alert { sender: AlertSender::Gateway, .. } => self.is_answered,
            Outcome::RejectedByClient { .. } => self.is_answered && self.segments > 1,
            Outcome::Alert { sender: AlertSender::Client, .. } => self.segments > 1,
            Outcome::ResetByGateway => self.gateway_flags & tcp_flags::RST != 0,
            Outcome::ResetByClient => self.client_flags & tcp_flags::RST != 0,
            Outcome::ClosedByGateway => self.gateway_flags & tcp_flags::FIN != 0,
            Outcome::ClosedByClient => {
                self.client_flags & tcp_flags::FIN != 0 || self.flags & flags::CLIENT_CLOSED != 0
            }
            Outcome::GatewayClosedFirst => self.flags & flags::GATEWAY_CLOSED != 0,
            Outcome::Timeout | Outcome::Evicted | Outcome::Unfinished => true,
        }
    }
}

impl Ledger {
    pub(crate) fn new(config: TrackerConfig) -> Self {
        let tracker = Tracker::new(config);
        assert_eq!(tracker.capacity(), config.max_flows);
        let (open, sent, seen) = (Vec::new(), HashMap::new(), Vec::new());
        Self { tracker, config, open, sent, clock: Timestamp::default(), seen }
    }

    pub(crate) fn event(&mut self, event: &Event<'_>) {
        let header = &event.header;
        self.clock = self.clock.max(Timestamp(header.time_ns));
        self.sent.entry(FlowKey::of(header)).or_default().add(event);
        let flows = self.tracker.flows();
        self.tracker.handle_event(event);
        // It may show that the stamp of the one before is right or wrong, which has waited for it.
        self.drain(2 * flows + 2 * MAX_OBSERVATIONS);
    }

    pub(crate) fn timeout(&mut self, now: Timestamp) {
        self.clock = self.clock.max(now);
        let flows = self.tracker.flows();
        self.tracker.handle_timeout(now);
        assert!(self.tracker.poll_timeout().is_none_or(|next| next > now), "a flow outlives its time");
        self.drain(2 * flows + MAX_OBSERVATIONS);
    }

    /// No more events: every hello gets its outcome.
    pub(crate) fn finish(mut self) -> Vec<Observation> {
        let flows = self.tracker.flows();
        self.tracker.finish();
        self.drain(2 * flows + MAX_OBSERVATIONS);
        self.assert_settled();
        self.seen
    }

    /// The same by the passing of time.
    pub(crate) fn expire(mut self) {
        // Once for an event that waits, and for each flow once for its hello or its outcome, and once to be forgotten.
        let mut steps = 1 + 2 * (self.tracker.flows() + 1);
        while let Some(next) = self.tracker.poll_timeout() {
            assert_ne!(steps, 0, "time passes, and nothing happens");
            steps -= 1;
            self.timeout(next);
        }
        self.assert_settled();
    }

    fn assert_settled(&self) {
        assert_eq!(self.open, [], "hellos without an outcome");
        assert_eq!(self.tracker.flows(), 0);
        assert_eq!(self.tracker.poll_timeout(), None);
    }

    fn drain(&mut self, at_most: usize) {
        let before = self.seen.len();
        while let Some(observation) = self.tracker.poll_observation() {
            self.book(&observation);
            self.seen.push(observation);
        }
        assert!(self.seen.len() - before <= at_most, "{:#?}", &self.seen[before..]);
        assert!(self.tracker.flows() <= self.config.max_flows);
        assert!(self.open.len() <= self.tracker.flows(), "an open hello has a flow");
    }

    fn book(&mut self, observation: &Observation) {
        match *observation {
            Observation::ClientHello { flow, sni, version, features, incomplete, .. } => {
                assert_eq!(sni == SniClass::Unknown, incomplete.is_some(), "half a hello says nothing");
                assert!(self.open.iter().all(|open| open.flow != flow), "two hellos on one connection");
                let sent = self.sent.get_mut(&flow).expect("a hello of a client that has sent something");
                sent.hellos += 1;
                assert!(sent.hellos <= sent.segments, "a hello has a segment of its own");
                self.open.push(Booked { flow, sni, version, features, incomplete });
            }
            Observation::Handshake(ref handshake) => self.strike_out(handshake),
            Observation::NonTls { time, .. } => assert!(time <= self.clock),
            Observation::Unclassified { .. } | Observation::Evicted { .. } => {}
        }
    }

    fn strike_out(&mut self, handshake: &Handshake) {
        let hello = &handshake.hello;
        let booked = Booked {
            flow: handshake.flow,
            sni: hello.sni.class(),
            version: hello.body.as_ref().map_or(TlsVersion::Unknown, |body| body.version),
            features: without_retry(hello.features),
            incomplete: hello.incomplete,
        };
        let place = self.open.iter().position(|open| *open == booked);
        let Some(place) = place else { panic!("an outcome of no hello: {handshake:#?}") };
        self.open.swap_remove(place);

        assert!(handshake.time <= self.clock);
        assert!(handshake.latency <= MAX_TIMEOUTS * self.config.handshake_timeout, "{handshake:#?}");
        let sent = &self.sent[&handshake.flow];
        assert!(sent.explains(handshake.outcome), "an invented outcome: {handshake:#?}");
        if hello.incomplete == Some(IncompleteReason::Contradictory) {
            assert!(sent.segments > 1, "a segment contradicts itself");
        }
        assert!(hello.segments <= sent.segments);
        assert_hello(hello, sent);
        if let Some(body) = &hello.body {
            let has_fingerprints = match self.config.fingerprints {
                Fingerprints::All => true,
                Fingerprints::WithoutSni => hello.sni.class() != SniClass::Present,
                Fingerprints::None => false,
            };
            assert_eq!([body.ja3.is_some(), body.ja4.is_some()], [has_fingerprints; 2]);
        }
        // Addresses come from a header, but not every header has them.
        let is_proxied = [Feature::ProxyV1, Feature::ProxyV2].map(|feature| hello.features.contains(feature));
        assert!(handshake.proxied.is_none() || is_proxied != [false; 2]);
        if hello.prelude.is_some_and(Prelude::is_answered) {
            assert!(self.config.preludes);
        }
        assert!(is_proxied == [false; 2] || hello.prelude.is_some());
    }
}

fn assert_hello(hello: &Hello, sent: &Sent) {
    let has = |feature| hello.features.contains(feature);
    assert_eq!(has(Feature::MultiSegment), hello.segments > 1);
    assert_eq!(has(Feature::MultiRecord), hello.records > 1);
    let Some(body) = &hello.body else {
        assert!(hello.incomplete.is_some());
        assert_eq!(hello.sni, Sni::Unknown, "half a hello says nothing");
        return;
    };
    assert_eq!(hello.incomplete, None);
    // A hello is not whole before all of its bytes have come.
    let headers = if body.sslv2 { 0 } else { 5 * hello.records as usize };
    assert!(hello.length as usize + headers <= sent.bytes, "{hello:#?}");
    assert!(hello.segments >= 1 && hello.records >= 1);
    assert_eq!(has(Feature::Sslv2), body.sslv2);
    if let Some(ja4) = &body.ja4 {
        assert_eq!(ja4.as_bytes()[3], if hello.sni == Sni::Absent { b'i' } else { b'd' }, "{hello:#?}");
    }
}

/// A hello is counted before its answer can show this.
fn without_retry(features: Features) -> Features {
    let mut rest = Features::default();
    for feature in features.iter().filter(|&feature| feature != Feature::HelloRetry) {
        rest.insert(feature);
    }
    rest
}

/// A time of the fuzzers' clocks: so many milliseconds after their epoch.
pub(crate) fn milliseconds(count: u64) -> Timestamp {
    Timestamp::default().plus(Duration::from_millis(count))
}
