//! The lines that make clients send SNI (`crates/playbook/src/diagnose/clients.tsv`), tried with real clients.
//!
//! Each client connects to a listener that records its ClientHello, once without and once with the line. The line holds if
//! the client sent no host name without it, and the gateway's name with it.

mod list;
mod recorder;
mod report;
mod run;
mod table;

pub use report::{Trial, is_success, render, rewritten};
pub use run::run_all;
