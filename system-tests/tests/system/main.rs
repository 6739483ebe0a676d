//! The system tests; `cargo xtask system-test` runs them, as root. A module a subject.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alerting;
mod captures;
mod causes;
mod chart;
mod check;
mod clients;
mod dashboard;
mod diagnose;
mod dist;
mod engines;
mod envoy;
mod errors;
mod evidence;
mod expected;
mod gateways;
mod interfaces;
mod lab;
mod ledger;
mod lifecycle;
mod load;
mod logs;
mod matrix;
mod neighbours;
mod other_hosts;
mod packet_sockets;
mod page;
mod parity;
mod places;
mod privileges;
mod prometheus;
mod rules;
mod site;
mod software;
mod tags;
mod tunnels;
mod untouched;
mod watch;
mod web;
