//! Recognises what follows where no header says it: behind MPLS labels, and in tunnels.

use super::SkipReason;
use super::ether_type::ethernet;
use super::step::{Layer, Payload, Stop, u16_at};

/// Nothing that is known, if there was enough to tell: a control word, an Ethernet header, the lengths of an IP
/// header.
pub(super) fn not_recognized(payload: &Payload<'_>) -> Stop {
    let is_cut = payload.bytes.len() < payload.wire_len.min(4 + 14 + 6);
    if is_cut { Stop::Skipped(SkipReason::Truncated) } else { Stop::Other }
}

/// Whether the first bytes are an IP header whose lengths are possible.
pub(super) fn begins_like_ip(payload: &Payload<'_>) -> bool {
    match payload.bytes.first_chunk::<6>() {
        Some(header) if header[0] >> 4 == 4 => {
            let total = usize::from(u16_at(header, 2));
            header[0] & 0x0f >= 5 && (total == 0 || (20..=payload.wire_len).contains(&total))
        }
        Some(header) if header[0] >> 4 == 6 => usize::from(u16_at(header, 4)) + 40 <= payload.wire_len,
        _ => false,
    }
}

/// Whether the first bytes are an Ethernet header in front of something that is followed.
pub(super) fn begins_like_ethernet(payload: &Payload<'_>) -> bool {
    let mut rest = *payload;
    match ethernet(&mut rest) {
        Ok(Layer::Ipv4 | Layer::Ipv6) => begins_like_ip(&rest),
        Ok(Layer::Vlan | Layer::Mpls | Layer::Pppoe) => true,
        _ => false,
    }
}
