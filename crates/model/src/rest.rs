//! Label values that stand for what has no series of its own.
//!
//! No value from the wire equals one of them: such a client would make two series of one name, of which Prometheus drops one.

/// All server names, or words of a log, without an entry of their own. A host name has no angle brackets.
pub const REST: &str = "<other>";

/// All clients without series of their own. An address, a subnet has a dot or a colon; a hash has 16 hexadecimal digits.
pub const OTHER_CLIENTS: &str = "other";

/// All clients of `--expected-non-sni`.
pub const KNOWN_CLIENTS: &str = "expected";

/// All JA4 fingerprints without series of their own. A JA4 has two underscores.
pub const OTHER_FINGERPRINTS: &str = "other";

/// All gateways without series of their own, as namespace and workload. A pod's namespace is never empty.
pub const OTHER_GATEWAYS: [&str; 2] = ["", "other"];
