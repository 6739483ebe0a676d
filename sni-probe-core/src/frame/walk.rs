//! One header after the other, from the outermost to TCP.

use super::network::{self, FragmentAt};
use super::shim::Shim;
use super::unread::Unread;
use super::{LinkType, SkipReason, link, tunnel};

/// Headers that are followed in one frame (and in what it makes whole). Stops a frame that is nothing but
/// VLAN tags, or tunnels in tunnels, from taking long. A packet of a container network that is mirrored
/// through a VXLAN tunnel has 8.
pub const MAX_LAYERS: usize = 16;

/// What comes next in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// A frame of this link type.
    Link(LinkType),
    Ethernet,
    /// The tag behind its `EtherType` (IEEE 802.1Q).
    Vlan,
    /// IEEE 802.2, perhaps with SNAP.
    Llc,
    /// IEEE 802.11 data.
    Wlan,
    /// The `PPPoE` session header (RFC 2516), then PPP.
    Pppoe,
    /// RFC 1661 and 1662.
    Ppp,
    /// RFC 3032.
    Mpls,
    /// What an `EtherType` announces before the packet.
    Shim(Shim),
    /// IP of the version that its first byte says.
    Ip,
    Ipv4,
    Ipv6,
    /// RFC 4302.
    AuthenticationHeader,
    /// UDP that may be a tunnel.
    Udp,
    Gre,
    /// RFC 3378.
    EthernetInIp,
}

/// Why there is nothing to follow any longer. (Small, for each step returns it or a [`Layer`].)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// An IP packet that carries TCP. It is the rest, from its header on.
    Tcp,
    /// A fragment. It is the rest, from its IP header on, and nothing behind it.
    Fragment(FragmentAt),
    Other,
    Skipped(SkipReason),
    /// Something that may carry TCP and is not read.
    Unread(Unread),
}

/// A step: what the header says comes next, behind it.
pub(super) type Next = Result<Layer, Stop>;

/// The way through a frame.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) rest: Payload<'a>,
    /// Headers so far.
    pub(super) layers: usize,
    /// There was an IP header, or the place of one.
    pub(super) has_ip: bool,
}

impl Walk<'_> {
    /// Follows the headers of a frame.
    pub(super) fn frame(&mut self, link: LinkType) -> Stop {
        match link::first(link, &mut self.rest) {
            Ok(layer) => self.follow(layer),
            Err(stop) => stop,
        }
    }

    /// Follows the headers of an IP packet.
    pub(super) fn ip(&mut self) -> Stop {
        self.follow(Layer::Ip)
    }

    fn follow(&mut self, mut layer: Layer) -> Stop {
        while self.layers < MAX_LAYERS {
            self.layers += 1;
            self.has_ip |= matches!(layer, Layer::Ip | Layer::Ipv4 | Layer::Ipv6);
            match step(layer, &mut self.rest) {
                Ok(next) => layer = next,
                Err(stop) => return stop,
            }
        }
        Stop::Skipped(SkipReason::TooDeep)
    }
}

fn step(layer: Layer, rest: &mut Payload<'_>) -> Next {
    match layer {
        Layer::Link(link) => link::first(link, rest),
        Layer::Ethernet => link::ethernet(rest),
        Layer::Vlan => link::vlan(rest),
        Layer::Llc => link::llc(rest),
        Layer::Wlan => link::wlan(rest),
        Layer::Pppoe => link::pppoe(rest),
        Layer::Ppp => link::ppp(rest),
        Layer::Mpls => link::mpls(rest),
        Layer::Shim(shim) => shim.read(rest),
        Layer::Ip => network::ip(rest),
        Layer::Ipv4 => network::ipv4(rest),
        Layer::Ipv6 => network::ipv6(rest),
        Layer::AuthenticationHeader => network::authentication_header(rest),
        Layer::Udp => tunnel::udp(rest),
        Layer::Gre => tunnel::gre(rest),
        Layer::EthernetInIp => network::ethernet_in_ip(rest),
    }
}

/// What of a frame is still to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payload<'a> {
    /// As far as captured.
    pub(super) bytes: &'a [u8],
    /// As long as it was: never less than `bytes`.
    pub(super) wire_len: usize,
    /// Where it begins in the frame.
    pub(super) offset: usize,
}

impl<'a> Payload<'a> {
    pub(super) fn new(bytes: &'a [u8], wire_len: usize) -> Self {
        Self { bytes, wire_len: wire_len.max(bytes.len()), offset: 0 }
    }

    /// The first bytes.
    pub(super) fn header<const N: usize>(&self) -> Result<&'a [u8; N], Stop> {
        self.bytes.first_chunk().ok_or_else(|| self.missing(N))
    }

    /// The first bytes, which what follows comes behind.
    pub(super) fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], Stop> {
        let header = self.header()?;
        self.skip(N)?;
        Ok(header)
    }

    /// Goes on `len` bytes further.
    pub(super) fn skip(&mut self, len: usize) -> Result<(), Stop> {
        self.bytes = self.bytes.get(len..).ok_or_else(|| self.missing(len))?;
        self.wire_len -= len;
        self.offset += len;
        Ok(())
    }

    /// Leaves out what is behind the first `len` bytes.
    pub(super) fn cut(&mut self, len: usize) {
        self.bytes = self.bytes.get(..len).unwrap_or(self.bytes);
        self.wire_len = self.wire_len.min(len);
    }

    /// Why there are no `len` bytes.
    fn missing(&self, len: usize) -> Stop {
        let was_there = self.wire_len >= len;
        Stop::Skipped(if was_there { SkipReason::Truncated } else { SkipReason::Malformed })
    }
}
