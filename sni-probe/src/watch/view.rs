//! Draws the screen.
//!
//! ```text
//! sni-probe watch  node-1  ready  eth0  ports 443 8443  http://node-1:9917
//! 12 clients without SNI were reset in the last hour; the gateway accepts none     the state in a sentence
//! not seen: events_lost_total ring_full 3                                          only if there is something
//! SNI  OUTCOME  RATE/S  TOTAL  LAST HOUR                                           kinds of handshakes
//! 3 clients without SNI, sorted by refused
//!   CLIENT  REFUSED  ...                                                           the table of clients
//! q quit  ...                                                                      keys
//! ```
//!
//! What comes from the wire is made printable ASCII before it gets here ([`words`]).

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, Wrap};

use super::rates::Kind;
use super::state::{Pane, Shown, State};
use super::words::{self, Bars};
use super::{details, help, keys, table};
use crate::api::model::{self, Summary};
use crate::output::text::printable;

/// How things look on this terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Whether colours are welcome.
    pub(super) colour: bool,
    pub(super) bars: Bars,
}

impl Look {
    pub(super) fn good(self) -> Style {
        self.paint(Color::Green)
    }

    pub(super) fn doubtful(self) -> Style {
        self.paint(Color::Yellow)
    }

    pub(super) fn bad(self) -> Style {
        self.paint(Color::Red)
    }

    /// Of an outcome.
    pub(super) fn outcome(self, outcome: &str) -> Style {
        match outcome {
            "server_hello" => self.good(),
            outcome if words::is_refusal(outcome) => self.bad(),
            _ => self.doubtful(),
        }
    }

    fn paint(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }
}

pub(super) const HEADING: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State, look: Look, now: Instant) {
    let area = frame.area();
    let notices = notices(state, look, now);
    let sentence = sentence(state, look);
    let is_low = area.height < 8;
    let most = if is_low { 1 } else { 2 };
    let height = |line: &Line<'_>| line.width().div_ceil(usize::from(area.width.max(1))).clamp(1, most);
    // The more important a part is, the earlier it gets its lines.
    let mut left = area.height;
    let mut take = |wanted: usize| {
        let taken = u16::try_from(wanted).unwrap_or(u16::MAX).min(left);
        left -= taken;
        taken
    };
    let heights = [
        take(height(&sentence)),
        take(1),
        take(notices.iter().map(height).sum()),
        take(usize::from(!is_low)),
    ];
    let [sentence_height, top_height, notices_height, footer_height] = heights;
    let [top_area, sentence_area, notices_area, body_area, footer_area] = Layout::vertical([
        Constraint::Length(top_height),
        Constraint::Length(sentence_height),
        Constraint::Length(notices_height),
        Constraint::Length(left),
        Constraint::Length(footer_height),
    ])
    .areas(area);
    let wrap = Wrap { trim: true };
    frame.render_widget(top(state, look), top_area);
    frame.render_widget(Paragraph::new(sentence).wrap(wrap), sentence_area);
    frame.render_widget(Paragraph::new(notices).wrap(wrap), notices_area);
    frame.render_widget(footer(state), footer_area);
    match state.pane {
        Pane::Table | Pane::Filter => body(frame, state, look, body_area),
        Pane::Details => details::draw(frame, state, look, body_area),
        Pane::Help => help::draw(frame, body_area),
    }
}

/// Which daemon this is, and whether it sees everything.
fn top(state: &State, look: Look) -> Line<'static> {
    let mut spans = vec![Span::styled("sni-probe watch", HEADING)];
    let mut add = |text: String, style: Style| {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(text, style));
    };
    if state.is_paused {
        add("PAUSED".to_owned(), SELECTED);
    }
    if let Some(Shown { snapshot, .. }) = state.shown() {
        let summary = &snapshot.summary;
        add(printable(&summary.node), HEADING);
        let (word, style) = if summary.ready { ("ready", look.good()) } else { ("NOT READY", look.bad()) };
        add(word.to_owned(), style);
        add(interfaces(summary), Style::new());
        let ports: Vec<_> = summary.ports.iter().map(u16::to_string).collect();
        add(format!("ports {}", ports.join(" ")), Style::new());
        add(printable(&state.place), FAINT);
        add(format!("up {}", words::age(summary.started, summary.time)), FAINT);
        add(format!("version {}", printable(&summary.version)), FAINT);
    }
    Line::from(spans)
}

/// The interfaces by name, or how many they are.
fn interfaces(summary: &Summary) -> String {
    const MAX_NAMED: usize = 3;
    if summary.interfaces.len() > MAX_NAMED {
        return format!("{} interfaces", summary.interfaces.len());
    }
    let names: Vec<_> = summary.interfaces.iter().map(|interface| printable(&interface.name)).collect();
    names.join(" ")
}

fn sentence(state: &State, look: Look) -> Line<'static> {
    let Some(Shown { snapshot, .. }) = state.shown() else {
        return Line::from(format!("asking {} ...", printable(&state.place)));
    };
    let style = match snapshot.summary.state {
        model::State::Idle => Style::new(),
        model::State::Fine | model::State::Accepting => look.good(),
        model::State::NotReady | model::State::Mixed => look.doubtful(),
        model::State::Refusing => look.bad(),
    };
    Line::styled(words::sentence(&snapshot.summary.sentence), style.add_modifier(Modifier::BOLD))
}

/// What may make the rest untrue: no answer, interfaces that are not watched, losses.
fn notices(state: &State, look: Look, now: Instant) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some(silence) = state.silence(now) {
        lines.push(Line::styled(silence, look.bad().add_modifier(Modifier::BOLD)));
    }
    if let Some(Shown { snapshot, .. }) = state.shown() {
        lines.extend(unwatched(&snapshot.summary).map(|text| Line::styled(text, look.bad())));
        lines.extend(losses(&snapshot.summary).map(|text| Line::styled(text, look.doubtful())));
    }
    lines
}

/// The interfaces that are not watched, in a line.
pub(super) fn unwatched(summary: &Summary) -> Option<String> {
    let unready = summary.interfaces.iter().filter(|interface| !interface.ready);
    let said: Vec<String> = unready
        .map(|interface| format!("{}: {}", printable(&interface.name), words::sentence(&interface.status)))
        .collect();
    match said.is_empty() {
        false => Some(said.join(", ")),
        true if summary.ready => None,
        true => Some("no interface is watched".to_owned()),
    }
}

/// What was not seen, in a line.
pub(super) fn losses(summary: &Summary) -> Option<String> {
    let said: Vec<String> = summary
        .not_seen
        .iter()
        .filter(|loss| loss.count > 0)
        .map(|loss| {
            let separator = if loss.reason.is_empty() { "" } else { " " };
            format!("{}{separator}{} {}", printable(&loss.metric), printable(&loss.reason), loss.count)
        })
        .collect();
    (!said.is_empty()).then(|| format!("not seen: {}", said.join(", ")))
}

fn footer(state: &State) -> Line<'static> {
    if state.pane == Pane::Filter {
        let keys = format!("    {}", keys::footer(state.pane));
        return Line::from(vec![
            Span::styled(format!("filter: {}_", state.filter), HEADING),
            Span::styled(keys, FAINT),
        ]);
    }
    Line::styled(keys::footer(state.pane), FAINT)
}

/// Kinds of handshakes, and below them the clients.
fn body(frame: &mut Frame<'_>, state: &mut State, look: Look, area: Rect) {
    let Some(shown) = state.shown() else { return };
    let rows = kinds(shown);
    // An empty line between the two, where there is room.
    let gap = usize::from(area.height > 10);
    let room = usize::from(area.height) - gap;
    // Clients get two thirds, or what they need if that is less; a title and a heading are above them.
    let clients_height = (state.rows().len() + 2).min(room - room / 3);
    let height = (rows.len() + 1).min(room - clients_height);
    // With less there would be a heading and nothing below it.
    let (height, gap) = if height < 2 { (0, 0) } else { (height, gap) };
    let [height, gap] = [height, gap].map(|lines| u16::try_from(lines).unwrap_or(u16::MAX));
    let [kinds_area, _, clients_area] =
        Layout::vertical([Constraint::Length(height), Constraint::Length(gap), Constraint::Min(0)])
            .areas(area);
    draw_kinds(frame, &rows, look, kinds_area);
    table::draw(frame, state, look, clients_area);
}

/// The handshakes of one kind.
pub(super) struct KindRow<'a> {
    pub(super) sni: &'a str,
    pub(super) outcome: &'a str,
    /// Since the start.
    pub(super) total: u64,
    /// A second.
    pub(super) rate: Option<f64>,
    /// In each step of the last hour.
    history: &'a [u64],
}

/// The kinds that occurred: without SNI and refused first, then the others without SNI, each by number.
pub(super) fn kinds(shown: &Shown) -> Vec<KindRow<'_>> {
    let Shown { snapshot: super::Snapshot { summary, .. }, speeds } = shown;
    let mut rows: Vec<KindRow<'_>> = Vec::new();
    for count in &summary.handshakes {
        let known = rows.iter_mut().find(|row| row.sni == count.sni && row.outcome == count.outcome);
        if let Some(row) = known {
            row.total = row.total.saturating_add(count.handshakes);
            continue;
        }
        let kind: Kind = (count.sni.clone(), count.outcome.clone());
        let mut series = summary.last_hour.series.iter();
        let series = series.find(|series| series.sni == count.sni && series.outcome == count.outcome);
        rows.push(KindRow {
            sni: &count.sni,
            outcome: &count.outcome,
            total: count.handshakes,
            rate: speeds.of_kind(&kind),
            history: series.map_or(&[], |series| &series.handshakes),
        });
    }
    let rank = |row: &KindRow<'_>| match row.sni {
        "absent" | "empty" | "invalid" => u8::from(!words::is_refusal(row.outcome)),
        "unknown" => 2,
        _ => 3,
    };
    rows.sort_by(|a, b| rank(a).cmp(&rank(b)).then(b.total.cmp(&a.total)));
    rows
}

fn draw_kinds(frame: &mut Frame<'_>, rows: &[KindRow<'_>], look: Look, area: Rect) {
    const COLUMNS: [u16; 4] = [8, 18, 9, 12];
    if area.height == 0 {
        return;
    }
    let fixed: u16 = COLUMNS.iter().map(|width| width + 1).sum();
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
                Line::from(printable(row.sni)),
                Line::styled(printable(row.outcome), look.outcome(row.outcome)),
                Line::from(words::rate(row.rate)).right_aligned(),
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
    let widths = COLUMNS.map(Constraint::Length).into_iter().chain([Constraint::Min(0)]);
    frame.render_widget(Table::new(lines, widths).header(header.style(HEADING)), area);
}

#[cfg(test)]
mod tests;
