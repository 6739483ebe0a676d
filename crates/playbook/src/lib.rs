//! The verbs that answer a question and end: what support and operators do with a capture, a log, a configuration or a
//! gateway.
//!
//! ```text
//! replay (captures)   check (a gateway)   logs (access logs)   routes (configuration)   collect (a bundle)
//!     └──────────────────────┴── diagnose (cause and fix) ──────────────┘
//! ```
//!
//! Each takes its own `Config`, prints its answer, and returns the exit code: 0 is fine, 1 a bad answer, 2 no answer.
#![forbid(unsafe_code)]

mod certificate;
pub mod check;
pub mod collect;
pub mod diagnose;
pub mod logs;
pub mod replay;
pub mod routes;

/// The exit code of a verb that could not do all that it was asked.
const COULD_NOT_RUN: u8 = 2;
