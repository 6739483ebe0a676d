//! Compares what clients sent with the table of lines, and renders the result.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sni_probe_core::observation::Sni;

use super::super::places::Release;
use super::table::{self, Line, NOT_TRIED, VERIFIED_WITH};
use crate::SERVER_NAME;

/// Characters of a program's output that a failure shows.
const MAX_OUTPUT: usize = 600;

/// The server names of a client's hellos.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) names: Vec<Sni>,
    pub(super) output: String,
}

impl Sent {
    fn is_without_name(&self) -> bool {
        !self.names.is_empty() && !self.names.iter().any(|sni| matches!(sni, Sni::Present(_)))
    }

    fn has_right_name(&self) -> bool {
        let is_right = |sni: &Sni| matches!(sni, Sni::Present(name) if name == SERVER_NAME);
        !self.names.is_empty() && self.names.iter().all(is_right)
    }

    fn text(&self) -> String {
        let words = self.names.iter().map(|sni| match sni {
            Sni::Present(name) => name.clone(),
            Sni::Absent => "none".to_owned(),
            Sni::Empty => "empty".to_owned(),
            Sni::Invalid(text) => format!("invalid: {text}"),
            Sni::Unknown => "unknown".to_owned(),
        });
        let words: BTreeSet<String> = words.collect();
        if words.is_empty() {
            "no hello".to_owned()
        } else {
            words.into_iter().collect::<Vec<_>>().join(", ")
        }
    }
}

/// A client, run without and with its line.
#[derive(Debug, Clone)]
pub struct Trial {
    pub(super) id: &'static str,
    pub(super) program: &'static str,
    pub(super) release: Release,
    pub(super) version: String,
    pub(super) without: Sent,
    pub(super) with: Sent,
}

impl Trial {
    /// Whether the line makes the client send the name, which it did not send before.
    fn holds(&self) -> bool {
        self.without.is_without_name() && self.with.has_right_name()
    }
}

/// Whether each line that was run and is listed as verified holds.
pub fn is_success(trials: &[Trial]) -> bool {
    let is_listed = |trial: &Trial| table::line(trial.id).is_some_and(|line| line.verified_with.is_some());
    !trials.is_empty() && trials.iter().all(|trial| trial.holds() || !is_listed(trial))
}

/// Returns the programs and versions with which a line holds; `None` if there are none.
fn verified_with(trials: &[Trial], id: &str) -> Option<String> {
    let held: Vec<&Trial> = trials.iter().filter(|trial| trial.id == id && trial.holds()).collect();
    let version = |trial: &&Trial| match trial.release {
        Release::Machine => trial.version.clone(),
        Release::Bookworm => format!("{} (Debian 12)", trial.version),
        Release::Sid => format!("{} (Debian unstable)", trial.version),
    };
    let versions: Vec<String> = held.iter().map(version).collect();
    held.first().map(|first| format!("{} {}", first.program, versions.join(", ")))
}

/// Returns the report for people: a table, then each line that does not hold.
pub fn render(trials: &[Trial]) -> String {
    let mut text =
        String::from("| software | line | without | with | verified with |\n|---|---|---|---|---|\n");
    let (mut count, mut held) = (0, 0);
    for Line { id, software, text: line, verified_with: listed } in table::lines() {
        let of_line: Vec<&Trial> = trials.iter().filter(|trial| trial.id == id).collect();
        if of_line.is_empty() {
            continue;
        }
        count += 1;
        let column = |sent: fn(&Trial) -> &Sent| {
            let texts: BTreeSet<String> = of_line.iter().map(|trial| sent(trial).text()).collect();
            texts.into_iter().collect::<Vec<_>>().join("; ")
        };
        let verified_with = verified_with(trials, id);
        held += u32::from(verified_with.is_some());
        let verified = verified_with.as_deref().unwrap_or("does not hold");
        let note = if listed == verified_with.as_deref() { "" } else { " (the table differs)" };
        let (without, with) = (column(|trial| &trial.without), column(|trial| &trial.with));
        writeln!(text, "| {software} | `{line}` | {without} | {with} | {verified}{note} |")
            .expect("a string");
    }
    for trial in trials.iter().filter(|trial| !trial.holds()) {
        let Trial { id, release, version, without, with, .. } = trial;
        writeln!(text, "\n{id}, {}, {version}:", release.word()).expect("a string");
        for (words, sent) in [("without", without), ("with", with)] {
            let output: String = sent.output.trim().chars().take(MAX_OUTPUT).collect();
            writeln!(text, "    {words} the line: {}\n    {}", sent.text(), output.replace('\n', "\n    "))
                .expect("a string");
        }
    }
    writeln!(text, "\nlines: {count}, with which SNI appears: {held}").expect("a string");
    text
}

/// Returns the table with the versions of this run. Lines that were not run stay as they are.
pub fn rewritten(trials: &[Trial]) -> String {
    let mut text = String::new();
    for line in table::TEXT.lines() {
        let mut columns: Vec<&str> = line.split('\t').collect();
        let id = columns[0];
        let has_run = trials.iter().any(|trial| trial.id == id);
        let verified_with = verified_with(trials, id);
        if has_run && let Some(column) = columns.get_mut(VERIFIED_WITH) {
            *column = verified_with.as_deref().unwrap_or(NOT_TRIED);
        }
        text.push_str(&columns.join("\t"));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(id: &'static str, without: &[Sni], with: &[Sni]) -> Trial {
        let sent = |names: &[Sni]| Sent { names: names.to_vec(), output: "said".to_owned() };
        Trial {
            id,
            program: "curl",
            release: Release::Bookworm,
            version: "7.88.1".to_owned(),
            without: sent(without),
            with: sent(with),
        }
    }

    #[test]
    fn a_line_holds_if_the_name_appears_with_it() {
        let name = || Sni::Present(SERVER_NAME.to_owned());
        let other = || Sni::Present("other.example".to_owned());
        let address = || Sni::Invalid("192.0.2.1".to_owned());
        for (without, with, holds) in [
            (vec![Sni::Absent], vec![name()], true),
            (vec![address(), Sni::Absent], vec![name(), name()], true),
            (vec![name()], vec![name()], false),
            (vec![Sni::Absent], vec![name(), Sni::Absent], false),
            (vec![Sni::Absent], vec![other()], false),
            (vec![], vec![name()], false),
            (vec![Sni::Absent], vec![], false),
        ] {
            let trials = [trial("curl", &without, &with)];
            assert_eq!(trials[0].holds(), holds, "{trials:?}");
            assert_eq!(is_success(&trials), holds || table::line("curl").unwrap().verified_with.is_none());
            assert_eq!(rewritten(&trials).contains("curl 7.88.1 (Debian 12)\t"), holds);
            assert_eq!(rewritten(&trials).lines().count(), table::TEXT.lines().count());
            assert_eq!(render(&trials).contains("said"), !holds);
        }
        assert!(!is_success(&[]));
    }
}
