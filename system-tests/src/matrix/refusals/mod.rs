//! How real gateways refuse a hello without SNI, or with an unknown name, and the outcomes that sni-probe reports for it.

mod list;
mod report;
mod response;
mod run;
mod rustls_gateway;
mod sent_name;
mod setups;

pub use report::{Refusals, render};
pub use run::run_all;
