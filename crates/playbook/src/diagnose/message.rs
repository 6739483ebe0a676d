//! What a client's error message says of the wire.
//!
//! ```text
//! text ─▶ plain (lower case, one line) ─┬▶ messages.tsv (the longest message wins) ─┐
//!                                       └▶ alert_text (alerts by name and number) ──┴▶ Meaning
//! ```
//!
//! Programs use one text for several ends of a connection, and different texts for the same end. The table holds what was
//! measured. The text of the user is never part of a [`Meaning`].

mod alert_text;
mod sentence;
mod table;

use std::collections::BTreeSet;

use serde::Serialize;

use self::alert_text::AlertSeen;
use self::table::{Entry, Says};

/// Bytes of a text that are read. A stack trace of Java has some 10,000.
pub(super) const MAX_TEXT: usize = 64 * 1024;

/// Words of the logs of Go's servers, Envoy and nginx: the other side of the connection speaks.
const OF_SERVERS: [&str; 3] =
    ["tls handshake error from", "transport failure reason", "while ssl handshaking, client"];

/// Begins a terminal's control sequence.
const ESCAPE: char = '\u{1b}';

/// What a message says of the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Meaning {
    /// The end of the connection.
    pub wire: Wire,
    /// IANA's name of the alert, where the text says which; `unassigned` for a number without a name.
    pub alert: Option<String>,
    /// The program that prints this text, where only one does.
    pub program: Option<&'static str>,
    /// The same for people, with what follows from it.
    pub sentence: String,
}

/// What happened on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wire {
    /// A TCP reset came.
    Rst,
    /// A FIN came, without an alert.
    Fin,
    /// A reset or a FIN: the program prints the same for both.
    RstOrFin,
    /// A TLS alert came from the other side.
    Alert,
    /// The client itself ended the handshake, because of the certificate.
    CertificateRejected,
    /// The answer was not TLS; most often it is plain HTTP.
    PlainHttpAnswer,
    /// The client sent plain HTTP to a TLS port.
    PlainHttpRequest,
    /// There was no TCP connection, so no ClientHello.
    NotConnected,
    /// No answer came in time.
    Timeout,
    /// The program prints this for several ends, or the messages of the text contradict each other.
    CannotTell,
    /// No message of the table is in the text.
    Unknown,
}

/// Returns what a text of any length and content says.
pub(super) fn meaning(text: &str) -> Meaning {
    let plain = plain(text);
    if OF_SERVERS.iter().any(|words| plain.contains(words)) {
        return Meaning {
            wire: Wire::CannotTell,
            alert: None,
            program: None,
            sentence: "This is a line of a server's or proxy's log, not a message of the client: save it to a file and give that with \
                       --logs."
                .to_owned(),
        };
    }
    let found = found(&plain);
    let alerts = alert_text::alerts(&plain);
    let is_alone = alerts.is_empty() && found.iter().all(|entry| entry.is_only_alone);
    let mut counted: Vec<&Entry> =
        found.iter().copied().filter(|entry| is_alone || !entry.is_only_alone).collect();
    // A message that says nothing gives way to one that says something.
    let says_more = !alerts.is_empty() || counted.iter().any(|entry| entry.says != Says::CannotTell);
    if says_more {
        counted.retain(|entry| entry.says != Says::CannotTell);
    }
    let program = single(found.iter().filter_map(|entry| entry.program));
    let (wire, alert) = combined(&counted, &alerts);
    let remark = single(counted.iter().filter_map(|entry| entry.remark));
    let is_contradictory = wire == Wire::CannotTell && says_more;
    let sentence = sentence::sentence(wire, alert, program, remark, is_contradictory);
    Meaning { wire, alert: alert.and_then(|alert| alert.name).map(str::to_owned), program, sentence }
}

/// Returns the end that all messages allow.
fn combined(entries: &[&Entry], alerts: &BTreeSet<AlertSeen>) -> (Wire, Option<AlertSeen>) {
    let mut ends: BTreeSet<Says> = entries.iter().map(|entry| entry.says).collect();
    // A message without the alert's name allows each name, and one without RST or FIN allows both.
    if !alerts.is_empty() || ends.iter().any(|says| matches!(says, Says::Alert(Some(_)))) {
        ends.remove(&Says::Alert(None));
    }
    if ends.contains(&Says::Rst) || ends.contains(&Says::Fin) {
        ends.remove(&Says::RstOrFin);
    }
    let mut all_alerts = alerts.clone();
    for says in &ends {
        if let Says::Alert(Some(name)) = says {
            all_alerts.insert(AlertSeen::named(name));
        }
    }
    ends.retain(|says| !matches!(says, Says::Alert(Some(_))));
    match (ends.len(), all_alerts.len()) {
        (0, 0) => (Wire::Unknown, None),
        (0, 1) => (Wire::Alert, all_alerts.first().copied()),
        (1, 0) => (ends.first().map_or(Wire::CannotTell, |says| says.wire()), None),
        _ => (Wire::CannotTell, None),
    }
}

/// Returns the messages of the table that are in the text and in no longer message of it.
fn found(plain: &str) -> Vec<&'static Entry> {
    let mut claimed = vec![false; plain.len()];
    let mut found = Vec::new();
    for entry in table::entries() {
        let spans: Option<Vec<Vec<usize>>> =
            entry.parts.iter().map(|part| occurrences(plain, part, &claimed)).collect();
        let Some(spans) = spans else { continue };
        for (part, starts) in entry.parts.iter().zip(spans) {
            for start in starts {
                claimed[start..start + part.len()].fill(true);
            }
        }
        found.push(entry);
    }
    found
}

/// Returns where a part is as words of its own; `None` if it is nowhere outside what longer messages claimed.
fn occurrences(plain: &str, part: &str, claimed: &[bool]) -> Option<Vec<usize>> {
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = plain.as_bytes();
    let starts_word = is_word(part.as_bytes().first());
    let ends_word = is_word(part.as_bytes().last());
    let starts: Vec<usize> = plain
        .match_indices(part)
        .map(|(start, _)| start)
        .filter(|start| !(starts_word && start.checked_sub(1).is_some_and(|at| is_word(bytes.get(at)))))
        .filter(|start| !(ends_word && is_word(bytes.get(start + part.len()))))
        .collect();
    let is_free = |start: &usize| !claimed[*start..start + part.len()].iter().all(|claimed| *claimed);
    starts.iter().any(is_free).then_some(starts)
}

/// Returns the text in lower case, with one space for each run of white space, underscores and control characters.
fn plain(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    let mut plain = String::with_capacity(end);
    let mut characters = text[..end].chars();
    while let Some(mut character) = characters.next() {
        // A sequence that sets a colour ends with a letter, which is no part of the word after it.
        if character == ESCAPE && characters.as_str().starts_with('[') {
            character = ' ';
            characters.by_ref().skip(1).find(|end| matches!(end, '@'..='~'));
        }
        let is_gap =
            character.is_whitespace() || character == '_' || sni_probe_terminal::is_invisible(character);
        if !is_gap {
            // Typographic apostrophes come from copied pages.
            plain.push(if character == '\u{2019}' { '\'' } else { character.to_ascii_lowercase() });
        } else if !plain.ends_with(' ') {
            plain.push(' ');
        }
    }
    plain
}

/// Returns the only value; `None` where there are none or several different ones.
fn single(values: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let values: BTreeSet<&'static str> = values.collect();
    if values.len() == 1 { values.into_iter().next() } else { None }
}

#[cfg(test)]
mod tests;
