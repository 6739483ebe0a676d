//! What software a fingerprint of a client without SNI is likely of.
//!
//! The table is `software.tsv`: real clients, recorded in the lab (`docs/software.md` says how). It only names
//! what was recorded; whatever else has the same fingerprint gets the same name, and what has none is unknown.

use std::sync::LazyLock;

use crate::observation::Hello;

/// One line a fingerprint. Comments begin with `#`.
const TABLE: &str = include_str!("software.tsv");

/// In the place of a fingerprint that tells nothing.
const NONE: &str = "-";

/// The software that was recorded with this JA4 fingerprint, else with this JA3 fingerprint: its TLS library with
/// the versions that have it, and in parentheses programs; `OpenSSL 3.0 (curl, Python)`, say. `None` if neither
/// is known. Does not allocate, but for the first call.
pub fn likely(ja4: Option<&str>, ja3: Option<&str>) -> Option<&'static str> {
    static RECORDED: LazyLock<Recorded> = LazyLock::new(Recorded::read);
    let by_ja4 = ja4.and_then(|ja4| find(&RECORDED.by_ja4, ja4));
    by_ja4.or_else(|| ja3.and_then(|ja3| find(&RECORDED.by_ja3, ja3)))
}

/// The same for a hello; `None` as well where its fingerprints were not taken, or it never became whole.
pub fn likely_sender(hello: &Hello) -> Option<&'static str> {
    let body = hello.body.as_ref()?;
    likely(body.ja4.as_deref(), body.ja3.as_deref())
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
struct Line {
    ja4: &'static str,
    ja3: &'static str,
    software: &'static str,
}

/// The lines, as far as they are well formed; the tests see to it that all are.
fn lines() -> impl Iterator<Item = Line> {
    TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        Some(Line { ja4: columns.next()?, ja3: columns.next()?, software: columns.next()? })
    })
}

type Named = (&'static str, &'static str);

/// Fingerprints with their software, in order.
struct Recorded {
    by_ja4: Vec<Named>,
    by_ja3: Vec<Named>,
}

impl Recorded {
    fn read() -> Self {
        let sorted = |fingerprint: fn(Line) -> &'static str| {
            let named = lines().map(|line| (fingerprint(line), line.software));
            let mut named: Vec<Named> = named.filter(|(fingerprint, _)| *fingerprint != NONE).collect();
            named.sort_unstable();
            named
        };
        Self { by_ja4: sorted(|line| line.ja4), by_ja3: sorted(|line| line.ja3) }
    }
}

fn find(named: &[Named], fingerprint: &str) -> Option<&'static str> {
    let index = named.binary_search_by(|(known, _)| (*known).cmp(fingerprint)).ok()?;
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

    /// JA4 of a hello over TCP without an SNI extension.
    fn is_ja4_without_sni(text: &str) -> bool {
        let parts: Vec<&str> = text.split('_').collect();
        let &[first, ciphers, extensions] = parts.as_slice() else { return false };
        let is_known = ["t13i", "t12i", "t11i", "t10i"].iter().any(|start| first.starts_with(start));
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
            assert!(is_ja4_without_sni(ja4), "{row:?}");
            assert!(*ja3 == NONE || (ja3.len() == 32 && is_lower_hex(ja3)), "{row:?}");
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
        let ja3: Vec<&str> = rows.iter().map(|row| row[1]).filter(|ja3| *ja3 != NONE).collect();
        assert_eq!(ja3.len(), ja3.iter().collect::<HashSet<_>>().len());
        assert!(rows.len() > 20, "{} lines", rows.len());
    }

    #[test]
    fn every_line_is_found_by_either_fingerprint() {
        for line in lines() {
            assert_eq!(likely(Some(line.ja4), None), Some(line.software));
            if line.ja3 != NONE {
                assert_eq!(likely(None, Some(line.ja3)), Some(line.software));
                assert_eq!(likely(Some("t13i0000h2_of_another"), Some(line.ja3)), Some(line.software));
            }
        }
        assert_eq!(lines().count(), rows().len());
    }

    /// Of two fingerprints that contradict each other, JA4 decides: it tells more.
    #[test]
    fn ja4_goes_before_ja3() {
        let one = lines().next().unwrap();
        let other = lines().find(|line| line.ja3 != NONE && line.software != one.software).unwrap();
        assert_eq!(likely(Some(one.ja4), Some(other.ja3)), Some(one.software));
    }

    #[test]
    fn what_was_not_recorded_is_unknown() {
        assert_eq!(likely(None, None), None);
        assert_eq!(likely(Some("t13i1009h2_d5a907986811_7c6039488acb"), None), None);
        for text in ["", NONE, "#", "\t", "ja4", "software"] {
            assert_eq!(likely(Some(text), Some(text)), None, "{text:?}");
        }
    }

    /// With SNI, the programs of a line cannot be told from all others that use the same library.
    #[test]
    fn hellos_with_sni_are_unknown() {
        for line in lines() {
            assert_eq!(likely(Some(&line.ja4.replacen('i', "d", 1)), None), None);
        }
    }
}
