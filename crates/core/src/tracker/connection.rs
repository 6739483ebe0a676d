//! What packets have shown of a connection: where both directions are in their sequence numbers. So which RST and FIN
//! their receiver takes for its connection's, and which it ignores (RFC 9293, section 3.10.7; RFC 5961).
//!
//! A receiver compares a RST with the number that it expects next. An observer does not see every packet, so it knows
//! an interval instead: from what the receiver has acknowledged to the end of what was sent.

use sni_probe_datapath::datapath;
use sni_probe_datapath::event::{CLIENT_WINDOW, EventHeader, kind, tcp_flags};
use sni_probe_datapath::flow_table::MAX_ANSWERS;
use sni_probe_datapath::seq::SeqNumber;

use crate::flow::Origin;
use crate::observation::Outcome;

/// How far beyond what was sent a number is still taken for one of the connection's: the widest window of a connection
/// without the option for a wider one (RFC 7323, section 2).
pub(super) const WINDOW: u32 = 65_535;

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Gateway,
}

/// What the receiver of a RST does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// The connection is over: the number is one that it can expect next.
    Exact,
    /// It asks back (RFC 5961, section 3.2), or obeys if it has received more than was seen here.
    InWindow,
    /// It ignores the packet: of another connection, or forged.
    Outside,
}

/// The numbers of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sent {
    /// What is before this has reached the other side.
    acked: SeqNumber,
    /// The end of what was sent, a FIN included.
    end: SeqNumber,
}

impl Sent {
    fn from(start: SeqNumber) -> Self {
        Self { acked: start, end: start }
    }

    fn has_near(self, number: SeqNumber) -> bool {
        let span = self.end.distance_from(self.acked);
        number.is_within(self.acked.minus(WINDOW), span.saturating_add(2 * WINDOW + 1))
    }

    fn send(&mut self, end: SeqNumber) {
        if end.offset_from(self.end) > 0 {
            self.end = end;
        }
    }

    /// Takes an acknowledgement that is near. It may be of bytes that were not seen.
    fn acknowledge(&mut self, number: SeqNumber) {
        if number.offset_from(self.acked) > 0 {
            self.acked = number;
        }
        self.send(number);
    }

    /// `is_all_seen`: nothing was sent of which no packet came here.
    fn standing(self, number: SeqNumber, is_all_seen: bool) -> Standing {
        let span = self.end.distance_from(self.acked);
        if number.is_within(self.acked, span.saturating_add(1)) {
            Standing::Exact
        } else if number.is_within(self.end, WINDOW + 1) {
            if is_all_seen { Standing::InWindow } else { Standing::Exact }
        } else if !is_all_seen && number.offset_from(self.end) > 0 {
            Standing::Exact
        } else {
            Standing::Outside
        }
    }
}

/// A connection.
///
/// The gateway's side may be numbered twice: where a capture is of both sides of a firewall that renumbers it, such as
/// a SYN proxy. The client's acknowledgements show either numbering.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    /// Of the first byte of the client's stream.
    start: SeqNumber,
    client: Sent,
    /// The numberings of the gateway's side: as many as are [known](Self::known).
    gateway: [Sent; 2],
    known: u8,
    /// Segments of the gateway with payload, up to [`MAX_ANSWERS`].
    answers: u8,
    /// Bits of [`mark`].
    marks: u8,
}

/// What is known of a connection besides its numbers. Those that the datapath reports have its bits.
mod mark {
    use sni_probe_datapath::event::flags;

    /// See [`Origin::is_certain`](crate::flow::Origin::is_certain).
    pub(super) const ISN_KNOWN: u8 = flags::ISN_KNOWN;
    pub(super) const GATEWAY_CLOSED: u8 = flags::GATEWAY_CLOSED;
    pub(super) const UNFOLLOWED: u8 = flags::UNFOLLOWED;
    /// A FIN of the client was seen.
    pub(super) const CLIENT_FIN: u8 = 0x40;
    /// A FIN of the gateway was seen.
    pub(super) const GATEWAY_FIN: u8 = 0x80;
}

impl Connection {
    /// A connection of which this packet of the client is the first one.
    pub(super) fn of(header: &EventHeader) -> Self {
        let Origin { start, is_certain } = Origin::of(header);
        let mut connection = Self {
            start,
            client: Sent::from(start),
            gateway: [Sent::default(); 2],
            known: 0,
            answers: 0,
            marks: if is_certain { mark::ISN_KNOWN } else { 0 },
        };
        connection.client_packet(header);
        connection
    }

    /// Where it begins.
    pub(super) fn origin(&self) -> Origin {
        Origin { start: self.start, is_certain: self.has(mark::ISN_KNOWN) }
    }

    /// Whether the gateway's answers will not be seen.
    pub(super) fn is_unfollowed(&self) -> bool {
        self.has(mark::UNFOLLOWED)
    }

    /// Whether the gateway had hung up before the client said anything.
    pub(super) fn is_closed_first(&self) -> bool {
        self.has(mark::GATEWAY_CLOSED)
    }

    /// What becomes of a hello on this connection, whatever else is seen.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        if self.is_unfollowed() {
            Some(Outcome::Evicted)
        } else if self.is_closed_first() {
            Some(Outcome::GatewayClosedFirst)
        } else {
            None
        }
    }

    /// Where in the client's stream a number lies.
    pub(super) fn offset(&self, seq: SeqNumber) -> i32 {
        seq.offset_from(self.start)
    }

    /// Whether the gateway's segments from now on are no longer passed on.
    pub(super) fn is_deaf(&self) -> bool {
        self.answers >= MAX_ANSWERS
    }

    /// From now on not all segments of the gateway are passed on.
    pub(super) fn stop_listening(&mut self) {
        self.answers = MAX_ANSWERS;
    }

    /// The end of what the gateway has sent; `None` if a segment at `seq` is not near it. Where nothing is known, it begins
    /// there.
    pub(super) fn gateway_end_near(&self, seq: SeqNumber) -> Option<SeqNumber> {
        if self.known == 0 {
            return Some(seq);
        }
        self.numberings().iter().find(|sent| sent.has_near(seq)).map(|sent| sent.end)
    }

    /// Takes a packet of the client.
    pub(super) fn client_packet(&mut self, header: &EventHeader) {
        if header.kind == kind::CLIENT_DATA {
            self.marks |= header.flags & (mark::GATEWAY_CLOSED | mark::UNFOLLOWED);
        }
        if header.tcp_flags & tcp_flags::RST != 0 {
            return;
        }
        if self.is_near(SeqNumber(header.seq)) {
            self.client.send(end_of(header));
        }
        if header.tcp_flags & tcp_flags::ACK == 0 {
            return;
        }
        let ack = SeqNumber(header.ack);
        let known = usize::from(self.known);
        if let Some(sent) = self.gateway[..known].iter_mut().find(|sent| sent.has_near(ack)) {
            sent.acknowledge(ack);
        } else if header.kind == kind::CLIENT_DATA {
            // The first numbering stays; of the others, the last one. (A FIN may be of a connection that begins with the same
            // number, and comes before its data.)
            let place = known.min(1);
            self.gateway[place] = Sent::from(ack);
            self.known = self.known.max(if place == 0 { 1 } else { 2 });
        }
    }

    /// Takes a packet of the gateway.
    pub(super) fn gateway_packet(&mut self, header: &EventHeader) {
        if header.tcp_flags & tcp_flags::RST != 0 {
            return;
        }
        if header.kind == kind::GATEWAY_DATA {
            self.answers = self.answers.saturating_add(1).min(MAX_ANSWERS);
        }
        let seq = SeqNumber(header.seq);
        if self.known == 0 {
            (self.gateway[0], self.known) = (Sent::from(seq), 1);
        }
        let known = usize::from(self.known);
        // A FIN without data says nothing of what comes before it.
        let is_stream = |sent: &Sent| header.kind != kind::GATEWAY_CLOSE || seq.offset_from(sent.end) <= 0;
        if let Some(sent) = self.gateway[..known].iter_mut().find(|sent| sent.has_near(seq))
            && is_stream(sent)
        {
            sent.send(end_of(header));
        }
        let ack = SeqNumber(header.ack);
        // More than was sent is of no connection of this client's that is known here.
        if header.tcp_flags & tcp_flags::ACK != 0
            && ack.offset_from(self.start) >= 0
            && ack.offset_from(self.client.end) <= WINDOW.cast_signed()
        {
            self.client.acknowledge(ack);
        }
    }

    /// What the receiver of a RST does.
    pub(super) fn reset(&self, by: Side, header: &EventHeader) -> Standing {
        let seq = SeqNumber(header.seq);
        match by {
            // What the client sends beyond the window is not passed on.
            Side::Client => {
                let is_all_seen = self.client.end.distance_from(self.start) < CLIENT_WINDOW;
                self.client.standing(seq, is_all_seen)
            }
            Side::Gateway if !self.acknowledges(header) => Standing::Outside,
            Side::Gateway => {
                let standings = self.numberings().iter().map(|sent| sent.standing(seq, !self.is_deaf()));
                standings.min().unwrap_or(Standing::Exact)
            }
        }
    }

    /// Takes a FIN, whose packet was taken before, and says where it is. `None` if it is not the connection's.
    pub(super) fn fin(&mut self, by: Side, header: &EventHeader) -> Option<SeqNumber> {
        let fin = end_of(header).minus(1);
        let is_own = match by {
            // A client sends nothing after its FIN.
            Side::Client => {
                let is_last = fin.plus(1).offset_from(self.client.end) >= 0;
                is_last && self.is_near(SeqNumber(header.seq)) && self.is_acknowledged_by(header)
            }
            Side::Gateway => {
                self.acknowledges(header) && (self.is_deaf() || self.gateway_end_near(fin).is_some())
            }
        };
        if !is_own {
            return None;
        }
        self.marks |= match by {
            Side::Client => mark::CLIENT_FIN,
            Side::Gateway => mark::GATEWAY_FIN,
        };
        Some(fin)
    }

    /// Whether FINs of both sides were seen.
    pub(super) fn is_closed_by_both(&self) -> bool {
        self.has(mark::CLIENT_FIN) && self.has(mark::GATEWAY_FIN)
    }

    /// Whether the client has all that the gateway sent before its FIN, if nothing more is known of the gateway's
    /// stream than that it has come up to `seen`.
    pub(super) fn has_all_before(&self, fin: SeqNumber, seen: Option<SeqNumber>) -> bool {
        let is_before =
            |number: SeqNumber| fin.offset_from(number) <= 0 && number.distance_from(fin) <= WINDOW;
        self.known == 0
            || self.is_deaf()
            || seen.is_some_and(is_before)
            || self.numberings().iter().any(|sent| is_before(sent.acked))
    }

    /// Whether a packet of the gateway acknowledges something of this connection; also if it acknowledges nothing.
    pub(super) fn acknowledges(&self, header: &EventHeader) -> bool {
        header.tcp_flags & tcp_flags::ACK == 0 || self.is_near(SeqNumber(header.ack))
    }

    /// Whether a packet of the client acknowledges something of this connection; also if it acknowledges nothing.
    fn is_acknowledged_by(&self, header: &EventHeader) -> bool {
        header.tcp_flags & tcp_flags::ACK == 0
            || self.is_deaf()
            || self.gateway_end_near(SeqNumber(header.ack)).is_some()
    }

    fn is_near(&self, number: SeqNumber) -> bool {
        datapath::is_near(number, self.start.minus(1))
    }

    fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    fn numberings(&self) -> &[Sent] {
        &self.gateway[..usize::from(self.known)]
    }
}

/// The number after the last one that a packet takes.
fn end_of(header: &EventHeader) -> SeqNumber {
    let is_fin = header.tcp_flags & tcp_flags::FIN != 0;
    SeqNumber(header.seq).plus(header.payload_len).plus(u32::from(is_fin))
}
