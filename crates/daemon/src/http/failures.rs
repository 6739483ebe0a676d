//! How many wrong passwords a peer may send.
//!
//! A bucket for each address (of IPv6 for each /64, which is what one host has): a guess takes a token, a right
//! password gives it back, and time does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Wrong passwords in a row.
const BURST: u32 = 10;
/// Time after which one more may be tried.
const REFILL: Duration = Duration::from_secs(2);
/// Peers that are remembered. An attacker who has more addresses is slowed down by the bound on passwords that
/// are checked at once, and by nothing else.
const MAX_PEERS: usize = 1024;

/// The guesses of each peer.
#[derive(Debug, Default)]
pub(super) struct Failures {
    buckets: HashMap<IpAddr, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// Guesses that time has not forgiven yet.
    taken: u32,
    /// Until when the time that forgives has been counted.
    counted: Instant,
}

impl Bucket {
    fn forgive(&mut self, now: Instant) {
        while self.taken > 0 && now.duration_since(self.counted) >= REFILL {
            self.taken -= 1;
            self.counted += REFILL;
        }
    }
}

impl Failures {
    /// Whether `peer` may have a password checked; if so, that counts as a wrong one until [`Failures::was_right`].
    pub(super) fn may_try(&mut self, peer: IpAddr, now: Instant) -> bool {
        if self.buckets.len() >= MAX_PEERS {
            self.forget(now);
        }
        let bucket = self.buckets.entry(host(peer)).or_insert(Bucket { taken: 0, counted: now });
        bucket.forgive(now);
        if bucket.taken == 0 {
            bucket.counted = now;
        }
        let may = bucket.taken < BURST;
        bucket.taken += u32::from(may);
        may
    }

    /// The last password that `peer` tried was right.
    pub(super) fn was_right(&mut self, peer: IpAddr) {
        if let Some(bucket) = self.buckets.get_mut(&host(peer)) {
            bucket.taken = bucket.taken.saturating_sub(1);
        }
    }

    /// Forgets whom time has forgiven; all, if that is nobody.
    fn forget(&mut self, now: Instant) {
        self.buckets.retain(|_, bucket| {
            bucket.forgive(now);
            bucket.taken > 0
        });
        if self.buckets.len() >= MAX_PEERS {
            self.buckets.clear();
        }
    }
}

fn host(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_is_let_through_then_one_at_a_time() {
        let (mut failures, start, peer) = (Failures::default(), Instant::now(), v6("192.0.2.1"));
        let tries = (0..BURST + 5).filter(|_| failures.may_try(peer, start)).count();
        assert_eq!(tries, BURST as usize);
        assert!(failures.may_try(v6("192.0.2.2"), start));
        assert!(!failures.may_try(peer, start + REFILL / 2));
        assert!(failures.may_try(peer, start + REFILL));
        assert!(!failures.may_try(peer, start + REFILL));
        let later = start + REFILL * 100;
        assert_eq!((0..100).filter(|_| failures.may_try(peer, later)).count(), BURST as usize);
    }

    #[test]
    fn right_passwords_cost_nothing() {
        let (mut failures, now, peer) = (Failures::default(), Instant::now(), v6("192.0.2.1"));
        for _ in 0..3 * BURST {
            assert!(failures.may_try(peer, now));
            failures.was_right(peer);
        }
    }

    #[test]
    fn one_host_is_one_peer_and_peers_are_bounded() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for host in 0..u128::from(BURST) {
            assert!(failures.may_try(IpAddr::V6((v6_prefix(7) | host).into()), now));
        }
        assert!(!failures.may_try(IpAddr::V6((v6_prefix(7) | 0xffff).into()), now));
        for network in 0..3000 {
            assert!(failures.may_try(IpAddr::V6(v6_prefix(1000 + network).into()), now));
            assert!(failures.buckets.len() <= MAX_PEERS);
        }
    }

    fn v6_prefix(network: u128) -> u128 {
        (0x2001_0db8 << 96) | (network << 64)
    }
}
