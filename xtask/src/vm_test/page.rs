//! A table that a page of docs/ has and that the virtual machines measure.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use crate::tools::root;

/// A table, found by its first line.
#[derive(Debug)]
pub(super) struct PageTable {
    /// The page's path.
    pub(super) page: &'static str,
    pub(super) header: &'static str,
}

impl PageTable {
    /// Returns the rows of the page's table.
    pub(super) fn rows(&self) -> Result<Vec<String>> {
        Ok(self.rows_of(&self.read()?)?.iter().map(|&row| row.to_owned()).collect())
    }

    /// Puts other rows in place of those of the page's table.
    pub(super) fn write(&self, rows: &[String]) -> Result<()> {
        let page = self.replaced(&self.read()?, rows)?;
        fs::write(root().join(self.page), page).with_context(|| format!("writing {}", self.page))
    }

    /// Returns a table as text.
    pub(super) fn text(&self, rows: &[String]) -> String {
        let lines = [self.header.to_owned(), self.rule()];
        lines.iter().chain(rows).fold(String::new(), |text, line| text + line + "\n")
    }

    /// Describes how rows that were measured differ from the page's: those that only one of both has.
    pub(super) fn difference(&self, documented: &[String], measured: &[String]) -> String {
        let page = self.page;
        let mut text =
            format!("{page} differs from what was measured (cargo xtask vm-test --write corrects it):\n");
        // Writing to a `String` cannot fail.
        for row in documented {
            let _ = writeln!(text, "-{row}");
        }
        for row in measured {
            let _ = writeln!(text, "+{row}");
        }
        text
    }

    fn read(&self) -> Result<String> {
        fs::read_to_string(root().join(self.page)).with_context(|| format!("reading {}", self.page))
    }

    /// The line below the header.
    fn rule(&self) -> String {
        "|---".repeat(self.header.matches('|').count() - 1) + "|"
    }

    fn rows_of<'page>(&self, page: &'page str) -> Result<Vec<&'page str>> {
        let (_, table, _) = self.split(page)?;
        Ok(table.lines().skip(2).collect())
    }

    fn replaced(&self, page: &str, rows: &[String]) -> Result<String> {
        let (before, _, after) = self.split(page)?;
        Ok(format!("{before}{}{after}", self.text(rows)))
    }

    /// What is before the table, the table, what is after it.
    fn split<'page>(&self, page: &'page str) -> Result<(&'page str, &'page str, &'page str)> {
        let start = page.find(self.header);
        let start = start.with_context(|| format!("{} has no line {:?}", self.page, self.header))?;
        let (before, table) = page.split_at(start);
        let lines = table.split_inclusive('\n').take_while(|line| line.starts_with('|'));
        let (table, after) = table.split_at(lines.map(str::len).sum());
        Ok((before, table, after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: PageTable = PageTable { page: "docs/page.md", header: "| a | b |" };
    const PAGE: &str = "# A page\n\n| other | b |\n|---|---|\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nText.\n";

    #[test]
    fn rows_are_found_and_replaced() {
        assert_eq!(TABLE.rows_of(PAGE).unwrap(), ["| 1 | 2 |"]);
        let rows = ["| 1 | 3 |", "| 4 | 5 |"].map(str::to_owned);
        let replaced = TABLE.replaced(PAGE, &rows).unwrap();
        assert_eq!(replaced, PAGE.replace("| 1 | 2 |\n", "| 1 | 3 |\n| 4 | 5 |\n"));
        assert_eq!(TABLE.rows_of(&replaced).unwrap(), rows);
        let error = TABLE.rows_of("# No table\n").unwrap_err().to_string();
        assert!(error.contains("docs/page.md has no line"), "{error}");
    }

    #[test]
    fn differences_are_lines() {
        let difference = TABLE.difference(&["| 1 | 2 |".to_owned()], &["| 1 | 3 |".to_owned()]);
        assert!(difference.starts_with("docs/page.md differs"), "{difference}");
        assert!(difference.ends_with("\n-| 1 | 2 |\n+| 1 | 3 |\n"), "{difference}");
    }
}
