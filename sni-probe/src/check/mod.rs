//! `check`: connects to a gateway with and without SNI, and tells what it does.

pub(crate) mod report;
