//! The table of docs/kernels.md that says what the daemon does on each kernel.

use std::fmt;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::page::PageTable;

pub(super) const TABLE: PageTable = PageTable {
    page: "docs/kernels.md",
    header: "| kernel | options | capabilities | attached | hellos and resets counted | detached | verified instructions (as root) |",
};

/// A run of the daemon on a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    /// As `uname -r` prints it.
    release: String,
    options: String,
    capabilities: String,
    attached: String,
    counted: String,
    detached: String,
    verified: String,
}

impl Row {
    fn parse(line: &str) -> Result<Self> {
        let cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        let cells: Vec<String> = cells.collect();
        let [release, options, capabilities, attached, counted, detached, verified] =
            cells
                .try_into()
                .ok()
                .with_context(|| format!("{} has a row of other cells: {line}", TABLE.page))?;
        Ok(Self { release, options, capabilities, attached, counted, detached, verified })
    }

    /// Architecture and series of the kernel: `amd64`, 6, 12.
    fn machine(&self) -> (&str, Vec<u32>) {
        let architecture = self.release.rsplit('-').next().unwrap_or_default();
        let series = self.release.split(['.', '+', '-']).take(2).filter_map(|number| number.parse().ok());
        (architecture, series.collect())
    }

    /// Whether a run had the same results. The kernel's release and the verified instructions may be others: they change with
    /// Debian's updates and with the compiler.
    fn agrees(&self, measured: &Self) -> bool {
        let as_measured =
            Self { release: measured.release.clone(), verified: measured.verified.clone(), ..self.clone() };
        as_measured == *measured && self.has_figures() == measured.has_figures()
    }

    fn has_figures(&self) -> bool {
        self.verified.starts_with(|character: char| character.is_ascii_digit())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { release, options, capabilities, attached, counted, detached, verified } = self;
        write!(
            formatter,
            "| {release} | {options} | {capabilities} | {attached} | {counted} | {detached} | {verified} |"
        )
    }
}

/// Returns the rows of a guest's answer.
pub(super) fn rows(answer: &Value) -> Vec<String> {
    measured(answer).iter().map(Row::to_string).collect()
}

/// Compares a guest's answer with the page's rows for its kernel. Returns the differences, or `None`.
pub(super) fn difference(answer: &Value) -> Result<Option<String>> {
    Ok(difference_from(documented()?, &measured(answer)))
}

/// Whether the page has other verified instructions for the same release of the kernel.
pub(super) fn is_outdated(answer: &Value) -> Result<bool> {
    Ok(is_outdated_in(&documented()?, &measured(answer)))
}

/// Puts the rows of these answers in place of the page's rows for their kernels.
pub(super) fn write<'answer>(answers: impl IntoIterator<Item = &'answer Value>) -> Result<()> {
    let measured: Vec<Row> = answers.into_iter().flat_map(measured).collect();
    let rows = merged(documented()?, measured);
    TABLE.write(&rows.iter().map(Row::to_string).collect::<Vec<_>>())
}

fn documented() -> Result<Vec<Row>> {
    TABLE.rows()?.iter().map(|line| Row::parse(line)).collect()
}

fn measured(answer: &Value) -> Vec<Row> {
    let rows = answer["runs"].as_array().into_iter().flatten().map(|run| {
        let word = |name: &str| run[name].as_str().unwrap_or_default();
        Row {
            release: answer["release"].as_str().unwrap_or_default().to_owned(),
            options: format!("`{}`", word("options")),
            capabilities: word("capabilities").replace(',', ", "),
            attached: word("mode").to_owned(),
            counted: format!("{} of 2", run["hellos"]),
            detached: "yes".to_owned(),
            verified: verified(run, &answer["programs"]),
        }
    });
    rows.collect()
}

/// The instructions that the verifier looked at: with a run's capabilities, and with all.
fn verified(run: &Value, programs: &Value) -> String {
    let sum = |counts: Vec<&Value>| {
        let count = |count: &Value| count.as_u64().map(|count| count.to_string());
        counts.into_iter().map(count).collect::<Option<Vec<_>>>().map(|counts| counts.join(" + "))
    };
    let run = run["verified"].as_array().into_iter().flatten().collect::<Vec<_>>();
    if run.is_empty() {
        return String::new();
    }
    let programs = programs.as_array().into_iter().flatten().map(|program| &program["verified"]).collect();
    match (sum(run), sum(programs)) {
        (Some(run), Some(as_root)) => format!("{run} ({as_root})"),
        _ => "not reported".to_owned(),
    }
}

/// The rows of the page of which a measured machine has no equal, and the other way round.
fn difference_from(documented: Vec<Row>, measured: &[Row]) -> Option<String> {
    let is_of_machine = |row: &Row| measured.iter().any(|measured| measured.machine() == row.machine());
    let documented: Vec<Row> = documented.into_iter().filter(is_of_machine).collect();
    let missing = documented.iter().filter(|row| !measured.iter().any(|measured| row.agrees(measured)));
    let missing: Vec<String> = missing.map(Row::to_string).collect();
    let new = measured.iter().filter(|measured| !documented.iter().any(|row| row.agrees(measured)));
    let new: Vec<String> = new.map(Row::to_string).collect();
    let is_equal = missing.is_empty() && new.is_empty();
    (!is_equal).then(|| TABLE.difference(&missing, &new))
}

fn is_outdated_in(documented: &[Row], measured: &[Row]) -> bool {
    measured.iter().any(|measured| {
        documented.iter().any(|row| {
            row.release == measured.release && row.agrees(measured) && row.verified != measured.verified
        })
    })
}

/// By architecture and series. Rows of one machine keep their order.
fn merged(documented: Vec<Row>, measured: Vec<Row>) -> Vec<Row> {
    let is_old = |row: &Row| measured.iter().all(|measured| measured.machine() != row.machine());
    let mut rows: Vec<Row> = documented.into_iter().filter(is_old).collect();
    rows.extend(measured);
    rows.sort_by(|one, other| one.machine().cmp(&other.machine()));
    rows
}

#[cfg(test)]
mod tests {
    use lab_interface::dist::Architecture;
    use serde_json::json;

    use super::*;
    use crate::vm_test::kernel::Kernel;

    fn answer(release: &str, verified: u64) -> Value {
        json!({
            "release": release,
            "programs": [{ "verified": 10 }, { "verified": 8 }],
            "runs": [
                {
                    "options": "--capture tc", "capabilities": "bpf,net_admin", "mode": "tcx", "verified": [verified, 9],
                    "hellos": 2,
                },
                {
                    "options": "--capture af-packet", "capabilities": "net_raw", "mode": "af_packet", "verified": [],
                    "hellos": 2,
                },
            ],
        })
    }

    #[test]
    fn each_run_is_a_row() {
        let rows = rows(&answer("6.12.1-cloud-amd64", 20));
        assert_eq!(
            rows,
            [
                "| 6.12.1-cloud-amd64 | `--capture tc` | bpf, net_admin | tcx | 2 of 2 | yes | 20 + 9 (10 + 8) |",
                "| 6.12.1-cloud-amd64 | `--capture af-packet` | net_raw | af_packet | 2 of 2 | yes |  |",
            ]
        );
        let parsed: Vec<String> = rows.iter().map(|row| Row::parse(row).unwrap().to_string()).collect();
        assert_eq!(parsed, rows);
        assert!(Row::parse("| 6.12 | **failed** |").is_err());
    }

    #[test]
    fn kernels_that_report_no_counts() {
        let run = json!({ "verified": [null, null] });
        assert_eq!(verified(&run, &json!([{ "verified": null }, { "verified": null }])), "not reported");
    }

    #[test]
    fn a_page_that_differs() {
        let documented = || measured(&answer("6.12.1-cloud-amd64", 20));
        let difference = |answer: &Value| difference_from(documented(), &measured(answer));
        assert_eq!(difference(&answer("6.12.1-cloud-amd64", 99)), None);
        assert_eq!(difference(&answer("6.12.2-cloud-amd64", 20)), None);
        let mut other = answer("6.12.2-cloud-amd64", 20);
        other["runs"][0]["mode"] = "clsact".into();
        let text = difference(&other).unwrap();
        assert!(
            text.contains("| tcx |") && text.contains("| clsact |") && !text.contains("af_packet"),
            "{text}"
        );
        other["runs"].as_array_mut().unwrap().clear();
        assert_eq!(difference(&other), None);
        // No row of the page is about this machine.
        assert!(difference(&answer("6.12.1-cloud-arm64", 20)).unwrap().contains("cloud-arm64"));
    }

    #[test]
    fn other_verified_instructions() {
        let documented = measured(&answer("6.12.1-cloud-amd64", 20));
        let is_outdated = |answer: &Value| is_outdated_in(&documented, &measured(answer));
        assert!(!is_outdated(&answer("6.12.1-cloud-amd64", 20)));
        assert!(is_outdated(&answer("6.12.1-cloud-amd64", 21)));
        assert!(!is_outdated(&answer("6.12.2-cloud-amd64", 21)));
        // No figure at all is a difference.
        let mut other = answer("6.12.1-cloud-amd64", 20);
        other["runs"][0]["verified"] = json!([null, null]);
        assert!(!is_outdated(&other));
        assert!(difference_from(documented.clone(), &measured(&other)).is_some());
    }

    #[test]
    fn rows_of_other_machines_stay() {
        let rows = ["6.12.1-cloud-arm64", "6.12.1-cloud-amd64", "5.10.0-46-cloud-amd64"];
        let documented = rows.into_iter().flat_map(|release| measured(&answer(release, 20))).collect();
        let merged = merged(documented, measured(&answer("6.12.2-cloud-amd64", 21)));
        let releases: Vec<&str> = merged.iter().map(|row| row.release.as_str()).collect();
        let expected = ["5.10.0-46-cloud-amd64", "6.12.2-cloud-amd64", "6.12.1-cloud-arm64"];
        assert_eq!(releases, expected.map(|release| [release; 2]).concat());
    }

    #[test]
    fn the_page_has_all_machines() {
        let documented = documented().unwrap();
        for architecture in [Architecture::Amd64, Architecture::Arm64] {
            for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.exists_for(architecture)) {
                let is_it = |row: &&Row| {
                    let (of, series) = row.machine();
                    let series: Vec<String> = series.iter().map(u32::to_string).collect();
                    of == architecture.name() && series.join(".") == kernel.series()
                };
                let attached = documented.iter().filter(is_it).map(|row| row.attached.as_str());
                let expected = kernel.modes().iter().copied().chain(["af_packet"]);
                assert!(attached.eq(expected), "{} on {}", kernel.series(), architecture.name());
            }
        }
    }
}
