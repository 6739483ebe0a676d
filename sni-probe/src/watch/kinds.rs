//! Kinds of handshakes, by SNI and outcome: how many, how many a second, and their last hour.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Row, Table};
use sni_probe_model::{Fate, OutcomeClass, SniClass, Word};
use sni_probe_terminal::printable;
use sni_probe_terminal::units::rate;

use super::Snapshot;
use super::look::{HEADING, Look};
use super::rates::Kind;
use super::state::Shown;
use super::words;

/// Five SNIs, a dozen outcomes and two sources are fewer. Stops a daemon that tells nonsense from keeping the screen
/// busy.
const MAX_KINDS: usize = 512;

/// Columns of an outcome: "client rejected the certificate" has 31.
const MAX_OUTCOME_WIDTH: u16 = 31;

/// The handshakes of one kind.
pub(super) struct KindRow<'a> {
    pub(super) sni: &'a Word<SniClass>,
    pub(super) outcome: &'a Word<OutcomeClass>,
    /// Since the start.
    pub(super) total: u64,
    fate: Fate,
    /// A second.
    pub(super) rate: Option<f64>,
    /// In each step of the last hour.
    history: &'a [u64],
}

/// The kinds that occurred: without SNI and refused first, then the others without SNI, each by number.
pub(super) fn rows(shown: &Shown) -> Vec<KindRow<'_>> {
    let Shown { snapshot: Snapshot { summary, .. }, speeds } = shown;
    let mut rows: Vec<KindRow<'_>> = Vec::new();
    for count in summary.handshakes.iter().take(MAX_KINDS) {
        let known = rows.iter_mut().find(|row| *row.sni == count.sni && *row.outcome == count.outcome);
        let fate = words::fate(count);
        if let Some(row) = known {
            row.total = row.total.saturating_add(count.handshakes);
            if fate == Fate::Refused {
                row.fate = fate;
            }
            continue;
        }
        let kind: Kind = (count.sni.clone(), count.outcome.clone());
        let mut series = summary.last_hour.series.iter().take(MAX_KINDS);
        let series = series.find(|series| series.sni == count.sni && series.outcome == count.outcome);
        rows.push(KindRow {
            sni: &count.sni,
            outcome: &count.outcome,
            total: count.handshakes,
            fate,
            rate: speeds.of_kind(&kind),
            history: series.map_or(&[], |series| &series.handshakes),
        });
    }
    let rank = |row: &KindRow<'_>| match row.sni {
        sni if sni.is_without_sni() => u8::from(row.fate != Fate::Refused),
        sni if sni.known() == Some(SniClass::Unknown) => 2,
        _ => 3,
    };
    rows.sort_by(|a, b| rank(a).cmp(&rank(b)).then(b.total.cmp(&a.total)));
    rows
}

/// Draws them, or as many as fit and what the others come to.
pub(super) fn draw(frame: &mut Frame<'_>, rows: &[KindRow<'_>], look: Look, area: Rect) {
    if area.height == 0 {
        return;
    }
    let outcome_width = rows.iter().map(|row| words::class(row.outcome).len()).max().unwrap_or(0);
    let outcome_width = u16::try_from(outcome_width).unwrap_or(u16::MAX).clamp(18, MAX_OUTCOME_WIDTH);
    let columns: [u16; 4] = [8, outcome_width, 9, 12];
    let fixed: u16 = columns.iter().map(|width| width + 1).sum();
    let trend_width = usize::from(area.width.saturating_sub(fixed).min(60));
    let room = usize::from(area.height) - 1;
    // The last line is then for those that do not fit.
    let hidden = if rows.len() > room { rows.len() - (room - 1) } else { 0 };
    let visible = rows.len() - hidden;
    let rest: u64 = rows[visible..].iter().fold(0, |sum, row| sum.saturating_add(row.total));
    let mut lines: Vec<Row<'_>> = rows[..visible]
        .iter()
        .map(|row| {
            Row::new([
                Line::from(printable(row.sni.as_str())),
                Line::styled(words::class(row.outcome), look.fate(row.fate)),
                Line::from(rate(row.rate)).right_aligned(),
                Line::from(row.total.to_string()).right_aligned(),
                Line::from(words::trend(row.history, trend_width, look.bars)),
            ])
        })
        .collect();
    if hidden > 0 {
        let more = format!("{hidden} more kinds");
        lines.push(Row::new([
            Line::from("..."),
            Line::from(more),
            Line::from(""),
            Line::from(rest.to_string()).right_aligned(),
            Line::from(""),
        ]));
    }
    let header = Row::new([
        Line::from("SNI"),
        Line::from("OUTCOME"),
        Line::from("RATE/S").right_aligned(),
        Line::from("TOTAL").right_aligned(),
        Line::from("LAST HOUR"),
    ]);
    let widths = columns.map(Constraint::Length).into_iter().chain([Constraint::Min(0)]);
    frame.render_widget(Table::new(lines, widths).header(header.style(HEADING)), area);
}
