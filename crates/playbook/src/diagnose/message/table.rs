//! The table of messages, `messages.tsv`.

use std::cmp::Reverse;
use std::sync::LazyLock;

use super::Wire;

/// A line for each message. Comments begin with `#`.
const TABLE: &str = include_str!("../messages.tsv");
/// In place of a program or remark that is not there.
const NONE: &str = "-";

/// A message of the table.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Texts that must all be there, as `plain` makes them.
    pub(super) parts: Vec<&'static str>,
    pub(super) says: Says,
    /// The message counts only where no other is in the text.
    pub(super) is_only_alone: bool,
    pub(super) program: Option<&'static str>,
    pub(super) remark: Option<&'static str>,
}

/// The end that a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Says {
    Rst,
    Fin,
    RstOrFin,
    /// An alert, by its name where the message says which.
    Alert(Option<&'static str>),
    CertificateRejected,
    PlainHttpAnswer,
    PlainHttpRequest,
    NotConnected,
    Timeout,
    CannotTell,
}

impl Says {
    fn parse(word: &'static str) -> Option<Self> {
        Some(match word {
            "rst" => Self::Rst,
            "fin" => Self::Fin,
            "rst_or_fin" => Self::RstOrFin,
            "alert" => Self::Alert(None),
            "certificate_rejected" => Self::CertificateRejected,
            "plain_http_answer" => Self::PlainHttpAnswer,
            "plain_http_request" => Self::PlainHttpRequest,
            "not_connected" => Self::NotConnected,
            "timeout" => Self::Timeout,
            "cannot_tell" => Self::CannotTell,
            _ => Self::Alert(Some(word.strip_prefix("alert:")?)),
        })
    }

    pub(super) const fn wire(self) -> Wire {
        match self {
            Self::Rst => Wire::Rst,
            Self::Fin => Wire::Fin,
            Self::RstOrFin => Wire::RstOrFin,
            Self::Alert(_) => Wire::Alert,
            Self::CertificateRejected => Wire::CertificateRejected,
            Self::PlainHttpAnswer => Wire::PlainHttpAnswer,
            Self::PlainHttpRequest => Wire::PlainHttpRequest,
            Self::NotConnected => Wire::NotConnected,
            Self::Timeout => Wire::Timeout,
            Self::CannotTell => Wire::CannotTell,
        }
    }
}

/// Returns all messages, the longest first.
pub(super) fn entries() -> &'static [Entry] {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        // A test holds that each line parses.
        let mut entries: Vec<Entry> = lines.filter_map(parse).collect();
        entries.sort_by_key(|entry| Reverse(entry.parts.iter().map(|part| part.len()).sum::<usize>()));
        entries
    });
    &ENTRIES
}

fn parse(line: &'static str) -> Option<Entry> {
    let columns: Vec<&str> = line.split('\t').collect();
    let [message, wire, program, seen, remark] = columns[..] else { return None };
    let is_known = |word: &str| matches!(word, "run" | "documented");
    let optional = |word: &'static str| (word != NONE).then_some(word);
    let word = wire.strip_suffix('?');
    Some(Entry {
        parts: message.split(" & ").collect(),
        says: Says::parse(word.unwrap_or(wire)).filter(|_| is_known(seen))?,
        is_only_alone: word.is_some(),
        program: optional(program),
        remark: optional(remark),
    })
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;

    #[test]
    fn each_line_parses_and_is_in_the_form_that_is_searched() {
        let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        let mut messages = Vec::new();
        for line in lines {
            let entry = parse(line).unwrap_or_else(|| panic!("{line}"));
            for part in &entry.parts {
                assert_eq!(plain(part), *part, "{line}");
                assert!(part.len() >= 3, "{line}");
            }
            if let Says::Alert(Some(name)) = entry.says {
                assert!(super::super::alert_text::by_name(name).is_some(), "{line}");
            }
            messages.push(entry.parts);
        }
        assert_eq!(messages.len(), entries().len());
        messages.sort();
        let count = messages.len();
        messages.dedup();
        assert_eq!(messages.len(), count, "a message is there twice");
    }

    #[test]
    fn the_page_has_each_line() {
        let page = include_str!("../../../../../docs/error-messages.md");
        let cell = |text: &str| if text == NONE { String::new() } else { text.replace('|', "\\|") };
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let columns: Vec<&str> = line.split('\t').collect();
            let row = format!(
                "| `{}` | `{}` | {} | {} | {} |",
                columns[0].replace(" & ", "` … `"),
                columns[1],
                cell(columns[2]),
                columns[3],
                cell(columns[4])
            );
            assert!(page.contains(&row), "docs/error-messages.md lacks: {row}");
        }
    }
}
