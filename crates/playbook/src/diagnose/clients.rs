//! The line that makes a client send SNI, by its software.

use std::sync::LazyLock;

/// A line of the file for each line that helps. Comments begin with `#`.
const TABLE: &str = include_str!("clients.tsv");
/// In place of a column that is empty.
const NONE: &str = "-";
/// In place of versions, where the line was not run.
const NOT_TRIED: &str = "not tried";
/// Lines for a library of which the program is not known.
const MAX_OF_LIBRARY: usize = 6;

/// A line that makes a client send SNI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientLine {
    /// The program, for people.
    pub software: &'static str,
    /// The line, with the placeholders `NAME`, `PORT` and `GATEWAY_IP`.
    pub line: &'static str,
    /// The file, option or call in which it goes. Empty: nowhere, the program cannot send SNI.
    pub place: &'static str,
    /// The versions with which the lab saw SNI appear; `None` where it was not tried.
    pub verified_with: Option<&'static str>,
    /// A trap.
    pub remark: Option<&'static str>,
    /// Programs, as the table of fingerprints names them.
    matches: Vec<&'static str>,
    /// Libraries for which the line is shown where the program is unknown.
    libraries: Vec<&'static str>,
}

impl ClientLine {
    /// Returns the line with the name and the port, where they are known. The caller quotes the name.
    pub(super) fn with(&self, name: Option<&str>, port: Option<u16>) -> String {
        let port = port.map(|port| port.to_string());
        let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let mut text = String::with_capacity(self.line.len());
        let mut rest = self.line;
        while !rest.is_empty() {
            let end = rest.find(|character| !is_word(character)).unwrap_or(rest.len());
            let (word, others) = rest.split_at(end);
            text.push_str(match word {
                "NAME" => name.unwrap_or(word),
                "PORT" => port.as_deref().unwrap_or(word),
                _ => word,
            });
            let next = others.find(is_word).unwrap_or(others.len());
            text.push_str(&others[..next]);
            rest = &others[next..];
        }
        text
    }
}

/// Returns all lines, in the order of the file.
pub(super) fn all() -> &'static [ClientLine] {
    static LINES: LazyLock<Vec<ClientLine>> = LazyLock::new(|| {
        // A test holds that each line parses.
        TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(parse).collect()
    });
    &LINES
}

fn parse(line: &'static str) -> Option<ClientLine> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [_, software, matches, libraries, line, place, verified_with, remark] = columns[..] else {
        return None;
    };
    let list = |text: &'static str| text.split('|').filter(|word| *word != NONE).collect();
    Some(ClientLine {
        software,
        line,
        place: if place == NONE { "" } else { place },
        verified_with: (verified_with != NOT_TRIED).then_some(verified_with),
        remark: (remark != NONE).then_some(remark),
        matches: list(matches),
        libraries: list(libraries),
    })
}

/// Returns the lines for the software that a fingerprint names, such as `OpenSSL 3.0 (HAProxy, curl)`: those of its programs, in
/// their order, then, where programs are missing from the text, those of the common programs of the library.
pub(super) fn lines_of(likely: &str) -> Vec<&'static ClientLine> {
    let (head, programs) = match likely.split_once('(') {
        Some((head, programs)) => (head, programs.trim_end().trim_end_matches(')')),
        None => (likely, ""),
    };
    let library = without_version(head);
    let mut lines: Vec<&ClientLine> = Vec::new();
    let programs: Vec<&str> =
        programs.split(',').map(str::trim).filter(|program| !program.is_empty()).collect();
    for program in &programs {
        add(&mut lines, best(&format!("{library} {program}")));
        add(&mut lines, best(program));
    }
    if lines.is_empty() {
        add(&mut lines, best(library));
    }
    if lines.is_empty() || programs.contains(&"...") {
        let of_library =
            |line: &&ClientLine| line.libraries.iter().any(|name| name.eq_ignore_ascii_case(library));
        let room = MAX_OF_LIBRARY.saturating_sub(lines.len());
        let others: Vec<&ClientLine> =
            all().iter().filter(of_library).filter(|line| !lines.contains(line)).take(room).collect();
        lines.extend(others);
    }
    lines
}

fn add(lines: &mut Vec<&'static ClientLine>, more: Vec<&'static ClientLine>) {
    for line in more {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
}

/// Returns the lines with the longest name that the program is or begins with.
fn best(program: &str) -> Vec<&'static ClientLine> {
    let length = |line: &ClientLine| {
        let matching = line.matches.iter().filter(|name| {
            let Some(start) = program.get(..name.len()) else { return false };
            let rest = &program[name.len()..];
            start.eq_ignore_ascii_case(name) && !rest.starts_with(|next: char| next.is_alphanumeric())
        });
        matching.map(|name| name.len()).max()
    };
    let longest = all().iter().filter_map(length).max();
    all().iter().filter(|line| longest.is_some() && length(line) == longest).collect()
}

/// Returns the name of a library without its versions: `OpenSSL` of `OpenSSL 1.1 to 3.0`.
fn without_version(head: &str) -> &str {
    let is_version = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
    let mut end = 0;
    for word in head.split_whitespace() {
        let start = word.as_ptr() as usize - head.as_ptr() as usize;
        if is_version(word) {
            break;
        }
        end = start + word.len();
    }
    head[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clients and proxies that were measured without SNI, or with an IP address as SNI.
    const MEASURED: [&str; 79] = [
        "redis-cli",
        "valkey-cli",
        "swaks",
        "nmap",
        "check_tcp",
        "telnet-ssl",
        "Perl Net::SSLeay",
        "Ruby",
        "Node.js tls",
        "mariadb",
        "check_http",
        "psql",
        "tcltls",
        "wget2",
        "ncat",
        "socat",
        "mosquitto_pub",
        "PHP",
        "Ruby Net::HTTP",
        "Guile",
        "Racket",
        "Perl HTTP::Tiny",
        "msmtp",
        "fetchmail",
        "siege",
        "lynx",
        "w3m",
        "lftp",
        "axel",
        "sslscan",
        "luasec",
        "stunnel",
        "Erlang",
        "syslog-ng",
        "curl",
        "wget",
        "git",
        "Python ssl",
        "Python urllib",
        "Python requests",
        "Python httpx",
        "httpie",
        "Java SSLSocket",
        "Java HttpsURLConnection",
        "Java HttpClient",
        "Go crypto/tls",
        "Go net/http",
        "Node.js https",
        "Node.js fetch",
        "Node.js http2",
        "Perl LWP",
        "Perl IO::Socket::SSL",
        "ab",
        "h2load",
        "links",
        "elinks",
        "ldapsearch",
        "kdig",
        "gnutls-cli",
        "R",
        "skopeo",
        "cadaver",
        "Monit",
        "botan",
        "HAProxy",
        "nginx",
        "Envoy",
        "Istio",
        "Apache httpd",
        "squid",
        "unbound",
        "dnsdist",
        "chrony",
        "kubectl",
        "helm",
        "Prometheus",
        "kubelet",
        "AWS NLB",
        "F5",
    ];

    #[test]
    fn each_line_parses() {
        let lines: Vec<&str> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines.len(), all().len());
        for (text, line) in lines.iter().zip(all()) {
            assert!(!line.software.is_empty() && !line.line.is_empty(), "{text}");
            assert!(text.is_ascii() && !line.line.contains('`'), "{text}");
            assert!(!line.matches.is_empty() || !line.libraries.is_empty(), "{text}");
            assert_eq!(line.line.starts_with("cannot"), line.place.is_empty(), "{text}");
        }
        let mut ids: Vec<&str> = lines.iter().filter_map(|line| line.split('\t').next()).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "an id is there twice");
    }

    #[test]
    fn each_measured_client_has_a_line() {
        for client in MEASURED {
            assert!(!best(client).is_empty(), "{client}");
        }
    }

    #[test]
    fn each_fingerprint_with_software_has_a_line() {
        let table = include_str!("../../../core/src/software.tsv");
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let likely = line.split('\t').nth(2).unwrap();
            assert!(!lines_of(likely).is_empty(), "{likely}");
            assert!(lines_of(likely).len() <= 8, "{likely}");
        }
    }

    #[test]
    fn lines_are_of_the_programs_first() {
        let of = |likely| -> Vec<&str> { lines_of(likely).iter().map(|line| line.software).collect() };
        assert_eq!(of("OpenSSL 1.1 to 3.0 (HAProxy)"), ["HAProxy, server", "HAProxy, health check"]);
        assert_eq!(of("Envoy 1.40 (upstream)").len(), 3);
        assert_eq!(of("Envoy 1.40"), of("Envoy 1.40 (upstream)"));
        assert_eq!(of("Go 1.19 (Prometheus)"), ["Prometheus, scrape"]);
        assert_eq!(of("Node.js 12, 18 to 20 (https)"), ["Node.js, https"]);
        assert_eq!(of("Java 17 to 25 (HttpsURLConnection)"), ["Java, HttpsURLConnection"]);
        assert_eq!(of("OpenSSL 3.0").len(), MAX_OF_LIBRARY);
        assert_eq!(of("GnuTLS 3.7 (something new)"), of("GnuTLS 3.7"));
        let some = of("OpenSSL 3.5 (curl, ...)");
        assert_eq!((some[0], some.len()), ("curl", MAX_OF_LIBRARY));
        for library in [
            "OpenSSL 3.6",
            "GnuTLS 3.8",
            "Java 8",
            "Go 1.27",
            "Node.js 24",
            "rustls 0.23",
            "wolfSSL 5.9",
            "mbedTLS 3.6",
            "Erlang/OTP 29",
            "Erlang 25 (ssl)",
        ] {
            assert!(!of(library).is_empty(), "{library}");
        }
        for other in ["", "(", ")", "...", "Something 1.0", "ü (ü)", "OpenSS"] {
            assert_eq!(of(other), [""; 0], "{other}");
        }
    }

    #[test]
    fn placeholders_are_replaced_where_they_are_known() {
        let line = |software| all().iter().find(|line| line.software == software).unwrap();
        let curl = line("curl");
        assert_eq!(
            curl.with(Some("PORT.example"), Some(8443)),
            "--resolve PORT.example:8443:GATEWAY_IP https://PORT.example:8443/"
        );
        assert_eq!(curl.with(None, None), curl.line);
        // SNIHostName is a word of its own.
        assert!(
            line("Java, SSLSocket").with(Some("a.example"), None).contains("new SNIHostName(\"a.example\")")
        );
    }

    #[test]
    fn the_page_has_each_line() {
        let page = include_str!("../../../../docs/client-sni.md");
        for line in all() {
            let verified_with = line.verified_with.unwrap_or(NOT_TRIED);
            let text = if line.place.is_empty() {
                line.line.to_owned()
            } else {
                format!("`{}`", line.line.replace('|', "\\|"))
            };
            let row = format!(
                "| {} | {text} | {} | {verified_with} | {} |",
                line.software,
                line.place,
                line.remark.unwrap_or_default()
            );
            assert!(page.contains(&row), "docs/client-sni.md lacks: {row}");
        }
    }
}
