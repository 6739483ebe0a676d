//! The TCP sockets of this network namespace: does a gateway live here?

use std::net::IpAddr;

use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};

/// Whether this process's network namespace has a TCP socket on one of the `ports` at one of the `addresses`, or at any
/// address: a gateway that listens, or its connections. `false` where `/proc/net` cannot be read.
pub fn have_gateway(ports: &[u16], addresses: &[IpAddr]) -> bool {
    [tcp(), tcp6()].into_iter().flatten().flatten().any(|entry| is_gateway(&entry, ports, addresses))
}

fn is_gateway(entry: &TcpNetEntry, ports: &[u16], addresses: &[IpAddr]) -> bool {
    let address = entry.local_address.ip().to_canonical();
    entry.state != TcpState::SynSent
        && ports.contains(&entry.local_address.port())
        && (address.is_unspecified() || addresses.contains(&address))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_listener_is_found_by_port_and_address() {
        let here = IpAddr::from(Ipv4Addr::new(127, 3, 2, 1));
        let elsewhere = IpAddr::from(Ipv4Addr::new(127, 3, 2, 2));
        let listener = TcpListener::bind((here, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(have_gateway(&[1, port], &[elsewhere, here]));
        assert!(!have_gateway(&[port], &[elsewhere]));
        assert!(!have_gateway(&[1], &[here]));
        drop(listener);
        assert!(!have_gateway(&[port], &[here]));
    }

    #[test]
    fn a_listener_on_all_addresses() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(have_gateway(&[port], &[IpAddr::from(Ipv4Addr::LOCALHOST)]));
    }
}
