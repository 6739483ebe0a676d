//! `logs`: what a gateway's access logs say of clients that were refused before they had a certificate.

pub(crate) mod report;
