//! Compares what the lines healed with what their table claims, and renders the result.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::refusals::sent_name::SentName;
use super::answer::Answer;
use super::run::Healing;

/// Something that is not as the table says, in a sentence.
pub type Fault = String;

impl Healing {
    fn of(answers: &[(SentName, Answer)], name: SentName) -> impl Iterator<Item = &Answer> {
        answers.iter().filter(move |(sent, _)| *sent == name).map(|(_, answer)| answer)
    }

    fn title(&self) -> String {
        format!(
            "{} {}, {}, {}",
            self.trial.software.0, self.version, self.trial.situation, self.trial.snippet
        )
    }

    /// Whether all clients that the lines are for were refused before.
    fn was_refused(&self) -> bool {
        self.listed.heals.iter().all(|name| {
            let mut answers = Self::of(&self.before, *name).peekable();
            answers.peek().is_some() && answers.all(|answer| !answer.is_served())
        })
    }

    /// Whether all clients that the lines are for, and those with the right name, are served after.
    fn is_served_after(&self) -> bool {
        let names = self.listed.heals.iter().chain([&SentName::Right]);
        names.into_iter().all(|name| {
            let mut answers = Self::of(&self.after, *name).peekable();
            answers.peek().is_some() && answers.all(Answer::is_served)
        })
    }

    fn is_healed(&self) -> bool {
        self.was_refused() && self.is_served_after()
    }
}

/// Returns what is not as the table says. `is_complete`: all trials ran, so that a version without one is a fault.
pub fn faults(all: &[Healing], is_complete: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut ran: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for healing in all {
        let is_claimed = healing.listed.tried.contains(&healing.version.as_str());
        ran.entry(healing.trial.snippet).or_default().push(&healing.version);
        match (is_claimed, healing.is_healed()) {
            (true, false) if !healing.was_refused() => {
                faults.push(format!("{}: nothing was refused before", healing.title()));
            }
            (true, false) => faults.push(format!("{}: does not heal", healing.title())),
            (false, true) => {
                faults.push(format!("{}: healed, but index.tsv does not list this version", healing.title()));
            }
            _ => {}
        }
    }
    for healing in all.iter().filter(|_| is_complete) {
        for version in &healing.listed.tried {
            if !ran[healing.trial.snippet].contains(version) {
                faults.push(format!("{}: no gateway of version {version} ran", healing.trial.snippet));
            }
        }
    }
    faults.sort();
    faults.dedup();
    faults
}

/// Returns the report for people: a table, and what is not as the table of the lines says.
pub fn render(all: &[Healing], faults: &[Fault]) -> String {
    let mut text = String::from(
        "| gateway | configuration that refuses | lines | no SNI | unknown name |\n|---|---|---|---|---|\n",
    );
    for healing in all {
        let cell = |name: SentName| {
            let before = joined(Healing::of(&healing.before, name));
            let after = joined(Healing::of(&healing.after, name));
            if before == after { before } else { format!("{before} → {after}") }
        };
        let (without, unknown) = (cell(SentName::None), cell(SentName::Unknown));
        let (software, version) = (healing.trial.software.0, &healing.version);
        let (situation, snippet) = (healing.trial.situation, healing.trial.snippet);
        writeln!(text, "| {software} {version} | {situation} | {snippet} | {without} | {unknown} |")
            .expect("a string");
    }
    for fault in faults {
        writeln!(text, "\nfault: {fault}").expect("a string");
    }
    for healing in all.iter().filter(|healing| !healing.is_healed()) {
        let right = joined(Healing::of(&healing.after, SentName::Right));
        writeln!(text, "\nnot healed: {} (right name: {right})", healing.title()).expect("a string");
    }
    let healed = all.iter().filter(|healing| healing.is_healed()).count();
    writeln!(text, "\ntrials: {}, healed: {healed}, faults: {}", all.len(), faults.len()).expect("a string");
    text
}

/// Answers by TLS 1.2 and 1.3.
fn joined<'a>(answers: impl Iterator<Item = &'a Answer>) -> String {
    let mut texts: Vec<String> = answers.map(Answer::to_string).collect();
    texts.dedup();
    texts.join(" / ")
}
