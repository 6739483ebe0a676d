//! JA3: an MD5 over what a client offers, in its order (Salesforce, "TLS Fingerprinting with JA3 and
//! JA3S", 2017).

use md5::{Digest, Md5};

use crate::digits::{push_decimal, push_hex_bytes};
use crate::lists::{Lists, is_grease};

/// The fingerprint: 32 lower-case hexadecimal digits.
pub fn fingerprint(lists: &Lists) -> String {
    hex(&text(lists))
}

/// What the fingerprint is made of: version, cipher suites, extensions, groups and point formats as
/// decimal numbers, without GREASE.
pub fn text(lists: &Lists) -> String {
    // Five digits and a dash for most numbers.
    let numbers = lists.ciphers.len() + lists.extensions.len() + lists.groups.len();
    let mut text = String::with_capacity(16 + 6 * numbers + 4 * lists.point_formats.len());
    push_decimal(&mut text, lists.legacy_version.into());
    for values in [&lists.ciphers, &lists.extensions, &lists.groups] {
        let values = values.iter().copied().filter(|&value| !is_grease(value));
        push_dashed(&mut text, values.map(u32::from));
    }
    push_dashed(&mut text, lists.point_formats.iter().copied().map(u32::from));
    text
}

/// The fingerprint of an SSLv2-format hello, made of its version and cipher codes alone.
pub(crate) fn of_sslv2(version: u16, ciphers: &[u32]) -> String {
    let mut text = String::new();
    push_decimal(&mut text, version.into());
    push_dashed(&mut text, ciphers.iter().copied());
    text.push_str(",,,");
    hex(&text)
}

/// Appends a comma, and the values with dashes between them.
fn push_dashed(text: &mut String, values: impl IntoIterator<Item = u32>) {
    let mut separator = ',';
    for value in values {
        text.push(separator);
        separator = '-';
        push_decimal(text, value);
    }
    if separator == ',' {
        text.push(separator);
    }
}

fn hex(text: &str) -> String {
    let mut digits = String::with_capacity(32);
    push_hex_bytes(&mut digits, &Md5::digest(text));
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the JA3 announcement.
    #[test]
    fn known_answer() {
        let lists = Lists {
            legacy_version: 769,
            ciphers: vec![47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
            extensions: vec![0, 10, 11],
            groups: vec![23, 24, 25],
            point_formats: vec![0],
            ..Lists::default()
        };
        let expected = "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0";
        assert_eq!(text(&lists), expected);
        assert_eq!(fingerprint(&lists), "ada70206e40642a3e4461f35503241d5");
    }

    /// The announcement's other example: a hello without extensions.
    #[test]
    fn known_answer_without_extensions() {
        let ciphers = vec![4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99];
        let lists = Lists { legacy_version: 769, ciphers, ..Lists::default() };
        assert_eq!(text(&lists), "769,4-5-10-9-100-98-3-6-19-18-99,,,");
        assert_eq!(fingerprint(&lists), "de350869b8c85de67a350c8d186f11e6");
    }

    #[test]
    fn grease_is_left_out() {
        let lists = Lists {
            legacy_version: 771,
            ciphers: vec![0x1a1a, 0x1301],
            extensions: vec![0xfafa, 0, 0x2a2a],
            groups: vec![0x3a3a, 29],
            ..Lists::default()
        };
        assert_eq!(text(&lists), "771,4865,0,29,");
    }
}
