//! Compares sni-probe's outcomes with the clients' reports, and renders the result.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::clients::Report;
use super::combination::Combination;
use super::situation::Situation;
use super::wire::{Connection, Side};
use crate::probe::Event;

const ESTABLISHED: &str = "established";
const UNDECIDED: &str = "server_hello";

/// A combination that was run.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Client, gateway, version and situation.
    pub combination: Combination,
    /// The gateway's version.
    pub gateway_version: String,
    /// The client's version.
    pub client_version: String,
    /// The client's own report.
    pub report: Report,
    /// The outcome that the report means. `None`: the lab is at fault, not the daemon.
    pub expected: Option<&'static str>,
    /// Each daemon's outcome for each connection, compared with the expected one.
    pub judgements: Vec<(&'static str, Judgement)>,
    /// The connections, as they were on the wire.
    pub connections: Vec<Connection>,
}

/// A daemon's outcome for a connection, compared with the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// The expected outcome.
    Right,
    /// `server_hello`: the gateway answered, and the rest is unknown for this reason.
    Undecided(&'static str),
    /// Another outcome, or no event.
    Misjudged(String),
}

/// The result of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrialResult {
    /// Both daemons are right about all connections.
    Right,
    /// Some are undecided, none is wrong.
    Undecided,
    /// A daemon is wrong.
    Misjudged,
    /// The situation does not explain the client's report.
    Invalid,
}

/// Returns the outcome that a client's report means in its situation. `None`: the situation does not explain the report.
pub fn expected(combination: &Combination, report: &Report) -> Option<&'static str> {
    use Situation::{CertificateMissing, CertificateWrong, Distrusted, Expired, WrongName};
    let by_http = combination.gateway.refuses_by_http;
    match (combination.situation, report) {
        (Distrusted | WrongName | Expired, Report::RejectedCertificate(_)) => Some("rejected_by_client"),
        (CertificateMissing | CertificateWrong, Report::Failed(_)) if !by_http => {
            Some("client_certificate_refused")
        }
        (CertificateMissing | CertificateWrong, Report::Served) if by_http => Some(ESTABLISHED),
        (Distrusted | WrongName | Expired | CertificateMissing | CertificateWrong, _) => None,
        (_, Report::Served) => Some(ESTABLISHED),
        (_, _) => None,
    }
}

impl Judgement {
    /// Compares an event with the expected outcome.
    pub fn new(
        expected: Option<&'static str>,
        event: Option<&Event>,
        connection: &Connection,
        situation: Situation,
    ) -> Self {
        match event.map(|event| event.outcome.as_str()) {
            Some(outcome) if Some(outcome) == expected => Self::Right,
            Some(UNDECIDED) => Self::Undecided(reason(connection, situation, expected)),
            Some(outcome) => Self::Misjudged(outcome.to_owned()),
            None => Self::Misjudged("no event".to_owned()),
        }
    }
}

/// Returns why the outcome is undecided.
fn reason(connection: &Connection, situation: Situation, expected: Option<&str>) -> &'static str {
    /// The shortest Finished of TLS 1.3, by a suite with a short tag.
    const FINISHED: usize = 45;
    let mut of_client = connection.records(Side::Client).filter(|record| record.kind != 20);
    let after_hello: Vec<_> = of_client.by_ref().skip(1).collect();
    let has_finished = after_hello.iter().any(|record| record.kind == 22 || record.length >= FINISHED);
    let has_plain_alert = after_hello.iter().any(|record| record.alert.is_some());
    if situation == Situation::EarlyData {
        "early data: records of the client come before its Finished"
    } else if expected == Some(ESTABLISHED) {
        "a record that decides was not read: it lies deep in a segment, or its segment was not followed"
    } else if expected == Some("client_certificate_refused") {
        "the gateway's alert was not read as one"
    } else if has_finished && !has_plain_alert {
        "the client completed the handshake and closed without data, as a health check does"
    } else if after_hello.is_empty() {
        "the client closed without a record, and the gateway's certificate was in a segment that is not read"
    } else {
        "not explained"
    }
}

impl Trial {
    /// Returns the worst of the judgements.
    pub fn result(&self) -> TrialResult {
        if self.expected.is_none() || self.judgements.is_empty() {
            return TrialResult::Invalid;
        }
        let each = self.judgements.iter().map(|(_, judgement)| match judgement {
            Judgement::Right => TrialResult::Right,
            Judgement::Undecided(_) => TrialResult::Undecided,
            Judgement::Misjudged(_) => TrialResult::Misjudged,
        });
        each.max().unwrap_or(TrialResult::Invalid)
    }

    /// Whether the gateway made a new session where the situation needs a resumed one.
    pub fn is_not_resumed(&self) -> bool {
        self.combination.situation.connections() > 1 && !self.connections.iter().all(Connection::is_resumed)
    }

    fn client_text(&self) -> String {
        match &self.report {
            Report::Served => "served".to_owned(),
            Report::RejectedCertificate(line) | Report::Failed(line) => line.chars().take(160).collect(),
        }
    }

    fn wire(&self) -> String {
        let wires: Vec<String> = self.connections.iter().map(ToString::to_string).collect();
        wires.join(" | ")
    }

    fn outcomes(&self) -> String {
        let each = self.judgements.iter().map(|(capture, judgement)| match judgement {
            Judgement::Right => format!("{capture}: {}", self.expected.unwrap_or("?")),
            Judgement::Undecided(_) => format!("{capture}: {UNDECIDED}"),
            Judgement::Misjudged(outcome) => format!("{capture}: {outcome}"),
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

/// Numbers of trials by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Right.
    pub right: usize,
    /// Undecided.
    pub undecided: usize,
    /// Undecided, though the client was served.
    pub undecided_served: usize,
    /// Misjudged.
    pub misjudged: usize,
    /// Invalid.
    pub invalid: usize,
}

impl Counts {
    /// Counts trials.
    pub fn of<'a>(trials: impl IntoIterator<Item = &'a Trial>) -> Self {
        let mut counts = Self::default();
        for trial in trials {
            match trial.result() {
                TrialResult::Right => counts.right += 1,
                TrialResult::Undecided => {
                    counts.undecided += 1;
                    counts.undecided_served += usize::from(trial.expected == Some(ESTABLISHED));
                }
                TrialResult::Misjudged => counts.misjudged += 1,
                TrialResult::Invalid => counts.invalid += 1,
            }
        }
        counts
    }

    /// Whether there are trials, and none is misjudged or invalid.
    pub fn is_success(&self) -> bool {
        self.misjudged == 0 && self.invalid == 0 && self.right + self.undecided > 0
    }
}

/// Returns the report for people: a table of pairs, then each trial that is not right.
pub fn render(trials: &[Trial]) -> String {
    let mut text = String::new();
    let mut pairs: BTreeMap<String, BTreeMap<String, Vec<&Trial>>> = BTreeMap::new();
    for trial in trials {
        let Combination { client, .. } = &trial.combination;
        let client = format!("{} {} {}", client.name, trial.client_version, client.options);
        let gateway = format!("{} {}", trial.combination.gateway.name, trial.gateway_version);
        let of_client = pairs.entry(client.trim().to_owned()).or_default();
        of_client.entry(gateway.trim().to_owned()).or_default().push(trial);
    }
    let gateways: Vec<String> = {
        let mut all: Vec<String> = pairs.values().flat_map(BTreeMap::keys).cloned().collect();
        all.sort();
        all.dedup();
        all
    };
    writeln!(text, "Right / undecided / misjudged, by client and gateway:\n").expect("a string");
    writeln!(text, "| client | {} |", gateways.join(" | ")).expect("a string");
    writeln!(text, "|---|{}", "---|".repeat(gateways.len())).expect("a string");
    for (client, of_client) in &pairs {
        let cell = |gateway: &String| {
            let Some(trials) = of_client.get(gateway) else { return "-".to_owned() };
            let counts = Counts::of(trials.iter().copied());
            format!("{} / {} / {}", counts.right, counts.undecided, counts.misjudged + counts.invalid)
        };
        let cells: Vec<String> = gateways.iter().map(cell).collect();
        writeln!(text, "| {client} | {} |", cells.join(" | ")).expect("a string");
    }
    let titles = [
        (TrialResult::Misjudged, "Misjudged"),
        (TrialResult::Invalid, "The situation does not explain the client's report"),
        (TrialResult::Undecided, "Undecided"),
    ];
    for (result, title) in titles {
        let of_result: Vec<&Trial> = trials.iter().filter(|trial| trial.result() == result).collect();
        if of_result.is_empty() {
            continue;
        }
        writeln!(text, "\n{title}: {}", of_result.len()).expect("a string");
        for trial in of_result {
            describe(&mut text, trial);
        }
    }
    let not_resumed: Vec<&Trial> = trials.iter().filter(|trial| trial.is_not_resumed()).collect();
    if !not_resumed.is_empty() {
        writeln!(text, "\nThe gateway made a new session instead: {}", not_resumed.len()).expect("a string");
        for trial in not_resumed {
            writeln!(text, "- {}", trial.combination.name()).expect("a string");
        }
    }
    let counts = Counts::of(trials);
    let sum = trials.len();
    writeln!(
        text,
        "\ncombinations: {sum}, right: {}, undecided: {} (served: {}), misjudged: {}, invalid: {}",
        counts.right, counts.undecided, counts.undecided_served, counts.misjudged, counts.invalid
    )
    .expect("a string");
    text
}

fn describe(text: &mut String, trial: &Trial) {
    writeln!(text, "- {}", trial.combination.name()).expect("a string");
    writeln!(text, "    client: {}", trial.client_text()).expect("a string");
    writeln!(text, "    sni-probe: {}", trial.outcomes()).expect("a string");
    let reasons = trial.judgements.iter().filter_map(|(_, judgement)| match judgement {
        Judgement::Undecided(reason) => Some(*reason),
        _ => None,
    });
    if let Some(reason) = reasons.into_iter().next() {
        writeln!(text, "    reason: {reason}").expect("a string");
    }
    writeln!(text, "    wire: {}", trial.wire()).expect("a string");
}

/// Returns a line for each trial, with columns separated by tabs.
pub fn table(trials: &[Trial]) -> String {
    let mut text =
        String::from("gateway\tclient\tversion\tsituation\tclient_report\tresult\toutcomes\twire\n");
    for trial in trials {
        let Combination { client, gateway, version, situation } = &trial.combination;
        writeln!(
            text,
            "{} {}\t{} {} {}\t{}\t{}\t{}\t{:?}\t{}\t{}",
            gateway.name,
            trial.gateway_version,
            client.name,
            trial.client_version,
            client.options,
            version.dotted(),
            situation.word(),
            trial.client_text().replace('\t', " "),
            trial.result(),
            trial.outcomes(),
            trial.wire(),
        )
        .expect("a string");
    }
    text
}
