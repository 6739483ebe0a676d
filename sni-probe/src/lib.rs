//! The kernel side as user space sees it: loading the TC programs, attaching them, reading their
//! events. A library so that the system tests and benchmarks drive the programs that the daemon runs.
//! And [`capture_file`], which reads and writes captures for `replay`; [`privileges`], which the daemon gives up.
#![deny(unsafe_code)]

pub mod capture;
pub mod capture_file;
pub mod privileges;
