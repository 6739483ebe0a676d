//! The names in a certificate. It is read, never verified.

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{X509Certificate, X509Name};

/// Names of a certificate that are reported.
const MAX_NAMES: usize = 100;

/// Returns the alternative names of all kinds.
pub(crate) fn alternative_names<'a>(certificate: &'a X509Certificate<'a>) -> &'a [GeneralName<'a>] {
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.as_slice(),
        Ok(None) | Err(_) => &[],
    }
}

/// Returns the first 100 host names and addresses among the alternative names; without any, the common name.
pub(crate) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = alternative_names(certificate).iter().filter_map(name_of);
    let mut names: Vec<_> = names.take(MAX_NAMES).collect();
    if names.is_empty() {
        names.extend(common_name(certificate.subject()).filter(|name| !name.is_empty()));
    }
    names
}

/// Returns the first common name.
pub(crate) fn common_name(name: &X509Name<'_>) -> Option<String> {
    name.iter_common_name().next()?.as_str().ok().map(str::to_owned)
}

/// Returns the address of an alternative name; `None` if the length fits neither version of IP.
pub(crate) fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => ip_address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}
