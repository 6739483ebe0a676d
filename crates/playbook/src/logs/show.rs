//! The report for people.

use std::fmt::Write as _;

use jiff::Timestamp;
use sni_probe_model::REST;
use sni_probe_terminal::units::counted;
use sni_probe_terminal::{Colour, Column, Painted, Table, printable, printable_within};

use super::report::{Counted, Fingerprint, Joined, LogsReport};

/// Clients, names and reasons that are shown, each; all are in the JSON.
const SHOWN: usize = 20;
/// Hours that are shown: two days.
const SHOWN_HOURS: usize = 48;
/// Characters of a count.
const WIDTH: usize = 10;
/// Characters of the longest bar.
const BAR: u64 = 40;
/// Characters of a reason; Envoy's are long.
const MAX_REASON: usize = 120;
/// Characters of a note.
const MAX_NOTE: usize = 400;
/// Characters of the sample; Apigee's entries have about 600.
const MAX_SAMPLE: usize = 1000;

/// What is told of entries whose name is null, as long as nothing proves it.
const NULL_IS_NO_PROOF: &str = "
A null sni_host alone is no proof that a client sent no SNI: in some versions of Envoy it is null as well if the client
sent a name that no filter chain has (envoy #14922, #44233), and plain HTTP on the port looks the same. Seen on the wire, one
can tell:
  sni-probe run --events-file events.jsonl --events-filter all    on the gateway's node, as long as the log goes on
  sni-probe replay --format json capture.pcap > events.jsonl      or of a capture from that time
  sni-probe logs --events events.jsonl ...                        then this tells which null really had no SNI
";

const NOT_SEEN_THEN: &str = "were not seen: no event with that client's address and port at that time";
const NOT_SEEN: &str = "were not seen: no event with that client's address and port";

const WITHOUT_PORT: &str = "cannot be joined: the log has no address and port of the client";

/// The report as text.
pub(super) fn show(report: &LogsReport, colour: bool) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        text,
        "{}, {} of an access log{}",
        counted(report.lines, "line"),
        counted(report.entries, "entry"),
        span(report.first, report.last)
    );
    summary(&mut text, report, colour);
    list(&mut text, "Clients that were refused, by number", &report.by_client, 64);
    hours(&mut text, &report.by_hour);
    list(&mut text, "Names in entries without a filter chain, by number", &report.by_name, 64);
    list(&mut text, "Names that are no host names, by number", &report.by_invalid_name, 64);
    fingerprints(&mut text, &report.by_fingerprint);
    list(&mut text, "Other failures before a request, by number", &report.other_failures, MAX_REASON);
    list(&mut text, "Lines of other programs, by number", &report.by_program, 64);
    if let Some(sample) = &report.sample {
        let _ =
            writeln!(text, "\nOne entry without a filter chain:\n  {}", printable_within(MAX_SAMPLE, sample));
    }
    match &report.joined {
        Some(joined) => show_joined(&mut text, joined, report),
        None if report.sni_null > 0 => text.push_str(NULL_IS_NO_PROOF),
        None => {}
    }
    for note in &report.notes {
        let _ = writeln!(text, "\nNote: {}", printable_within(MAX_NOTE, note));
    }
    text
}

fn span(first: Option<Timestamp>, last: Option<Timestamp>) -> String {
    let (Some(first), Some(last)) = (first, last) else { return String::new() };
    let format = "%Y-%m-%d %H:%M:%S";
    format!(", {} to {} UTC", first.strftime(format), last.strftime(format))
}

fn summary(text: &mut String, report: &LogsReport, colour: bool) {
    let failures: u64 = report.other_failures.iter().map(|failure| failure.count).sum();
    let rest = report.entries - report.served - report.no_filter_chain - failures;
    let refused = if report.no_filter_chain > 0 { Colour::Red } else { Colour::Green };
    let refusals = format!(
        "{:>WIDTH$}  refused: no filter chain, reset before there was a certificate",
        report.no_filter_chain
    );
    let refusals = Painted::new(refusals, colour.then_some(refused));
    let _ = writeln!(text, "\n{:>WIDTH$}  served: a request has a status\n{refusals}", report.served);
    let of_refused = counts([
        (report.sni_null, "sni_host is null"),
        (report.null_likely_without_sni, "of these by their JA4 likely without SNI"),
        (report.null_likely_with_sni, "of these by their JA4 likely with a name that is not logged"),
        (report.sni_present, "sni_host is a name that no filter chain has"),
        (report.sni_invalid, "sni_host is no host name (invalid): without SNI"),
        (report.sni_not_logged, "the format has no name"),
    ]);
    let of_others = counts([
        (failures, "failed before a request, otherwise"),
        (rest, "without a request, and nothing is said against them"),
        (report.other_lines, "lines that are no entries"),
    ]);
    let _ = write!(text, "{}{of_others}", of_refused.indent(4));
}

/// A table for counts and what they count.
fn table() -> Table {
    Table::without_heads([Column::right("").at_least(WIDTH), Column::left("")])
}

/// A table of the counts that are not 0.
fn counts<const N: usize>(counts: [(u64, &str); N]) -> Table {
    let mut table = table();
    for (count, meaning) in counts.into_iter().filter(|(count, _)| *count > 0) {
        table.row([count.into(), meaning.into()]);
    }
    table
}

fn list(text: &mut String, title: &str, words: &[Counted], length: usize) {
    if words.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:");
    let mut table = table();
    for Counted { name, count } in words.iter().take(SHOWN) {
        table.row([count.into(), printable_within(length, name).into()]);
    }
    if words.len() > SHOWN {
        let more: u64 = words[SHOWN..].iter().map(|word| word.count).sum();
        table.row([more.into(), format!("of {} more (all of them: --json)", words.len() - SHOWN).into()]);
    }
    let _ = write!(text, "{table}");
}

fn fingerprints(text: &mut String, fingerprints: &[Fingerprint]) {
    let named = fingerprints.iter().map(|one| {
        let fingerprint = one.ja4.as_deref().or(one.ja3.as_deref()).unwrap_or(REST);
        let likely = one.likely.as_deref().map(|likely| format!(": likely {likely}")).unwrap_or_default();
        Counted { name: format!("{fingerprint}{likely}"), count: one.count }
    });
    list(
        text,
        "Fingerprints of clients that were refused, by number",
        &named.collect::<Vec<_>>(),
        MAX_REASON,
    );
}

fn hours(text: &mut String, hours: &[Counted]) {
    let Some(most) = hours.iter().map(|hour| hour.count).max() else { return };
    let left_out = hours.len().saturating_sub(SHOWN_HOURS);
    let _ = write!(text, "\nBy hour (UTC)");
    if left_out > 0 {
        let _ = write!(text, ", the last {SHOWN_HOURS} of {} (all of them: --json)", hours.len());
    }
    let _ = writeln!(text, ":");
    let columns = [Column::right("").at_least(WIDTH), Column::left("").at_least(16), Column::left("")];
    let mut table = Table::without_heads(columns);
    for Counted { name, count } in &hours[left_out..] {
        let hour = name.get(..16).unwrap_or(name).replace('T', " ");
        // At least one: an hour that is here had some.
        let bar = usize::try_from(count.saturating_mul(BAR) / most).unwrap_or(1).max(1);
        table.row([count.into(), printable(&hour).into(), "#".repeat(bar).into()]);
    }
    let _ = write!(text, "{table}");
}

fn show_joined(text: &mut String, joined: &Joined, report: &LogsReport) {
    let _ = writeln!(
        text,
        "\nOf the {} without a name in the log, by {} of sni-probe:",
        counted(report.sni_null + report.sni_not_logged, "entry"),
        counted(joined.events, "event")
    );
    let mut table = table();
    for (count, meaning) in [
        (joined.really_without_sni, "really had no SNI"),
        (joined.had_a_name, "had a name that the log does not have"),
        (joined.not_seen, if joined.by_address_alone == 0 { NOT_SEEN_THEN } else { NOT_SEEN }),
        (joined.undecided, "are undecided: events with the same address and port contradict each other"),
        (joined.without_port, WITHOUT_PORT),
        (joined.no_room, "were not looked for: too many entries"),
    ] {
        if count == 0 && !meaning.starts_with("really") && !meaning.starts_with("had") {
            continue;
        }
        table.row([count.into(), meaning.into()]);
    }
    let _ = write!(text, "{table}");
    if joined.by_address_alone > 0 {
        let _ = writeln!(
            text,
            "\n{} joined by address and port alone, because the log's time is not known: another connection from the same\n\
             address and port may be taken for the entry's.",
            counted(joined.by_address_alone, "entry")
        );
    }
    list(text, "Clients that really sent no SNI, by number", &joined.clients_without_sni, 64);
    list(text, "Names that were sent where the log has null, by number", &joined.names, 64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(name: &str, count: u64) -> Counted {
        Counted { name: name.to_owned(), count }
    }

    fn report() -> LogsReport {
        LogsReport {
            lines: 120,
            entries: 100,
            other_lines: 20,
            served: 60,
            no_filter_chain: 30,
            sni_null: 29,
            sni_present: 1,
            other_failures: vec![counted("TLS_error:\x1b[31m", 4)],
            by_client: vec![counted("10.138.0.28", 20), counted("10.138.0.29", 10)],
            by_hour: vec![counted("2025-05-19T04:00:00Z", 29), counted("2025-05-19T05:00:00Z", 1)],
            by_name: vec![counted("b.example", 1)],
            first: Some("2025-05-19T04:46:20Z".parse().unwrap()),
            last: Some("2025-05-19T05:01:00Z".parse().unwrap()),
            sample: Some("{}".to_owned()),
            ..LogsReport::default()
        }
    }

    #[test]
    fn for_people() {
        let text = show(&report(), false);
        for part in [
            "120 lines, 100 entries of an access log, 2025-05-19 04:46:20 to 2025-05-19 05:01:00 UTC",
            "        60  served",
            "        30  refused",
            "            29  sni_host is null",
            "         4  failed before a request",
            "         6  without a request",
            "        20  10.138.0.28\n",
            "        29  2025-05-19 04:00  ########################################\n",
            "         1  2025-05-19 05:00  #\n",
            "         1  b.example",
            "TLS_error:\\x1b[31m",
            "no proof",
            "sni-probe replay",
            "--events-file",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains('\x1b'));
        assert!(show(&report(), true).contains("\x1b[31m"));
    }

    #[test]
    fn joined_with_events() {
        let joined = Joined {
            events: 40,
            really_without_sni: 20,
            had_a_name: 5,
            not_seen: 4,
            clients_without_sni: vec![counted("10.138.0.28", 20)],
            names: vec![counted("c.example", 5)],
            ..Joined::default()
        };
        let text = show(&LogsReport { joined: Some(joined), ..report() }, false);
        assert!(text.contains("        20  really had no SNI\n         5  had a name"), "{text}");
        assert!(text.contains("c.example") && !text.contains("#14922"), "{text}");
    }

    #[test]
    fn long_lists_are_cut() {
        let report = LogsReport {
            by_client: (0..100).map(|client| counted(&format!("10.0.0.{client}"), 1)).collect(),
            by_hour: (0..100).map(|_| counted("2025-05-19T04:00:00Z", 1)).collect(),
            ..report()
        };
        let text = show(&report, false);
        assert!(text.contains("        80  of 80 more"), "{text}");
        assert!(text.contains("the last 48 of 100"), "{text}");
    }
}
