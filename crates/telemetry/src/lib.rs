//! What the daemon and `replay` give to other programs: metrics for Prometheus, and events, a line for each handshake.
#![forbid(unsafe_code)]

pub mod events;
pub mod metrics;
