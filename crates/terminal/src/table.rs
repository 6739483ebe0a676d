//! A table of text: columns as wide as their widest cell.

use std::fmt::{self, Display};

use crate::colour::{Colour, Painted};

/// Spaces between two columns, unless [`Table::gap`] says otherwise.
const GAP: usize = 2;

/// On which side of its column a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A column: its title, and how its cells stand in it.
#[derive(Clone, Debug)]
pub struct Column {
    title: String,
    side: Side,
    width: usize,
}

impl Column {
    /// A column of words.
    pub fn left(title: impl Into<String>) -> Self {
        let title = title.into();
        Self { width: title.len(), title, side: Side::Left }
    }

    /// A column of numbers.
    pub fn right(title: impl Into<String>) -> Self {
        Self { side: Side::Right, ..Self::left(title) }
    }

    /// Makes the column at least so wide.
    #[must_use]
    pub fn at_least(mut self, width: usize) -> Self {
        self.width = self.width.max(width);
        self
    }

    fn padded(&self, text: &str) -> String {
        let width = self.width;
        match self.side {
            Side::Left => format!("{text:<width$}"),
            Side::Right => format!("{text:>width$}"),
        }
    }
}

/// A cell: printable text, in a colour if it has one.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    colour: Option<Colour>,
}

impl Cell {
    /// Text in a colour.
    pub fn painted(text: impl Into<String>, colour: Option<Colour>) -> Self {
        Self { text: text.into(), colour }
    }
}

impl<T: Display> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.to_string(), colour: None }
    }
}

/// A table. Its last column is not padded, so that lines end with their last word.
///
/// ```
/// use sni_probe_terminal::{Column, Table};
///
/// let mut table = Table::new([Column::right("hellos").at_least(8), Column::left("client")]);
/// table.row([12.into(), "192.0.2.7".into()]);
/// assert_eq!(table.to_string(), "  hellos  client\n      12  192.0.2.7\n");
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    has_heads: bool,
    rows: Vec<Vec<Cell>>,
    indent: usize,
    gap: usize,
}

impl Table {
    /// A table with a first line of column titles.
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), has_heads: true, rows: Vec::new(), indent: 0, gap: GAP }
    }

    /// A table that begins with its first row. Titles are not shown.
    pub fn without_heads(columns: impl Into<Vec<Column>>) -> Self {
        Self { has_heads: false, ..Self::new(columns) }
    }

    /// Begins each line with so many spaces.
    #[must_use]
    pub fn indent(mut self, spaces: usize) -> Self {
        self.indent = spaces;
        self
    }

    /// Puts so many spaces between columns.
    #[must_use]
    pub fn gap(mut self, spaces: usize) -> Self {
        self.gap = spaces;
        self
    }

    /// Adds a row, a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) -> &mut Self {
        let row: Vec<Cell> = cells.into_iter().collect();
        for (column, cell) in self.columns.iter_mut().zip(&row) {
            column.width = column.width.max(cell.text.len());
        }
        self.rows.push(row);
        self
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn write_row<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        cells: impl Iterator<Item = (&'a str, Option<Colour>)>,
    ) -> fmt::Result {
        let mut line = " ".repeat(self.indent);
        for (index, (column, (text, colour))) in self.columns.iter().zip(cells).enumerate() {
            if index > 0 {
                line.push_str(&" ".repeat(self.gap));
            }
            let is_last = index + 1 == self.columns.len() && column.side == Side::Left;
            let text = if is_last { text.to_owned() } else { column.padded(text) };
            line.push_str(&Painted::new(text, colour).to_string());
        }
        writeln!(f, "{}", line.trim_end())
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_heads {
            self.write_row(f, self.columns.iter().map(|column| (column.title.as_str(), None)))?;
        }
        for row in &self.rows {
            self.write_row(f, row.iter().map(|cell| (cell.text.as_str(), cell.colour)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([Column::left("NAME"), Column::right("N"), Column::left("STATE")]);
        table.row(["a-long-name".into(), 7.into(), "fine".into()]);
        table.row(["b".into(), 1234.into(), "-".into()]);
        let expected = "\
NAME            N  STATE
a-long-name     7  fine
b            1234  -
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_colour_takes_no_room() {
        let mut table = Table::without_heads([Column::left("").at_least(4), Column::right("").at_least(3)])
            .indent(1)
            .gap(1);
        table.row([Cell::painted("ok", Some(Colour::Green)), Cell::painted("2", Some(Colour::Red))]);
        assert_eq!(table.to_string(), " \x1b[32mok  \x1b[0m \x1b[31m  2\x1b[0m\n");
        assert_eq!((table.len(), table.is_empty()), (1, false));
    }
}
