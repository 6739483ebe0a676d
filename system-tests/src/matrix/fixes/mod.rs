//! Whether the lines of `sni-probe diagnose` for a gateway's own configuration heal what they claim.
//!
//! Each gateway is started in a configuration that refuses, and again with the lines applied. The same clients are refused before
//! and served after. The lines are the files of `crates/playbook/src/diagnose/fix/gateways`, with placeholders replaced.

mod answer;
mod edit;
mod list;
mod report;
mod run;
mod rustls_lines;
mod setups;
mod snippets;

pub use report::{Fault, faults, render};
pub use run::{Healing, run_all};
