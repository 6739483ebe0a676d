//! Clients from whom hellos without SNI are no news: load balancers, health checks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// From where Google Cloud's load balancers (Google front ends) and health checks connect to their backends, without SNI.
/// Source: cloud.google.com/load-balancing/docs/firewall-rules and …/health-checks#firewall_rules, read in 2026.
pub const GCP_LB: &[IpNet] = &[
    // Front ends, and health checks of nearly all load balancers.
    v4([35, 191, 0, 0], 16),
    v4([130, 211, 0, 0], 22),
    // Health checks of passthrough load balancers.
    v4([209, 85, 152, 0], 22),
    v4([209, 85, 204, 0], 22),
    // Front ends, and health checks, to backends with IPv6.
    v6([0x2600, 0x2d00, 0x1, 0xb029, 0, 0, 0, 0], 64),
    v6([0x2600, 0x2d00, 0x1, 0x1, 0, 0, 0, 0], 64),
];

const fn v4(octets: [u8; 4], size: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from_octets(octets), size))
}

const fn v6(segments: [u16; 8], size: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from_segments(segments), size))
}

/// A set of addresses.
#[derive(Clone, Debug, Default)]
pub struct ExpectedSources {
    /// In order, and none within another: an address is in the last that begins before it, or in none.
    subnets: Vec<IpNet>,
}

impl ExpectedSources {
    /// The addresses of all `subnets`.
    pub fn new(subnets: &[IpNet]) -> Self {
        let mut subnets = IpNet::aggregate(&subnets.to_vec());
        subnets.sort_unstable_by_key(IpNet::network);
        Self { subnets }
    }

    /// Whether `address` is one of them: a binary search.
    pub fn contain(&self, address: IpAddr) -> bool {
        let after = self.subnets.partition_point(|subnet| subnet.network() <= address);
        after.checked_sub(1).is_some_and(|last| self.subnets[last].contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::{ExpectedSources, GCP_LB};

    fn contain(sources: &ExpectedSources, address: &str) -> bool {
        sources.contain(address.parse().unwrap())
    }

    #[test]
    fn none_are_expected_by_default() {
        assert!(!contain(&ExpectedSources::default(), "35.191.0.1"));
    }

    #[test]
    fn googles_load_balancers() {
        let google = ExpectedSources::new(GCP_LB);
        for address in ["35.191.0.0", "35.191.255.255", "130.211.3.255", "209.85.207.1", "2600:2d00:1:1::9"] {
            assert!(contain(&google, address), "{address}");
        }
        for address in
            ["35.190.255.255", "35.192.0.0", "130.211.4.0", "2600:2d00:1:2::", "::", "255.255.255.255"]
        {
            assert!(!contain(&google, address), "{address}");
        }
    }

    #[test]
    fn subnets_that_overlap_or_touch_are_one() {
        let subnets = [
            "10.0.0.0/8",
            "10.1.0.0/16",
            "192.0.2.128/25",
            "192.0.2.0/25",
            "198.51.100.77/24",
            "2001:db8::/32",
        ]
        .map(|subnet| subnet.parse().unwrap());
        let sources = ExpectedSources::new(&subnets);
        for address in ["10.200.0.1", "192.0.2.1", "192.0.2.200", "198.51.100.1", "2001:db8:ffff::"] {
            assert!(contain(&sources, address), "{address}");
        }
        assert!(!contain(&sources, "192.0.3.0") && !contain(&sources, "11.0.0.0"));
    }
}
