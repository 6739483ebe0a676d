//! One end of a TCP connection, as RFC 9293 has it (with RFC 5961's rules for RST and SYN): small, and nothing of it is
//! shared with what it tests.
//!
//! The states after both sides have sent a FIN are one here, and there are no options, no congestion and no clock: who
//! calls says when something is sent again.

use sni_probe_datapath::seq::SeqNumber;

/// What a receiver takes beyond what it expects next.
const WINDOW: u32 = 65_535;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Gateway,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: Side,
    /// Of which of the client's connections it is: for the books, not on the wire.
    pub(crate) connection: usize,
    pub(crate) seq: SeqNumber,
    pub(crate) ack: Option<SeqNumber>,
    pub(crate) flags: Flags,
    pub(crate) data: Vec<u8>,
}

impl Segment {
    /// Numbers that it takes.
    fn len(&self) -> u32 {
        length(&self.data) + u32::from(self.flags.syn) + u32::from(self.flags.fin)
    }

    /// The RST that answers it where there is no connection (RFC 9293, section 3.10.7.1); `None` if it is one itself.
    pub(crate) fn refusal(&self) -> Option<Self> {
        if self.flags.rst {
            return None;
        }
        let (seq, ack) = match self.ack {
            Some(ack) => (ack, None),
            None => (SeqNumber(0), Some(self.seq.plus(self.len()))),
        };
        let from = if self.from == Side::Client { Side::Gateway } else { Side::Client };
        let flags = Flags { rst: true, ..Flags::default() };
        Some(Self { from, connection: self.connection, seq, ack, flags, data: Vec::new() })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpState {
    SynSent,
    SynReceived,
    Established,
    /// Both sides have sent a FIN and have that of the other.
    TimeWait,
    Closed,
}

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Tcp {
    pub(crate) side: Side,
    pub(crate) connection: usize,
    pub(crate) state: TcpState,
    /// Initial sequence numbers: its own, and that of the other end.
    iss: SeqNumber,
    irs: SeqNumber,
    /// What the other end has acknowledged of the stream, with the SYN.
    acknowledged: u32,
    /// Its stream, cut into segments.
    sent: Vec<Vec<u8>>,
    is_finished: bool,
    /// What has come in order.
    pub(crate) received: Vec<u8>,
    /// The other end has finished, and all before that has come.
    pub(crate) has_fin: bool,
    early: Vec<Segment>,
    /// A RST of the other end has ended it.
    pub(crate) is_reset: bool,
}

impl Tcp {
    fn new(side: Side, connection: usize, state: TcpState, iss: SeqNumber, irs: SeqNumber) -> Self {
        Self {
            side,
            connection,
            state,
            iss,
            irs,
            acknowledged: 0,
            sent: Vec::new(),
            is_finished: false,
            received: Vec::new(),
            has_fin: false,
            early: Vec::new(),
            is_reset: false,
        }
    }

    /// A client that opens its connection.
    pub(crate) fn connect(connection: usize, iss: SeqNumber) -> (Self, Segment) {
        let tcp = Self::new(Side::Client, connection, TcpState::SynSent, iss, SeqNumber(0));
        let syn = tcp.syn();
        (tcp, syn)
    }

    /// A gateway that answers a SYN; `None` if it is none.
    pub(crate) fn accept(segment: &Segment, iss: SeqNumber) -> Option<(Self, Segment)> {
        if !segment.flags.syn || segment.flags.rst || segment.ack.is_some() {
            return None;
        }
        let tcp = Self::new(Side::Gateway, segment.connection, TcpState::SynReceived, iss, segment.seq);
        let syn_ack = tcp.syn();
        Some((tcp, syn_ack))
    }

    fn syn(&self) -> Segment {
        let ack = (self.state == TcpState::SynReceived).then(|| self.expected());
        Segment {
            seq: self.iss,
            ack,
            flags: Flags { syn: true, ..Flags::default() },
            ..self.acknowledgement()
        }
    }

    fn stream_len(&self) -> u32 {
        self.sent.iter().map(|data| length(data)).sum()
    }

    /// The next number that it sends.
    fn next(&self) -> SeqNumber {
        self.iss.plus(1 + self.stream_len() + u32::from(self.is_finished))
    }

    /// The next number that it expects.
    fn expected(&self) -> SeqNumber {
        self.irs.plus(1 + length(&self.received) + u32::from(self.has_fin))
    }

    fn acknowledgement(&self) -> Segment {
        Segment {
            from: self.side,
            connection: self.connection,
            seq: self.next(),
            ack: Some(self.expected()),
            flags: Flags::default(),
            data: Vec::new(),
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        self.state == TcpState::Established
    }

    /// Whether it can still send data.
    pub(crate) fn can_send(&self) -> bool {
        self.is_established() && !self.is_finished
    }

    pub(crate) fn send(&mut self, data: &[u8]) -> Segment {
        let segment = Segment { data: data.to_vec(), ..self.acknowledgement() };
        self.sent.push(data.to_vec());
        segment
    }

    /// Closes its own direction.
    pub(crate) fn finish(&mut self) -> Segment {
        let fin = Segment { flags: Flags { fin: true, ..Flags::default() }, ..self.acknowledgement() };
        self.is_finished = true;
        self.settle();
        fin
    }

    /// Ends the connection without further ado. `None` if the other end is not known to know of it.
    pub(crate) fn abort(&mut self) -> Option<Segment> {
        let is_open = self.state != TcpState::SynSent;
        self.state = TcpState::Closed;
        is_open.then(|| Segment { flags: Flags { rst: true, ..Flags::default() }, ..self.acknowledgement() })
    }

    /// A RST that is so far beyond what it has sent.
    pub(crate) fn stray_reset(&self, beyond: u32) -> Segment {
        let seq = self.next().plus(beyond);
        Segment { seq, flags: Flags { rst: true, ..Flags::default() }, ..self.acknowledgement() }
    }

    /// What it sends again: the first of what is not acknowledged.
    pub(crate) fn again(&self) -> Option<Segment> {
        match self.state {
            TcpState::SynSent | TcpState::SynReceived => return Some(self.syn()),
            TcpState::Closed => return None,
            TcpState::Established | TcpState::TimeWait => {}
        }
        let mut at = 1;
        for data in &self.sent {
            let end = at + length(data);
            if end > self.acknowledged {
                let seq = self.iss.plus(at);
                return Some(Segment { seq, data: data.clone(), ..self.acknowledgement() });
            }
            at = end;
        }
        let is_open = self.is_finished && self.acknowledged <= at;
        let flags = Flags { fin: true, ..Flags::default() };
        is_open.then(|| Segment { seq: self.iss.plus(at), flags, ..self.acknowledgement() })
    }

    /// Takes a segment, and gives what it answers at once.
    pub(crate) fn arrive(&mut self, segment: &Segment) -> Option<Segment> {
        match self.state {
            TcpState::Closed => segment.refusal(),
            TcpState::SynSent => self.arrive_at_syn_sent(segment),
            TcpState::SynReceived | TcpState::Established | TcpState::TimeWait => {
                self.arrive_synchronized(segment)
            }
        }
    }

    /// RFC 9293, section 3.10.7.3.
    fn arrive_at_syn_sent(&mut self, segment: &Segment) -> Option<Segment> {
        let is_acknowledged = segment.ack == Some(self.iss.plus(1));
        if segment.ack.is_some() && !is_acknowledged {
            return segment.refusal();
        }
        if segment.flags.rst {
            if is_acknowledged {
                self.reset();
            }
            return None;
        }
        if !segment.flags.syn || !is_acknowledged {
            return None;
        }
        self.irs = segment.seq;
        self.acknowledged = 1;
        self.state = TcpState::Established;
        Some(self.acknowledgement())
    }

    /// RFC 9293, section 3.10.7.4, with RFC 5961, sections 3.2, 4.2 and 5.2.
    fn arrive_synchronized(&mut self, segment: &Segment) -> Option<Segment> {
        let expected = self.expected();
        let is_within = |number: SeqNumber| number.is_within(expected, WINDOW);
        let is_acceptable =
            is_within(segment.seq) || segment.len() > 0 && is_within(segment.seq.plus(segment.len() - 1));
        if !is_acceptable {
            return (!segment.flags.rst).then(|| self.acknowledgement());
        }
        if segment.flags.rst {
            if segment.seq != expected {
                return Some(self.acknowledgement());
            }
            self.reset();
            return None;
        }
        if segment.flags.syn {
            return Some(self.acknowledgement());
        }
        let ack = segment.ack?;
        let acknowledged = ack.distance_from(self.iss);
        let all = self.next().distance_from(self.iss);
        if self.state == TcpState::SynReceived {
            if acknowledged == 0 || acknowledged > all {
                return segment.refusal();
            }
            self.state = TcpState::Established;
        }
        if ack.offset_from(self.next()) > 0 || ack.offset_from(self.iss) < 0 {
            return Some(self.acknowledgement());
        }
        self.acknowledged = self.acknowledged.max(acknowledged);
        if segment.len() == 0 {
            return None;
        }
        self.early.push(segment.clone());
        self.take_in_order();
        self.settle();
        Some(self.acknowledgement())
    }

    /// Takes what is there of the other end's stream.
    fn take_in_order(&mut self) {
        loop {
            let expected = self.expected();
            let is_next = |segment: &Segment| {
                let skip = expected.offset_from(segment.seq);
                skip >= 0 && skip.cast_unsigned() < segment.len()
            };
            if self.has_fin {
                self.early.clear();
                return;
            }
            let Some(at) = self.early.iter().position(is_next) else { return };
            let segment = self.early.swap_remove(at);
            let skip = expected.distance_from(segment.seq) as usize;
            self.received.extend(segment.data.iter().skip(skip));
            self.has_fin = segment.flags.fin;
        }
    }

    fn settle(&mut self) {
        if self.state == TcpState::Established && self.is_finished && self.has_fin {
            self.state = TcpState::TimeWait;
        }
    }

    fn reset(&mut self) {
        self.state = TcpState::Closed;
        self.is_reset = true;
    }

    /// Whether a SYN may open a connection in place of this one, which is over (RFC 9293, section 3.6.1).
    pub(crate) fn gives_way_to(&self, segment: &Segment) -> bool {
        let is_newer = segment.seq.offset_from(self.expected()) > 0;
        segment.flags.syn && (self.state == TcpState::Closed || self.state == TcpState::TimeWait && is_newer)
    }
}

fn length(data: &[u8]) -> u32 {
    u32::try_from(data.len()).expect("a stream of the model is short")
}
