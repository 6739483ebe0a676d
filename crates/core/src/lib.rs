//! The sans-IO core: events of single packets in, observations of whole handshakes out.
//!
//! ```text
//! Event ─▶ flow ─▶ assembler ─▶ opening: proxy_header ─▶ record ─▶ client_hello ─┐
//!                      │                              └▶ sslv2 ─────────────────┼─▶ tracker ─▶ Observation
//!                      ├──────────────▶ server_reply ───────────────────────────┤
//!                      └─▶ record_walk ─▶ completion ───────────────────────────┘
//! ```
//!
//! No clock, no socket, no async runtime, no metrics: time is an argument ([`Timestamp`]), and what
//! was seen is polled ([`Tracker::poll_observation`]). A driver feeds it from the ring buffer or from
//! a capture file, and gets the same answers.
#![forbid(unsafe_code)]

pub mod assembler;
pub mod client_hello;
pub mod clients;
mod completion;
mod digits;
pub mod distinct;
pub mod flow;
pub mod holding;
pub mod ja3;
pub mod ja4;
pub mod last_hour;
pub mod lists;
pub mod observation;
pub mod opening;
pub mod parsed;
pub mod prelude;
pub mod proxy_header;
mod reader;
pub mod record;
mod record_walk;
pub mod server_hello;
pub mod server_name;
pub mod server_reply;
pub mod software;
pub mod sslv2;
pub mod tally;
#[cfg(test)]
mod testing;
pub mod top;
pub mod tracker;
pub mod vocabulary;

pub use flow::{FlowKey, Timestamp};
pub use observation::Observation;
pub use tracker::{Tracker, TrackerConfig};
