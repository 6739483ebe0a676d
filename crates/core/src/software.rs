//! Names the software that likely sent a ClientHello, by its fingerprint.
//!
//! The table is `software.tsv`: real clients, recorded in the lab (`docs/software.md` says how). A hello is looked up by its
//! shape: what JA4 says of it, without the server's name and ALPN. The caller chooses both per connection, and neither
//! distinguishes a program from others that use the same library.

use std::sync::LazyLock;

use crate::observation::Hello;

/// One line per fingerprint. Comments begin with `#`.
const TABLE: &str = include_str!("software.tsv");

/// Stands for a fingerprint that identifies nothing.
const NONE: &str = "-";

/// JA4 writes counts with two digits; 99 stands for more as well.
const MAX_COUNT: u8 = 99;

/// Returns the software that was recorded with the shape of this JA4 fingerprint, else with this JA3 fingerprint.
///
/// The text is the TLS library with the versions that send such hellos, such as `OpenSSL 1.1 to 3.0`. A program follows in
/// parentheses only where the cipher suites are its own: `OpenSSL 3.0 (Python)`. `None` if neither is known. Allocates in the
/// first call only.
pub fn likely(ja4: Option<&str>, ja3: Option<&str>) -> Option<&'static str> {
    static RECORDED: LazyLock<Recorded> = LazyLock::new(Recorded::read);
    let by_shape = ja4.and_then(Shape::of).and_then(|shape| find(&RECORDED.by_shape, &shape));
    by_shape.or_else(|| ja3.and_then(|ja3| find(&RECORDED.by_ja3, &ja3)))
}

/// Returns the software that likely sent this hello: [`likely`]. `None` as well if the hello is incomplete or has no fingerprint.
pub fn likely_sender(hello: &Hello) -> Option<&'static str> {
    let body = hello.body.as_ref()?;
    likely(body.ja4.as_deref(), body.ja3.as_deref())
}

/// A JA4 fingerprint without what it says of `server_name` and ALPN. Its last part hashes neither extension, so hellos of
/// one shape have the same other extensions and signature algorithms; its middle part is the same cipher suites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape<'a> {
    /// `t13`.
    version: &'a str,
    /// Number of cipher suites, two digits.
    ciphers: &'a str,
    /// Extensions other than `server_name` and ALPN.
    extensions: u8,
    /// Both hashes.
    hashes: &'a str,
}

impl<'a> Shape<'a> {
    /// `None` if the text is not a JA4 fingerprint, or its number of extensions is not exact.
    fn of(ja4: &'a str) -> Option<Self> {
        let has_name = match ja4.get(3..4)? {
            "d" => true,
            "i" => false,
            _ => return None,
        };
        let has_alpn = ja4.get(8..10)? != "00";
        let extensions = ja4.get(6..8)?.parse::<u8>().ok().filter(|&count| count < MAX_COUNT)?;
        Some(Self {
            version: ja4.get(..3)?,
            ciphers: ja4.get(4..6)?,
            extensions: extensions.checked_sub(u8::from(has_name) + u8::from(has_alpn))?,
            hashes: ja4.get(10..)?,
        })
    }
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
struct Line {
    ja4: &'static str,
    /// None, one or several.
    ja3: &'static str,
    software: &'static str,
}

impl Line {
    fn ja3(self) -> impl Iterator<Item = &'static str> {
        self.ja3.split(',').filter(|ja3| *ja3 != NONE)
    }
}

/// Returns the well-formed lines; a test ensures that all are.
fn lines() -> impl Iterator<Item = Line> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        Some(Line { ja4: columns.next()?, ja3: columns.next()?, software: columns.next()? })
    })
}

/// The table, each list sorted.
struct Recorded {
    by_shape: Vec<(Shape<'static>, &'static str)>,
    by_ja3: Vec<(&'static str, &'static str)>,
}

impl Recorded {
    fn read() -> Self {
        let mut by_shape: Vec<_> =
            lines().filter_map(|line| Some((Shape::of(line.ja4)?, line.software))).collect();
        by_shape.sort_unstable();
        by_shape.dedup();
        let mut by_ja3: Vec<_> =
            lines().flat_map(|line| line.ja3().map(move |ja3| (ja3, line.software))).collect();
        by_ja3.sort_unstable();
        by_ja3.dedup();
        Self { by_shape, by_ja3 }
    }
}

fn find<K: Ord>(named: &[(K, &'static str)], key: &K) -> Option<&'static str> {
    let index = named.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
    named.get(index).map(|(_, software)| *software)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// How `docs/software.md` names the columns.
    const COLUMNS: &str = "# ja4\tja3\tsoftware\trecorded_from\tinvoked";

    fn rows() -> Vec<Vec<&'static str>> {
        let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
        rows.map(|line| line.split('\t').collect()).collect()
    }

    fn is_lower_hex(text: &str) -> bool {
        text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// JA4 of a hello over TCP.
    fn is_ja4(text: &str) -> bool {
        let parts: Vec<&str> = text.split('_').collect();
        let &[first, ciphers, extensions] = parts.as_slice() else { return false };
        let is_known = ["t13", "t12", "t11", "t10"].iter().any(|start| first.starts_with(start))
            && matches!(first.as_bytes().get(3), Some(b'i' | b'd'));
        let counts = first.get(4..8).unwrap_or_default();
        let hashes = [ciphers, extensions];
        is_known
            && first.len() == 10
            && counts.bytes().all(|byte| byte.is_ascii_digit())
            && hashes.iter().all(|hash| hash.len() == 12 && is_lower_hex(hash))
    }

    #[test]
    fn the_table_is_well_formed() {
        assert!(TABLE.lines().any(|line| line == COLUMNS));
        for row in rows() {
            let [ja4, ja3, software, from, invoked] = row.as_slice() else {
                panic!("not five columns: {row:?}")
            };
            assert!(is_ja4(ja4), "{row:?}");
            let is_ja3 = |ja3: &str| ja3.len() == 32 && is_lower_hex(ja3);
            assert!(*ja3 == NONE || ja3.split(',').all(is_ja3), "{row:?}");
            for text in [software, from, invoked] {
                assert!(!text.is_empty() && text.trim() == *text && text.is_ascii(), "{row:?}");
            }
        }
    }

    #[test]
    fn the_table_is_sorted_and_names_each_fingerprint_once() {
        let rows = rows();
        let sorted = rows.iter().map(|row| row[0]).collect::<Vec<_>>();
        assert!(sorted.is_sorted_by(|one, next| one < next), "{sorted:#?}");
        let table = Recorded::read();
        let ja3: HashSet<_> = table.by_ja3.iter().map(|(ja3, _)| *ja3).collect();
        assert_eq!(table.by_ja3.len(), ja3.len(), "a JA3 of two kinds of software");
        assert!(rows.len() > 100 && ja3.len() > 50, "{} lines", rows.len());
    }

    #[test]
    fn every_line_is_found_by_either_fingerprint() {
        for line in lines() {
            assert_eq!(likely(Some(line.ja4), None), Some(line.software));
            for ja3 in line.ja3() {
                assert_eq!(likely(None, Some(ja3)), Some(line.software));
                assert_eq!(likely(Some("t13i0100h2_of_another"), Some(ja3)), Some(line.software));
            }
        }
        assert_eq!(lines().count(), rows().len());
    }

    /// Of two fingerprints that contradict each other, JA4 decides: it tells more.
    #[test]
    fn ja4_goes_before_ja3() {
        let one = lines().next().unwrap();
        let (ja3, _) =
            Recorded::read().by_ja3.into_iter().find(|(_, software)| *software != one.software).unwrap();
        assert_eq!(likely(Some(one.ja4), Some(ja3)), Some(one.software));
    }

    #[test]
    fn what_was_not_recorded_is_unknown() {
        assert_eq!(likely(None, None), None);
        assert_eq!(likely(Some("t13i1009h2_d5a907986811_7c6039488acb"), None), None);
        for text in ["", NONE, "#", "\t", "ja4", "software"] {
            assert_eq!(likely(Some(text), Some(text)), None, "{text:?}");
        }
    }

    /// Returns the fingerprint of the same hello with (`d`) or without (`i`) a name, and with this ALPN code.
    fn with(ja4: &str, letter: char, alpn: &str) -> String {
        let shape = Shape::of(ja4).unwrap();
        let count = shape.extensions + u8::from(letter == 'd') + u8::from(alpn != "00");
        format!("{}{letter}{}{count:02}{alpn}{}", shape.version, shape.ciphers, shape.hashes)
    }

    /// Neither the server's name nor ALPN is part of what identifies software.
    #[test]
    fn the_same_hello_with_a_name_or_another_alpn_is_found() {
        assert_eq!(with("t13i1811h2_a_b", 'd', "h2"), "t13d1812h2_a_b");
        for line in lines() {
            assert_eq!(likely(Some(&with(line.ja4, 'i', "00")), None), Some(line.software));
            for alpn in ["00", "h1", "h2", "dt"] {
                assert_eq!(likely(Some(&with(line.ja4, 'd', alpn)), None), Some(line.software));
            }
            // The letter alone contradicts the number of extensions.
            let letter = if line.ja4.contains('i') { 'd' } else { 'i' };
            let mut contradiction = line.ja4.to_owned();
            contradiction.replace_range(3..4, &letter.to_string());
            assert_eq!(likely(Some(&contradiction), None), None, "{}", line.ja4);
        }
    }

    #[test]
    fn lines_of_one_shape_name_the_same_software() {
        let table = Recorded::read();
        let shapes: std::collections::BTreeSet<_> = table.by_shape.iter().map(|(shape, _)| *shape).collect();
        assert_eq!(shapes.len(), table.by_shape.len());
        assert!(shapes.len() < lines().count());
    }

    #[test]
    fn what_is_no_fingerprint_has_no_shape() {
        for text in [
            "",
            "t13",
            "t13x310900_a_b",
            "t13i31xx00_a_b",
            "t13i310000_a_b",
            "t13d310000_a_b",
            "t13d3101h2_a_b",
        ] {
            let expected = text == "t13i310000_a_b";
            assert_eq!(Shape::of(text).is_some(), expected, "{text}");
        }
        assert_eq!(Shape::of("t13i319900_a_b"), None, "99 or more");
        assert_eq!(Shape::of("t13i31é_a_b"), None);
    }

    /// Hellos of real clients, several of which had a wrong name.
    #[test]
    fn known_answers() {
        for (ja4, software) in [
            // kdig of Debian 12 with DNS over TLS and over HTTPS; it was "GnuTLS 3.8 (git)".
            ("t13i2913dt_723694b0fccc_2cc26d266019", "GnuTLS 3.7 to 3.8"),
            ("t13i2913h2_723694b0fccc_2cc26d266019", "GnuTLS 3.7 to 3.8"),
            // kdig with GnuTLS 3.8.13, by name.
            ("t13d2914dt_723694b0fccc_93e4b1f3c4eb", "GnuTLS 3.7 to 3.8"),
            // Monit of Debian 12; it was socat.
            ("t13i750900_479067518aa3_1f22a2ca17c4", "OpenSSL 1.1 to 3.0"),
            // OpenSSL 3.6; it was 3.5.
            ("t13i301100_1d37bd780c83_ecd0401ec68b", "OpenSSL 3.5 to 3.6"),
            // wrk, which sends the address as SNI.
            ("t13d311000_e8f1e7e78f70_1f22a2ca17c4", "OpenSSL 1.1 to 3.0"),
            // The kubelet's HTTPS probe.
            ("t13i1909h2_9dc949149365_97f8aa674fd9", "Go 1.15 to 1.19"),
            // Chrome 152 with a name (FoxIO's capture `sigalg-grease`): Chromium 156 without one has the same shape.
            ("t13d1517h2_8daaf6152771_cb7bf5808d99", "Chromium"),
            // curl with HTTP/2 is one of many clients with the library's own cipher suites.
            ("t13i3111h2_e8f1e7e78f70_b26ce05bbdd6", "OpenSSL 1.1 to 3.0"),
            // Python brings a list of cipher suites.
            ("t13i181000_85036bcba153_d41ae481755e", "OpenSSL 3.0 (Python)"),
        ] {
            assert_eq!(likely(Some(ja4), None), Some(software), "{ja4}");
        }
    }
}
