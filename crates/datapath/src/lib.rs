//! What kernel and user space share: the event ABI ([`event`], [`counters`]) and the step from a
//! packet to an event ([`datapath`]).
//!
//! ```text
//! frame ──▶ wire, tunnel (IP headers) ──▶ segment (TCP) ──▶ datapath (is it ours, which stage?) ──▶ Event
//!                                                │  ▲
//!                                                ▼  │
//!                                            flow_table
//! ```
//!
//! The crate is `no_std` and has no `unsafe`: the same code is compiled into the TC programs and
//! into user space, where captures, tests and fuzzers drive it.
#![no_std]
#![forbid(unsafe_code)]
#![expect(
    clippy::inline_always,
    reason = "in a BPF program a call is a subprogram, which the verifier treats apart"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "fields are cut out of words; a panic has no place in a BPF program"
)]

pub mod answer;
pub mod counters;
pub mod datapath;
pub mod event;
pub mod flow_table;
pub mod ports;
pub mod segment;
pub mod seq;
pub mod tunnel;
#[cfg(not(target_arch = "bpf"))]
pub mod userspace;
pub mod wire;
