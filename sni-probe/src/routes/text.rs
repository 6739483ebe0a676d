//! A report for people: tables, findings by number, and the answer in one sentence.

use std::fmt::Write as _;

use super::report::{Finding, Route, RoutesReport, VirtualHost};
use crate::output::text::{Painted, printable_within};

/// Names in a list that are shown.
const MAX_NAMES: usize = 20;
/// Characters of a cell.
const MAX_CELL: usize = 60;
/// Characters of a value or a sentence.
const MAX_LINE: usize = 1000;

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";

/// The report as text. Nothing of the files but printable ASCII is in it.
pub(super) fn render(report: &RoutesReport, colour: bool) -> String {
    let mut text = String::new();
    if !report.routes.is_empty() {
        let rows = report.routes.iter().map(route_row);
        table(
            &mut text,
            ["KIND", "NAME", "HOSTNAMES", "NON-SNI", "GATEWAYS", "SELECTOR", "CREDENTIAL", "TLS", "STATE"],
            rows,
        );
    }
    if !report.virtual_hosts.is_empty() {
        let rows = report.virtual_hosts.iter().map(virtual_host_row);
        table(&mut text, ["VIRTUAL HOST", "GATEWAYS", "SELECTOR", "CERTIFICATE"], rows);
    }
    if !report.skipped.is_empty() {
        let kinds: Vec<String> =
            report.skipped.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "Passed over: {}\n", printable_within(MAX_LINE, &kinds.join(", ")));
    }
    for (index, finding) in report.findings.iter().enumerate() {
        write_finding(&mut text, index + 1, finding, colour);
    }
    let painted = match report.serves_non_sni {
        Some(true) => GREEN,
        Some(false) => RED,
        None => YELLOW,
    };
    let verdict = Painted { text: verdict(report), width: 0, colour: colour.then_some(painted) };
    let _ = writeln!(text, "{verdict}");
    text
}

/// The answer in one sentence.
pub(crate) fn verdict(report: &RoutesReport) -> String {
    let findings = match report.findings.len() {
        0 => String::new(),
        1 => "; 1 finding".to_owned(),
        count => format!("; {count} findings"),
    };
    let answer = match report.serves_non_sni {
        Some(true) => "Clients without SNI are served, as far as the configuration tells",
        Some(false) => "Clients without SNI are not served by this configuration",
        None => {
            "Whether clients without SNI are served cannot be told from this; read the routes as well (--file, --kube)"
        }
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

/// Appends rows under their heads, and an empty line.
fn table<const N: usize>(text: &mut String, heads: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let mut lines = vec![heads.map(str::to_owned)];
    lines.extend(rows.map(|row| row.map(|cell| printable_within(MAX_CELL, &cell))));
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    for line in &lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text.push('\n');
}

fn write_finding(text: &mut String, number: usize, finding: &Finding, colour: bool) {
    let Finding { object, path, value, expected, sentence, .. } = finding;
    let shown = |part: &str| printable_within(MAX_LINE, part);
    let value = Painted { text: shown(value), width: 0, colour: colour.then_some(RED) };
    let expected = Painted { text: shown(expected), width: 0, colour: colour.then_some(GREEN) };
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        text,
        "{number}. {} {}\n   has:         {value}\n   should have: {expected}\n   {}\n",
        shown(object),
        shown(path),
        shown(sentence)
    );
}
