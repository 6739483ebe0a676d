//! Live capture: the TC programs and their maps.
//!
//! ```text
//! links (which interfaces?) ─▶ attach (TCX or clsact) ─▶ programs (load) ─▶ ring (events), counters
//! ```

pub mod attach;
pub mod links;
pub mod preflight;
pub mod programs;
