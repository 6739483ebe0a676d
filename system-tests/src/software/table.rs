//! From recordings to the table: one line a fingerprint, named for what its clients have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::clients::ClientProgram;

/// Programs that a name tells; all are in the column `recorded_from`.
const NAMED_PROGRAMS: usize = 4;

/// What stands before the lines.
const HEADER: &str = "\
# Fingerprints of clients that connect without SNI, and their software. Read by src/software.rs.
# Source: our own recordings of real clients, and nothing else. To make the file anew: cargo xtask record-software
# What the columns mean, and what is not in here: docs/software.md
#
# ja4\tja3\tsoftware\trecorded_from\tinvoked
";

/// One hello of a client.
#[derive(Debug, Clone)]
pub struct Recording {
    /// JA4 fingerprint.
    pub ja4: String,
    /// JA3 fingerprint.
    pub ja3: String,
    /// The client.
    pub client: &'static ClientProgram,
    /// The client's version; empty if it is that of the library.
    pub version: String,
    /// Version of its TLS library.
    pub library_version: String,
    /// `Debian 12`.
    pub system: String,
    /// Whether the client offered so only after a first handshake: it resumes the session.
    pub is_resumption: bool,
}

impl Recording {
    /// The first numbers of the library's version, as many as tell generations apart.
    fn generation(&self) -> Vec<u32> {
        let end = self.library_version.find(|c: char| !c.is_ascii_digit() && c != '.');
        let numbers = self.library_version[..end.unwrap_or(self.library_version.len())].split('.');
        numbers.filter_map(|number| number.parse().ok()).take(self.client.library.numbers).collect()
    }

    fn from(&self) -> String {
        let Self { client, version, library_version, system, .. } = self;
        let library = client.library.name;
        if version.is_empty() {
            format!("{}: {library} {library_version}, {system}", client.program)
        } else {
            format!("{} {version}: {library} {library_version}, {system}", client.program)
        }
    }

    fn invoked(&self) -> String {
        let resumed = if self.is_resumption { ", resuming a session" } else { "" };
        format!("{}: {}{resumed}", self.client.program, self.client.invoked)
    }
}

/// The whole file. Recordings of one client come together, in the order in which programs shall be named.
pub fn render(recordings: &[Recording]) -> String {
    let mut by_ja4: BTreeMap<&str, Vec<&Recording>> = BTreeMap::new();
    let mut ja4_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for recording in recordings {
        by_ja4.entry(&recording.ja4).or_default().push(recording);
        ja4_of.entry(&recording.ja3).or_default().insert(&recording.ja4);
    }
    let generations = generations(recordings);
    let mut text = HEADER.to_owned();
    for (ja4, recordings) in by_ja4 {
        // A JA3 that changes from run to run, or is that of several lines, tells nothing.
        let ja3: BTreeSet<&str> = recordings.iter().map(|recording| recording.ja3.as_str()).collect();
        let ja3 = ja3.first().filter(|first| ja3.len() == 1 && ja4_of[*first].len() == 1).unwrap_or(&"-");
        let from = distinct(recordings.iter().map(|recording| recording.from())).join("; ");
        let invoked = distinct(recordings.iter().map(|recording| recording.invoked())).join("; ");
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{ja4}\t{ja3}\t{}\t{from}\t{invoked}", name(&recordings, &generations));
    }
    text
}

/// Generations of each library, in order.
type Generations = BTreeMap<&'static str, BTreeSet<Vec<u32>>>;

fn generations<'a>(recordings: impl IntoIterator<Item = &'a Recording>) -> Generations {
    let mut generations = Generations::new();
    for recording in recordings {
        generations.entry(recording.client.library.name).or_default().insert(recording.generation());
    }
    generations
}

/// `OpenSSL 3.0 to 3.5 (curl, Python ssl), Node.js 18 (https)`.
fn name(recordings: &[&Recording], all: &Generations) -> String {
    let here = generations(recordings.iter().copied());
    let libraries = distinct(recordings.iter().map(|recording| recording.client.library.name));
    let named = libraries.iter().map(|library| {
        let of_library = recordings.iter().filter(|recording| recording.client.library.name == *library);
        let mut programs = distinct(of_library.map(|recording| recording.client.program));
        if programs.len() > NAMED_PROGRAMS {
            programs.truncate(NAMED_PROGRAMS);
            programs.push("...");
        }
        format!("{library} {} ({})", ranges(&here[library], &all[library]), programs.join(", "))
    });
    named.collect::<Vec<_>>().join(", ")
}

/// `12, 18 to 20`: a range has all that were recorded between its ends.
fn ranges(here: &BTreeSet<Vec<u32>>, all: &BTreeSet<Vec<u32>>) -> String {
    let all: Vec<_> = all.iter().collect();
    let runs = all.chunk_by(|one, next| here.contains(*one) == here.contains(*next));
    let runs = runs.filter(|run| run.first().is_some_and(|first| here.contains(*first)));
    let ranges = runs.map(|run| match run {
        [first, .., last] => format!("{} to {}", dotted(first), dotted(last)),
        [only] => dotted(only),
        [] => String::new(),
    });
    ranges.collect::<Vec<_>>().join(", ")
}

fn dotted(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// Each value once, in the order of their first.
fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for value in values {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::software::clients::{DEBIAN, NODE_JS};

    fn recording(program: &str, ja4: &str, ja3: &str, library_version: &str) -> Recording {
        let mut clients = DEBIAN.iter().chain(NODE_JS);
        Recording {
            ja4: ja4.to_owned(),
            ja3: ja3.to_owned(),
            client: clients.find(|client| client.program == program).expect("a client of the list"),
            version: "1.2".to_owned(),
            library_version: library_version.to_owned(),
            system: "Debian 12".to_owned(),
            is_resumption: false,
        }
    }

    fn lines(recordings: &[Recording]) -> Vec<Vec<String>> {
        let text = render(recordings);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn what_shares_a_fingerprint_shares_a_line() {
        let lines = lines(&[
            recording("HAProxy", "b", "1", "3.0.19-1"),
            recording("curl", "b", "1", "3.5.1"),
            recording("curl", "a", "2", "3.0.19"),
            recording("https", "b", "1", "20.1.2"),
        ]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0][..3], ["a", "2", "OpenSSL 3.0 (curl)"]);
        assert_eq!(lines[1][..3], ["b", "1", "OpenSSL 3.0 to 3.5 (HAProxy, curl), Node.js 20 (https)"]);
        assert_eq!(
            lines[1][3],
            "HAProxy 1.2: OpenSSL 3.0.19-1, Debian 12; curl 1.2: OpenSSL 3.5.1, Debian 12; \
             https 1.2: Node.js 20.1.2, Debian 12"
        );
    }

    #[test]
    fn a_range_of_versions_has_no_gaps() {
        let lines = lines(&[
            recording("https", "a", "1", "12.1"),
            recording("https", "b", "2", "16.1"),
            recording("https", "a", "1", "18.1"),
            recording("https", "a", "1", "20.1"),
        ]);
        assert_eq!(lines[0][2], "Node.js 12, 18 to 20 (https)");
    }

    #[test]
    fn a_ja3_that_varies_or_is_of_several_lines_is_none() {
        let lines = lines(&[
            recording("curl", "a", "1", "3.0"),
            recording("curl", "a", "2", "3.0"),
            recording("curl", "b", "3", "3.0"),
            recording("curl", "c", "3", "3.0"),
            recording("curl", "d", "4", "3.0"),
        ]);
        assert_eq!(lines.iter().map(|line| line[1].as_str()).collect::<Vec<_>>(), ["-", "-", "-", "4"]);
    }
}
