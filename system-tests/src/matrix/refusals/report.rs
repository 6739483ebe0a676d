//! Compares the responses of gateways with the list and with the events, and renders the result.

use std::fmt::Write as _;

use super::super::situation::Version;
use super::list::Refuser;
use super::response::Response;
use super::sent_name::SentName;

/// A daemon's report of a hello.
#[derive(Debug, Clone)]
pub(super) struct Reported {
    /// Its value of `--capture`.
    pub(super) capture: &'static str,
    pub(super) outcome: String,
    pub(super) alert: Option<String>,
}

/// A hello, the gateway's response, and the daemons' reports.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) version: Version,
    pub(super) name: SentName,
    pub(super) expected: Response,
    /// The response on the wire.
    pub(super) seen: Option<Response>,
    pub(super) reported: Vec<Reported>,
    /// The records on the wire.
    pub(super) records: String,
}

impl Answer {
    fn is_right(&self) -> bool {
        let is_expected =
            |reported: &Reported| self.expected.is_reported_by(&reported.outcome, reported.alert.as_deref());
        self.seen == Some(self.expected) && !self.reported.is_empty() && self.reported.iter().all(is_expected)
    }

    fn seen_text(&self) -> String {
        self.seen.map_or("another".to_owned(), |response| response.to_string())
    }
}

/// The responses of a gateway to all hellos.
#[derive(Debug, Clone)]
pub struct Refusals {
    pub(super) refuser: Refuser,
    pub(super) version: String,
    pub(super) answers: Vec<Answer>,
}

impl Refusals {
    /// Whether each hello was answered as listed, and both daemons reported it.
    pub fn is_right(&self) -> bool {
        !self.answers.is_empty() && self.answers.iter().all(Answer::is_right)
    }
}

/// Returns the report for people: a table, then each answer that is not as listed.
pub fn render(all: &[Refusals]) -> String {
    let mut text = String::from("| gateway | configuration | no SNI | unknown name |\n|---|---|---|---|\n");
    for refusals in all {
        let cell = |name: SentName| {
            let mut of_name = refusals.answers.iter().filter(|answer| answer.name == name);
            let mut next = || of_name.next().map_or_else(String::new, Answer::seen_text);
            let (tls12, tls13) = (next(), next());
            if tls12 == tls13 { tls12 } else { format!("TLS 1.2: {tls12}; TLS 1.3: {tls13}") }
        };
        let Refuser { software, configuration, .. } = refusals.refuser;
        let (without_sni, unknown_name) = (cell(SentName::None), cell(SentName::Unknown));
        let program = format!("{} {}", software.0, refusals.version);
        writeln!(text, "| {} | {configuration} | {without_sni} | {unknown_name} |", program.trim_end())
            .expect("a string");
    }
    for refusals in all {
        for answer in refusals.answers.iter().filter(|answer| !answer.is_right()) {
            describe(&mut text, &refusals.refuser, answer);
        }
    }
    let right = all.iter().filter(|refusals| refusals.is_right()).count();
    writeln!(text, "\ngateways: {}, as listed and recognised: {right}", all.len()).expect("a string");
    text
}

fn describe(text: &mut String, refuser: &Refuser, answer: &Answer) {
    let Refuser { software, configuration, .. } = refuser;
    let (version, name) = (answer.version.dotted(), answer.name.word());
    writeln!(text, "\n{}, {configuration}, TLS {version}, {name}:", software.0).expect("a string");
    writeln!(text, "    listed: {}", answer.expected).expect("a string");
    writeln!(text, "    seen: {}", answer.seen_text()).expect("a string");
    for Reported { capture, outcome, alert } in &answer.reported {
        let alert = alert.as_deref().unwrap_or_default();
        writeln!(text, "    sni-probe, {capture}: {outcome} {alert}").expect("a string");
    }
    writeln!(text, "    wire: {}", answer.records).expect("a string");
}
