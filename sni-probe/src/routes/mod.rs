//! `routes`: what the configuration of a gateway says of clients without SNI.

pub(crate) mod report;
