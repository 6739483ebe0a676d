//! Combinations of real clients and real gateways, and the outcomes that sni-probe reports for them.
//!
//! The truth about a handshake is the client's own report. Each combination has client ports of its own, which identify its
//! events. Two daemons watch the same packets: one with TC programs, one with packet sockets. A third reader ([`wire`])
//! shares no code with them, and shows the records on the wire.
//!
//! `cargo xtask gateways` runs all combinations. A system test runs a sample.

pub mod authority;
pub mod client_lines;
pub mod clients;
pub mod combination;
pub mod fixes;
pub mod gateways;
mod lab_files;
pub mod places;
pub mod refusals;
pub mod report;
mod run;
mod rustls_client;
pub mod selections;
pub mod situation;
mod watch;
pub mod wire;

pub use run::run_all;
