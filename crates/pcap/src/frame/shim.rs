//! Headers between an Ethernet address and the packet: backbone tags, MACsec, service headers, tags of switches.

use super::SkipReason;
use super::ether_type::of_type_or_length;
use super::step::{Layer, Next, Payload, Shim, Stop, u16_at};
use super::unread::{Encapsulation, Unread};

/// Reads the header that an `EtherType` announces.
pub(super) fn read(shim: Shim, rest: &mut Payload<'_>) -> Next {
    match shim {
        Shim::BackboneTag => {
            rest.skip(4)?;
            Ok(Layer::Ethernet)
        }
        Shim::Macsec => macsec(rest),
        Shim::Nsh => nsh(rest),
        Shim::Trill => trill(rest),
        Shim::FabricPath => {
            rest.skip(2)?;
            Ok(Layer::Ethernet)
        }
        Shim::Tag(len) => {
            rest.skip(usize::from(len))?;
            ether_type(rest)
        }
    }
}

fn ether_type(rest: &mut Payload<'_>) -> Next {
    let ether_type: &[u8; 2] = rest.take()?;
    of_type_or_length(u16_at(ether_type, 0), rest)
}

/// IEEE 802.1AE, section 9.3: flags, short length, packet number, the sender's identifier if flagged. An integrity
/// check value follows the payload, which has lengths of its own.
fn macsec(rest: &mut Payload<'_>) -> Next {
    const VERSION: u8 = 0x80;
    const HAS_IDENTIFIER: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08;
    const CHANGED: u8 = 0x04;

    let [flags, short_len, ..] = *rest.take::<6>()?;
    if flags & VERSION != 0 {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    if flags & HAS_IDENTIFIER != 0 {
        rest.skip(8)?;
    }
    if flags & (ENCRYPTED | CHANGED) != 0 {
        return Err(Stop::Unread(Unread::Encapsulation(Encapsulation::EncryptedMacsec)));
    }
    if short_len != 0 {
        rest.cut(usize::from(short_len));
    }
    ether_type(rest)
}

/// RFC 8300, section 2.2: version and flags, length in units of 4 bytes, metadata type, next protocol.
fn nsh(rest: &mut Payload<'_>) -> Next {
    let header: &[u8; 4] = rest.header()?;
    let len = usize::from(header[1] & 0x3f) * 4;
    // The service path follows the base header.
    if header[0] >> 6 != 0 || len < 8 {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    rest.skip(len)?;
    match header[3] {
        1 => Ok(Layer::Ipv4),
        2 => Ok(Layer::Ipv6),
        3 => Ok(Layer::Ethernet),
        4 => Ok(Layer::Shim(Shim::Nsh)),
        5 => Ok(Layer::Mpls),
        _ => Err(Stop::Unread(Unread::Encapsulation(Encapsulation::NshPayload))),
    }
}

/// RFC 6325, section 3.1: version (2 bits), 3 bits, length of the options in units of 4 bytes (5 bits), hop count, two
/// nicknames.
fn trill(rest: &mut Payload<'_>) -> Next {
    let header: &[u8; 6] = rest.take()?;
    let word = u16_at(header, 0);
    if word >> 14 != 0 {
        return Err(Stop::Skipped(SkipReason::Malformed));
    }
    rest.skip(usize::from(word >> 6 & 0x1f) * 4)?;
    Ok(Layer::Ethernet)
}
