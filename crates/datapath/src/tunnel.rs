//! Packets inside of packets, as overlay networks send them from node to node: VXLAN, Geneve, IP in IP.
//!
//! Off unless asked for, and then without cost: the kernel's verifier knows the [`Tunnels`] of a loaded
//! program as a constant, and removes what they leave unused.

use crate::counters::Counter;
use crate::wire::{
    Fragment, IpHeader, IpVersion, Read, Rejected, after_ethernet, ethertype, ip_header, protocol,
};

/// Which tunnels are looked into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnels(u32);

impl Tunnels {
    /// None.
    pub const NONE: Self = Self(0);
    /// VXLAN (RFC 7348), to UDP port 4789, or 8472, which Linux and flannel take.
    pub const VXLAN: Self = Self(1);
    /// Geneve (RFC 8926), to UDP port 6081.
    pub const GENEVE: Self = Self(2);
    /// IPv4 or IPv6 in IPv4 or IPv6 (RFC 2003, RFC 2473, RFC 4213).
    pub const IPIP: Self = Self(4);

    /// As a number, for the programs' read-only data.
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// From the number that [`Tunnels::bits`] gave.
    #[inline(always)]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// These and `others`.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether there are none.
    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `tunnel` is among these.
    #[inline(always)]
    pub const fn has(self, tunnel: Self) -> bool {
        self.0 & tunnel.0 != 0
    }
}

const VXLAN_PORTS: [u16; 2] = [4789, 8472];
const GENEVE_PORT: u16 = 6081;
/// Bytes of a UDP header.
const UDP: usize = 8;
/// Bytes of the headers of VXLAN, and of Geneve without options.
const TUNNEL_HEADER: usize = 8;

/// Reads the IP header that the tunnel behind `outer` carries. One tunnel is followed: what is inside of
/// a second one is none of this node's.
#[inline(always)]
pub(crate) fn inner<R: Read>(reader: &R, outer: &IpHeader, tunnels: Tunnels) -> Result<IpHeader, Rejected> {
    let carried = match outer.protocol {
        protocol::IPV4 if tunnels.has(Tunnels::IPIP) => Some((IpVersion::V4, outer.next)),
        protocol::IPV6 if tunnels.has(Tunnels::IPIP) => Some((IpVersion::V6, outer.next)),
        protocol::UDP if outer.fragment != Some(Fragment::Later) => behind_udp(reader, outer.next, tunnels)?,
        _ => None,
    };
    let Some((version, at)) = carried else { return Err(Rejected::NotTcp) };
    if outer.fragment.is_some() {
        return Err(Rejected::Skipped(Counter::SkippedFragment));
    }
    ip_header(reader, version, at, outer.end)
}

#[inline(always)]
fn behind_udp<R: Read>(
    reader: &R,
    at: usize,
    tunnels: Tunnels,
) -> Result<Option<(IpVersion, usize)>, Rejected> {
    let port = reader.u16_at(at + 2)?;
    let header = at + UDP;
    if tunnels.has(Tunnels::VXLAN) && (port == VXLAN_PORTS[0] || port == VXLAN_PORTS[1]) {
        return after_ethernet(reader, header + TUNNEL_HEADER, false).map(Some);
    }
    if tunnels.has(Tunnels::GENEVE) && port == GENEVE_PORT {
        // Version, length of the options in units of 4 bytes, flags, protocol (RFC 8926, section 3.4).
        let word = reader.u32_at(header)?;
        let payload = header + TUNNEL_HEADER + ((word >> 22) as usize & 0xfc);
        return match word as u16 {
            ethertype::ETHERNET => after_ethernet(reader, payload, false).map(Some),
            ethertype::IPV4 => Ok(Some((IpVersion::V4, payload))),
            ethertype::IPV6 => Ok(Some((IpVersion::V6, payload))),
            _ => Ok(None),
        };
    }
    Ok(None)
}
