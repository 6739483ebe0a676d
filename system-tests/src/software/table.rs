//! From recordings to the table, and back: one line per fingerprint, named for what its clients have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::clients::{self, ClientProgram};

/// Stands before the lines.
const HEADER: &str = "\
# Fingerprints of clients, and their software. Read by src/software.rs.
# Source: this project's own recordings of real clients, and nothing else. Made by: cargo xtask record-software
# What the columns mean, how software is named, and what is not in here: docs/software.md
#
# ja4\tja3\tsoftware\trecorded_from\tinvoked
";

/// In the place of a JA3 fingerprint that identifies nothing.
const NO_JA3: &str = "-";
/// JA3 fingerprints of a line: those of several versions, say. With more of them, they change from run to run.
const MAX_JA3: usize = 4;
/// Between the JA3 fingerprints of a line.
const BETWEEN_JA3: &str = ",";
/// Ends the entries of the last two columns, but for the last entry.
const BETWEEN: &str = "; ";

/// One hello of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// JA4 fingerprint.
    pub ja4: String,
    /// JA3 fingerprint, or `-` if it is not known.
    pub ja3: String,
    /// The client.
    pub client: &'static ClientProgram,
    /// The client's version; empty if it is that of the library.
    pub version: String,
    /// Version of its TLS library.
    pub library_version: String,
    /// `Debian 12`.
    pub system: String,
    /// How the client was called, with what is special in this hello: [`How::describe`].
    pub invoked: String,
}

/// What is special in a hello beside the client's options.
#[derive(Debug, Clone, Copy, Default)]
pub struct How {
    /// The gateway was given by a name.
    pub by_name: bool,
    /// The hello has the gateway's IP address as SNI.
    pub address_as_name: bool,
    /// The client offered this only after a first handshake: it resumes the session.
    pub is_resumption: bool,
}

impl How {
    /// `https://NAME, resuming a session`.
    pub fn describe(self, client: &ClientProgram) -> String {
        let mut text = client.invoked.to_owned();
        if self.by_name {
            if text.contains("IP") {
                text = text.replace("IP", "NAME");
            } else {
                text.push_str(", to a name");
            }
        }
        if self.address_as_name {
            text.push_str(", the address as SNI");
        }
        if self.is_resumption {
            text.push_str(", resuming a session");
        }
        text
    }
}

impl Recording {
    /// The first numbers of the library's version, as many as distinguish generations.
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

    fn library(&self) -> &'static str {
        self.client.library.name
    }

    /// The program's name in the column `software`: the ways to use Python are one program.
    fn family(&self) -> &'static str {
        if self.client.program.starts_with("Python ") { "Python" } else { self.client.program }
    }

    /// Whether what it sends is the library's default by its role.
    fn is_plain(&self) -> bool {
        self.client.library.plain.contains(&self.client.program)
    }

    /// Whether both are of the same program in the same versions and the same system.
    fn is_of_same_client(&self, other: &Self) -> bool {
        self.from() == other.from()
    }
}

/// Reads a table. Where a line has several JA3 fingerprints, and a program several entries in the last columns, each is taken
/// with each.
///
/// # Errors
/// When a line is malformed, or names a program that is not in the lists of clients.
pub fn parse(table: &str) -> Result<Vec<Recording>> {
    let mut recordings = Vec::new();
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let &[ja4, ja3, _, from, invoked] = columns.as_slice() else {
            anyhow::bail!("not five columns: {line}");
        };
        for entry in from.split(BETWEEN) {
            let (program, library) =
                entry.split_once(": ").with_context(|| format!("no program: {entry}"))?;
            let (library, system) =
                library.rsplit_once(", ").with_context(|| format!("no system: {entry}"))?;
            let client =
                client(program, library).with_context(|| format!("not in the lists of clients: {entry}"))?;
            let library_version = &library[client.library.name.len() + 1..];
            let start = format!("{}: ", client.program);
            for invoked in invoked.split(BETWEEN).filter_map(|invoked| invoked.strip_prefix(&start)) {
                recordings.extend(ja3.split(BETWEEN_JA3).map(|ja3| Recording {
                    ja4: ja4.to_owned(),
                    ja3: ja3.to_owned(),
                    client,
                    version: program[client.program.len()..].trim_start().to_owned(),
                    library_version: library_version.to_owned(),
                    system: system.to_owned(),
                    invoked: invoked.to_owned(),
                }));
            }
        }
    }
    Ok(recordings)
}

/// The client of the lists with the longest name that `program` begins with, and this library.
fn client(program: &str, library: &str) -> Option<&'static ClientProgram> {
    let begins = |text: &str, name: &str| {
        text.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let fits =
        |client: &&ClientProgram| begins(program, client.program) && begins(library, client.library.name);
    clients::ALL.into_iter().flatten().filter(fits).max_by_key(|client| client.program.len())
}

/// Puts new recordings in the place of earlier ones of the same clients. Those of other versions stay.
pub fn merge(mut earlier: Vec<Recording>, new: Vec<Recording>) -> Vec<Recording> {
    earlier.retain(|one| !new.iter().any(|new| new.is_of_same_client(one)));
    earlier.extend(new);
    earlier
}

/// The whole file. Recordings of one client come together, in the order in which they shall be listed.
pub fn render(recordings: &[Recording]) -> String {
    let names = Names::of(recordings);
    let mut by_ja4: BTreeMap<&str, Vec<&Recording>> = BTreeMap::new();
    let mut software_of: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for recording in recordings {
        by_ja4.entry(&recording.ja4).or_default().push(recording);
        software_of.entry(&recording.ja3).or_default().insert(names.software(&recording.ja4));
    }
    let mut text = HEADER.to_owned();
    for (ja4, recordings) in by_ja4 {
        // A JA3 that changes from run to run, or is that of other software as well, identifies nothing.
        let known = recordings.iter().map(|recording| recording.ja3.as_str()).filter(|ja3| *ja3 != NO_JA3);
        let mut ja3: BTreeSet<&str> = known.collect();
        if ja3.len() > MAX_JA3 {
            ja3.clear();
        }
        ja3.retain(|ja3| software_of[ja3].len() == 1);
        let ja3 = if ja3.is_empty() { NO_JA3.to_owned() } else { Vec::from_iter(ja3).join(BETWEEN_JA3) };
        let from = distinct(recordings.iter().map(|recording| recording.from())).join(BETWEEN);
        // In the order of the programs in the column before.
        let programs = distinct(recordings.iter().map(|recording| recording.client.program));
        let invoked = programs.iter().flat_map(|program| {
            let of_program = recordings.iter().filter(move |recording| recording.client.program == *program);
            of_program.map(|recording| format!("{}: {}", recording.client.program, recording.invoked))
        });
        let invoked = distinct(invoked).join(BETWEEN);
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{ja4}\t{ja3}\t{}\t{from}\t{invoked}", names.software(ja4));
    }
    text
}

/// TLS version, number and hash of the cipher suites in a JA4 fingerprint.
type Suites = (String, String);
/// What a JA4 fingerprint says without the server's name and ALPN (`core::software` looks up the same).
type Shape = (Suites, u8, String);

/// # Panics
/// If this is no JA4 fingerprint.
fn shape(ja4: &str) -> Shape {
    let parts: Vec<&str> = ja4.split('_').collect();
    let [first, suites, extensions] = parts[..] else { panic!("no JA4: {ja4}") };
    let count: u8 = first[6..8].parse().expect("JA4 has the number of extensions");
    let others = u8::from(&first[3..4] == "d") + u8::from(&first[8..10] != "00");
    let suites = (first[..3].to_owned() + &first[4..6], suites.to_owned());
    (suites, count - others, extensions.to_owned())
}

/// Generations of a library, in order.
type Generations = BTreeSet<Vec<u32>>;

/// What names the software of a fingerprint. `docs/software.md` says the rules.
#[derive(Debug, Default)]
struct Names<'a> {
    by_shape: BTreeMap<Shape, Vec<&'a Recording>>,
    /// All generations of a library.
    all: BTreeMap<&'static str, Generations>,
    /// Generations that send the same hello with these suites: each group was recorded in one shape.
    alike: BTreeMap<(&'static str, Suites), Vec<Generations>>,
    /// Programs that have these suites, with a library.
    programs: BTreeMap<(&'static str, Suites), Vec<&'a Recording>>,
}

impl<'a> Names<'a> {
    fn of(recordings: &'a [Recording]) -> Self {
        let mut names = Self::default();
        for recording in recordings {
            let shape = shape(&recording.ja4);
            let key = (recording.library(), shape.0.clone());
            names.programs.entry(key).or_default().push(recording);
            names.all.entry(recording.library()).or_default().insert(recording.generation());
            names.by_shape.entry(shape).or_default().push(recording);
        }
        for ((suites, ..), recordings) in &names.by_shape {
            for library in distinct(recordings.iter().map(|recording| recording.library())) {
                let of_library = recordings.iter().filter(|recording| recording.library() == library);
                let mut group: Generations = of_library.map(|recording| recording.generation()).collect();
                let groups = names.alike.entry((library, suites.clone())).or_default();
                // Groups with a member in common are one.
                groups.retain(|other| {
                    let is_apart = other.is_disjoint(&group);
                    if !is_apart {
                        group.extend(other.iter().cloned());
                    }
                    is_apart
                });
                groups.push(group);
            }
        }
        names
    }

    /// `OpenSSL 3.0 to 3.5, Node.js 18`; a program in parentheses where the suites are its own.
    fn software(&self, ja4: &str) -> String {
        let shape = shape(ja4);
        let recordings = &self.by_shape[&shape];
        let libraries = distinct(recordings.iter().map(|recording| recording.library()));
        let named = libraries.iter().map(|&library| {
            let key = (library, shape.0.clone());
            let of_library = recordings.iter().filter(|recording| recording.library() == library);
            let here: Generations = of_library.map(|recording| recording.generation()).collect();
            let groups = self.alike[&key].iter().filter(|group| !group.is_disjoint(&here));
            let generations: Generations = groups.flatten().cloned().collect();
            let versioned = format!("{library} {}", ranges(&generations, &self.all[library]));
            let versioned = versioned.trim_end();
            let programs = &self.programs[&key];
            let families = distinct(programs.iter().map(|recording| recording.family()));
            match families[..] {
                [program] if !programs.iter().any(|recording| recording.is_plain()) => {
                    format!("{versioned} ({program})")
                }
                _ => versioned.to_owned(),
            }
        });
        named.collect::<Vec<_>>().join(", ")
    }
}

/// `12, 18 to 20`: a range has all that were recorded between its ends.
fn ranges(here: &Generations, all: &Generations) -> String {
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
#[path = "table_tests.rs"]
mod tests;
