//! sni-probe in a real Kubernetes of one node; `cargo xtask cluster-test` runs these tests, as root, one after the other.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_server;
mod chart;
mod counts;
mod definitions;
mod manifests;
mod names;
mod objects;
mod probes;
mod removal;
mod site;
mod upgrade;
mod verbs;
