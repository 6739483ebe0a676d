//! Draws the table of clients: as many columns as fit, the more important ones first.

use std::fmt::Write as _;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use ratatui::widgets::{HighlightSpacing, Row, Table, TableState};
use sni_probe_model::api::{Client, Count};
use sni_probe_terminal::printable;
use sni_probe_terminal::units::{rate, short_number};

use super::keys::Pane;
use super::look::{HEADING, Look, SELECTED};
use super::state::{ScreenState, Shown};
use super::words;

/// In front of the selected line.
const MARK: &str = "> ";
const MARK_WIDTH: u16 = 2;
/// Bars of a trend at most: two minutes each.
const TREND_WIDTH: u16 = 30;

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Client,
    Name,
    Handshakes,
    Refused,
    Rate,
    Outcome,
    Age,
    Software,
    Trend,
}

impl Column {
    /// From left to right.
    const ALL: [Self; 9] = [
        Self::Client,
        Self::Name,
        Self::Handshakes,
        Self::Refused,
        Self::Rate,
        Self::Outcome,
        Self::Age,
        Self::Software,
        Self::Trend,
    ];
    /// The most important first: what there is room for is shown.
    const BY_IMPORTANCE: [Self; 9] = [
        Self::Client,
        Self::Refused,
        Self::Handshakes,
        Self::Outcome,
        Self::Software,
        Self::Age,
        Self::Rate,
        Self::Trend,
        Self::Name,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::Client => "CLIENT",
            Self::Name => "NAME",
            Self::Handshakes => "TOTAL",
            Self::Refused => "REFUSED",
            Self::Rate => "RATE/S",
            Self::Outcome => "LAST OUTCOME",
            Self::Age => "AGO",
            Self::Software => "LIKELY",
            Self::Trend => "TREND",
        }
    }

    /// With which it is of use.
    const fn least_width(self) -> u16 {
        match self {
            Self::Client => 15,
            Self::Name => 12,
            Self::Software => 10,
            Self::Handshakes | Self::Rate => 6,
            Self::Refused | Self::Trend => 7,
            Self::Age => 4,
            Self::Outcome => 16,
        }
    }

    /// More than this it does not take.
    const fn most_width(self) -> u16 {
        match self {
            // An IPv6 address.
            Self::Client => 39,
            Self::Name => 48,
            // A JA4.
            Self::Software => 36,
            Self::Outcome => 32,
            Self::Trend => TREND_WIDTH,
            _ => self.least_width(),
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Handshakes | Self::Refused | Self::Rate | Self::Age)
    }

    fn text(self, client: &Client, shown: &Shown) -> String {
        match self {
            Self::Client => printable(&client.client),
            Self::Name => client.name.as_deref().map_or_else(String::new, printable),
            Self::Handshakes => short_number(client.handshakes),
            Self::Refused => short_number(client.refused),
            Self::Rate => rate(shown.speeds.of_client(&client.client)),
            Self::Outcome => client.last_handshakes.first().map_or_else(|| "-".to_owned(), words::outcome),
            Self::Age => words::short_age(client.last_seen, shown.snapshot.clients.time),
            Self::Software => words::software(client),
            // Of a width that is not known here.
            Self::Trend => String::new(),
        }
    }
}

/// Draws it, with a line above it that says what it is.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut ScreenState, look: Look, area: Rect) {
    // With two lines left, a client and the heading above it are worth more.
    let title_height = u16::from(area.height > 2);
    let [title_area, table_area] =
        Layout::vertical([Constraint::Length(title_height), Constraint::Min(0)]).areas(area);
    frame.render_widget(title(state), title_area);
    state.page = usize::from(table_area.height.saturating_sub(1));
    let Some(shown) = state.shown() else { return };
    let rows = state.rows();
    if rows.is_empty() {
        let text = if state.filter.is_empty() {
            "No client without SNI has been seen yet."
        } else {
            "No client matches the filter; Esc shows all."
        };
        frame.render_widget(Line::from(text), table_area);
        return;
    }
    let columns = columns(&rows, shown, table_area.width);
    let lines = rows.iter().map(|client| {
        Row::new(columns.iter().map(|&(column, width)| match column {
            Column::Trend => Line::from(words::trend(&client.per_minute, usize::from(width), look.bars)),
            Column::Outcome => {
                let last = client.last_handshakes.first();
                let style = last.map_or_else(Default::default, |last| look.fate(words::fate_of(last)));
                Line::styled(shorten(column.text(client, shown), usize::from(width)), style)
            }
            column if column.is_number() => Line::from(column.text(client, shown)).right_aligned(),
            column => Line::from(shorten(column.text(client, shown), usize::from(width))),
        }))
    });
    let header = Row::new(columns.iter().map(|&(column, _)| {
        let title = Line::from(column.title());
        if column.is_number() { title.right_aligned() } else { title }
    }));
    let table = Table::new(lines, columns.iter().map(|&(_, width)| Constraint::Length(width)))
        .header(header.style(HEADING))
        .highlight_symbol(MARK)
        .highlight_spacing(HighlightSpacing::Always)
        .row_highlight_style(SELECTED);
    let mut position = TableState::new().with_offset(state.first_row).with_selected(state.row());
    frame.render_stateful_widget(table, table_area, &mut position);
    state.first_row = position.offset();
}

/// The columns that fit, with their widths.
fn columns(rows: &[&Client], shown: &Shown, width: u16) -> Vec<(Column, u16)> {
    let has_names = rows.iter().any(|client| client.name.is_some());
    let mut left = width.saturating_sub(MARK_WIDTH);
    let mut chosen: Vec<(Column, u16)> = Vec::new();
    for column in Column::BY_IMPORTANCE {
        let needed = column.least_width() + u16::from(!chosen.is_empty());
        let is_of_use = column != Column::Name || has_names;
        // The first one is there however narrow it is.
        if is_of_use && (needed <= left || chosen.is_empty()) {
            left = left.saturating_sub(needed);
            chosen.push((column, column.least_width()));
        }
    }
    share(left, &mut chosen, |column| {
        if column == Column::Trend {
            return column.most_width();
        }
        let longest = rows.iter().map(|client| column.text(client, shown).len()).max().unwrap_or(0);
        u16::try_from(longest).unwrap_or(u16::MAX).min(column.most_width())
    });
    chosen.sort_by_key(|(column, _)| Column::ALL.iter().position(|other| other == column));
    chosen
}

/// Shares the characters that are left among columns that want more, one each in turn.
fn share(mut left: u16, columns: &mut [(Column, u16)], wanted: impl Fn(Column) -> u16) {
    let wanted: Vec<u16> = columns.iter().map(|&(column, _)| wanted(column)).collect();
    loop {
        let before = left;
        for ((_, width), wanted) in columns.iter_mut().zip(&wanted) {
            if left > 0 && *width < *wanted {
                *width += 1;
                left -= 1;
            }
        }
        if left == before {
            return;
        }
    }
}

/// Text of ASCII in at most `width` characters.
fn shorten(mut text: String, width: usize) -> String {
    if text.len() > width && width > 2 {
        text.truncate(width - 2);
        text.push_str("..");
    }
    text
}

/// How many clients there are, which are shown and in what order, and how many handshakes others have.
fn title(state: &ScreenState) -> Line<'static> {
    let Some(shown) = state.shown() else { return Line::default() };
    let all = shown.snapshot.clients.clients.len();
    let of = if state.filter.is_empty() && state.pane != Pane::Filter {
        format!("{all} top clients")
    } else {
        format!("{} of {all} top clients, with \"{}\"", state.rows().len(), state.filter)
    };
    let order = if state.is_reversed { ", reversed" } else { "" };
    let mut text = format!("{of} without SNI, by {}{order}", state.sort.name());
    for (who, counts) in
        [("others", &shown.snapshot.clients.other), ("expected", &shown.snapshot.clients.expected)]
    {
        let handshakes = sum(counts, |count| count.handshakes);
        if handshakes > 0 {
            let refused = sum(counts, Count::refused);
            // Writing to a `String` cannot fail.
            let _ = write!(text, "; {who}: {handshakes}, {refused} refused");
        }
    }
    Line::styled(text, HEADING)
}

fn sum(counts: &[Count], of: impl Fn(&Count) -> u64) -> u64 {
    counts.iter().fold(0, |sum: u64, count| sum.saturating_add(of(count)))
}
