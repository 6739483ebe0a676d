//! Live capture: the TC programs and their maps, or packet sockets where there can be no programs.
//!
//! ```text
//!                                ┌─▶ attach (TCX or clsact) ─▶ programs (load; ring of events, counters)
//! netns ─▶ links (which          │        └─▶ preceding (what runs before ours?)
//!          interfaces?) ─────────┤
//!                                └─▶ packet_socket (filter, ring) ─▶ datapath in user space
//! ```
#![deny(unsafe_code)]

pub mod attach;
mod errno;
mod filters;
pub mod links;
pub mod netns;
pub mod packet_socket;
pub mod preceding;
pub mod preflight;
pub mod privileges;
pub mod programs;
pub mod seed;
pub mod sockets;
