//! The scenarios, a module a subject, a function a gap that public captures leave.

pub mod fragments;
pub mod openings;
pub mod outcomes;
pub mod records;
pub mod segments;
pub mod sizes;

use super::Scenario;
use crate::hello::ClientHelloBuilder;

/// The name that hellos with SNI have.
pub(super) const NAME: &str = "api.example.com";
/// With and without SNI.
const EITHER: [Option<&str>; 2] = [Some(NAME), None];

/// The header of a record.
const RECORD_HEADER: usize = crate::hello::RECORD_HEADER;

/// All scenarios. Their names differ.
pub fn all() -> Vec<Scenario> {
    let modules =
        [records::all(), fragments::all(), segments::all(), outcomes::all(), sizes::all(), openings::all()];
    modules.into_iter().flatten().collect()
}

/// A hello with this name, if any.
fn hello(name: Option<&str>) -> ClientHelloBuilder {
    match name {
        Some(name) => ClientHelloBuilder::new().server_name(name),
        None => ClientHelloBuilder::new(),
    }
}

/// For the names of scenarios.
fn with_or_without(name: Option<&str>) -> &'static str {
    if name.is_some() { "with_sni" } else { "without_sni" }
}
