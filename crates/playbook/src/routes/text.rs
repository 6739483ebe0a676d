//! A report for people: tables, findings by number, and the answer in one sentence.

use std::fmt::Write as _;

use sni_probe_terminal::units::counted;
use sni_probe_terminal::{Colour, Column, Painted, Table, printable_within};

use super::report::{Finding, Note, Route, RoutesReport, VirtualHost};

/// Names in a list that are shown.
const MAX_NAMES: usize = 20;
/// Characters of a cell.
const MAX_CELL: usize = 60;
/// Characters of a value or a sentence.
const MAX_LINE: usize = 1000;

/// The report as text. Nothing of the files but printable ASCII is in it.
pub(super) fn render(report: &RoutesReport, colour: bool) -> String {
    let mut text = String::new();
    if !report.routes.is_empty() {
        let heads =
            ["KIND", "NAME", "HOSTNAMES", "NON-SNI", "GATEWAYS", "SELECTOR", "CREDENTIAL", "TLS", "STATE"];
        text.push_str(&table(heads, report.routes.iter().map(route_row)));
    }
    if !report.virtual_hosts.is_empty() {
        let heads = ["VIRTUAL HOST", "GATEWAYS", "SELECTOR", "CERTIFICATE"];
        text.push_str(&table(heads, report.virtual_hosts.iter().map(virtual_host_row)));
    }
    if !report.skipped.is_empty() {
        let kinds: Vec<String> =
            report.skipped.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "Skipped: {}\n", printable_within(MAX_LINE, &kinds.join(", ")));
    }
    for (index, finding) in report.findings.iter().enumerate() {
        write_finding(&mut text, index + 1, finding, colour);
    }
    for Note { object, sentence, .. } in &report.notes {
        let shown = |part: &str| printable_within(MAX_LINE, part);
        let _ = writeln!(text, "Note: {}: {}", shown(object), shown(sentence));
    }
    if !report.notes.is_empty() {
        text.push('\n');
    }
    let painted = match report.serves_non_sni {
        Some(true) => Colour::Green,
        Some(false) => Colour::Red,
        None => Colour::Yellow,
    };
    let verdict = Painted::new(verdict(report), colour.then_some(painted));
    let _ = writeln!(text, "{verdict}");
    text
}

/// The answer in one sentence.
pub fn verdict(report: &RoutesReport) -> String {
    let findings = match report.findings.len() {
        0 => String::new(),
        count => format!("; {}", counted(count as u64, "finding")),
    };
    let answer = match report.serves_non_sni {
        Some(true) => "Clients without SNI are served according to this configuration",
        Some(false) => "Clients without SNI are not served by this configuration",
        None if report.routes.is_empty() => {
            "Whether clients without SNI are served is not decided by this; read the routes as well (--file, --kube)"
        }
        None => "Whether clients without SNI are served is not decided by this configuration",
    };
    format!("{answer}{findings}.")
}

/// Strings as YAML has them in one line, as far as there are not too many.
pub(super) fn list(names: &[impl AsRef<str>]) -> String {
    let mut text = String::from("[");
    for (index, name) in names.iter().take(MAX_NAMES).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{comma}\"{}\"", name.as_ref());
    }
    if let Some(more) = names.len().checked_sub(MAX_NAMES).filter(|more| *more > 0) {
        let _ = write!(text, ", ... {more} more");
    }
    text + "]"
}

/// The value of a field that may be missing.
pub(super) fn or_none(value: Option<&str>) -> String {
    value.unwrap_or("(none)").to_owned()
}

fn route_row(route: &Route) -> [String; 9] {
    let Route { kind, namespace, name, hostnames, enable_non_sni_client, selector, credential, .. } = route;
    [
        kind.clone(),
        format!("{namespace}/{name}"),
        cell(hostnames),
        enable_non_sni_client.map_or_else(dash, |flag| flag.to_string()),
        cell(&route.additional_gateways),
        cell(selector),
        credential.clone().unwrap_or_else(dash),
        route.tls_mode.clone().unwrap_or_else(dash),
        route.state.clone().unwrap_or_else(dash),
    ]
}

fn virtual_host_row(host: &VirtualHost) -> [String; 4] {
    let VirtualHost { name, additional_gateways, selector, certificate } = host;
    [name.clone(), cell(additional_gateways), cell(selector), certificate.clone().unwrap_or_else(dash)]
}

fn dash() -> String {
    "-".to_owned()
}

fn cell(names: &[String]) -> String {
    if names.is_empty() { dash() } else { names[..names.len().min(MAX_NAMES)].join(",") }
}

/// Rows under their heads, and an empty line.
fn table<const N: usize>(heads: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new(heads.map(Column::left));
    for row in rows {
        table.row(row.map(|cell| printable_within(MAX_CELL, &cell).into()));
    }
    format!("{table}\n")
}

fn write_finding(text: &mut String, number: usize, finding: &Finding, colour: bool) {
    let Finding { object, path, value, expected, sentence, .. } = finding;
    let shown = |part: &str| printable_within(MAX_LINE, part);
    let value = Painted::new(shown(value), colour.then_some(Colour::Red));
    let expected = Painted::new(shown(expected), colour.then_some(Colour::Green));
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        text,
        "{number}. {} {}\n   has:         {value}\n   should have: {expected}\n   {}\n",
        shown(object),
        shown(path),
        shown(sentence)
    );
}
