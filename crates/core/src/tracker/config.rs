//! Settings of a tracker.

use std::time::Duration;

use crate::vocabulary::{Follow, SniClass};

/// How long a hello may take to be complete, and then to get its outcome, unless configured
/// otherwise. Envoy closes a client that is silent for 15 s; what the tracker must see is that end.
pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// Flows at once, unless configured otherwise. Stops a gateway that hangs, or a flood of half hellos,
/// from growing the table; with a hello in each it takes about 40 MiB at its bound.
pub const DEFAULT_MAX_FLOWS: usize = 131_072;

/// Settings of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerConfig {
    /// How long a hello may take to be complete, from the flow's first event on; and then how long
    /// its outcome may take.
    pub handshake_timeout: Duration,
    /// Flows at once; at least 1 is taken.
    pub max_flows: usize,
    /// Whether a hello is looked for behind other bytes than a PROXY header, too: in the first
    /// [`MAX_STREAM_BYTES`](crate::assembler::MAX_STREAM_BYTES) of each connection that does not start with TLS (see
    /// [`prelude`](crate::prelude)). Such a connection becomes an
    /// [`Observation::NonTls`](crate::observation::Observation::NonTls) only when it has ended without one, or its time is over.
    pub preludes: bool,
    /// How far a handshake is followed. The datapath must follow it as far
    /// ([`follows_up`](sni_probe_datapath::datapath::Flows::follows_up)).
    pub follow: Follow,
    /// Of which hellos JA3 and JA4 are made.
    pub fingerprints: Fingerprints,
}

/// Of which hellos fingerprints are made: those that are not read cost nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fingerprints {
    /// Of each.
    #[default]
    All,
    /// Of those without a host name: absent, empty, invalid.
    WithoutSni,
    /// Of none.
    None,
}

impl Fingerprints {
    pub(crate) fn are_wanted(self, sni: SniClass) -> bool {
        match self {
            Self::All => true,
            Self::WithoutSni => sni != SniClass::Present,
            Self::None => false,
        }
    }
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: DEFAULT_HANDSHAKE_TIMEOUT,
            max_flows: DEFAULT_MAX_FLOWS,
            preludes: false,
            follow: Follow::Hello,
            fingerprints: Fingerprints::All,
        }
    }
}
