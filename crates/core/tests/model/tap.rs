//! sni-probe at the gateway's door: the datapath and the tracker as they are.

use std::cell::RefCell;
use std::rc::Rc;

use sni_probe_core::observation::{Handshake, Observation, Outcome};
use sni_probe_core::vocabulary::Follow;
use sni_probe_core::{Timestamp, Tracker, TrackerConfig};
use sni_probe_datapath::userspace::{Datapath, Frame, Layer};

use super::tcp::{Segment, Side};
use super::wire;

/// Between two packets, in nanoseconds.
const STEP_NS: u64 = 5_000_000;
/// Between the beginnings of two worlds.
const WORLD_NS: u64 = 10_000_000_000;

pub(crate) struct Tap {
    /// One for all worlds: it is large.
    datapath: Rc<RefCell<Datapath>>,
    tracker: Tracker,
    /// In which world: each has a client of its own.
    world: u64,
    time_ns: u64,
    hellos: usize,
    handshakes: Vec<Handshake>,
    /// What was seen, for the message of a failure.
    trace: Vec<String>,
}

impl Tap {
    pub(crate) fn new(world: u64, datapath: Rc<RefCell<Datapath>>) -> Self {
        Self {
            datapath,
            tracker: Tracker::new(TrackerConfig { follow: Follow::Handshake, ..TrackerConfig::default() }),
            world,
            time_ns: (1 + world) * WORLD_NS,
            hellos: 0,
            handshakes: Vec::new(),
            trace: Vec::new(),
        }
    }

    pub(crate) fn see(&mut self, segment: &Segment) {
        self.time_ns += STEP_NS;
        self.trace.push(describe(segment));
        let client = u32::try_from(self.world).expect("fewer worlds than addresses");
        let bytes = wire::packet(segment, client.to_be_bytes());
        let frame = Frame { layer: Layer::Ip, ifindex: 1, ..Frame::new(&bytes, self.time_ns) };
        let Self { datapath, tracker, trace, .. } = self;
        let mut handle = |event: sni_probe_datapath::event::Event<'_>| {
            let header = event.header;
            trace.push(format!("    event {} flags {:#04x} isn {}", header.kind, header.flags, header.isn));
            tracker.handle_event(&event);
        };
        let mut datapath = datapath.borrow_mut();
        match segment.from {
            Side::Client => datapath.client_to_gateway(&frame, &mut handle),
            Side::Gateway => datapath.gateway_to_client(&frame, &mut handle),
        }
        drop(datapath);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(observation) = self.tracker.poll_observation() {
            match observation {
                Observation::ClientHello { .. } => self.hellos += 1,
                Observation::Handshake(mut handshake) => {
                    // The model ends with the ServerHello.
                    if handshake.outcome.class().is_answered() {
                        handshake.outcome = Outcome::ServerHello;
                    }
                    let name = handshake.hello.sni.name().unwrap_or("-").to_owned();
                    self.trace.push(format!("    {name} {:?}", handshake.outcome));
                    self.handshakes.push(*handshake);
                }
                other => self.trace.push(format!("    {other:?}")),
            }
        }
    }

    /// Waits until all is over. Gives the handshakes.
    pub(crate) fn finish(&mut self) -> Vec<Handshake> {
        while let Some(next) = self.tracker.poll_timeout() {
            self.tracker.handle_timeout(Timestamp(next.0));
            self.drain();
        }
        assert_eq!(self.tracker.flows(), 0);
        assert_eq!(self.hellos, self.handshakes.len(), "each hello has one outcome");
        std::mem::take(&mut self.handshakes)
    }

    pub(crate) fn trace(&self) -> String {
        self.trace.join("\n")
    }
}

fn describe(segment: &Segment) -> String {
    let Segment { from, connection, seq, ack, flags, data } = segment;
    let names = [(flags.syn, "SYN"), (flags.fin, "FIN"), (flags.rst, "RST")];
    let names: Vec<&str> = names.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect();
    let ack = ack.map_or_else(|| "-".to_owned(), |ack| ack.0.to_string());
    format!("{from:?} {connection}: {} seq {} ack {ack}, {} bytes", names.join("|"), seq.0, data.len())
}
