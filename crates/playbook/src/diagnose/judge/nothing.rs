//! Nothing was refused and nothing failed: whether that means that nothing is wrong.

use sni_probe_terminal::printable_within;
use sni_probe_terminal::units::counted;

use super::super::model::{Cause, Confidence, Inputs};
use super::super::wire::WireFacts;
use super::{Judgement, caveat, completes_without_sni};
use crate::logs::report::LogsReport;

/// Parts that were not read that a sentence names.
const SHOWN: usize = 5;
/// Characters of one of them.
const LINE: usize = 300;

/// What was missed or could not be read, a sentence each: with it, nothing is certain, and nothing is said to be well.
pub(super) fn missed(inputs: &Inputs) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(wire) = &inputs.wire {
        match wire.lost_events {
            0 => {}
            1 => all.push("1 event was lost, so some handshakes may be missing.".to_owned()),
            count => all.push(format!("{count} events were lost, so some handshakes may be missing.")),
        }
        match wire.unknown_sni() {
            0 => {}
            1 => all.push("1 ClientHello is incomplete: its SNI is unknown.".to_owned()),
            count => all.push(format!("{count} ClientHellos are incomplete: their SNI is unknown.")),
        }
        match wire.unread.as_slice() {
            [] => {}
            unread => all.push(format!("Not everything was read: {}.", listed(unread))),
        }
    }
    if let Some(logs) = &inputs.logs {
        match logs.other_lines {
            0 => {}
            1 => all.push("1 line of the log belongs to no entry that was understood.".to_owned()),
            count => all.push(format!("{count} lines of the log belong to no entry that was understood.")),
        }
        if !logs.unread.is_empty() {
            all.push(format!("Not every log was read: {}.", listed(&logs.unread)));
        }
    }
    all
}

/// The first of them, fit for a terminal, and how many more there are.
fn listed(unread: &[String]) -> String {
    let mut shown: Vec<String> =
        unread.iter().take(SHOWN).map(|what| printable_within(LINE, what.trim_end_matches('.'))).collect();
    if unread.len() > SHOWN {
        shown.push(format!("and {} more", unread.len() - SHOWN));
    }
    shown.join("; ")
}

/// The judgement where no handshake and no entry is known to be refused or to have failed.
pub(super) fn nothing(inputs: &Inputs) -> Judgement {
    let wire = inputs.wire.as_ref().filter(|wire| wire.handshakes() > 0);
    let logs = inputs.logs.as_ref().filter(|logs| logs.entries > 0);
    let seen = [wire.map(handshakes), logs.map(entries)].into_iter().flatten();
    let seen = seen.collect::<Vec<_>>().join(", ");
    let not_enough =
        |sentence| Judgement { cause: Cause::NotEnoughEvidence, confidence: Confidence::Unknown, sentence };
    if !missed(inputs).is_empty() {
        return not_enough(format!("No refusal was seen in {seen}, but not everything was seen."));
    }
    if let Some(wire) = wire.filter(|wire| wire.served() < wire.handshakes()) {
        return not_enough(format!(
            "The gateway refused none of {}, but too little was seen: served: {}, without an outcome: {}.",
            counted(wire.handshakes(), "handshake"),
            wire.served(),
            wire.handshakes() - wire.served()
        ));
    }
    let is_confirmed = wire.is_some()
        && (inputs.check.as_ref().is_some_and(completes_without_sni)
            || inputs.routes.as_ref().is_some_and(|routes| routes.serves_non_sni == Some(true)));
    Judgement {
        cause: Cause::NothingWrong,
        confidence: if is_confirmed { Confidence::Certain } else { Confidence::Likely },
        sentence: format!("Nothing is wrong: {seen}.{}", caveat(inputs)),
    }
}

/// Handshakes that were all served.
fn handshakes(wire: &WireFacts) -> String {
    let (all, without, with) = (wire.handshakes(), wire.without_sni(), wire.with_sni());
    let handshakes = counted(all, "handshake");
    match without {
        0 if with == all => format!("{handshakes}, all with SNI"),
        0 => handshakes,
        _ if wire.served_without_sni() == without => {
            format!("{handshakes}, {without} of them without SNI and served")
        }
        _ => format!("{handshakes}, {without} of them without SNI and none of these refused"),
    }
}

fn entries(logs: &LogsReport) -> String {
    match logs.entries {
        1 => "1 log entry, without a failure".to_owned(),
        entries => format!("{entries} log entries, none of a failure"),
    }
}
