use std::collections::BTreeSet;

use super::*;

const SHAPES: &str = include_str!("../../../../model/src/facts/refusal_shapes.tsv");
const PAGE: &str = include_str!("../../../../../docs/gateways.md");

/// Test servers: their users start them with other options.
const WITHOUT_FIX: [&str; 2] = ["OpenSSL s_server", "gnutls-serv"];

fn lines() -> impl Iterator<Item = &'static str> {
    INDEX.lines().filter(|line| !line.starts_with('#'))
}

#[test]
fn each_line_is_read_and_each_snippet_is_listed() {
    for line in lines() {
        assert!(read(line).is_some_and(|fixes| !fixes.is_empty()), "{line}");
    }
    let listed: BTreeSet<&str> = FIXES.iter().map(|fix| fix.snippet).collect();
    let known: BTreeSet<&str> = SNIPPETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, known);
    assert_eq!(lines().count(), SNIPPETS.len());
}

#[test]
fn each_gateway_that_refuses_has_a_fix() {
    for line in SHAPES.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let (software, without_sni, unknown_name) = (cells[0], cells[4], cells[5]);
        let is_refusal = |cell: &str| !matches!(cell, "served" | "-");
        for (problem, cell) in [(Problem::NoSni, without_sni), (Problem::UnknownName, unknown_name)] {
            let is_expected = is_refusal(cell) && !WITHOUT_FIX.contains(&software);
            assert!(!is_expected || !fixes_of(software, problem).is_empty(), "{software} {problem:?}");
        }
    }
}

#[test]
fn programs_have_their_own_fixes_only() {
    let of = |software: &str, problem: Problem| -> Vec<&str> {
        fixes_of(software, problem).iter().map(|fix| fix.snippet).collect()
    };
    for (software, problem, expected) in [
        ("Envoy behind nginx stream", Problem::NoSni, &["envoy.yaml"][..]),
        ("Envoy's debug log", Problem::NoSni, &["envoy.yaml"]),
        ("nginx stream", Problem::UnknownName, &["nginx-stream-unknown-name.conf"]),
        ("Apache", Problem::NoSni, &["apache-policy.conf"]),
        ("Apache Traffic Server", Problem::NoSni, &["traffic-server.config"]),
        ("Caddy", Problem::NoSni, &["caddy-default-sni"]),
        ("Caddy", Problem::UnknownName, &["caddy-fallback-sni"]),
        ("Java SNIMatcher", Problem::NoSni, &[]),
        ("hitch", Problem::NoSni, &[]),
        ("a program without a line", Problem::NoSni, &[]),
        ("", Problem::UnknownName, &[]),
    ] {
        assert_eq!(of(software, problem), expected, "{software} {problem:?}");
    }
    assert_eq!(of("nginx", Problem::NoSni).first(), Some(&"nginx-default-server.conf"));
}

#[test]
fn texts_and_notes_are_complete() {
    for fix in FIXES.iter() {
        let GatewayFix { text, note, file, snippet, .. } = fix;
        assert!(text.ends_with('\n') && !text.trim().is_empty(), "{snippet}");
        assert!(note.ends_with(['.', 'd']) && !file.is_empty(), "{snippet}: {note}");
        // No invented names: where a name, file or address belongs, there is a placeholder.
        for invented in ["example.com", "mydomain", "/etc/", "127.0.0.1", "10."] {
            assert!(!text.contains(invented), "{snippet}: {invented}");
        }
        if snippet.rsplit('.').next() == Some("yaml") {
            for document in text.split("---\n") {
                serde_saphyr::from_str::<serde_json::Value>(document).expect(snippet);
            }
        }
    }
    let tried = FIXES.iter().filter(|fix| fix.tried_with.is_some()).count();
    assert!(tried > FIXES.len() / 2, "{tried} of {}", FIXES.len());
    let traefik = fixes_of("Traefik", Problem::NoSni);
    assert!(traefik.iter().all(|fix| fix.trial() == "not tried"), "{traefik:?}");
}

#[test]
fn the_page_has_each_snippet_and_its_trials() {
    for line in lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let (snippet, tried) = (cells[0], if cells[4] == "-" { "not tried" } else { cells[4] });
        let row = PAGE
            .lines()
            .find(|row| row.starts_with('|') && row.contains(&format!("fix/gateways/{snippet})")));
        let row = row.unwrap_or_else(|| panic!("docs/gateways.md has no row with {snippet}"));
        assert!(row.contains(&format!("| {tried} |")), "{row}: {tried}");
    }
}

/// Gateways that logs, the check and skipped objects name.
#[test]
fn gateways_that_other_inputs_name_have_fixes() {
    let names = [
        "nginx", "HAProxy", "Apache", "Go", "Caddy", "Traefik", "Envoy", "Tomcat", "Jetty", "Contour",
        "APISIX",
    ];
    for name in names {
        assert!(!fixes_of(name, Problem::NoSni).is_empty(), "{name}");
    }
}

/// The page says what the warnings say.
#[test]
fn warnings_name_what_is_shared_and_what_is_bypassed() {
    for (warning, words) in
        WARNINGS.iter().zip(["client certificates", "organisations and tenants", "two wildcard routes"])
    {
        assert!(warning.contains(words) && PAGE.to_lowercase().contains(words), "{warning}");
    }
}
