//! A connection that is followed, and which packets are its own.

use sni_probe_datapath::event::{EventHeader, flags, kind, tcp_flags};
use sni_probe_datapath::seq::SeqNumber;

use super::connection::{Connection, Side, Standing};
use super::ending::Over;
use super::state::FlowState;
use crate::flow::Relation;

/// A connection, and what it is doing.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) connection: Connection,
    pub(super) state: FlowState,
}

impl Flow {
    /// What a packet of a client is to the flow.
    pub(super) fn relation(&self, header: &EventHeader) -> Relation {
        let relation = self.connection.origin().relation(header);
        // The same initial sequence number again: a device that always begins with the same number, or a late copy of the SYN.
        // The gateway's numbers tell: they begin elsewhere each time (RFC 9293, section 3.4.1).
        let is_first = header.kind == kind::CLIENT_DATA && header.flags & flags::FIRST != 0;
        if relation != Relation::Own || !is_first {
            return relation;
        }
        let is_later = if header.tcp_flags & tcp_flags::ACK == 0 {
            self.state.is_over()
        } else {
            let ack = SeqNumber(header.ack);
            // A late copy acknowledges nothing that came after the hello.
            let is_closed = matches!(self.state, FlowState::Over(Over::Closed));
            let is_beyond = |end: SeqNumber| is_closed && ack.offset_from(end) > 0;
            self.connection.gateway_end_near(ack).is_none_or(is_beyond)
        };
        if is_later { Relation::Later } else { Relation::Own }
    }

    /// Whether a packet of the gateway is one of the flow's connection.
    pub(super) fn is_answered_by(&self, header: &EventHeader) -> bool {
        if self.connection.origin().relation(header) == Relation::Own {
            return self.connection.acknowledges(header);
        }
        // A RST without an acknowledgement may be of any connection that has its addresses and ports.
        header.tcp_flags & (tcp_flags::RST | tcp_flags::ACK) == tcp_flags::RST
            && self.connection.reset(Side::Gateway, header) == Standing::Exact
    }
}
