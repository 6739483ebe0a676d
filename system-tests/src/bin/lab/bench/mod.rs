//! Benchmarks: what sni-probe costs, and how it does beside other programs.

mod capture;
pub(crate) mod measure;
pub(crate) mod replay;
mod report;
pub(crate) mod system;
