//! From the ServerHello to the end of the handshake: which segments are passed on, and which one is the last.
//!
//! ```text
//! ServerHello ─▶ ANSWERED ─▶ client's reply ─▶ REPLIED ─▶ a record of the gateway, and more of the client ─▶ DONE
//!                   └ small segments of the gateway                └ or MAX_REPLY_PIECES of the client
//! ```
//!
//! Where records begin in the stream, the core keeps. The datapath only looks at the first bytes of a segment: an endpoint
//! that has waited for the other one begins its next record with a segment.

use super::Segment;
use crate::event::{FOLLOW_UP_COPY, REACTION_COPY, flags};
use crate::flow_table::{Entry, FlowHash, MAX_FLIGHT_PIECES, MAX_REPLY_PIECES, pieces, stage};
use crate::wire::{Packet, Unreadable};

/// Payload from which on a segment of the gateway's flight cannot be an alert: such segments are not passed on.
const MAX_ALERT_SEGMENT: usize = 256;

/// Bytes of a record with a change of cipher specs. A client may send it alone before its reply (`GnuTLS` and Java do).
const CHANGE_CIPHER_SPEC: usize = 6;

/// The largest number of [`Entry::pieces`].
const MAX_PIECES: u8 = 7;

/// The entry after payload of the client on a connection with a ServerHello. `event_flags` gets
/// [`LAST`](flags::LAST) if nothing more will be passed on.
#[inline(always)]
pub(super) fn client_data(entry: Entry, hash: FlowHash, payload_len: usize, event_flags: &mut u8) -> Entry {
    if entry.stage() == stage::ANSWERED {
        let is_before_reply = payload_len == CHANGE_CIPHER_SPEC && entry.pieces() < MAX_PIECES;
        return if is_before_reply {
            entry.with_pieces(stage::ANSWERED, entry.pieces() + 1)
        } else {
            entry.with_pieces(stage::REPLIED, 0)
        };
    }
    // After the gateway's reaction, or at the bound.
    if entry.pieces() >= MAX_REPLY_PIECES {
        *event_flags |= flags::LAST;
        return entry.done(hash);
    }
    entry.with_pieces(stage::REPLIED, entry.pieces() + 1)
}

/// The entry after payload of the gateway on a connection with a ServerHello, and how many bytes of the payload are copied: 0 if the
/// segment is not passed on. `event_flags` as in [`client_data`].
#[inline(always)]
pub(super) fn gateway_data<P: Packet>(
    packet: &P,
    segment: &Segment,
    entry: Entry,
    hash: FlowHash,
    event_flags: &mut u8,
) -> Result<(Entry, u32), Unreadable> {
    let pieces = entry.pieces();
    if entry.stage() == stage::ANSWERED {
        if segment.payload_len > MAX_ALERT_SEGMENT || pieces >= MAX_FLIGHT_PIECES {
            return Ok((entry, 0));
        }
        let data_len = (segment.payload_len as u32).min(FOLLOW_UP_COPY);
        return Ok((entry.with_pieces(stage::ANSWERED, pieces + 1), data_len));
    }
    // Whether the client goes on decides. Further segments of the gateway do not: they may be copies of the first.
    if pieces == pieces::REACTED || !begins_record(packet, segment)? {
        return Ok((entry, 0));
    }
    let data_len = (segment.payload_len as u32).min(REACTION_COPY);
    if pieces == 0 {
        return Ok((entry.with_pieces(stage::REPLIED, pieces::REACTED), data_len));
    }
    // The client has gone on after its reply.
    *event_flags |= flags::LAST;
    Ok((entry.done(hash), data_len))
}

/// Whether the segment begins like a TLS record (RFC 8446, section 5.1): a type from 20 to 23, version 3.x, less than
/// 2^15 bytes.
#[inline(always)]
fn begins_record<P: Packet>(packet: &P, segment: &Segment) -> Result<bool, Unreadable> {
    if segment.payload_len < 5 {
        return Ok(false);
    }
    Ok(packet.u32_at(segment.payload_offset)? & 0xfcff_f880 == 0x1403_0000)
}

const _: () = assert!(MAX_REPLY_PIECES < pieces::REACTED);
