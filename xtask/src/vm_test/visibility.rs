//! The table of docs/attach.md that says which interfaces see a hello and the gateway's reset.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::tools::root;

/// The page that has the table.
const PAGE: &str = "docs/attach.md";
/// The first line of the table.
const HEADER: &str =
    "| between the client and the gateway | interface | `auto` is | seen by TC | seen by packet sockets |";

/// Returns the table of the guest's answer.
pub(super) fn table(answer: &Value) -> String {
    let mut text = format!("{HEADER}\n|---|---|---|---|---|\n");
    let mut last = "";
    for row in answer["rows"].as_array().into_iter().flatten() {
        let word = |name: &str| row[name].as_str().unwrap_or("?");
        let topology = word("topology");
        // Writing to a `String` cannot fail.
        if let Some(reason) = row["unavailable"].as_str() {
            let _ = writeln!(text, "| {topology} | not made: {} | | | |", reason.replace('|', "\\|"));
        } else {
            let name = if topology == last { "" } else { topology };
            let _ = writeln!(
                text,
                "| {name} | {} | `{}` | {} | {} |",
                word("interface"),
                word("orientation"),
                word("tc"),
                word("af-packet"),
            );
        }
        last = topology;
    }
    text
}

/// Compares a table with the page's. Returns the differences, or `None` where they are equal.
pub(super) fn difference(measured: &str) -> Result<Option<String>> {
    let page = fs::read_to_string(root().join(PAGE)).with_context(|| format!("reading {PAGE}"))?;
    Ok(difference_from(&page, measured))
}

fn difference_from(page: &str, measured: &str) -> Option<String> {
    let documented = documented(page);
    if documented.iter().copied().eq(measured.lines()) {
        return None;
    }
    let mut text = format!("{PAGE} differs from what was measured:\n");
    let is_elsewhere = |line: &&str, lines: &[&str]| lines.contains(line);
    let measured: Vec<&str> = measured.lines().collect();
    for line in documented.iter().filter(|line| !is_elsewhere(line, &measured)) {
        let _ = writeln!(text, "-{line}");
    }
    for line in measured.iter().filter(|line| !is_elsewhere(line, &documented)) {
        let _ = writeln!(text, "+{line}");
    }
    Some(text)
}

/// The lines of the page's table.
fn documented(page: &str) -> Vec<&str> {
    let lines = page.lines().skip_while(|line| *line != HEADER);
    lines.take_while(|line| line.starts_with('|')).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        let row = |topology, interface, tc| {
            json!({
                "topology": topology, "interface": interface, "orientation": "nic", "tc": tc,
                "af-packet": "hello and reset",
            })
        };
        json!({ "rows": [
            row("bond", "the bond", "hello and reset"),
            row("bond", "its slave", "nothing"),
            { "topology": "VXLAN", "unavailable": "Unknown device type." },
        ]})
    }

    #[test]
    fn rows_are_lines() {
        let table = table(&answer());
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| bond | the bond | `nic` | hello and reset | hello and reset |",
                "|  | its slave | `nic` | nothing | hello and reset |",
                "| VXLAN | not made: Unknown device type. | | | |",
            ]
        );
    }

    #[test]
    fn a_page_that_differs() {
        let measured = table(&answer());
        let page = format!("# A page\n\n{measured}\nText.\n");
        assert_eq!(difference_from(&page, &measured), None);
        let other = page.replace("| nothing |", "| hello |");
        let difference = difference_from(&other, &measured).unwrap();
        assert!(difference.contains("-|  | its slave | `nic` | hello |"), "{difference}");
        assert!(difference.contains("+|  | its slave | `nic` | nothing |"), "{difference}");
        assert!(!difference.contains("the bond"), "{difference}");
        assert!(difference_from("# No table\n", &measured).is_some());
    }

    #[test]
    fn the_page_has_the_table() {
        let page = fs::read_to_string(root().join(PAGE)).unwrap();
        assert!(documented(&page).len() > 2);
    }
}
