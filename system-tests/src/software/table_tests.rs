//! Tests of the table: its rules on made-up recordings, and on the file of the repository.

use super::*;
use crate::software::clients::{ALL, DEBIAN, NODE_JS, PYTHON};

/// The table of the repository.
const TABLE: &str = include_str!("../../../crates/core/src/software.tsv");

fn recording(program: &str, ja4: &str, ja3: &str, library_version: &str) -> Recording {
    let mut clients = DEBIAN.iter().chain(PYTHON).chain(NODE_JS);
    let client = clients.find(|client| client.program == program).expect("a client of the list");
    Recording {
        ja4: ja4.to_owned(),
        ja3: ja3.to_owned(),
        client,
        version: "1.2".to_owned(),
        library_version: library_version.to_owned(),
        system: "Debian 12".to_owned(),
        invoked: client.invoked.to_owned(),
    }
}

fn lines(recordings: &[Recording]) -> Vec<Vec<String>> {
    let text = render(recordings);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// JA4, JA3 and the version of its library of each recorded program, and the names of the lines.
#[test]
fn software_is_named_by_what_its_clients_have_in_common() {
    let one = "t13i310000_suites_exts";
    for (what, recordings, expected) in [
        (
            "Several programs: the library",
            &[("HAProxy", one, "3.0.19-1"), ("curl", one, "3.0.19")][..],
            &["OpenSSL 3.0"][..],
        ),
        ("One program with suites of its own", &[("PHP", one, "3.0.1")], &["OpenSSL 3.0 (PHP)"]),
        ("The library's own tool: its default", &[("openssl s_client", one, "3.0.1")], &["OpenSSL 3.0"]),
        (
            "The ways to use Python are one program",
            &[("Python ssl", one, "3.0.1"), ("Python httpx", "t13i3101h1_suites_exts", "3.0.1")],
            &["OpenSSL 3.0 (Python)", "OpenSSL 3.0 (Python)"],
        ),
        (
            "Other extensions are no signature: the suites are the library's",
            &[("openssl s_client", one, "3.0.1"), ("curl", "t13i310900_suites_other", "3.0.1")],
            &["OpenSSL 3.0", "OpenSSL 3.0"],
        ),
        (
            "ALPN and a name change nothing, so the versions are joined",
            &[
                ("gnutls-cli", one, "3.7.9"),
                ("git", "t13i3101h2_suites_exts", "3.8.1"),
                ("wget", "t13d310100_suites_exts", "3.8.3"),
            ],
            &["GnuTLS 3.7 to 3.8", "GnuTLS 3.7 to 3.8", "GnuTLS 3.7 to 3.8"],
        ),
        (
            "Two versions that send one hello alike are joined for all hellos with these suites",
            &[
                ("openssl s_client", one, "3.0.1"),
                ("openssl s_client", one, "1.1.1w"),
                ("curl", "t13i310900_suites_other", "3.0.1"),
            ],
            &["OpenSSL 1.1 to 3.0", "OpenSSL 1.1 to 3.0"],
        ),
        (
            "Versions that are not alike stay apart",
            &[("https", one, "18.1"), ("https", "t13i310900_suites_other", "22.1")],
            &["Node.js 18", "Node.js 22"],
        ),
        (
            "A range of versions has no gaps",
            &[
                ("https", one, "12.1"),
                ("https", one, "18.1"),
                ("https", one, "20.1"),
                ("https", "t13i310900_suites_other", "16.1"),
            ],
            &["Node.js 12, 18 to 20", "Node.js 16"],
        ),
        (
            "Two libraries",
            &[("curl", one, "3.0.1"), ("ab", one, "3.5.1"), ("https", one, "20.1")],
            &["OpenSSL 3.0 to 3.5, Node.js 20"],
        ),
    ] {
        let recordings: Vec<_> = recordings
            .iter()
            .map(|&(program, ja4, version)| recording(program, ja4, NO_JA3, version))
            .collect();
        let mut named: Vec<_> = lines(&recordings).into_iter().map(|line| line[2].clone()).collect();
        named.sort_unstable();
        assert_eq!(named, expected, "{what}");
    }
}

#[test]
fn what_shares_a_fingerprint_shares_a_line() {
    let ja4 = "t13i310000_b_c";
    let lines = lines(&[
        recording("HAProxy", ja4, "1", "3.0.19-1"),
        recording("curl", ja4, "1", "3.5.1"),
        recording("https", ja4, "1", "20.1.2"),
    ]);
    assert_eq!(lines.len(), 1);
    assert_eq!(
        lines[0][3],
        "HAProxy 1.2: OpenSSL 3.0.19-1, Debian 12; curl 1.2: OpenSSL 3.5.1, Debian 12; \
         https 1.2: Node.js 20.1.2, Debian 12"
    );
}

#[test]
fn a_ja3_that_varies_or_is_of_other_software_is_none() {
    let of = |letter: &str| format!("t13i310000_{letter}_c");
    let mut recordings: Vec<_> =
        ["1", "2", "3", "4", "5"].map(|ja3| recording("curl", &of("a"), ja3, "3.0")).to_vec();
    recordings.extend([
        recording("curl", &of("b"), "6", "3.0"),
        recording("PHP", &of("c"), "6", "3.0"),
        // ALPN is not part of JA3.
        recording("curl", "t13i3101h2_d_c", "7", "3.0"),
        recording("curl", "t13i3101h1_d_c", "7", "3.0"),
        recording("curl", "t13i3101h1_d_c", "8", "3.5"),
        recording("curl", "t13i3101h1_d_c", "-", "1.1"),
    ]);
    let ja3: Vec<_> = lines(&recordings).into_iter().map(|line| line[..2].join(" ")).collect();
    assert_eq!(
        ja3,
        [
            "t13i310000_a_c -",
            "t13i310000_b_c -",
            "t13i310000_c_c -",
            "t13i3101h1_d_c 7,8",
            "t13i3101h2_d_c 7"
        ]
    );
}

#[test]
fn new_recordings_replace_those_of_the_same_client() {
    let earlier = vec![
        recording("curl", "t13i310000_b_a", "1", "3.0.19"),
        recording("curl", "t13i310000_b_b", "2", "3.5.1"),
        recording("ab", "t13i310000_b_a", "1", "3.0.19"),
    ];
    let merged = merge(earlier, vec![recording("curl", "t13i310000_b_c", "3", "3.0.19")]);
    let ja4: Vec<_> = merged.iter().map(|one| (one.client.program, one.ja4.as_str())).collect();
    assert_eq!(ja4, [("curl", "t13i310000_b_b"), ("ab", "t13i310000_b_a"), ("curl", "t13i310000_b_c")]);
}

#[test]
fn how_a_client_was_called() {
    let client = recording("curl", "", "", "").client;
    let how = How { by_name: true, is_resumption: true, ..How::default() };
    assert_eq!(how.describe(client), "https://NAME, resuming a session");
    let address = How { address_as_name: true, ..How::default() };
    assert_eq!(address.describe(client), "https://IP, the address as SNI");
    let client = recording("Python ssl", "", "", "").client;
    assert_eq!(How { by_name: true, ..How::default() }.describe(client), "SSLContext.wrap_socket, to a name");
}

/// A selection is recorded into the table: what it does not touch must come out as it was.
#[test]
fn the_table_of_the_repository_is_read_and_written_alike() {
    let recordings = parse(TABLE).unwrap();
    assert!(recordings.len() > 200, "{}", recordings.len());
    let written = render(&recordings);
    for (line, expected) in written.lines().zip(TABLE.lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(written, TABLE);
}

#[test]
fn lines_that_cannot_be_read() {
    for (line, reason) in [
        ("t13i310000_b_c\t-\tx", "not five columns"),
        ("t13i310000_b_c\t-\tx\tcurl\tcurl: y", "no program"),
        ("t13i310000_b_c\t-\tx\tcurl 1: OpenSSL 3.0\tcurl: y", "no system"),
        ("t13i310000_b_c\t-\tx\tnetcat 1: OpenSSL 3.0, Debian 12\tnetcat: y", "not in the lists"),
        ("t13i310000_b_c\t-\tx\tcurl 1: GnuTLS 3.0, Debian 12\tcurl: y", "not in the lists"),
    ] {
        let error = parse(line).unwrap_err().to_string();
        assert!(error.contains(reason), "{line}: {error}");
    }
}

/// The texts are columns of the table, with entries between `; `.
#[test]
fn texts_of_the_lists_fit_into_the_table() {
    for client in ALL.into_iter().flatten() {
        for text in [client.program, client.invoked, client.library.name] {
            assert!(!text.contains([';', '\t', '\n']), "{text}");
        }
        assert!(!client.program.contains(": ") && !client.library.name.contains([',', ' ']), "{client:?}");
    }
}

/// `core::software` finds a hello with a name by the line of the same hello without one. Real clients prove it: with a name
/// they send what they send without, and the extension. The others pad hellos of some lengths (OpenSSL), or send no name; their
/// hellos are lines of their own.
#[test]
fn with_a_name_real_clients_send_the_same_shape() {
    let recordings = parse(TABLE).unwrap();
    let is_first = |recording: &&Recording| !recording.invoked.contains("resuming");
    let (mut same, mut other) = (BTreeSet::new(), BTreeSet::new());
    for by_name in
        recordings.iter().filter(is_first).filter(|one| one.ja4.starts_with('t') && &one.ja4[3..4] == "d")
    {
        let shapes: Vec<Shape> = recordings
            .iter()
            .filter(is_first)
            .filter(|one| one.is_of_same_client(by_name) && &one.ja4[3..4] == "i")
            .map(|one| shape(&one.ja4))
            .collect();
        if shapes.is_empty() {
            continue;
        }
        let is_same = shapes.contains(&shape(&by_name.ja4));
        let (suites, extensions, _) = shape(&by_name.ja4);
        // One more extension is padding.
        let is_padded =
            shapes.iter().any(|(others, count, _)| *others == suites && extensions.abs_diff(*count) == 1);
        assert!(is_same || is_padded, "{} {}: {}", by_name.from(), by_name.invoked, by_name.ja4);
        if is_same { &mut same } else { &mut other }.insert((by_name.from(), by_name.ja4.clone()));
    }
    let libraries: BTreeSet<_> = recordings
        .iter()
        .filter(|one| same.iter().any(|(from, _)| *from == one.from()))
        .map(Recording::library)
        .collect();
    println!("the same: {}, padded: {other:#?}", same.len());
    for library in
        ["OpenSSL", "GnuTLS", "Go", "Java", "Node.js", "Chromium", "mbedTLS", "wolfSSL", "Erlang/OTP"]
    {
        assert!(libraries.contains(library), "{library}: {libraries:?}");
    }
    let padded: BTreeSet<_> = recordings
        .iter()
        .filter(|one| other.iter().any(|(from, _)| *from == one.from()))
        .map(Recording::library)
        .collect();
    assert!(padded.iter().all(|library| *library == "OpenSSL"), "{padded:?}");
}
