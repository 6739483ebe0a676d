//! Pseudonyms for IP addresses: the same for the same address, so that one can still see who did what.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::limits::MAX_ADDRESSES;

/// Which address has which number, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Pseudonyms {
    numbers: HashMap<IpAddr, usize>,
}

impl Pseudonyms {
    /// The text with pseudonyms: IPv4 with dots, or dashes as in names of nodes; IPv6 as usual, or with underscores as
    /// in names of files. Ports and prefix lengths stay.
    pub(super) fn replace(&mut self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = None;
        while !rest.is_empty() {
            let is_begin = before.is_none_or(|character: char| !character.is_ascii_alphanumeric());
            if is_begin && let Some((address, length)) = address(rest) {
                replaced.push_str(&self.pseudonym(address));
                before = Some('0');
                rest = &rest[length..];
                continue;
            }
            // The rest of the word cannot begin an address.
            let length = match rest.find(|character: char| !character.is_ascii_alphanumeric()) {
                Some(0) => rest.chars().next().map_or(1, char::len_utf8),
                Some(end) => end,
                None => rest.len(),
            };
            let (word, after) = rest.split_at(length);
            replaced.push_str(word);
            before = word.chars().next_back();
            rest = after;
        }
        replaced
    }

    fn pseudonym(&mut self, address: IpAddr) -> String {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        let next = self.numbers.len() + 1;
        if next > MAX_ADDRESSES && !self.numbers.contains_key(&address) {
            return format!("{family}-other");
        }
        format!("{family}-{}", self.numbers.entry(address).or_insert(next))
    }
}

/// The address with which the text begins, and its length in bytes.
fn address(text: &str) -> Option<(IpAddr, usize)> {
    v6(text, ':').or_else(|| v6(text, '_')).or_else(|| v4(text, '.')).or_else(|| v4(text, '-'))
}

fn v6(text: &str, separator: char) -> Option<(IpAddr, usize)> {
    let is_part =
        |character: char| character.is_ascii_hexdigit() || character == separator || character == '.';
    let mut run = text.find(|character| !is_part(character)).map_or(text, |end| &text[..end]);
    // A word that goes on is none.
    if text[run.len()..].starts_with(|character: char| character.is_ascii_alphanumeric()) {
        run = run.trim_end_matches(|character: char| character.is_ascii_hexdigit());
    }
    // A full stop or a colon after it belongs to the sentence; a port after an address without brackets cannot be told.
    while run.contains(separator) {
        let usual = run.replace(separator, ":");
        if let Ok(address) = usual.parse::<Ipv6Addr>() {
            return Some((IpAddr::V6(address), run.len()));
        }
        let shorter = run.trim_end_matches([separator, '.']);
        if shorter.len() == run.len() {
            return None;
        }
        run = shorter;
    }
    None
}

fn v4(text: &str, separator: char) -> Option<(IpAddr, usize)> {
    let mut octets = [0_u8; 4];
    let mut at = 0;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            at += text[at..].strip_prefix(separator).map(|_| 1)?;
        }
        let rest = &text[at..];
        let length = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        *octet = rest[..length].parse().ok()?;
        at += length;
    }
    let after = &text[at..];
    let goes_on = after.starts_with(|character: char| character.is_ascii_alphanumeric())
        || after
            .strip_prefix(separator)
            .is_some_and(|after| separator == '.' && after.starts_with(|next: char| next.is_ascii_digit()));
    (!goes_on).then_some((IpAddr::V4(Ipv4Addr::from(octets)), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_has_the_same_pseudonym() {
        let mut pseudonyms = Pseudonyms::default();
        for (text, expected) in [
            ("10.0.0.1:443 -> [fd00::1]:443, 10.0.0.1", "ipv4-1:443 -> [ipv6-2]:443, ipv4-1"),
            ("10.0.0.0/8 ip-10-0-0-1.ec2 ::ffff:10.0.0.1.", "ipv4-3/8 ip-ipv4-1.ec2 ipv6-4."),
            ("Z-fd00__1-51234-x.pcapng Z-10.0.0.1-1-x", "Z-ipv6-2-51234-x.pcapng Z-ipv4-1-1-x"),
            ("client=\"10.0.0.1\",x", "client=\"ipv4-1\",x"),
        ] {
            assert_eq!(pseudonyms.replace(text), expected);
        }
        assert_eq!(Pseudonyms::default().replace("fd00::1: x"), "ipv6-1: x");
    }

    #[test]
    fn what_is_no_address_stays() {
        let mut pseudonyms = Pseudonyms::default();
        for text in [
            "14:03:22.481",
            "2026-11-25T22:10:01.5Z",
            "1.2.3",
            "256.1.1.1",
            "t13i1009h2_d5a907986811_7c6039488acb",
            "std::fs::File",
            "ü.é",
        ] {
            assert_eq!(pseudonyms.replace(text), text);
        }
    }
}
