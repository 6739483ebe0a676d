//! A client, a gateway, a network that reorders, repeats and loses packets, and sni-probe at the gateway's door.
//!
//! Chance decides what happens next. Whatever it is, the model keeps books: which hello the gateway's TCP received, and
//! what became of it.

use std::cell::RefCell;
use std::rc::Rc;

use sni_probe_core::observation::Outcome;
use sni_probe_datapath::seq::SeqNumber;
use sni_probe_datapath::userspace::Datapath;

use super::books::{Book, alert};
use super::random::Random;
use super::tap::Tap;
use super::tcp::{Segment, Side, Tcp, TcpState};
use super::wire;

/// Connections of one client on one port, one after the other.
pub(crate) const CONNECTIONS: usize = 2;

/// What a client does on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientPlan {
    Wait,
    HalfClose,
    Abort,
    /// It is switched off: its TCP knows nothing any more.
    Vanish,
}

/// What a gateway does with a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GatewayPlan {
    Answer,
    AnswerInPieces,
    Refuse,
    /// Warns, and then closes the connection or does nothing.
    Warn,
    Retry,
    Reset,
    Close,
    Nothing,
    /// Does not wait for the hello.
    CloseFirst {
        is_hard: bool,
    },
    /// It is switched off: its TCP knows nothing any more.
    Forget,
}

pub(crate) struct World {
    random: Random,
    pub(crate) tap: Tap,
    pub(crate) books: [Book; CONNECTIONS],
    /// Both begin each time with the same number of the client.
    is_same_number: bool,
    isn: SeqNumber,
    client: Option<Tcp>,
    /// The connections that the client has begun.
    begun: usize,
    client_plan: ClientPlan,
    /// What the client is still to send.
    unsent: Vec<Vec<u8>>,
    gateway: Option<Tcp>,
    gateway_isn: SeqNumber,
    gateway_plan: GatewayPlan,
    /// The gateway's program has done what it does.
    is_done: bool,
    /// It has hung up before the client said anything.
    is_closed_first: bool,
    to_gateway: Vec<Segment>,
    to_client: Vec<Segment>,
    clock: u64,
}

impl World {
    pub(crate) fn new(seed: u64, datapath: &Rc<RefCell<Datapath>>) -> Self {
        let mut random = Random::new(seed);
        let is_same_number = random.is_one_in(8);
        let (isn, gateway_isn) = (random.number(), random.number());
        Self {
            random,
            tap: Tap::new(seed, Rc::clone(datapath)),
            books: Default::default(),
            is_same_number,
            isn,
            client: None,
            begun: 0,
            client_plan: ClientPlan::Wait,
            unsent: Vec::new(),
            gateway: None,
            gateway_isn,
            gateway_plan: GatewayPlan::Nothing,
            is_done: true,
            is_closed_first: false,
            to_gateway: Vec::new(),
            to_client: Vec::new(),
            clock: 0,
        }
    }

    /// Lets chance play, and then the network carry what is left, until nothing happens any more.
    pub(crate) fn run(&mut self) {
        for _ in 0..60 + self.random.below(120) {
            self.step();
        }
        for _ in 0..200 {
            self.deliver(Side::Client, 0);
            self.deliver(Side::Gateway, 0);
        }
        for book in &mut self.books {
            book.decide(book.silent());
        }
    }

    fn step(&mut self) {
        self.clock += 1;
        match self.random.below(17) {
            0..=3 => self.deliver_any(Side::Client),
            4..=7 => self.deliver_any(Side::Gateway),
            8 => self.disturb(Side::Client),
            9 => self.disturb(Side::Gateway),
            10 => {
                if let Some(segment) = self.client.as_ref().and_then(Tcp::again) {
                    self.to_gateway.push(segment);
                }
            }
            11 => {
                if let Some(segment) = self.gateway.as_ref().and_then(Tcp::again) {
                    self.gateway_sends(segment);
                }
            }
            12 | 13 => self.client_acts(),
            14 if self.random.is_one_in(4) => self.stray(),
            _ => self.gateway_acts(),
        }
    }

    /// A RST with the right addresses and ports, and a number that is out of the window: its receiver ignores it.
    fn stray(&mut self) {
        let beyond = 70_000 + u32::try_from(self.random.below(80_000)).expect("not many");
        let of_client = self.random.is_one_in(2);
        let sender = if of_client { &self.client } else { &self.gateway };
        let Some(tcp) = sender.as_ref().filter(|tcp| tcp.is_established()) else { return };
        // Before that, no number of the gateway's was seen.
        if self.books[tcp.connection].first_data.is_none() {
            return;
        }
        let reset = tcp.stray_reset(beyond);
        if of_client {
            self.tap.see(&reset);
        } else {
            self.gateway_sends(reset);
        }
    }

    // The network.

    fn way(&mut self, from: Side) -> &mut Vec<Segment> {
        match from {
            Side::Client => &mut self.to_gateway,
            Side::Gateway => &mut self.to_client,
        }
    }

    /// Carries one of the packets under way: mostly the first.
    fn deliver_any(&mut self, from: Side) {
        let count = self.way(from).len();
        if count > 0 {
            let at = if self.random.is_one_in(3) { self.random.below(count) } else { 0 };
            self.deliver(from, at);
        }
    }

    fn deliver(&mut self, from: Side, at: usize) {
        if self.way(from).len() <= at {
            return;
        }
        let segment = self.way(from).remove(at);
        match from {
            Side::Client => self.arrive_at_gateway(&segment),
            Side::Gateway => self.arrive_at_client(&segment),
        }
    }

    /// Loses a packet, or carries it twice.
    fn disturb(&mut self, from: Side) {
        let count = self.way(from).len();
        if count == 0 {
            return;
        }
        let at = self.random.below(count);
        if self.random.is_one_in(2) {
            self.way(from).remove(at);
        } else {
            let copy = self.way(from)[at].clone();
            self.way(from).push(copy);
        }
    }

    // The client.

    fn arrive_at_client(&mut self, segment: &Segment) {
        let Some(tcp) = &mut self.client else {
            self.to_gateway.extend(segment.refusal());
            return;
        };
        let before = tcp.state;
        let reply = tcp.arrive(segment);
        let (connection, state) = (tcp.connection, tcp.state);
        let is_retried = tcp.received == wire::hello_retry_request();
        self.to_gateway.extend(reply);
        if before == TcpState::SynSent && state == TcpState::Established {
            // No copy of a SYN is slower than the gateway's answer to it, the client's hello, and the answer to that.
            self.to_gateway.retain(|segment| segment.connection != connection || !segment.flags.syn);
        }
        if is_retried && self.gateway_plan == GatewayPlan::Retry && self.unsent.is_empty() {
            self.unsent.push(wire::client_hello(connection));
            self.gateway_plan = GatewayPlan::AnswerInPieces;
        }
    }

    fn client_acts(&mut self) {
        let is_over =
            self.client.as_ref().is_none_or(|tcp| matches!(tcp.state, TcpState::Closed | TcpState::TimeWait));
        if is_over {
            if self.begun < CONNECTIONS {
                self.connect();
            }
            return;
        }
        let Some(tcp) = &mut self.client else { return };
        let is_tired = self.unsent.is_empty() || self.random.is_one_in(6);
        if tcp.can_send() && !self.unsent.is_empty() {
            let data = self.unsent.remove(0);
            self.to_gateway.push(tcp.send(&data));
            return;
        }
        match self.client_plan {
            ClientPlan::HalfClose if tcp.can_send() => self.to_gateway.push(tcp.finish()),
            ClientPlan::Abort if is_tired && self.random.is_one_in(3) => self.to_gateway.extend(tcp.abort()),
            ClientPlan::Vanish if is_tired && self.random.is_one_in(3) => self.client = None,
            _ => {}
        }
    }

    fn connect(&mut self) {
        let connection = self.begun;
        if self.is_same_number {
            // A device takes its time to begin anew.
            self.to_gateway.clear();
            self.to_client.clear();
        } else {
            self.isn = self.random.number_after(self.isn);
        }
        let (tcp, syn) = Tcp::connect(connection, self.isn);
        self.client = Some(tcp);
        self.to_gateway.push(syn);
        self.begun += 1;
        let hello = wire::client_hello(connection);
        let cut = self.random.below(hello.len());
        self.unsent = match self.random.below(3) {
            0 if cut > 0 => vec![hello[..cut].to_vec(), hello[cut..].to_vec()],
            1 => vec![hello, vec![23, 3, 3, 0, 2, 1, 2]],
            _ => vec![hello],
        };
        let plans = [
            ClientPlan::Wait,
            ClientPlan::Wait,
            ClientPlan::HalfClose,
            ClientPlan::Abort,
            ClientPlan::Vanish,
        ];
        self.client_plan = plans[self.random.below(plans.len())];
    }

    // The gateway.

    fn gateway_sends(&mut self, segment: Segment) {
        self.tap.see(&segment);
        self.to_client.push(segment);
    }

    fn arrive_at_gateway(&mut self, segment: &Segment) {
        self.note_arrival(segment);
        self.tap.see(segment);
        let reply = match &mut self.gateway {
            Some(tcp) if tcp.state != TcpState::Closed && !tcp.gives_way_to(segment) => tcp.arrive(segment),
            _ => self.listen(segment),
        };
        if let Some(reply) = reply {
            self.gateway_sends(reply);
        }
        self.note_received(segment);
    }

    /// A packet of no connection: a SYN opens one, all else but a RST is refused.
    fn listen(&mut self, segment: &Segment) -> Option<Segment> {
        self.gateway_isn = self.random.number_after(self.gateway_isn);
        let Some((tcp, syn_ack)) = Tcp::accept(segment, self.gateway_isn) else {
            let refusal = segment.refusal()?;
            // A RST that acknowledges nothing may be of the other connection as well.
            let is_of_either = refusal.ack.is_none() && self.begun == CONNECTIONS;
            let book = &mut self.books[segment.connection];
            if !is_of_either {
                book.decide(Outcome::ResetByGateway);
            } else if book.is_received && book.outcome.is_none() {
                book.or.push(book.warned(Outcome::ResetByGateway));
            }
            return Some(refusal);
        };
        self.gateway = Some(tcp);
        self.is_done = false;
        self.is_closed_first = false;
        self.gateway_plan = match self.random.below(18) {
            0..=3 => GatewayPlan::Answer,
            4 => GatewayPlan::AnswerInPieces,
            5 | 6 => GatewayPlan::Refuse,
            7 => GatewayPlan::Warn,
            8 => GatewayPlan::Retry,
            9..=11 => GatewayPlan::Reset,
            12 => GatewayPlan::Close,
            13 => GatewayPlan::CloseFirst { is_hard: false },
            14 => GatewayPlan::CloseFirst { is_hard: true },
            15 => GatewayPlan::Forget,
            _ => GatewayPlan::Nothing,
        };
        Some(syn_ack)
    }

    /// Books what a packet at the door shows, before the gateway takes it.
    fn note_arrival(&mut self, segment: &Segment) {
        let clock = self.clock;
        let connection = segment.connection;
        if !segment.data.is_empty() && !segment.flags.rst && self.books[connection].first_data.is_none() {
            self.books[connection].first_data = Some(clock);
            self.note_reuse(connection);
        }
        if segment.flags.syn && self.is_same_number {
            // The same SYN opens the entry of the datapath again: the end of the connection before is not seen any more.
            let is_open = |book: &&mut Book| book.is_received && book.outcome.is_none();
            for book in self.books.iter_mut().filter(is_open) {
                book.or.extend([book.reused(), book.silent()]);
            }
        }
        self.books[connection].has_client_fin |= segment.flags.fin;
        for (number, book) in self.books.iter_mut().enumerate() {
            if segment.flags.rst && (number == connection || self.is_same_number) {
                book.note_client_reset();
            }
        }
    }

    /// The first data of a connection ends what an observer knows of the other one.
    fn note_reuse(&mut self, connection: usize) {
        for other in (0..CONNECTIONS).filter(|&other| other != connection) {
            let book = &mut self.books[other];
            if other > connection {
                // It came late: the connection after it has spoken already, and of two an observer follows one.
                if book.first_data.is_some() && book.outcome.is_none() {
                    book.is_disturbed |= !book.is_received;
                    book.or.push(Outcome::Evicted);
                }
            } else {
                book.decide(book.reused());
            }
        }
    }

    /// Books what the gateway's TCP has made of a packet.
    fn note_received(&mut self, segment: &Segment) {
        let Some(tcp) = &mut self.gateway else { return };
        // With the same numbers, the SYN of one connection may have opened the gateway's end of the next one.
        if self.is_same_number && !segment.data.is_empty() {
            tcp.connection = segment.connection;
        }
        let connection = tcp.connection;
        let book = &mut self.books[connection];
        let hello = wire::client_hello(connection);
        if tcp.received.starts_with(&hello) {
            book.is_received = true;
            if self.is_closed_first {
                book.decide(Outcome::GatewayClosedFirst);
            }
        }
        if tcp.is_reset {
            book.decide(book.by_client());
            self.gateway = None;
            return;
        }
        let is_hard = self.gateway_plan == GatewayPlan::CloseFirst { is_hard: true };
        if is_hard && self.is_closed_first && !segment.data.is_empty() && tcp.is_established() {
            let reset = tcp.abort();
            self.gateway = None;
            if let Some(reset) = reset {
                self.gateway_sends(reset);
            }
        }
    }

    fn gateway_acts(&mut self) {
        let Some(tcp) = &mut self.gateway else { return };
        let connection = tcp.connection;
        if !tcp.is_established() || self.is_done {
            return;
        }
        if let GatewayPlan::CloseFirst { .. } = self.gateway_plan {
            // With the same numbers, data of the next connection is data of this one.
            let last = if self.is_same_number { CONNECTIONS } else { connection + 1 };
            if self.books[connection..last].iter().all(|book| book.first_data.is_none()) {
                self.is_closed_first = true;
                self.is_done = true;
                let fin = tcp.finish();
                self.gateway_sends(fin);
            }
            return;
        }
        let hello = wire::client_hello(connection);
        if tcp.received.len() < hello.len() || self.random.is_one_in(3) {
            return;
        }
        let mut segments = Vec::new();
        let book = &mut self.books[connection];
        match self.gateway_plan {
            GatewayPlan::Answer => {
                segments.push(tcp.send(&wire::server_hello()));
                book.decide(Outcome::ServerHello);
            }
            GatewayPlan::AnswerInPieces => {
                let answer = wire::server_hello();
                let (first, second) = answer.split_at(1 + self.random.below(40));
                segments.extend([tcp.send(first), tcp.send(second)]);
                book.decide(Outcome::ServerHello);
            }
            GatewayPlan::Refuse => {
                segments.extend([tcp.send(&wire::alert(2, 112)), tcp.finish()]);
                book.decide(alert());
            }
            GatewayPlan::Warn => {
                segments.push(tcp.send(&wire::alert(1, 112)));
                book.is_warned = true;
                if self.random.is_one_in(2) {
                    segments.push(tcp.finish());
                    book.decide(alert());
                }
            }
            GatewayPlan::Retry => {
                segments.push(tcp.send(&wire::hello_retry_request()));
                // Goes on when the second hello is there.
                for segment in segments {
                    self.gateway_sends(segment);
                }
                self.is_done = true;
                return;
            }
            GatewayPlan::Reset => {
                segments.extend(tcp.abort());
                book.decide(Outcome::ResetByGateway);
            }
            GatewayPlan::Close => {
                segments.push(tcp.finish());
                let by_client = book.has_client_fin;
                book.decide(if by_client { Outcome::ClosedByClient } else { Outcome::ClosedByGateway });
            }
            GatewayPlan::Forget => self.gateway = None,
            GatewayPlan::Nothing | GatewayPlan::CloseFirst { .. } => {}
        }
        self.is_done = true;
        for segment in segments {
            self.gateway_sends(segment);
        }
    }
}
