//! One header after the other, from the outermost to TCP.

use super::step::{Layer, Next, Payload, Stop};
use super::{LinkType, SkipReason, ether_type, link, network, shim, tunnel};

/// Headers that are followed in one frame (and in what it makes whole). Stops a frame that is nothing but
/// VLAN tags, or tunnels in tunnels, from taking long. A packet of a container network that is mirrored
/// through a VXLAN tunnel has 8.
pub const MAX_LAYERS: usize = 16;

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
        Layer::Ethernet => ether_type::ethernet(rest),
        Layer::Vlan => link::vlan(rest),
        Layer::Llc => link::llc(rest),
        Layer::Wlan => link::wlan(rest),
        Layer::Pppoe => link::pppoe(rest),
        Layer::Ppp => link::ppp(rest),
        Layer::Mpls => link::mpls(rest),
        Layer::Shim(shim) => shim::read(shim, rest),
        Layer::Ip => network::ip(rest),
        Layer::Ipv4 => network::ipv4(rest),
        Layer::Ipv6 => network::ipv6(rest),
        Layer::AuthenticationHeader => network::authentication_header(rest),
        Layer::Udp => tunnel::udp(rest),
        Layer::Gre => tunnel::gre(rest),
        Layer::EthernetInIp => network::ethernet_in_ip(rest),
    }
}
