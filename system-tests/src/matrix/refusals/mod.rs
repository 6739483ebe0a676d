//! How real gateways refuse a hello without SNI, or with an unknown name, and the outcomes that sni-probe reports for it.

pub(super) mod list;
mod report;
mod response;
mod run;
pub(super) mod rustls_gateway;
pub(super) mod sent_name;
pub(super) mod setups;

pub use report::{Refusals, render};
pub use run::run_all;
