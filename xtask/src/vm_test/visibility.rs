//! The table of docs/attach.md that says which interfaces see a hello and the gateway's reset.

use anyhow::Result;
use serde_json::Value;

use super::page::PageTable;

pub(super) const TABLE: PageTable = PageTable {
    page: "docs/attach.md",
    header: "| between the client and the gateway | interface | `auto` is | seen by TC | seen by packet sockets |",
};

/// Returns the rows of a guest's answer.
pub(super) fn rows(answer: &Value) -> Vec<String> {
    let mut rows = Vec::new();
    let mut last = "";
    for row in answer["rows"].as_array().into_iter().flatten() {
        let word = |name: &str| row[name].as_str().unwrap_or("?");
        let topology = word("topology");
        if let Some(reason) = row["unavailable"].as_str() {
            rows.push(format!("| {topology} | not made: {} | | | |", reason.replace('|', "\\|")));
        } else {
            let name = if topology == last { "" } else { topology };
            rows.push(format!(
                "| {name} | {} | `{}` | {} | {} |",
                word("interface"),
                word("orientation"),
                word("tc"),
                word("af-packet"),
            ));
        }
        last = topology;
    }
    rows
}

/// Compares a guest's answer with the page's table. Returns the differences, or `None`.
pub(super) fn difference(answer: &Value) -> Result<Option<String>> {
    Ok(difference_from(&TABLE.rows()?, &rows(answer)))
}

fn difference_from(documented: &[String], measured: &[String]) -> Option<String> {
    if documented == measured {
        return None;
    }
    let only_in = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|row| !other.contains(row)).cloned().collect()
    };
    Some(TABLE.difference(&only_in(documented, measured), &only_in(measured, documented)))
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
        assert_eq!(
            rows(&answer()),
            [
                "| bond | the bond | `nic` | hello and reset | hello and reset |",
                "|  | its slave | `nic` | nothing | hello and reset |",
                "| VXLAN | not made: Unknown device type. | | | |",
            ]
        );
    }

    #[test]
    fn a_page_that_differs() {
        let measured = rows(&answer());
        assert_eq!(difference_from(&measured, &measured), None);
        let other: Vec<String> = measured.iter().map(|row| row.replace("| nothing |", "| hello |")).collect();
        let difference = difference_from(&other, &measured).unwrap();
        assert!(difference.contains("-|  | its slave | `nic` | hello |"), "{difference}");
        assert!(difference.contains("+|  | its slave | `nic` | nothing |"), "{difference}");
        assert!(!difference.contains("the bond"), "{difference}");
        let mut reordered = measured.clone();
        reordered.reverse();
        assert!(difference_from(&reordered, &measured).is_some());
    }

    #[test]
    fn the_page_has_the_table() {
        assert!(TABLE.rows().unwrap().len() > 2);
    }
}
